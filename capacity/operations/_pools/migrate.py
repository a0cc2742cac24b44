"""Move from containers that stand alone to a pool of the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from capacity._common.progress import note_rollback
from capacity._docker import lifecycle
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, inspect
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Kind, RunStart
from capacity.changes._journal.runs import still_stopped
from capacity.errors import EngineError, InputError, PoolUnhealthy
from capacity.model import StepState
from capacity.operations._emergency.journal import journalled_run
from capacity.operations._emergency.release import stop_one
from capacity.operations._pools.containers import (
    instances_of,
    place_in_journal,
    pool_engine,
    try_to_remove,
)
from capacity.operations._pools.from_container import pool_like
from capacity.operations._pools.locks import place_of
from capacity.operations._pools.session import PoolSession, open_pool
from capacity.operations._pools.spec import PoolSpec, check_pool
from capacity.operations._pools.template import (
    described,
    left_out,
    refuse_unlike,
    refuse_unshareable,
)
from capacity.settings import Settings

__all__ = ["Migration", "migrate"]


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Migration:
    """A move to a pool: containers that stood alone, the pool's size, and the memory limits before
    and after, bytes.

    `notes` say what of the containers the instances do not have.
    """

    stopped: tuple[str, ...]
    size: int
    memory_before: int
    memory_after: int
    notes: tuple[str, ...] = ()


def migrate(
    settings: Settings,
    name: str,
    alone: Sequence[str],
    size: int,
    *,
    dry_run: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Migration:
    """Move from containers of one image to a pool: the pool is healthy first, then they are stopped
    one by one.

    Where the pool does not become healthy, or does not stay so, what was stopped is started again
    and the pool removed. The containers are kept, stopped: `capacity emergency undo` and
    `capacity pool down` bring the former state back.

    Args:
        settings: which Engine, the first one and no other; and where the journal is.
        name: of the pool.
        alone: names of the containers.
        size: of the pool.
        dry_run: only say what it would be.
        progress: told of each container that was stopped.

    Raises:
        InputError: a container that does not run, is not like the others, or has what several
            cannot share.
        PoolUnhealthy: the pool was not healthy; all is as before.
        EngineError: no answer.
    """
    with pool_engine(settings.engine) as engine:
        standing = _running(engine, alone)
        notes = _refuse_or_note(engine, standing)
        spec = _replacing(engine, standing, name, size, settings)
        names = tuple(container.name for container in standing)
        before = sum(container.memory or 0 for container in standing)
        move = Migration(names, size, before, size * (spec.memory or 0), notes)
        found = check_pool(engine, spec, place_of(name, engine))
        if dry_run:
            return move
        about = RunStart(pool=name, size=size)
        with journalled_run(settings, "pool-migrate", about=about) as journal:
            try:
                with open_pool(spec, journal) as session:
                    _stop_all(session, journal, standing, progress)
            except BaseException as error:  # Ctrl-C too
                for container in [] if found else instances_of(engine, name):
                    try_to_remove(engine, journal, container)
                note_rollback(error, whole=not still_stopped(journal.entries()))
                raise
    return move


def _running(engine: Engine, names: Sequence[str]) -> list[Container]:
    """The containers to replace, each once whether named by its name or id."""
    found = [inspect(engine, name) for name in dict.fromkeys(names)]
    if not found:
        raise InputError("No container is named", "Name those that the pool is to replace")
    images = sorted({container.image for container in found})
    if len(images) > 1:
        said = f"The containers are of several images: {', '.join(images)}"
        raise InputError(said, "Make one pool for each image")
    idle = next((container for container in found if not container.running), None)
    if idle is not None:
        raise InputError(f"{idle.name} does not run", "Leave it out")
    return list({container.id: container for container in found}.values())


def _refuse_or_note(engine: Engine, standing: Sequence[Container]) -> tuple[str, ...]:
    """What the instances will not have; containers that no pool can replace are refused."""
    found = [described(engine, container.id, container.name) for container in standing]
    for attrs in found:
        refuse_unshareable(attrs)
    refuse_unlike(found)
    return tuple(note for attrs in found for note in left_out(attrs))


def _replacing(
    engine: Engine, standing: Sequence[Container], name: str, size: int, settings: Settings
) -> PoolSpec:
    """A pool in place of containers: as the first is, with the largest limits of them all."""
    spec = pool_like(engine, standing[0], name, size, settings)
    cpus = [container.cpus for container in standing if container.cpus is not None]
    return replace(
        spec,
        environment={key: value for key, value in spec.environment.items() if key != "HOSTNAME"},
        memory=max(container.memory or 0 for container in standing) or None,
        cpus=max(cpus) if len(cpus) == len(standing) else None,
    )


def _stop_all(
    session: PoolSession,
    journal: Journal,
    standing: Sequence[Container],
    progress: Callable[[str], None],
) -> None:
    """Stop one after the other, as long as the pool is healthy; else start them again."""
    begun = 0
    try:
        for number, container in enumerate(standing):
            begun += 1  # before, not after: a stop that failed half way is rolled back too
            _stop_next(session, journal, number, container)
            progress(container.name)
    except BaseException:
        answers = {Kind.STOPPED, Kind.FAILED}
        answered = {entry.step for entry in journal.entries() if entry.kind in answers}
        for number in reversed(range(begun)):
            stopping = number not in answered
            _start_again(session.engine, journal, number, standing[number], stopping=stopping)
        raise


def _stop_next(session: PoolSession, journal: Journal, number: int, container: Container) -> None:
    stopped = stop_one(session.engine, journal, number, container)
    if stopped.state == StepState.FAILED:
        said = f"{container.name} cannot be stopped: {stopped.reason}"
        raise PoolUnhealthy(said, "All is as before")
    for state in session.status():
        if state.state != "running" or state.health == "unhealthy":
            said = f"{state.name} is {state.health or state.state}"
            hint = "All is as before; docker logs tells why"
            raise PoolUnhealthy(f"{said} after {container.name} was stopped", hint)


def _start_again(
    engine: Engine, journal: Journal, number: int, container: Container, *, stopping: bool
) -> None:
    """Start a container that was to be replaced; where that fails the others come up all the same,
    and undo finds it.

    The Engine may still be `stopping` it, which goes on whoever asked for it: only after its end
    can it be started.
    """
    named = place_in_journal(container)
    try:
        if stopping:
            lifecycle.stop(engine, container.id, container.name)
        lifecycle.start(engine, container.id, container.name)
    except EngineError as error:
        _log.warning("%s is still down: %s", container.name, error)
        journal.write(Kind.START_FAILED, step=number, **named, reason=str(error))
    else:
        journal.write(Kind.STARTED_AGAIN, step=number, **named)
