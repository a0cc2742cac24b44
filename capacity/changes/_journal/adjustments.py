"""What the journal of all runs says about services: held back after a failure, changed lately,
their whole history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from capacity.changes._journal.models import Entry, Kind, UndoneEntry, intents, run_start
from capacity.changes._journal.runs import journal_runs
from capacity.model import Value

__all__ = [
    "AffectedContainer",
    "AppliedChange",
    "applied_changes",
    "changes_of",
    "failure_cooldowns",
    "outcome_of",
    "steps_since",
]


@dataclass(frozen=True)
class AffectedContainer:
    """A container by its id and name."""

    id: str
    name: str


@dataclass(frozen=True)
class AppliedChange:
    """One change of one service as it went: who, when, what, why, outcome."""

    run: str
    time: datetime
    who: str
    why: str
    service: str
    host: str
    what: str
    before: Value
    after: Value
    reason: str
    outcome: str
    detail: str
    evidence: dict[str, float]
    containers: tuple[AffectedContainer, ...]


def applied_changes(
    folder: Path, service: str = "", *, skip_damaged: bool = False
) -> list[AppliedChange]:
    """Every change that was begun, the oldest first; of one service, or of all; `skip_damaged` as
    in `journal_runs`.
    """
    return [
        adjustment
        for run, entries in journal_runs(folder, skip_damaged=skip_damaged)
        for adjustment in changes_of(run, entries)
        if not service or adjustment.service == service
    ]


def changes_of(run: str, entries: list[Entry]) -> Iterator[AppliedChange]:
    """Every change that one run began."""
    started = run_start(entries)
    for intent in intents(entries):
        outcome, detail = outcome_of(
            [entry for entry in entries if entry.step == intent.step], entries[-1]
        )
        for change in intent.detail.changes:
            yield AppliedChange(
                run=run,
                time=intent.time,
                who=started.who,
                why=started.why,
                service=intent.service,
                host=intent.host,
                what=str(change.what),
                before=change.before,
                after=change.after,
                reason=str(change.reason),
                outcome=outcome,
                detail=detail,
                evidence=dict(change.evidence),
                containers=tuple(
                    AffectedContainer(each.id, each.name) for each in intent.detail.containers
                ),
            )


def outcome_of(entries: list[Entry], last: Entry) -> tuple[str, str]:
    """What became of a step, and why."""
    by_kind = {entry.kind: entry for entry in entries}
    why = next(
        (
            str(getattr(by_kind[kind].detail, "reason", ""))
            for kind in (Kind.BAD, Kind.FAILED)
            if kind in by_kind
        ),
        "",
    )
    undone = by_kind.get(Kind.UNDONE)
    if isinstance(undone, UndoneEntry):
        left = "; ".join(undone.detail.left)
        return ("failed" if why else "rolled back"), "; ".join(filter(None, [why, left]))
    if Kind.VERIFIED in by_kind:
        return "verified", ""
    if last.kind is not Kind.FINISHED:
        return "unfinished", why
    return ("failed", why) if why else ("done", "")


def failure_cooldowns(folder: Path, now: datetime, cooldown_hours: float = 72.0) -> dict[str, str]:
    """Service -> why it is left alone: its last change failed, and its cooldown is not over.

    Args:
        folder: of the journal.
        now: the time.
        cooldown_hours: how long a service is held back.
    """
    held: dict[str, str] = {}
    for adjustment in applied_changes(folder, skip_damaged=True):
        until = adjustment.time + timedelta(hours=cooldown_hours)
        if adjustment.outcome == "failed" and until > now:
            held[adjustment.service] = (
                f"held back until {until:%Y-%m-%d %H:%M} UTC: its {adjustment.what} change of "
                f"{adjustment.time:%Y-%m-%d} failed"
                + (f" ({adjustment.detail})" if adjustment.detail else "")
            )
    return held


def steps_since(folder: Path, *, hours: float, now: datetime | None = None) -> int:
    """How many steps were begun in the last hours."""
    since = (now or datetime.now(UTC)) - timedelta(hours=hours)
    return sum(
        entry.kind is Kind.INTENT and entry.time > since
        for _, entries in journal_runs(folder, skip_damaged=True)
        for entry in entries
    )
