"""What making, scaling or removing a pool does to each of its instances: said first, then done and journalled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from capacity.errors import ContainerGone, InputError
from capacity.inventory.containers import Container
from capacity.inventory.engine import Engine, engine_errors
from capacity.operations.leases import leased
from capacity.operations.pool import SLOT, InstancePool, pool_folder, stands
from capacity.operations.pool_like import described, differing, variables_of
from capacity.operations.redact import redact
from capacity.units import format_cores, format_memory

__all__ = ["PoolStep", "check_image", "done", "planned", "refuse_another"]

_DONE = {"would-create": "created", "would-replace": "replaced", "would-remove": "removed"}
_PLAIN = {"", "default", "bridge"}


@dataclass(frozen=True)
class PoolStep:
    """What is done to one instance.

    `state` is would-create, would-replace, would-remove, stays, created, replaced, removed or failed; `memory` is in bytes and
    `cpus` in cores, None without a limit.
    """

    number: int
    container: str
    host: str
    state: str
    image: str
    memory: int | None
    cpus: float | None
    note: str = ""


def planned(engine: Engine, pool: InstancePool, found: Sequence[Container], size: int) -> list[PoolStep]:
    """What bringing a pool to a size would do to each instance, those there are and those there will be."""
    here = {int(one.labels[SLOT]): one for one in found}
    most = max([size, *(number + 1 for number in here)])
    held = leased(pool_folder(pool.name, engine), most)
    steps = []
    for number in range(most):
        one = here.get(number)
        if one is None and number >= size:
            continue
        state, note = _what(one, number, size, leased=held[number])
        host, image = engine.host.name, one.image if one is not None else pool.image
        memory, cpus = (one.memory, one.cpus) if one is not None else (pool.memory, pool.cpus)
        steps.append(PoolStep(number, f"{pool.name}-pool-{number}", host, state, image, memory, cpus, note))
    return steps


def _what(one: Container | None, number: int, size: int, *, leased: bool) -> tuple[str, str]:
    if one is None:
        return "would-create", ""
    if number >= size:
        return "would-remove", "leased" if leased else ""
    if leased or (one.running and one.health != "unhealthy"):
        return "stays", "leased" if leased else ""
    return "would-replace", f"it is {one.health if one.running else one.state}"


def done(steps: Sequence[PoolStep]) -> list[PoolStep]:
    """The same when it has been done."""
    return [replace(one, state=_DONE.get(one.state, one.state)) for one in steps]


def check_image(engine: Engine, pool: InstancePool) -> dict[str, Any]:
    """The Engine's description of a pool's image; what it could not run is refused.

    Raises:
        InputError: no such image on this Engine, or more cores than it has.
        EngineError: no answer.
    """
    try:
        with engine_errors(engine.host.name, f"look for the image {pool.image}"):
            found: dict[str, Any] = engine.api.inspect_image(pool.image)
    except ContainerGone as error:
        hint = f"Get it there with docker pull {pool.image}, or name another with --image; `docker images` lists them"
        raise InputError(f"There is no image {pool.image!r} on {engine.host.name}", hint) from error
    if pool.cpus is not None and pool.cpus > engine.host.cores:
        raise InputError(f"{engine.host.name} has {engine.host.cores} cores, not {pool.cpus:g}", "Choose --cpus within that")
    return found


def refuse_another(engine: Engine, pool: InstancePool, found: Sequence[Container], image: dict[str, Any]) -> None:
    """Refuse to make a pool where one of its name stands that is not the same.

    Args:
        engine: where.
        pool: what is asked for.
        found: the instances there are.
        image: from `check_image`.

    Raises:
        InputError: size, image, limits, command, variables or network are others; the message says which.
    """
    if not found:
        return
    if pool.keep and not stands(found):
        said = f"The pool {pool.name!r} belongs to a program, and goes when its last user ends"
        raise InputError(said, "End that program first, or take another name")
    size = max(int(one.labels[SLOT]) for one in found) + 1
    if size != pool.size:
        hint = f"`capacity pool scale {pool.name} {pool.size}` changes that"
        raise InputError(f"The pool {pool.name!r} has {size} instances, not {pool.size}", hint)
    apart = list(dict.fromkeys(said for one in found for said in _apart(engine, pool, one, image)))
    if apart:
        hint = f"`capacity pool down {pool.name}` first, or take another name"
        raise InputError(f"The pool {pool.name!r} stands already, with {', '.join(apart)}", hint)


def _apart(engine: Engine, pool: InstancePool, one: Container, image: dict[str, Any]) -> list[str]:
    """What of an instance is not as asked for; what nobody asks for comes from the image."""
    attrs = described(engine, one.id, one.name)
    own, made, network = image.get("Config") or {}, attrs["Config"], attrs["HostConfig"].get("NetworkMode") or ""
    wanted = list(pool.command) if pool.command is not None else own.get("Cmd") or []
    variables = variables_of(own) | dict(pool.environment)
    other = sorted(name for name, value in (variables_of(made).items() ^ variables.items()))
    said = {
        f"image {one.image}": one.image == pool.image,
        f"memory {format_memory(one.memory) if one.memory else 'without a limit'}": one.memory == pool.memory,
        f"cpus {format_cores(one.cpus) if one.cpus else 'without a limit'}": one.cpus == pool.cpus,
        f"command {redact(' '.join(made.get('Cmd') or [])) or 'none'}": (made.get("Cmd") or []) == wanted,
        f"other variables ({', '.join(dict.fromkeys(other))})": not other,
        f"network {network}": network == pool.network or (pool.network is None and network in _PLAIN),
    }
    return [*(text for text, same in said.items() if not same), *differing(attrs, own, pool.config, pool.host_config)]
