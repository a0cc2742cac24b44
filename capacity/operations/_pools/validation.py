"""What a pool must be: within its host, and the same as one of its name that stands already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from capacity._common.secrets import redact
from capacity._common.units import format_cores, format_memory
from capacity._docker.containers import Container, Host
from capacity._docker.engine import Engine, engine_errors
from capacity.errors import ContainerGone, InputError
from capacity.operations._pools.containers import stands
from capacity.operations._pools.template import described, differing_settings, variables_of

if TYPE_CHECKING:
    from capacity.operations._pools.pool import InstancePool

__all__ = ["check_host", "check_image", "check_network", "refuse_another"]

_PLAIN = {"", "default", "bridge"}
_BUILT_IN = _PLAIN | {"none", "host"}


def check_image(engine: Engine, image: str) -> dict[str, Any]:
    """The Engine's description of a pool's image.

    Raises:
        InputError: no such image on this Engine.
        EngineError: no answer.
    """
    try:
        with engine_errors(engine.host.name, f"look for the image {image}"):
            found: dict[str, Any] = engine.api.inspect_image(image)
    except ContainerGone as error:
        hint = (
            f"Get it there with docker pull {image}, or name another with --image; `docker images` "
            "lists them"
        )
        raise InputError(f"There is no image {image!r} on {engine.host.name}", hint) from error
    return found


def check_network(engine: Engine, network: str | None) -> None:
    """Refuse a network that the Engine does not have, before an instance is made for it.

    Raises:
        InputError: no such network on this Engine.
        EngineError: no answer.
    """
    if network is None or network in _BUILT_IN or network.startswith("container:"):
        return
    try:
        with engine_errors(engine.host.name, f"look for the network {network}"):
            engine.api.inspect_network(network)
    except ContainerGone as error:
        hint = "`docker network ls` lists them; `docker network create` makes one"
        raise InputError(f"There is no network {network!r} on {engine.host.name}", hint) from error


def check_host(host: Host, size: int, memory: int | None, cpus: float | None) -> None:
    """Refuse instances that a host cannot hold: one that is larger than it, or all of them
    together.

    Args:
        host: where they are to run; what it does not say of itself is not checked.
        size: how many.
        memory: limit of each, bytes.
        cpus: limit of each, cores; together they may be more than the host has, for cores are
            shared.

    Raises:
        InputError: it cannot; the message has the numbers.
    """
    if cpus is not None and host.cores and cpus > host.cores:
        raise InputError(
            f"{host.name} has {host.cores} cores, not {cpus:g}", "Choose --cpus within that"
        )
    if memory is None or not host.memory:
        return
    has, each = format_memory(host.memory), format_memory(memory)
    if memory > host.memory:
        raise InputError(
            f"{host.name} has {has} of memory, not {each} for one instance",
            "Choose --memory within that",
        )
    if size * memory > host.memory:
        said = (
            f"{size} instances of {each} are {format_memory(size * memory)}, and {host.name} has "
            f"{has} of memory"
        )
        most = host.memory // memory
        raise InputError(said, f"Choose a size of at most {most}, or less memory for each")


def refuse_another(
    engine: Engine, pool: InstancePool, found: Sequence[Container], image: dict[str, Any], size: int
) -> None:
    """Refuse to make or join a pool where one of its name stands that is not the same.

    Args:
        engine: where.
        pool: what is asked for.
        found: the instances there are.
        image: from `check_image`.
        size: how many instances the one that stands is to have.

    Raises:
        InputError: size, image, limits, command, variables or network are others; the message says
            which.
    """
    if not found:
        return
    if pool.keep and not stands(found):
        said = f"The pool {pool.name!r} belongs to a program, and goes when its last user ends"
        raise InputError(said, "End that program first, or take another name")
    if size != pool.size:
        change = f"`capacity pool scale {pool.name} {pool.size}` changes that"
        hint = change if stands(found) else f"Ask for {size}, or take another name"
        raise InputError(f"The pool {pool.name!r} has {size} instances, not {pool.size}", hint)
    apart = list(
        dict.fromkeys(
            said for container in found for said in _apart(engine, pool, container, image)
        )
    )
    if apart:
        hint = f"`capacity pool down {pool.name}` first, or take another name"
        raise InputError(f"The pool {pool.name!r} stands already, with {', '.join(apart)}", hint)


def _apart(
    engine: Engine, pool: InstancePool, container: Container, image: dict[str, Any]
) -> list[str]:
    """What of an instance is not as asked for; what nobody asks for comes from the image."""
    try:
        attrs = described(engine, container.id, container.name)
    except ContainerGone:  # meanwhile
        return []
    own, made, network = (
        image.get("Config") or {},
        attrs["Config"],
        attrs["HostConfig"].get("NetworkMode") or "",
    )
    wanted = list(pool.command) if pool.command is not None else own.get("Cmd") or []
    variables = variables_of(own) | dict(pool.environment)
    other = sorted(name for name, value in (variables_of(made).items() ^ variables.items()))
    has_memory = format_memory(container.memory) if container.memory else "without a limit"
    has_cpus = format_cores(container.cpus) if container.cpus else "without a limit"
    said = {
        f"image {container.image}": container.image == pool.image,
        f"memory {has_memory}": container.memory == pool.memory,
        f"cpus {has_cpus}": container.cpus == (None if pool.cpus is None else round(pool.cpus, 9)),
        f"command {redact(' '.join(made.get('Cmd') or [])) or 'none'}": (made.get("Cmd") or [])
        == wanted,
        f"other variables ({', '.join(dict.fromkeys(other))})": not other,
        f"network {network}": network == pool.network
        or (pool.network is None and network in _PLAIN),
        "another health check": _health(made)
        == _health({"Healthcheck": {**(own.get("Healthcheck") or {}), **(pool.health or {})}}),
    }
    return [
        *(text for text, same in said.items() if not same),
        *differing_settings(attrs, own, pool.config, pool.host_config),
    ]


def _health(config: dict[str, Any]) -> dict[str, Any]:
    """A health check without what says nothing: the Engine leaves that out."""
    return {key: value for key, value in (config.get("Healthcheck") or {}).items() if value}
