"""Pools that stand by themselves: found again by their labels, scaled, and moved to from containers
that stood alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from capacity._docker.containers import Container
from capacity._docker.engine import Engine
from capacity.changes._journal.models import RunStart
from capacity.errors import InputError
from capacity.model import StepState
from capacity.operations._emergency.journal import journalled_run
from capacity.operations._pools.containers import (
    instance_name,
    instances_of,
    pool_engine,
    refuse_foreign,
    slot_of,
    stands,
    try_to_remove,
    wanted_size,
)
from capacity.operations._pools.from_container import STEADY, pool_like
from capacity.operations._pools.leases import leased, retire
from capacity.operations._pools.locks import LockFolder, place_of, refuse_elsewhere
from capacity.operations._pools.session import PoolState, open_pool, slot_states
from capacity.operations._pools.spec import PoolSpec, check_host, check_pool
from capacity.settings import Settings

__all__ = ["PoolStep", "pool_down", "pool_scale", "pool_states", "pool_up"]


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
        spec = pool_like(engine, found[0], name, wanted_size(place.users, found), settings)
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
        open_pool(replace(spec, steady=STEADY), journal),  # makes them, and `keep` leaves them
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
