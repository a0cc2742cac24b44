"""Everything that the journals hold, one entry a deed: limits changed; containers stopped, started,
made, removed, emptied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from capacity.changes._journal.adjustments import AppliedChange, changes_of, outcome_of
from capacity.changes._journal.journal import Entry, Kind, journal_runs

__all__ = ["journal_history"]

_BEGINS = {
    Kind.STOPPING: ("stop", (Kind.STOPPED,), "stopped"),
    Kind.STARTING: ("start", (Kind.STARTED_AGAIN,), "started again"),
    Kind.CREATING: ("create", (Kind.CREATED,), "created"),
    Kind.REMOVING: ("remove", (Kind.REMOVED,), "removed"),
}
"""First line of a deed -> what it is called, the line of its success, and what is said of it then.
"""

_WORSE = (Kind.FAILED, Kind.START_FAILED)
_FLUSH = "emergency-flush"


def journal_history(folders: Iterable[Path], service: str = "") -> list[AppliedChange]:
    """Every change and every other deed of all runs, the oldest first; of one service, or of all.

    A deed that changes no setting has `before` and `after` None, and says in `what` what was done
    to its container: stop, start, create, remove, recreate or flush.

    Args:
        folders: of journals; those that are not there are empty.
        service: `project/service`, or a container's name alone for one outside Compose; empty =
            all.
    """
    runs: dict[str, list[Entry]] = {}
    for place in dict.fromkeys(folders):
        for run, entries in journal_runs(place, skip_damaged=True):
            runs[run] = max(
                runs.get(run, []), entries, key=len
            )  # a run that went on elsewhere counts once
    started = _started(entry for entries in runs.values() for entry in entries)
    found = [adjustment for run, entries in runs.items() for adjustment in changes_of(run, entries)]
    found += [
        adjustment for run, entries in runs.items() for adjustment in _of_run(run, entries, started)
    ]
    wanted = {service, f"standalone/{service}"}
    return sorted(
        (adjustment for adjustment in found if not service or adjustment.service in wanted),
        key=lambda adjustment: adjustment.time,
    )


def _started(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Host and container -> when it was started last; an undo, a restart and another run may all be
    what brought it back.
    """
    lines = sorted(
        (entry for entry in entries if entry.kind is Kind.STARTED_AGAIN),
        key=lambda entry: entry.time,
    )
    return {(line.host, str(line.detail.get("id", ""))): line for line in lines}


def _of_run(
    run: str, entries: list[Entry], started: Mapping[tuple[str, str], Entry]
) -> Iterator[AppliedChange]:
    ended = entries[-1].kind is Kind.FINISHED
    if entries[0].detail.get("why") == _FLUSH:
        yield _flushed(run, entries)
    for position, entry in enumerate(entries):
        if entry.kind in _BEGINS:
            after = [other for other in entries[position + 1 :] if _same(entry, other)]
            what, good, said = _BEGINS[entry.kind]
            if entry.kind is Kind.STARTING and any(
                other.kind is Kind.STOPPING and _same(entry, other) for other in entries
            ):
                continue  # the way back of a stop, which tells its end
            outcome, detail = _came_of(after, good, said, ended=ended)
            if entry.kind is Kind.STOPPING:
                outcome, detail = _up_again(entry, after, started, outcome, detail)
            yield _deed(run, entries, entry, what, outcome, detail)
        elif entry.kind is Kind.INTENT and not entry.detail.get("changes"):
            outcome, detail = outcome_of(
                [other for other in entries if other.step == entry.step], entries[-1]
            )
            what = {"file": "create"}.get(entry.detail["mode"], str(entry.detail["mode"]))
            yield _deed(run, entries, entry, what, outcome, detail, entry.detail["containers"])
        elif entry.kind is Kind.REFUSED and "container" in entry.detail:
            yield _deed(
                run, entries, entry, "start", "skipped", str(entry.detail.get("reason", ""))
            )
        elif entry.kind is Kind.STARTED_AGAIN and not any(
            _same(entry, other) for other in entries[:position]
        ):
            yield _deed(run, entries, entry, "start", "started again", "")


def _same(entry: Entry, other: Entry) -> bool:
    """Whether two lines are about one container; lines of a failed stop say its step alone."""
    if "container" in entry.detail and "container" in other.detail:
        return bool(entry.detail["container"] == other.detail["container"])
    return entry.step is not None and entry.step == other.step


def _came_of(
    after: Sequence[Entry], good: tuple[Kind, ...], said: str, *, ended: bool
) -> tuple[str, str]:
    """The first line after a deed that tells its end."""
    for entry in after:
        if entry.kind in good:
            return said, ""
        if entry.kind in _WORSE:
            return "failed", str(entry.detail.get("reason", ""))
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
    back = started.get((stop.host, str(stop.detail.get("id", ""))))
    if back is not None and back.time > stop.time:
        other = f"as {back.detail['instead']}" if back.detail.get("instead") else ""
        return "started again", other if back.run == stop.run else f"by {back.run}"
    tried = [entry for entry in after if entry.kind in {Kind.START_FAILED, Kind.GIVEN_UP}]
    if not tried:
        return outcome, detail
    return "still down", str(tried[-1].detail.get("reason", ""))


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
    detail = str(said.detail.get("said", "")) if said is not None and outcome == "failed" else ""
    first = entries[0].model_copy(update={"host": said.host if said else ""})
    return _deed(run, entries, first, "flush", outcome, detail)


def _deed(
    run: str,
    entries: list[Entry],
    entry: Entry,
    what: str,
    outcome: str,
    detail: str,
    containers: Sequence[Mapping[str, Any]] | None = None,
) -> AppliedChange:
    started = entries[0].detail
    if containers is None:
        containers = [{"id": entry.detail.get("id", ""), "name": entry.detail.get("container", "")}]
    return AppliedChange(
        run=run,
        time=entry.time,
        who=str(started.get("who", "")),
        why=str(started.get("why", "")),
        service=entry.service,
        host=entry.host,
        what=what,
        before=None,
        after=None,
        reason="",
        outcome=outcome,
        detail=detail,
        evidence={},
        containers=tuple(dict(each) for each in containers),
    )
