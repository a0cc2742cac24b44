"""Emergencies: free a host by stopping what matters least, start what matters most, and bring back
what was stopped.

Everything is in the journal first; where the disk is full and no journal can be written, it is kept
in memory (`/dev/shm`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from capacity._common.suggest import closest_names
from capacity._compose.declared import declarations
from capacity._docker import lifecycle
from capacity._docker.containers import Container, Inventory
from capacity._docker.engine import Engine, connect_all, engine_errors, inspect, survey
from capacity._docker.usage import container_usage
from capacity.changes._journal.journal import Journal, open_journal
from capacity.changes._journal.models import ContainerEntry, Kind
from capacity.changes._result import StepResult
from capacity.changes._rollback.rollback import rollback
from capacity.errors import (
    ContainerGone,
    EngineError,
    EngineRefused,
    EngineUnreachable,
    InputError,
    StorageError,
)
from capacity.model import StepState
from capacity.operations._dependencies import dependencies, in_order, jobs
from capacity.operations._emergency.journal import (
    journalled_run,
    last_revision,
    open_stops,
    writable_folder,
)
from capacity.operations._readiness import has_ended_well, wait_ready
from capacity.settings import Settings

__all__ = [
    "release",
    "removes_itself",
    "restart_critical",
    "stop_one",
    "undo_release",
]

_PRIORITY = "priority"
_LOW = "low"
_AT_ONCE = 8  # stops, each of which may take its whole time of grace
_UNSEEN = "it has no container on a host that answers"


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
        silent = [*_paused(inventory, services), *_silent(unreachable)]
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


def _silent(unreachable: Mapping[str, str]) -> list[StepResult]:
    """A line for each host that could not be looked at."""
    return [
        StepResult("-", name, StepState.UNREACHABLE, why, container="-")
        for name, why in sorted(unreachable.items())
    ]


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
        raise InputError(f"No service fits {services!r}{silent}", _such_as(services, inventory))
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


def _such_as(name: str, inventory: Inventory) -> str:
    """What a person may have meant, or how services are called."""
    known = sorted({container.key for container in inventory.containers if not container.oneoff})
    near = closest_names(name, known)
    return (
        f"Did you mean {' or '.join(near)}?"
        if near
        else f"Names are such as {', '.join(known[:3]) or 'shop/web'}"
    )


def _must_exist(services: Sequence[str], inventory: Inventory) -> None:
    """Refuse the first service that has no container anywhere, with the way to name or to make
    it.
    """
    for key in services:
        inside = sorted(
            {container.key for container in inventory.containers if container.project == key}
        )
        if inside:
            raise InputError(
                f"{key!r} is a project, not a service", f"Name its services: {', '.join(inside)}"
            )
        if not inventory.of(key) and "/" not in key:
            raise InputError(
                f"There is no service {key!r}", f"Write project/service. {_such_as(key, inventory)}"
            )
        if not inventory.of(key) and not inventory.unreachable:
            near = closest_names(key, {container.key for container in inventory.containers})
            other = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InputError(
                f"{key} has no container", f"Start it with docker compose up -d{other}"
            )


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


def undo_release(settings: Settings, *, dry_run: bool = True) -> list[StepResult]:
    """Start again what the last emergency stopped, the last one first; or take a project back that
    went to a revision since.

    Where a container is gone, its service may run again by another one, which is `back`; else it is
    `failed` and given up: the next undo goes on with the run before it.

    Raises:
        InputError: nothing was stopped that has not been started again.
        EngineError: no Engine answers.
    """
    found = open_stops(settings)
    revision = last_revision(settings)
    if revision is not None and (not found or found[-1][2][0].time < revision[0]):
        return _back_from(settings, *revision[1:], dry_run=dry_run)
    if not found:
        raise InputError(
            "Nothing was stopped here that is still down", "`capacity inventory` lists what is"
        )
    folder, run, left = found[-1]
    if dry_run:
        return _would_start(settings, left)
    with (
        connect_all(settings.engine) as (engines, _),
        closing((journal := open_journal(folder, run)).handle),
    ):
        done = [_start(engines.get(entry.host), journal, entry) for entry in reversed(left)]
        state = (
            "undone"
            if all(result.state in {StepState.STARTED, StepState.BACK} for result in done)
            else "failed"
        )
        _note(journal, Kind.FINISHED, state=state)
    return done


def _would_start(settings: Settings, left: Sequence[ContainerEntry]) -> list[StepResult]:
    """What undo would try with each container, by what there is now."""
    with ExitStack() as stack:
        engines: Mapping[str, Engine] = {}
        with suppress(EngineError):  # a dry run says so of each
            engines, _ = stack.enter_context(connect_all(settings.engine))
        return [_would_be_tried(entry, engines) for entry in reversed(left)]


def _would_be_tried(entry: ContainerEntry, engines: Mapping[str, Engine]) -> StepResult:
    def result(state: StepState, reason: str = "") -> StepResult:
        return StepResult(
            entry.service, entry.host, state, reason, container=entry.detail.container
        )

    engine = engines.get(entry.host)
    if engine is None:
        return result(StepState.WOULD_START, f"{entry.host} does not answer")
    if _exists(engine, entry):
        return result(StepState.WOULD_START)
    other = _instead(engine, entry)
    if other:
        return result(StepState.BACK, f"it runs again as {other}")
    return result(StepState.WOULD_GIVE_UP, "it is gone, and would be given up")


def _back_from(
    settings: Settings, folder: Path, run: str, services: Sequence[str], *, dry_run: bool
) -> list[StepResult]:
    """What was there before a project was brought to a revision."""
    if dry_run:
        return [
            StepResult(service, "", StepState.WOULD_GO_BACK, f"run {run}", container="-")
            for service in reversed(services)
        ]
    states = {StepState.UNDONE: StepState.BACK}
    done = rollback(run, settings, folder=writable_folder(settings, folder, run))
    return [
        StepResult(
            outcome.service,
            outcome.host,
            states.get(outcome.state, outcome.state),
            outcome.reason,
            container="-",
        )
        for outcome in done
    ]


def _note(
    journal: Journal,
    kind: Kind,
    step: int | None = None,
    service: str = "",
    host: str = "",
    **detail: object,
) -> str:
    """A line of the journal where the disk takes it: what is down must come up also when it does
    not.
    """
    try:
        journal.write(kind, step=step, service=service, host=host, **detail)
    except StorageError as error:
        return f"not in the journal: {error.message}"
    return ""


def _start(engine: Engine | None, journal: Journal, entry: ContainerEntry) -> StepResult:
    name, identity = entry.detail.container, entry.detail.id
    place = (entry.step, entry.service, entry.host)
    _note(journal, Kind.STARTING, *place, container=name, id=identity)
    try:
        if engine is None:
            raise EngineUnreachable(f"{entry.host} does not answer")
        try:
            lifecycle.start(engine, identity, name)
        except ContainerGone as error:
            return _gone(engine, journal, entry, error)
    except EngineError as error:
        _note(journal, Kind.START_FAILED, *place, container=name, id=identity, reason=str(error))
        return StepResult(entry.service, entry.host, StepState.FAILED, str(error), container=name)
    note = _note(journal, Kind.STARTED_AGAIN, *place, container=name, id=identity)
    return StepResult(entry.service, entry.host, StepState.STARTED, note, container=name)


def _gone(
    engine: Engine, journal: Journal, entry: ContainerEntry, error: ContainerGone
) -> StepResult:
    """The Engine found no container: another one may do its work, and else nothing can be started
    here ever again.
    """
    name, place = entry.detail.container, (entry.step, entry.service, entry.host)
    named: dict[str, Any] = {"container": name, "id": entry.detail.id}
    try:
        if _exists(engine, entry):  # what it needs is gone, such as its network: that can be fixed
            raise EngineRefused(error.message, "Correct what it names, then run undo again")
        other = _instead(engine, entry)
    except EngineError as wrong:
        _note(journal, Kind.START_FAILED, *place, **named, reason=str(wrong))
        return StepResult(entry.service, entry.host, StepState.FAILED, str(wrong), container=name)
    if other:
        note = _note(journal, Kind.STARTED_AGAIN, *place, **named, instead=other)
        return StepResult(
            entry.service,
            entry.host,
            StepState.BACK,
            "; ".join(filter(None, (f"it runs again as {other}", note))),
            container=name,
        )
    said = (
        f"{name} is gone, and no container of {entry.service} runs in its place: make it anew, as "
        "with docker compose up -d"
    )
    note = _note(journal, Kind.GIVEN_UP, *place, **named, reason=f"{said} ({error.message})")
    return StepResult(
        entry.service,
        entry.host,
        StepState.FAILED,
        "; ".join(filter(None, (f"{said}; given up", note))),
        container=name,
    )


def _exists(engine: Engine, entry: ContainerEntry) -> bool:
    try:
        inspect(engine, entry.detail.id, entry.detail.container)
    except ContainerGone:
        return False
    return True


def _instead(engine: Engine, entry: ContainerEntry) -> str:
    """The running container that took the place of one that is gone: same service, and its name or
    its number there.
    """
    wanted = (entry.detail.container, entry.detail.replica)
    found = [other for other in survey({entry.host: engine}, {}).of(entry.service) if other.running]
    return next(
        (other.name for other in found if other.name == wanted[0] or other.replica == wanted[1]), ""
    )


def restart_critical(
    settings: Settings, services: Sequence[str], *, dry_run: bool = True
) -> list[StepResult]:
    """Start the named services where they are down, what they depend on first, each healthy before
    the next.

    Args:
        settings: Engines, journal, where compose files are.
        services: `project/service`, in the order that breaks ties.
        dry_run: say what would be started, and touch nothing.

    Raises:
        InputError: no such service, one without a container, or a circle of dependencies.
        EngineError: no Engine answers.
    """
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        projects = declarations(inventory.containers, settings.apply.projects)
        needs = dependencies(inventory.containers, projects)
        _must_exist(services, inventory)
        ends = jobs(inventory.containers, projects)
        down = [
            container
            for key in in_order(services, needs)
            for container in inventory.of(key)
            if not container.running
            and (key in services or not (key in ends and has_ended_well(container)))
        ]
        unseen = [
            StepResult(key, "-", StepState.FAILED, _UNSEEN, container="-")
            for key in services
            if not inventory.of(key)
        ]
        if dry_run:
            return (
                [
                    StepResult(
                        container.key,
                        container.host,
                        StepState.WOULD_START,
                        container=container.name,
                    )
                    for container in down
                ]
                + unseen
                + _silent(unreachable)
            )
        found: list[StepResult] = []
        with journalled_run(settings, "emergency-restart", lock=False) as journal:
            for number, container in enumerate(down):
                broken = {
                    done.service
                    for done in found
                    if done.state in {StepState.FAILED, StepState.SKIPPED}
                }
                waits = broken & set(in_order([container.key], needs)) - {container.key}
                found.append(
                    _bring_up(
                        engines[container.host],
                        journal,
                        number,
                        container,
                        waits,
                        job=container.key in ends,
                    )
                )
        return found + unseen + _silent(unreachable)


def _bring_up(
    engine: Engine,
    journal: Journal,
    number: int,
    container: Container,
    waits: Collection[str],
    *,
    job: bool = False,
) -> StepResult:
    """Start a container, announced in the journal first; one that needs what is down is left
    alone.
    """
    named: dict[str, Any] = {
        "step": number,
        "service": container.key,
        "host": container.host,
        "container": container.name,
        "id": container.id,
    }
    if waits:
        wrong = f"it needs {', '.join(sorted(waits))}"
        journal.write(Kind.REFUSED, **named, reason=wrong)
        return StepResult(
            container.key, container.host, StepState.SKIPPED, wrong, container=container.name
        )
    journal.write(Kind.STARTING, **named)
    try:
        lifecycle.start(engine, container.id, container.name)
        wrong = wait_ready(engine, container, job=job)
        wrong = wrong and f"{wrong}; `docker logs {container.name}` tells why"
    except EngineError as error:
        wrong = str(error)
    journal.write(Kind.START_FAILED if wrong else Kind.STARTED_AGAIN, **named, reason=wrong)
    return StepResult(
        container.key,
        container.host,
        StepState.FAILED if wrong else StepState.STARTED,
        wrong,
        container=container.name,
    )
