"""Start again what a release has stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from capacity._docker import lifecycle
from capacity._docker.engine import Engine, connect_all, inspect, survey
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
from capacity.operations._emergency.journal import (
    last_revision,
    open_stops,
    writable_folder,
)
from capacity.settings import Settings

__all__ = ["undo_release"]


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
