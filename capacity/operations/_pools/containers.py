"""The instances of a pool as an Engine has them: their labels, their number, and who else has a
name like theirs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from capacity._docker.addresses import addresses
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, connect, engine_errors, inspect
from capacity.errors import ContainerGone, EngineUnreachable, InputError
from capacity.settings import EngineSettings

__all__ = [
    "KEEP",
    "MOST_INSTANCES",
    "POOL_LABEL",
    "SIZE",
    "SLOT",
    "foreign",
    "instances_of",
    "pool_engine",
    "refuse_foreign",
]
__all__ += ["remember", "remembered", "slot_of", "stands", "wanted_size"]

POOL_LABEL = "capacity.pool"
SLOT = "capacity.pool.slot"
SIZE = "capacity.pool.size"
KEEP = "capacity.pool.keep"
MOST_INSTANCES = 256
"""Instances that a pool can have."""

_NUMBER = re.compile(r"\d{1,3}", re.ASCII)


@contextmanager
def pool_engine(settings: EngineSettings) -> Iterator[Engine]:
    """The Engine that pools live on: the first of the settings, and no other where that one is
    down.

    Raises:
        EngineUnreachable: it does not answer.
        InputError: a docker context that does not exist.
    """
    name, address = next(iter(addresses(settings).items()))
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(connect(name, address, settings))
        except EngineUnreachable as error:
            hint = (
                "A pool lives on the first Engine of the settings, and no other is taken: see that "
                "it runs"
            )
            raise EngineUnreachable(error.message, hint) from error
        yield engine


def instances_of(engine: Engine, name: str) -> list[Container]:
    """The containers of a pool, running or not."""
    with engine_errors(engine.host.name, "list its containers"):
        found = engine.api.containers(all=True, filters={"label": f"{POOL_LABEL}={name}"})
    described = []
    for instance in found:
        with suppress(ContainerGone):  # meanwhile
            described.append(inspect(engine, instance["Id"]))
    return sorted(
        (container for container in described if _NUMBER.fullmatch(container.labels.get(SLOT, ""))),
        key=slot_of,
    )


def slot_of(container: Container) -> int:
    """The number of an instance."""
    return int(container.labels[SLOT])


def refuse_foreign(engine: Engine, name: str, size: int) -> None:
    """Refuse a pool where containers that are not of it have the names of its instances.

    Raises:
        InputError: there is one; it is left as it is.
        EngineError: no answer.
    """
    wanted = {f"{name}-pool-{slot}": {POOL_LABEL: name, SLOT: str(slot)} for slot in range(size)}
    with engine_errors(engine.host.name, "list its containers"):
        found = engine.api.containers(all=True, filters={"name": f"{name}-pool-"})
    for instance in found:
        labels = instance.get("Labels") or {}
        for called in (said.lstrip("/") for said in instance.get("Names") or []):
            if called in wanted and not wanted[called].items() <= labels.items():
                raise foreign(called, name)


def foreign(container: str, name: str) -> InputError:
    """What to say of a container that has the name of an instance."""
    hint = (
        f"Remove it with docker rm, rename it with docker rename {container} NEW, or take another "
        "name for the pool"
    )
    return InputError(
        f"The container {container} has the name of an instance of the pool {name!r} and is not of "
        "it",
        hint,
    )


def stands(found: Sequence[Container]) -> bool:
    """Whether a pool of these containers was made to stay when its users go."""
    return any(KEEP in container.labels for container in found)


def remember(users: int, size: int) -> None:
    """Write down how many instances a pool is to have, in the open file that its users hold.

    On a full disk nothing is written, and the labels of the instances tell.
    """
    with suppress(OSError):
        os.pwrite(
            users, f"{size:<4}".encode("ascii"), 0
        )  # of one length: who reads it meanwhile sees one or the other


def remembered(users: int) -> int | None:
    """What was written there; None where nothing was."""
    return _size(os.pread(users, 4, 0))


def wanted_size(users: Path, found: Sequence[Container]) -> int:
    """How many instances a pool is to have, also where somebody removed one: as was written down
    last, else as their labels say.

    Args:
        users: the file that the users of the pool hold.
        found: its instances.
    """
    with suppress(OSError):
        if said := _size(users.read_bytes()):
            return said
    labels = [
        int(text)
        for container in found
        if _NUMBER.fullmatch(text := container.labels.get(SIZE, ""))
    ]
    return min(
        max([*labels, *(slot_of(container) + 1 for container in found)], default=0), MOST_INSTANCES
    )


def _size(said: bytes) -> int | None:
    text = said.decode("ascii", "replace").strip()
    return int(text) if _NUMBER.fullmatch(text) and 1 <= int(text) <= MOST_INSTANCES else None
