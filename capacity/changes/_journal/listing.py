"""Everything that the journals hold, one entry an action: limits changed; containers
stopped, started, made, removed, emptied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from capacity.changes._journal.adjustments import (
    AffectedContainer,
    AppliedChange,
    changes_of,
    outcome_of,
)
from capacity.changes._journal.models import (
    ContainerBefore,
    ContainerEntry,
    Entry,
    Kind,
    ReasonEntry,
    StartedEntry,
    run_start,
)
from capacity.changes._journal.runs import FLUSH_RUN, all_runs

__all__ = ["journal_history"]

_BEGINS = {
    Kind.STOPPING: ("stop", (Kind.STOPPED,), "stopped"),
    Kind.STARTING: ("start", (Kind.STARTED_AGAIN,), "started again"),
    Kind.CREATING: ("create", (Kind.CREATED,), "created"),
    Kind.REMOVING: ("remove", (Kind.REMOVED,), "removed"),
}
"""First line of an action -> what it is called, the line of its success, what is said then."""

_WORSE = (Kind.FAILED, Kind.START_FAILED)


def journal_history(folders: Iterable[Path], service: str = "") -> list[AppliedChange]:
    """Every change and every other action of all runs, the oldest first; of one service, or of all.

    An action that changes no setting has `before` and `after` None, and says in `what` what was
    done to its container: stop, start, create, remove, recreate or flush.

    Args:
        folders: of journals; those that are not there are empty.
        service: `project/service`, or a container's name, also as `standalone/NAME`; empty = all.
    """
    runs = all_runs(folders)
    started = _started(entry for run in runs for entry in run.entries)
    found = [change for run in runs for change in changes_of(run.name, run.entries)]
    found += [change for run in runs for change in _of_run(run.name, run.entries, started)]
    wanted, name = {service, f"standalone/{service}"}, service.removeprefix("standalone/")
    return sorted(
        (
            change
            for change in found
            if not service
            or change.service in wanted
            or any(container.name == name for container in change.containers)
        ),
        key=lambda change: change.time,
    )


def _started(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Host and container -> when it was started last; an undo, a restart and another run may all be
    what brought it back.
    """
    lines = sorted(
        (entry for entry in entries if entry.kind is Kind.STARTED_AGAIN),
        key=lambda entry: entry.time,
    )
    return {(line.host, _about(line).id): line for line in lines}


def _of_run(
    run: str, entries: list[Entry], started: Mapping[tuple[str, str], Entry]
) -> Iterator[AppliedChange]:
    ended = entries[-1].kind is Kind.FINISHED
    if run_start(entries).why == FLUSH_RUN:
        yield _flushed(run, entries)
    for position, entry in enumerate(entries):
        if entry.kind in _BEGINS:
            after = [other for other in entries[position + 1 :] if _same(entry, other)]
            what, good, said = _BEGINS[entry.kind]
            if entry.kind is Kind.STARTING and any(
                other.kind is Kind.STOPPING and _same(entry, other) for other in entries
            ):
                continue  # the rollback of a stop, which tells its end
            outcome, detail = _came_of(after, good, said, ended=ended)
            if entry.kind is Kind.STOPPING:
                outcome, detail = _up_again(entry, after, started, outcome, detail)
            yield _action(run, entries, entry, what, outcome, detail)
        elif entry.kind is Kind.INTENT and not entry.detail.changes:
            outcome, detail = outcome_of(
                [other for other in entries if other.step == entry.step], entries[-1]
            )
            what = {"file": "create"}.get(entry.detail.mode, entry.detail.mode)
            yield _action(run, entries, entry, what, outcome, detail, entry.detail.containers)
        elif entry.kind is Kind.REFUSED and entry.detail.container:
            yield _action(run, entries, entry, "start", "skipped", entry.detail.reason)
        elif entry.kind is Kind.STARTED_AGAIN and not any(
            _same(entry, other) for other in entries[:position]
        ):
            yield _action(run, entries, entry, "start", "started again", "")


def _same(entry: Entry, other: Entry) -> bool:
    """Whether two lines are about one container; lines of a failed stop say its step alone."""
    if _about(entry).name and _about(other).name:
        return _about(entry).name == _about(other).name
    return entry.step is not None and entry.step == other.step


def _about(entry: Entry) -> AffectedContainer:
    """The container that a line names; empty where it names none."""
    if isinstance(entry, (ContainerEntry, ReasonEntry)):
        return AffectedContainer(entry.detail.id, entry.detail.container)
    if isinstance(entry, StartedEntry):
        return AffectedContainer("", entry.detail.container)
    return AffectedContainer("", "")


def _reason(entry: Entry) -> str:
    return str(getattr(entry.detail, "reason", ""))


def _came_of(
    after: Sequence[Entry], good: tuple[Kind, ...], said: str, *, ended: bool
) -> tuple[str, str]:
    """The first line after a action that tells its end."""
    for entry in after:
        if entry.kind in good:
            return said, ""
        if entry.kind in _WORSE:
            return "failed", _reason(entry)
    return ("failed", "") if ended else ("unfinished", "")


def _up_again(
    stop: Entry,
    after: Sequence[Entry],
    started: Mapping[tuple[str, str], Entry],
    outcome: str,
    detail: str,
) -> tuple[str, str]:
    """What has become of a stopped container since."""
    if outcome == "failed":
        return outcome, detail
    back = started.get((stop.host, _about(stop).id))
    if back is not None and back.time > stop.time:
        instead = back.detail.instead if isinstance(back, ContainerEntry) else ""
        other = f"as {instead}" if instead else ""
        return "started again", other if back.run == stop.run else f"by {back.run}"
    tried = [entry for entry in after if entry.kind in {Kind.START_FAILED, Kind.GIVEN_UP}]
    if not tried:
        return outcome, detail
    return "still down", _reason(tried[-1])


def _flushed(run: str, entries: list[Entry]) -> AppliedChange:
    said = next((entry for entry in entries if entry.kind in {Kind.DONE, Kind.FAILED}), None)
    ended = entries[-1].kind is Kind.FINISHED
    outcome = (
        "flushed"
        if said is not None and said.kind is Kind.DONE
        else "failed"
        if ended
        else "unfinished"
    )
    detail = str(getattr(said.detail, "said", "")) if said and outcome == "failed" else ""
    first = entries[0].model_copy(update={"host": said.host if said else ""})
    return _action(run, entries, first, "flush", outcome, detail)


def _action(
    run: str,
    entries: list[Entry],
    entry: Entry,
    what: str,
    outcome: str,
    detail: str,
    containers: Sequence[ContainerBefore] | None = None,
) -> AppliedChange:
    started = run_start(entries)
    affected = (
        [_about(entry)]
        if containers is None
        else [AffectedContainer(each.id, each.name) for each in containers]
    )
    return AppliedChange(
        run=run,
        time=entry.time,
        who=started.who,
        why=started.why,
        service=entry.service,
        host=entry.host,
        what=what,
        before=None,
        after=None,
        reason="",
        outcome=outcome,
        detail=detail,
        evidence={},
        containers=tuple(affected),
    )
