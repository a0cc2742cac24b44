"""What a pool is to be, and whether that can be: by itself, on its host, and beside one of its name
that stands already.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from capacity._common.plain_data import PlainMapping
from capacity._common.setting_values import LEAST_MEMORY
from capacity._common.text.secrets import redact
from capacity._common.text.units import format_cores, format_memory
from capacity._docker.containers import Container, Host
from capacity._docker.engine import Engine, engine_errors
from capacity._docker.responses import ImageAnswer
from capacity.errors import ContainerGone, InputError
from capacity.operations._pools.containers import (
    MOST_INSTANCES,
    instances_of,
    refuse_foreign,
    stands,
    wanted_size,
)
from capacity.operations._pools.locks import LockFolder, refuse_elsewhere
from capacity.operations._pools.template import described, differing_settings, variables_of
from capacity.settings import EngineSettings

__all__ = ["PoolSpec", "check_host", "check_pool", "check_size"]

_LEAST_CPUS = 0.01
_SHOWN = 40  # letters of a wrong name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_DEFAULT_NETWORK = {"", "default", "bridge"}


@dataclass(frozen=True)
class PoolSpec:
    """What a pool is to be: see `InstancePool` for its attributes.

    Raises:
        InputError: a name, size, image or limit that cannot be.
    """

    name: str
    image: str
    size: int
    command: Sequence[str] | None = None
    memory: int | None = None
    cpus: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network: str | None = None
    health: PlainMapping | None = None
    keep: bool = False
    settings: EngineSettings | None = None
    steady: float = 0.0
    config: PlainMapping = field(default_factory=dict)
    host_config: PlainMapping = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_size(self.size)
        if not _NAME.fullmatch(self.name):
            shown = self.name if len(self.name) <= _SHOWN else f"{self.name[:_SHOWN]}..."
            hint = "Use at most 63 of a-z, A-Z, 0-9, - and _, and begin with a letter or a digit"
            raise InputError(f"{shown!r} is no name for a pool", hint)
        if not self.image.strip():
            said = f"The pool {self.name!r} has an empty name for its image"
            raise InputError(said, "Name one; `docker images` lists them")
        if self.memory is not None and self.memory < LEAST_MEMORY:
            said = (
                f"A memory limit of {format_memory(self.memory)} is below the 6 MiB that the Engine"
            )
            raise InputError(f"{said} takes", "Write a unit, such as 800m")
        if self.cpus is not None and not math.isfinite(self.cpus):
            said = f"A CPU limit of {self.cpus:g} cores is no limit"
            raise InputError(said, "Name a number of cores, such as 0.5")
        if self.cpus is not None and self.cpus < _LEAST_CPUS:
            said = f"A CPU limit of {self.cpus:g} cores is below what the Engine takes"
            raise InputError(said, f"Choose {_LEAST_CPUS} or more")


def check_size(size: int) -> None:
    """Refuse an impossible number of instances.

    Raises:
        InputError: it is one.
    """
    if not 1 <= size <= MOST_INSTANCES:
        raise InputError(f"A pool of {size} instances", f"Choose 1 to {MOST_INSTANCES}")


def check_pool(
    engine: Engine, spec: PoolSpec, place: LockFolder, *, as_it_stands: bool = False
) -> list[Container]:
    """The instances there are of a pool that is asked for.

    Args:
        engine: where.
        spec: what is asked for.
        place: the locks that we see.
        as_it_stands: take a pool that is there, whatever it is.

    Raises:
        InputError: it cannot be made, or another pool of its name is there.
        EngineError: no answer.
    """
    refuse_foreign(engine, spec.name, spec.size)
    found = instances_of(engine, spec.name)
    refuse_elsewhere(spec.name, found, place)
    if found and as_it_stands:
        return found
    image = _described_image(engine, spec.image)
    if found:
        _refuse_another(engine, spec, found, image, wanted_size(place.users, found))
    else:
        check_host(engine.host, spec.size, spec.memory, spec.cpus)
        _check_network(engine, spec.network)
    return found


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
        said = f"{host.name} has {host.cores} cores, not {cpus:g}"
        raise InputError(said, "Choose --cpus within that")
    if memory is None or not host.memory:
        return
    has, each = format_memory(host.memory), format_memory(memory)
    if memory > host.memory:
        said = f"{host.name} has {has} of memory, not {each} for one instance"
        raise InputError(said, "Choose --memory within that")
    if size * memory > host.memory:
        all_of_them = f"{size} instances of {each} are {format_memory(size * memory)}"
        hint = f"Choose a size of at most {host.memory // memory}, or less memory for each"
        raise InputError(f"{all_of_them}, and {host.name} has {has} of memory", hint)


def _described_image(engine: Engine, image: str) -> ImageAnswer:
    """The Engine's description of a pool's image."""
    try:
        with engine_errors(engine.host.name, f"look for the image {image}"):
            found: ImageAnswer = engine.api.inspect_image(image)
    except ContainerGone as error:
        hint = (
            f"Get it there with docker pull {image}, or name another with --image; `docker images` "
            "lists them"
        )
        raise InputError(f"There is no image {image!r} on {engine.host.name}", hint) from error
    return found


def _check_network(engine: Engine, network: str | None) -> None:
    """Refuse a network that the Engine does not have, before an instance is made for it."""
    built_in = {None, "none", "host"} | _DEFAULT_NETWORK
    if network in built_in or str(network).startswith("container:"):
        return
    try:
        with engine_errors(engine.host.name, f"look for the network {network}"):
            engine.api.inspect_network(network)
    except ContainerGone as error:
        hint = "`docker network ls` lists them; `docker network create` makes one"
        raise InputError(f"There is no network {network!r} on {engine.host.name}", hint) from error


def _refuse_another(
    engine: Engine, spec: PoolSpec, found: Sequence[Container], image: ImageAnswer, size: int
) -> None:
    """Refuse to make or join a pool where one of its name stands that is not the same: it has
    `size` instances, of which `found` are there.
    """
    if spec.keep and not stands(found):
        said = f"The pool {spec.name!r} belongs to a program, and goes when its last user ends"
        raise InputError(said, "End that program first, or take another name")
    if size != spec.size:
        change = f"`capacity pool scale {spec.name} {spec.size}` changes that"
        hint = change if stands(found) else f"Ask for {size}, or take another name"
        raise InputError(f"The pool {spec.name!r} has {size} instances, not {spec.size}", hint)
    other = dict.fromkeys(
        said for container in found for said in _differences(engine, spec, container, image)
    )
    if other:
        hint = f"`capacity pool down {spec.name}` first, or take another name"
        raise InputError(f"The pool {spec.name!r} stands already, with {', '.join(other)}", hint)


def _differences(
    engine: Engine, spec: PoolSpec, container: Container, image: ImageAnswer
) -> list[str]:
    """What of an instance is not as asked for; what nobody asks for comes from the image."""
    try:
        attrs = described(engine, container.id, container.name)
    except ContainerGone:  # meanwhile
        return []
    default, made = image.get("Config") or {}, attrs["Config"]
    network = attrs["HostConfig"].get("NetworkMode") or ""
    networks = _DEFAULT_NETWORK if spec.network is None else {spec.network}
    command = made.get("Cmd") or []
    wanted = list(spec.command) if spec.command is not None else default.get("Cmd") or []
    variables = variables_of(default) | dict(spec.environment)
    other = sorted({name for name, _ in variables_of(made).items() ^ variables.items()})
    memory = format_memory(container.memory) if container.memory else "without a limit"
    cpus = format_cores(container.cpus) if container.cpus else "without a limit"
    health = {**(default.get("Healthcheck") or {}), **(spec.health or {})}
    same = {
        f"image {container.image}": container.image == spec.image,
        f"memory {memory}": container.memory == spec.memory,
        f"cpus {cpus}": container.cpus == (None if spec.cpus is None else round(spec.cpus, 9)),
        f"command {redact(' '.join(command)) or 'none'}": command == wanted,
        f"other variables ({', '.join(other)})": not other,
        f"network {network}": network in networks,
        "another health check": _said(made.get("Healthcheck")) == _said(health),
    }
    apart = [text for text, is_same in same.items() if not is_same]
    return apart + differing_settings(attrs, default, spec.config, spec.host_config)


def _said(health: Mapping[str, object] | None) -> dict[str, object]:
    """A health check without what says nothing: the Engine leaves that out."""
    return {key: value for key, value in (health or {}).items() if value}
