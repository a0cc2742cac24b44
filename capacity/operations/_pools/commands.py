"""Pools that stand by themselves: found again by their labels, scaled, and moved to from containers
that stood alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from capacity._common.progress import note_rollback
from capacity._docker import lifecycle
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, inspect
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Kind, RunStart
from capacity.changes._journal.runs import still_stopped
from capacity.changes._result import StepState
from capacity.errors import EngineError, InputError, PoolUnhealthy
from capacity.operations._emergency.journal import journalled_run
from capacity.operations._emergency.release import stop_one
from capacity.operations._pools.cleanup import remove_instance
from capacity.operations._pools.containers import (
    instances_of,
    pool_engine,
    refuse_foreign,
    slot_of,
    stands,
    wanted_size,
)
from capacity.operations._pools.leases import leased, retire
from capacity.operations._pools.locks import lock_file, place_of, refuse_elsewhere
from capacity.operations._pools.pool import InstancePool, PoolState
from capacity.operations._pools.steps import PoolStep, done, planned
from capacity.operations._pools.template import (
    all_alike,
    described,
    of_config,
    of_host,
    shareable,
    variables_of,
)
from capacity.operations._pools.validation import (
    check_host,
    check_image,
    check_network,
    refuse_another,
)
from capacity.settings import Settings

__all__ = [
    "Migration",
    "existing_pool",
    "migrate",
    "pool_down",
    "pool_scale",
    "pool_states",
    "pool_up",
]

_log = logging.getLogger(__name__)
_STEADY = 1.0  # seconds; who makes a pool that stays can wait for each of its instances


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


def pool_states(settings: Settings, name: str) -> list[PoolState]:
    """Every instance of a pool as it is now, also those that somebody removed.

    Raises:
        InputError: there is no such pool.
        EngineError: no answer.
    """
    with pool_engine(settings.engine) as engine:
        found = {slot_of(container): container for container in _of_pool(engine, name)}
        place = place_of(name, engine)
        size = max(wanted_size(lock_file(place.folder), [*found.values()]), max(found) + 1)
        held = leased(place.folder, size)
    states = []
    for slot in range(size):
        container = found.get(slot)
        if container is None:
            states.append(PoolState(slot, f"{name}-pool-{slot}", "missing", None, leased=False))
        else:
            states.append(
                PoolState(
                    slot,
                    container.name,
                    container.state,
                    container.health,
                    held[slot] if place.guards(container) else None,
                )
            )
    return states


def existing_pool(settings: Settings, name: str) -> InstancePool:
    """A pool that runs, to be entered: image, command and limits are those of its first instance.

    Raises:
        InputError: there is no such pool.
        EngineError: no answer.
    """
    with pool_engine(settings.engine) as engine:
        pool = _standing(engine, name, settings)[0]
    pool.journal = settings.apply.journal
    return pool


def pool_up(settings: Settings, pool: InstancePool, *, dry_run: bool = True) -> list[PoolStep]:
    """Make a pool that stays; one that stands already is brought back to its full number, and must
    be the same otherwise.

    Where an instance does not become healthy, those that were made are removed again.

    Args:
        settings: which Engine, the first one and no other; and where the journal is.
        pool: not yet entered, with `keep`.
        dry_run: say what would be done, and touch nothing.

    Raises:
        InputError: no such image, another pool of this name, or more than the host holds.
        PoolUnhealthy: an instance does not become healthy.
        EngineError: no answer.
    """
    with pool_engine(settings.engine) as engine:
        found = _may_be(engine, pool)
        steps = planned(engine, pool, found, pool.size, place_of(pool.name, engine).folder)
        if not dry_run:
            pool.steady = _STEADY
            with journalled_run(
                settings,
                "pool-up",
                about=RunStart(pool=pool.name, size=pool.size, image=pool.image),
            ) as journal:
                pool.journal = journal
                with pool:  # that makes its instances, and `keep` leaves them
                    pass
    return steps if dry_run else done(steps)


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
    with pool_engine(settings.engine) as engine:
        pool, found = _standing(engine, name, settings)
        replace(pool, size=size)  # refuses an impossible one
        place = place_of(name, engine)
        refuse_elsewhere(name, found, place)
        refuse_foreign(engine, name, size)
        if size > pool.size:
            check_host(engine.host, size, pool.memory, pool.cpus)
        steps = planned(engine, pool, found, size, place.folder)
        if not dry_run:
            pool.size = min(
                pool.size, size
            )  # a dead instance that goes anyway need not be replaced first
            with journalled_run(
                settings, "pool-scale", about=RunStart(pool=name, size=size)
            ) as journal:
                pool.journal = journal
                with pool:
                    pool.scale(size, timeout)
    return steps if dry_run else done(steps)


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
    with pool_engine(settings.engine) as engine:
        pool, found = _standing(engine, name, settings)
        place = place_of(name, engine)
        if not anyway:
            refuse_elsewhere(name, found, place)
        steps = planned(engine, pool, found, 0, place.folder)
        if dry_run:
            return steps
        known = {step.number: step for step in steps}
        with journalled_run(settings, "pool-down", about=RunStart(pool=name)) as journal:
            gone = [
                _take_down(engine, journal, known[slot_of(container)], container)
                for container in found
            ]
        retire(lock_file(place.folder))
    return gone


def _take_down(engine: Engine, journal: Journal, step: PoolStep, container: Container) -> PoolStep:
    """Remove one instance; where that fails the others go all the same."""
    try:
        remove_instance(engine, journal, container)
    except EngineError as error:
        journal.write(
            Kind.FAILED,
            service=container.key,
            host=container.host,
            container=container.name,
            id=container.id,
            reason=error.message,
        )
        return replace(step, state=StepState.FAILED, note=str(error))
    return replace(step, state=StepState.REMOVED, note="")


def migrate(
    settings: Settings,
    name: str,
    alone: Sequence[str],
    size: int,
    *,
    dry_run: bool = True,
    progress: Callable[[str], None] | None = None,
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
        standing = [inspect(engine, fromkey) for fromkey in dict.fromkeys(alone)]
        _all_run(standing)
        standing = list(
            {container.id: container for container in standing}.values()
        )  # one may be named twice, by name and id
        notes = _notes(engine, standing)
        pool = _like(engine, standing[0], name, size, settings)
        pool.environment = {
            key: value for key, value in pool.environment.items() if key != "HOSTNAME"
        }
        one_limit = max((container.memory or 0) for container in standing)
        pool.memory = one_limit or None
        pool.cpus = (
            None
            if any(container.cpus is None for container in standing)
            else max(container.cpus or 0.0 for container in standing)
        )
        before = sum(container.memory or 0 for container in standing)
        move = Migration(
            tuple(container.name for container in standing), size, before, size * one_limit, notes
        )
        found = _may_be(engine, pool)
        if dry_run:
            return move
        with journalled_run(
            settings, "pool-migrate", about=RunStart(pool=name, size=size)
        ) as journal:
            pool.journal = journal
            try:
                with pool:
                    _stop_all(engine, journal, pool, standing, progress or (lambda _: None))
            except BaseException as error:  # Ctrl-C too
                if not found:
                    for container in instances_of(engine, name):
                        remove_instance(engine, journal, container)
                note_rollback(error, whole=not still_stopped(journal.entries()))
                raise
    return move


def _stop_all(
    engine: Engine,
    journal: Journal,
    pool: InstancePool,
    standing: Sequence[Container],
    tell: Callable[[str], None],
) -> None:
    stopped: list[tuple[int, Container]] = []
    try:
        for number, container in enumerate(standing):
            stopped.append(
                (number, container)
            )  # before, not after: a stop that failed half way is rolled back too
            _stop_next(engine, journal, pool, number, container)
            tell(container.name)
    except BaseException:
        answered = {
            entry.step for entry in journal.entries() if entry.kind in {Kind.STOPPED, Kind.FAILED}
        }
        for number, container in reversed(stopped):
            _start_again(engine, journal, number, container, stopping=number not in answered)
        raise


def _start_again(
    engine: Engine, journal: Journal, number: int, container: Container, *, stopping: bool
) -> None:
    """Start a container that was to be replaced; where that fails the others come up all the same,
    and undo finds it.

    The Engine may still be `stopping` it, which goes on whoever asked for it: only after its end
    can it be started.
    """
    named: dict[str, Any] = {
        "step": number,
        "service": container.key,
        "host": container.host,
        "container": container.name,
        "id": container.id,
    }
    try:
        if stopping:
            lifecycle.stop(engine, container.id, container.name)
        lifecycle.start(engine, container.id, container.name)
    except EngineError as error:
        _log.warning("%s is still down: %s", container.name, error)
        journal.write(Kind.START_FAILED, **named, reason=str(error))
    else:
        journal.write(Kind.STARTED_AGAIN, **named)


def _stop_next(
    engine: Engine, journal: Journal, pool: InstancePool, number: int, container: Container
) -> None:
    done = stop_one(engine, journal, number, container)
    if done.state == StepState.FAILED:
        raise PoolUnhealthy(
            f"{container.name} cannot be stopped: {done.reason}", "All is as before"
        )
    sick = [
        state for state in pool.status() if state.state != "running" or state.health == "unhealthy"
    ]
    if sick:
        wrong = (
            f"{sick[0].name} is {sick[0].health or sick[0].state} after {container.name} was "
            "stopped"
        )
        raise PoolUnhealthy(wrong, "All is as before; docker logs tells why")


def _notes(engine: Engine, standing: Sequence[Container]) -> tuple[str, ...]:
    """What the instances will not have; containers that no pool can replace are refused."""
    found = [described(engine, container.id, container.name) for container in standing]
    notes = [note for attributes in found for note in shareable(attributes)]
    all_alike(found)
    return tuple(notes)


def _all_run(standing: Sequence[Container]) -> None:
    if not standing:
        raise InputError("No container is named", "Name those that the pool is to replace")
    images = sorted({container.image for container in standing})
    if len(images) > 1:
        raise InputError(
            f"The containers are of several images: {', '.join(images)}",
            "Make one pool for each image",
        )
    idle = next((container for container in standing if not container.running), None)
    if idle is not None:
        raise InputError(f"{idle.name} does not run", "Leave it out")


def _like(
    engine: Engine, container: Container, name: str, size: int, settings: Settings
) -> InstancePool:
    """A pool whose instances are as a container is; what only one container can have, such as a
    host's port, is left out.
    """
    attrs = described(engine, container.id, container.name)
    config, host = attrs["Config"], attrs["HostConfig"]
    mode = host.get("NetworkMode") or ""
    return InstancePool(
        name,
        container.image,
        size,
        command=config.get("Cmd"),
        memory=container.memory,
        cpus=container.cpus,
        environment=variables_of(config),
        network=None if mode in {"", "default"} or mode.startswith("container:") else mode,
        health=config.get("Healthcheck"),
        keep=True,
        settings=settings.engine,
        steady=_STEADY,
        config=of_config(attrs),
        host_config=of_host(attrs),
    )


def _may_be(engine: Engine, pool: InstancePool) -> list[Container]:
    """The instances of a pool that is asked for; what cannot be made, or is another pool, is
    refused.
    """
    refuse_foreign(engine, pool.name, pool.size)
    found = instances_of(engine, pool.name)
    place = place_of(pool.name, engine)
    refuse_elsewhere(pool.name, found, place)
    check_host(engine.host, pool.size, pool.memory, pool.cpus)
    check_network(engine, pool.network)
    refuse_another(
        engine,
        pool,
        found,
        check_image(engine, pool.image),
        wanted_size(lock_file(place.folder), found),
    )
    return found


def _standing(
    engine: Engine, name: str, settings: Settings
) -> tuple[InstancePool, list[Container]]:
    """A pool that stands, as its first instance is, and its instances."""
    found = _of_pool(engine, name)
    pool = _like(
        engine,
        found[0],
        name,
        wanted_size(lock_file(place_of(name, engine).folder), found),
        settings,
    )
    pool.as_it_stands, pool.keep = True, stands(found)
    return pool, found


def _of_pool(engine: Engine, name: str) -> list[Container]:
    found = instances_of(engine, name)
    if not found:
        raise InputError(
            f"There is no pool {name!r} on {engine.host.name}", "`capacity pool up` makes one"
        )
    return found
