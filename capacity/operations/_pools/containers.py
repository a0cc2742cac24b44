"""The instances of a pool as an Engine has them: their labels, their number, their health and end,
and who else has a name like theirs.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypedDict

from capacity._common.text.secrets import redact
from capacity._docker import lifecycle
from capacity._docker.addresses import addresses
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, connect, engine_errors, inspect
from capacity._docker.logs import last_lines
from capacity.changes._journal.models import Kind
from capacity.errors import (
    ContainerGone,
    EngineError,
    EngineUnreachable,
    InputError,
    PoolUnhealthy,
)
from capacity.operations._pools.journal import AnyJournal, program_journal
from capacity.operations._pools.locks import LOCKS
from capacity.settings import EngineSettings

__all__ = [
    "KEEP",
    "MOST_INSTANCES",
    "POOL_LABEL",
    "SIZE",
    "SLOT",
    "foreign",
    "healthy",
    "instance_name",
    "instances_of",
    "place_in_journal",
    "pool_engine",
    "refuse_foreign",
    "remember",
    "remembered",
    "remove_instance",
    "remove_unused",
    "slot_of",
    "stands",
    "try_to_remove",
    "wanted_size",
]

POOL_LABEL = "capacity.pool"
SLOT = "capacity.pool.slot"
SIZE = "capacity.pool.size"
KEEP = "capacity.pool.keep"
MOST_INSTANCES = 256
"""Instances that a pool can have."""

_NUMBER = re.compile(r"\d{1,3}", re.ASCII)
_HEALTHY_WITHIN = 60.0  # seconds for a new instance
_PAUSE = 0.1


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


def instance_name(pool: str, slot: int) -> str:
    """What the container of a slot is called."""
    return f"{pool}-pool-{slot}"


def slot_of(container: Container) -> int:
    """The number of an instance."""
    return int(container.labels[SLOT])


def stands(found: Sequence[Container]) -> bool:
    """Whether a pool of these containers was made to stay when its users go."""
    return any(KEEP in container.labels for container in found)


def instances_of(engine: Engine, name: str) -> list[Container]:
    """The containers of a pool, running or not, by number."""
    with engine_errors(engine.host.name, "list its containers"):
        found = engine.api.containers(all=True, filters={"label": f"{POOL_LABEL}={name}"})
    instances = []
    for each in found:
        with suppress(ContainerGone):  # meanwhile
            container = inspect(engine, each["Id"])
            if _NUMBER.fullmatch(container.labels.get(SLOT, "")):
                instances.append(container)
    return sorted(instances, key=slot_of)


def refuse_foreign(engine: Engine, name: str, size: int) -> None:
    """Refuse a pool where containers that are not of it have the names of its instances.

    Raises:
        InputError: there is one; it is left as it is.
        EngineError: no answer.
    """
    own = {instance_name(name, slot): {POOL_LABEL: name, SLOT: str(slot)} for slot in range(size)}
    with engine_errors(engine.host.name, "list its containers"):
        found = engine.api.containers(all=True, filters={"name": f"{name}-pool-"})
    for each in found:
        labels = each.get("Labels") or {}
        for called in (said.lstrip("/") for said in each.get("Names") or []):
            if called in own and not own[called].items() <= labels.items():
                raise foreign(called, name)


def foreign(container: str, name: str) -> InputError:
    """What to say of a container that has the name of an instance."""
    said = (
        f"The container {container} has the name of an instance of the pool {name!r} and is not of "
        "it"
    )
    hint = (
        f"Remove it with docker rm, rename it with docker rename {container} NEW, or take another "
        "name for the pool"
    )
    return InputError(said, hint)


def remember(users: int, size: int) -> None:
    """Write down how many instances a pool is to have, in the open file that its users hold.

    On a full disk nothing is written, and the labels of the instances tell.
    """
    with suppress(OSError):  # of one length: who reads it meanwhile sees one or the other
        os.pwrite(users, f"{size:<4}".encode("ascii"), 0)


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
        if size := _size(users.read_bytes()):
            return size
    said = [container.labels.get(SIZE, "") for container in found]
    sizes = [int(text) for text in said if _NUMBER.fullmatch(text)]
    return min(max([*sizes, *(slot_of(each) + 1 for each in found)], default=0), MOST_INSTANCES)


def _size(said: bytes) -> int | None:
    text = said.decode("ascii", "replace").strip()
    return int(text) if _NUMBER.fullmatch(text) and 1 <= int(text) <= MOST_INSTANCES else None


def healthy(engine: Engine, container: Container, steady: float = 0.0) -> Container:
    """An instance once its health is known; one without a health check must stay up for so many
    seconds.

    Raises:
        PoolUnhealthy: it is not; the message has its last words, for it may be removed before
            anybody can read its log.
        EngineError: no answer.
    """
    began, restarts = time.monotonic(), container.restart_count
    waits = {"starting": _HEALTHY_WITHIN, None: steady, "": steady}
    while container.running and time.monotonic() - began < waits.get(container.health, 0.0):
        time.sleep(_PAUSE)
        container = inspect(engine, container.id, container.name)
    again = container.restart_count > restarts  # its restart policy hides that it ends
    if again or not container.running or container.health not in {None, "", "healthy"}:
        said = f"{container.name} does not become healthy: {_why(engine, container)}"
        raise PoolUnhealthy(said, "Fix that, then try again")
    return container


def _why(engine: Engine, container: Container) -> str:
    lines = [line for line in last_lines(engine, container.id, 20) if line.strip()]
    ended = f"it ended with exit code {container.exit_code}"
    state = ended if container.state == "exited" else f"it is {container.state}"
    restarts = " and restarts" if container.restart_count else ""
    words = f", and said: {redact(lines[-1])}" if lines else ""
    return f"{state}{restarts}, {container.health or 'no health'}{words}"


class JournalPlace(TypedDict):
    """What a line of the journal says to name a container."""

    service: str
    host: str
    container: str
    id: str


def place_in_journal(container: Container) -> JournalPlace:
    """What a line of the journal says to name a container."""
    return {
        "service": container.key,
        "host": container.host,
        "container": container.name,
        "id": container.id,
    }


def remove_instance(engine: Engine, journal: AnyJournal, container: Container) -> None:
    """Remove an instance, said before and after.

    Raises:
        EngineError: refused, or no answer.
    """
    named = place_in_journal(container)
    journal.write(
        Kind.REMOVING,
        **named,
        image=container.image,
        memory=container.memory,
        cpus=container.cpus,
    )
    lifecycle.remove(engine, container.id, container.name)
    journal.write(Kind.REMOVED, **named)


def try_to_remove(engine: Engine, journal: AnyJournal, container: Container) -> EngineError | None:
    """Remove an instance; a failure is written and returned, so that the others go all the same."""
    try:
        remove_instance(engine, journal, container)
    except EngineError as error:
        journal.write(Kind.FAILED, **place_in_journal(container), reason=error.message)
        return error
    return None


def remove_unused(engine: Engine, name: str, locks: str, folder: Path | None) -> bool:
    """Remove what the last user of a pool leaves; whether nothing is left that these locks guard: a
    pool that was made to stay stays, and so does an instance that the Engine will not remove.

    Args:
        engine: where it is.
        name: of the pool.
        locks: its locks' folder; instances that name another are guarded elsewhere.
        folder: of the journal; None = there is none.

    Raises:
        EngineError: no answer.
    """
    with program_journal(folder, "pool-leave", name) as book:
        found = instances_of(engine, name)
        if stands(found):
            return False
        ours = [container for container in found if container.labels.get(LOCKS) == locks]
        errors = [try_to_remove(engine, book, container) for container in ours]
    return not any(errors)
