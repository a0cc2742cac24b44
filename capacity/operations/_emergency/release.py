"""Emergencies: free a host by stopping what matters least, start what matters most, and bring back
what was stopped.

Everything is in the journal first; where the disk is full and no journal can be written, it is kept
in memory (`/dev/shm`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any

from capacity._docker import lifecycle
from capacity._docker.containers import Container, Inventory
from capacity._docker.engine import Engine, connect_all, engine_errors, survey
from capacity._docker.usage import container_usage
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Kind
from capacity.changes._result import StepResult
from capacity.errors import (
    ContainerGone,
    EngineError,
    InputError,
)
from capacity.model import StepState
from capacity.operations._emergency.journal import (
    journalled_run,
)
from capacity.operations._emergency.selection import silent_hosts, such_as
from capacity.settings import Settings

__all__ = ["release", "removes_itself", "stop_one"]


_PRIORITY = "priority"


_LOW = "low"


_AT_ONCE = 8  # stops, each of which may take its whole time of grace


def release(
    settings: Settings,
    *,
    memory: float,
    services: str = "*",
    dry_run: bool = True,
    progress: Callable[[StepResult], None] | None = None,
) -> list[StepResult]:
    """Stop containers labelled `priority=low`, those that use most first, until so many bytes are
    free.

    What cannot be brought back, or is named in `operations.critical`, is skipped with a note where
    its turn comes.

    Args:
        settings: Engines, journal, and which services are critical.
        memory: bytes to free on each host, counted by working sets.
        services: only services that fit this glob.
        dry_run: say what would be stopped, and touch nothing.
        progress: told of each container, skipped ones too, when something is done to it.

    Raises:
        InputError: no service fits the glob, or no running container is labelled so.
        EngineError: no Engine answers.
    """
    tell = progress or (lambda _: None)
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        low = _may_stop(inventory, services)
        used = {name: found.memory for name, (_, found) in container_usage(engines, low).items()}
        low = [
            container for container in low if container.id in used
        ]  # the others have gone meanwhile
        chosen = [
            pair
            for engine in engines.values()
            for pair in _chosen(engine, low, used, memory, settings.operations.critical)
        ]
        silent = [*_paused(inventory, services), *silent_hosts(unreachable)]
        planned = [
            StepResult(
                container.key,
                container.host,
                StepState.SKIPPED if why else StepState.WOULD_STOP,
                why,
                container=container.name,
                memory=used[container.id],
            )
            for container, why in chosen
        ]
        if dry_run or all(why for _, why in chosen):
            return planned + silent
        with journalled_run(settings, "emergency-release", lock=False) as journal:

            def carried_out(number: int) -> StepResult:
                container, why = chosen[number]
                return (
                    planned[number]
                    if why
                    else stop_one(
                        engines[container.host], journal, number, container, used[container.id]
                    )
                )

            return _at_once(carried_out, len(chosen), tell) + silent


def _chosen(
    engine: Engine,
    low: Sequence[Container],
    used: Mapping[str, int],
    memory: float,
    critical: Collection[str],
) -> list[tuple[Container, str]]:
    """The containers of a host whose turn comes, and why one of them must stay: no more than are
    needed.
    """
    found: list[tuple[Container, str]] = []
    freed = 0
    for candidate in sorted(
        (candidate for candidate in low if candidate.host == engine.host.name),
        key=lambda candidate: (-used[candidate.id], candidate.name),
    ):
        if freed >= memory:
            break
        found.append((candidate, _must_stay(engine, candidate, critical)))
        freed += 0 if found[-1][1] else used[candidate.id]
    return found


def _at_once(
    work: Callable[[int], StepResult], number: int, tell: Callable[[StepResult], None]
) -> list[StepResult]:
    """Several at a time, in the given order; after a failure or Ctrl-C no further one is begun, and
    each that was is told.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        begun = [pool.submit(work, position) for position in range(number)]
        left = list(begun)
        try:
            while left:
                tell(left[0].result())
                left.pop(0)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            for future in left:
                if not future.cancelled() and future.exception() is None:
                    tell(future.result())
            raise
        return [future.result() for future in begun]


def _must_stay(engine: Engine, container: Container, critical: Collection[str]) -> str:
    """Why a container is not to be stopped although its label allows it; empty where nothing speaks
    against it.
    """
    if container.key in critical:
        return "operations.critical names it; take it out there, or take its label away"
    if removes_itself(engine, container):
        return "the Engine removes it when it stops (--rm), and nothing could bring it back"
    return ""


def removes_itself(engine: Engine, container: Container) -> bool:
    """Whether the Engine removes a container when it stops; one that is gone has done so."""
    try:
        with engine_errors(engine.host.name, f"inspect {container.name}"):
            return bool(engine.api.inspect_container(container.id)["HostConfig"].get("AutoRemove"))
    except ContainerGone:
        return True


def _may_stop(inventory: Inventory, services: str) -> list[Container]:
    """The running containers that may be stopped, of the services that a glob names."""
    named = [
        container for container in inventory.containers if fnmatchcase(container.key, services)
    ]
    silent = (
        f" ({', '.join(sorted(inventory.unreachable))} does not answer)"
        if inventory.unreachable
        else ""
    )
    if not named and inventory.containers:
        raise InputError(f"No service fits {services!r}{silent}", such_as(services, inventory))
    low = [
        container
        for container in named
        if container.running and container.labels.get(_PRIORITY) == _LOW
    ]
    if not low:
        of = "" if services == "*" else f" of {services!r}"
        asleep = ", ".join(result.container for result in _paused(inventory, services))
        raise InputError(
            f"No running container{of} has the label priority=low{silent}"
            + (f"; paused is {asleep}" if asleep else ""),
            "Unpause it first, or label others" if asleep else "Label what may be stopped",
        )
    return low


def _paused(inventory: Inventory, services: str) -> list[StepResult]:
    """Containers that might be stopped and are paused: their memory is held, and they are left
    alone.
    """
    return [
        StepResult(
            container.key,
            container.host,
            StepState.SKIPPED,
            "it is paused, and holds its memory: unpause it first, or stop it by hand",
            container=container.name,
        )
        for container in inventory.containers
        if container.state == "paused"
        and container.labels.get(_PRIORITY) == _LOW
        and fnmatchcase(container.key, services)
    ]


def stop_one(
    engine: Engine, journal: Journal, number: int, container: Container, used: int = 0
) -> StepResult:
    """Stop a container, announced in the journal first.

    Raises:
        JournalLost: the journal cannot be written; nothing was stopped.
    """
    named: dict[str, Any] = {
        "container": container.name,
        "id": container.id,
        "replica": container.replica,
    }
    journal.write(Kind.STOPPING, step=number, service=container.key, host=container.host, **named)
    try:
        lifecycle.stop(engine, container.id, container.name)
    except EngineError as error:
        journal.write(
            Kind.FAILED, step=number, service=container.key, host=container.host, reason=str(error)
        )
        return StepResult(
            container.key,
            container.host,
            StepState.FAILED,
            str(error),
            container=container.name,
            memory=used,
        )
    journal.write(
        Kind.STOPPED,
        step=number,
        service=container.key,
        host=container.host,
        container=container.name,
        id=container.id,
    )
    return StepResult(
        container.key, container.host, StepState.STOPPED, container=container.name, memory=used
    )
