"""Pools that stand by themselves: found again by their labels, scaled, and moved to from containers
that stood alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    instance_name,
    instances_of,
    place_in_journal,
    pool_engine,
    refuse_foreign,
    slot_of,
    stands,
    try_to_remove,
    wanted_size,
)
from capacity.operations._pools.leases import leased, retire
from capacity.operations._pools.locks import LockFolder, place_of, refuse_elsewhere
from capacity.operations._pools.pool import InstancePool
from capacity.operations._pools.session import PoolSession, PoolState, open_pool, slot_states
from capacity.operations._pools.spec import PoolSpec, check_host, check_pool
from capacity.operations._pools.template import (
    by_key,
    described,
    left_out,
    of_config,
    of_host,
    refuse_unlike,
    refuse_unshareable,
    variables_of,
)
from capacity.settings import Settings

__all__ = [
    "Migration",
    "PoolStep",
    "existing_pool",
    "migrate",
    "pool_down",
    "pool_scale",
    "pool_states",
    "pool_up",
]

_log = logging.getLogger(__name__)
_STEADY = 1.0  # seconds; who makes a pool that stays can wait for each of its instances
_DONE = {
    StepState.WOULD_CREATE: StepState.CREATED,
    StepState.WOULD_REPLACE: StepState.REPLACED,
    StepState.WOULD_REMOVE: StepState.REMOVED,
}


@dataclass(frozen=True)
class PoolStep:
    """What is done to one instance.

    `state` is would-create, would-replace, would-remove, stays, created, replaced, removed or
    failed; `memory` is in bytes and `cpus` in cores, None without a limit.
    """

    number: int
    container: str
    host: str
    state: StepState
    image: str
    memory: int | None
    cpus: float | None
    note: str = ""


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


@dataclass(frozen=True)
class _Standing:
    """A pool that is there: as its first instance is, its instances, and its locks."""

    engine: Engine
    spec: PoolSpec
    found: list[Container]
    place: LockFolder


@contextmanager
def _standing(settings: Settings, name: str) -> Iterator[_Standing]:
    with pool_engine(settings.engine) as engine:
        found = instances_of(engine, name)
        if not found:
            said = f"There is no pool {name!r} on {engine.host.name}"
            raise InputError(said, "`capacity pool up` makes one")
        place = place_of(name, engine)
        spec = _like(engine, found[0], name, wanted_size(place.users, found), settings)
        yield _Standing(engine, replace(spec, keep=stands(found)), found, place)


def pool_states(settings: Settings, name: str) -> list[PoolState]:
    """Every instance of a pool as it is now, also those that somebody removed.

    Raises:
        InputError: there is no such pool.
        EngineError: no answer.
    """
    with _standing(settings, name) as pool:
        size = max(pool.spec.size, slot_of(pool.found[-1]) + 1)
        return slot_states(name, size, pool.found, pool.place)


def existing_pool(settings: Settings, name: str) -> InstancePool:
    """A pool that runs, to be entered: image, command and limits are those of its first instance.

    Raises:
        InputError: there is no such pool.
        EngineError: no answer.
    """
    with _standing(settings, name) as pool:
        return InstancePool(**vars(pool.spec), journal=settings.apply.journal, as_it_stands=True)


def pool_up(settings: Settings, spec: PoolSpec, *, dry_run: bool = True) -> list[PoolStep]:
    """Make a pool that stays; one that stands already is brought back to its full number, and must
    be the same otherwise.

    Where an instance does not become healthy, those that were made are removed again.

    Args:
        settings: which Engine, the first one and no other; and where the journal is.
        spec: what it is to be, with `keep`.
        dry_run: say what would be done, and touch nothing.

    Raises:
        InputError: no such image, another pool of this name, or more than the host holds.
        PoolUnhealthy: an instance does not become healthy.
        EngineError: no answer.
    """
    with pool_engine(settings.engine) as engine:
        place = place_of(spec.name, engine)
        steps = _steps(engine, spec, check_pool(engine, spec, place), spec.size, place)
    if dry_run:
        return steps
    about = RunStart(pool=spec.name, size=spec.size, image=spec.image)
    with (
        journalled_run(settings, "pool-up", about=about) as journal,
        open_pool(replace(spec, steady=_STEADY), journal),  # makes them, and `keep` leaves them
    ):
        return _done(steps)


def pool_scale(
    settings: Settings, name: str, size: int, timeout: float = 30.0, *, dry_run: bool = True
) -> list[PoolStep]:
    """Make a pool larger, or smaller once the instances beyond have been given back.

    Args:
        settings: which Engine, the first one and no other; and where the journal is.
        name: of the pool.
        size: how many instances it is to have.
        timeout: seconds to wait for each that is leased.
        dry_run: say what would be done, and touch nothing.

    Raises:
        InputError: there is no such pool, or it cannot have that size.
        PoolUnhealthy: a new instance does not become healthy, and those that were made are removed
            again; or one beyond is not given back in time.
        EngineError: no answer.
    """
    with _standing(settings, name) as pool:
        # no larger than it is to be: a dead instance that goes anyway is not replaced first
        spec = replace(pool.spec, size=min(pool.spec.size, replace(pool.spec, size=size).size))
        refuse_elsewhere(name, pool.found, pool.place)
        refuse_foreign(pool.engine, name, size)
        if size > pool.spec.size:
            check_host(pool.engine.host, size, spec.memory, spec.cpus)
        steps = _steps(pool.engine, spec, pool.found, size, pool.place)
    if dry_run:
        return steps
    with (
        journalled_run(settings, "pool-scale", about=RunStart(pool=name, size=size)) as journal,
        open_pool(spec, journal, as_it_stands=True) as session,
    ):
        session.scale(size, timeout)
    return _done(steps)


def pool_down(
    settings: Settings, name: str, *, dry_run: bool = True, anyway: bool = False
) -> list[PoolStep]:
    """Remove a pool, leased or not.

    Args:
        settings: which Engine, the first one and no other; and where the journal is.
        name: of the pool.
        dry_run: say what would be removed, and touch nothing.
        anyway: also one that another user or machine has made, whose leases cannot be seen here.

    Raises:
        InputError: there is no such pool, or it is another user's or machine's.
        EngineError: no answer.
    """
    with _standing(settings, name) as pool:
        if not anyway:
            refuse_elsewhere(name, pool.found, pool.place)
        steps = _steps(pool.engine, pool.spec, pool.found, 0, pool.place)
        if dry_run:
            return steps
        with journalled_run(settings, "pool-down", about=RunStart(pool=name)) as journal:
            errors = [try_to_remove(pool.engine, journal, container) for container in pool.found]
        retire(pool.place.users)
    return [
        replace(step, state=StepState.FAILED, note=str(error))
        if error is not None
        else replace(step, state=StepState.REMOVED, note="")
        for step, error in zip(steps, errors, strict=True)
    ]


def _steps(
    engine: Engine, spec: PoolSpec, found: Sequence[Container], size: int, place: LockFolder
) -> list[PoolStep]:
    """What bringing a pool to a size would do to each instance, those there are and those there
    will be.
    """
    here = {slot_of(container): container for container in found}
    held = leased(place.folder, max([size, *(number + 1 for number in here)]))
    steps = []
    for number in sorted({*range(size), *here}):
        container = here.get(number)
        state, note = _what(container, is_beyond=number >= size, is_leased=held[number])
        like = container if container is not None else spec
        what = (state, like.image, like.memory, like.cpus, note)
        steps.append(PoolStep(number, instance_name(spec.name, number), engine.host.name, *what))
    return steps


def _what(
    container: Container | None, *, is_beyond: bool, is_leased: bool
) -> tuple[StepState, str]:
    if container is None:
        return StepState.WOULD_CREATE, ""
    note = "leased" if is_leased else ""
    if is_beyond:
        return StepState.WOULD_REMOVE, note
    if is_leased or (container.running and container.health != "unhealthy"):
        return StepState.STAYS, note
    wrong = container.health if container.running else container.state
    return StepState.WOULD_REPLACE, f"it is {wrong}"


def _done(steps: Sequence[PoolStep]) -> list[PoolStep]:
    return [replace(step, state=_DONE.get(step.state, step.state)) for step in steps]


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
    spec = _like(engine, standing[0], name, size, settings)
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


def _like(
    engine: Engine, container: Container, name: str, size: int, settings: Settings
) -> PoolSpec:
    """A pool whose instances are as a container is; what only one container can have, such as a
    host's port, is left out.
    """
    attrs = described(engine, container.id, container.name)
    config, mode = attrs["Config"], attrs["HostConfig"].get("NetworkMode") or ""
    return PoolSpec(
        name,
        container.image,
        size,
        command=config.get("Cmd"),
        memory=container.memory,
        cpus=container.cpus,
        environment=variables_of(config),
        network=None if mode in {"", "default"} or mode.startswith("container:") else mode,
        health=by_key(config.get("Healthcheck")),
        keep=True,
        settings=settings.engine,
        steady=_STEADY,
        config=of_config(attrs),
        host_config=of_host(attrs),
    )
