"""Pools that stand by themselves: found again by their labels, scaled, and moved to from containers that stood alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from capacity.changes import lifecycle
from capacity.changes.journal import Journal, Kind
from capacity.errors import CapacityError, InputError, PoolUnhealthy
from capacity.inventory.containers import Container
from capacity.inventory.engine import Engine, connect_all, engine_errors, inspect
from capacity.operations.emergency import stop_one
from capacity.operations.leases import leased
from capacity.operations.pool import InstancePool, PoolState, containers_of, pool_folder, remove_pool
from capacity.operations.record import journalled
from capacity.settings import Settings

__all__ = ["Migration", "existing_pool", "migrate", "pool_down", "pool_states"]

_SLOT = "capacity.pool.slot"


@dataclass(frozen=True)
class Migration:
    """A move to a pool: containers that stood alone, the pool's size, and the memory limits before and after, bytes."""

    stopped: tuple[str, ...]
    size: int
    memory_before: int
    memory_after: int


def pool_states(settings: Settings, name: str) -> list[PoolState]:
    """Every instance of a pool as it is now.

    Raises:
        InputError: there is no such pool.
        EngineError: no answer.
    """
    with _first(settings) as engine:
        found = _of_pool(engine, name)
        numbers = [int(one.labels[_SLOT]) for one in found]
        held = leased(pool_folder(name, engine), max(numbers) + 1)
    return [PoolState(n, one.name, one.state, one.health, held[n]) for n, one in sorted(zip(numbers, found, strict=True))]


def existing_pool(settings: Settings, name: str) -> InstancePool:
    """A pool that runs, to be entered: image, command and limits are those of its first instance.

    Raises:
        InputError: there is no such pool.
        EngineError: no answer.
    """
    with _first(settings) as engine:
        found = _of_pool(engine, name)
        size = max(int(one.labels[_SLOT]) for one in found) + 1
        return _like(engine, found[0], name, size, settings)


def pool_down(settings: Settings, name: str) -> list[str]:
    """Remove a pool, leased or not; the names of its containers.

    Raises:
        InputError: there is no such pool.
        EngineError: no answer.
    """
    with _first(settings) as engine:
        _of_pool(engine, name)
        return remove_pool(engine, name)


def migrate(
    settings: Settings,
    name: str,
    alone: Sequence[str],
    size: int,
    *,
    dry_run: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Migration:
    """Move from containers of one image to a pool: the pool is healthy first, then they are stopped one by one.

    Where the pool does not become healthy, or does not stay so, what was stopped is started again and the pool removed. The
    containers are kept, stopped: `capacity emergency undo` and `capacity pool down` bring the former state back.

    Args:
        settings: which Engine, the first one; and where the journal is.
        name: of the pool.
        alone: names of the containers.
        size: of the pool.
        dry_run: only say what it would be.
        progress: told of each container that was stopped.

    Raises:
        InputError: a container that does not run, or another image.
        PoolUnhealthy: the pool was not healthy; all is as before.
        EngineError: no answer.
    """
    with _first(settings) as engine:
        standing = [inspect(engine, one) for one in dict.fromkeys(alone)]
        _all_alike(standing)
        pool = _like(engine, standing[0], name, size, settings)
        one_limit = max((one.memory or 0) for one in standing)
        pool.memory = one_limit or None
        move = Migration(tuple(one.name for one in standing), size, sum(one.memory or 0 for one in standing), size * one_limit)
        if dry_run:
            return move
        fresh = not containers_of(engine, name)
        try:
            with pool, journalled(settings, "pool-migrate", pool=name, size=size) as journal:
                _stop_all(engine, journal, pool, standing, progress or (lambda _: None))
        except CapacityError:
            if fresh:
                remove_pool(engine, name)
            raise
    return move


def _stop_all(
    engine: Engine, journal: Journal, pool: InstancePool, standing: Sequence[Container], tell: Callable[[str], None]
) -> None:
    stopped: list[tuple[int, Container]] = []
    try:
        for number, one in enumerate(standing):
            stopped.append((number, one))  # before, not after: a stop that failed half way is taken back too
            _stop_next(engine, journal, pool, number, one)
            tell(one.name)
    except BaseException:
        for number, one in reversed(stopped):
            lifecycle.start(engine, one.id, one.name)
            journal.write(Kind.STARTED_AGAIN, step=number, service=one.key, host=one.host, container=one.name, id=one.id)
        raise


def _stop_next(engine: Engine, journal: Journal, pool: InstancePool, number: int, one: Container) -> None:
    done = stop_one(engine, journal, number, one)
    if done.state == "failed":
        raise PoolUnhealthy(f"{one.name} cannot be stopped: {done.note}", "All is as before")
    sick = [state for state in pool.status() if state.state != "running" or state.health == "unhealthy"]
    if sick:
        wrong = f"{sick[0].name} is {sick[0].health or sick[0].state} after {one.name} was stopped"
        raise PoolUnhealthy(wrong, "All is as before; docker logs tells why")


def _all_alike(standing: Sequence[Container]) -> None:
    if not standing:
        raise InputError("No container is named", "Name those that the pool is to replace")
    images = sorted({one.image for one in standing})
    if len(images) > 1:
        raise InputError(f"The containers are of several images: {', '.join(images)}", "Make one pool for each image")
    idle = next((one for one in standing if not one.running), None)
    if idle is not None:
        raise InputError(f"{idle.name} does not run", "Leave it out")


def _like(engine: Engine, one: Container, name: str, size: int, settings: Settings) -> InstancePool:
    """A pool whose instances are as a container is; what only one container can have, such as a host's port, is left out."""
    with engine_errors(engine.host.name, f"inspect {one.name}"):
        attrs: dict[str, Any] = engine.api.inspect_container(one.id)
    config, host = attrs["Config"], attrs["HostConfig"]
    variables = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    mode = host.get("NetworkMode") or ""
    return InstancePool(
        name,
        one.image,
        size,
        command=config.get("Cmd"),
        memory=one.memory,
        cpus=one.cpus,
        environment=variables,
        network=None if mode in {"", "default"} or mode.startswith("container:") else mode,
        health=config.get("Healthcheck"),
        keep=True,
        settings=settings.engine,
    )


def _of_pool(engine: Engine, name: str) -> list[Container]:
    found = containers_of(engine, name)
    if not found:
        raise InputError(f"There is no pool {name!r} on {engine.host.name}", "`capacity pool up` makes one")
    return sorted(found, key=lambda one: int(one.labels[_SLOT]))


@contextmanager
def _first(settings: Settings) -> Iterator[Engine]:
    """The Engine that pools live on: the first of the settings."""
    with connect_all(settings.engine) as (engines, _):
        yield next(iter(engines.values()))
