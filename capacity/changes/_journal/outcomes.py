"""Promised against realised: what applied changes were to bring, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from capacity.changes._journal.adjustments import AppliedChange, applied_changes
from capacity.model import Resource, Setting

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Outcome", "promised_outcomes"]


@dataclass(frozen=True)
class Outcome:
    """One applied change of a CPU or memory limit, in cores or bytes.

    Attributes:
        change: as the journal has it.
        resource: which limit.
        saved: what it freed on all replicas, negative for a raise; None where there was no limit
            before.
        promised: chance of a breach that was promised, None if none was.
        peak: highest use since the change, None without samples.
        breached: whether use reached the new limit.
        kills: kills for memory since the change.
        held: whether the promise held: not rolled back, no kill, and no breach of a memory limit.
    """

    change: AppliedChange
    resource: Resource
    saved: float | None
    promised: float | None
    peak: float | None
    breached: bool
    kills: float
    held: bool


def promised_outcomes(
    folder: Path,
    usage: Mapping[Resource, pd.DataFrame],
    oom_kills: pd.DataFrame | None = None,
    *,
    since: datetime,
    until: datetime,
) -> list[Outcome]:
    """Every change of a CPU or memory limit in a span, the newest first.

    Args:
        folder: of the journal.
        usage: usage frames by resource; the history's own.
        oom_kills: events by service, if the source has them.
        since: start of the span.
        until: end of the span and of what is looked at.
    """
    rows = []
    for adjustment in applied_changes(folder):
        resource = {Setting.CPUS: Resource.CPU, Setting.MEMORY: Resource.MEMORY}.get(
            Setting(adjustment.what)
        )
        if (
            resource is not None
            and since <= adjustment.time <= until
            and isinstance(adjustment.after, (int, float))
        ):
            rows.append(
                _row(
                    adjustment, resource, float(adjustment.after), usage[resource], oom_kills, until
                )
            )
    return rows[::-1]


def _row(
    adjustment: AppliedChange,
    resource: Resource,
    limit: float,
    usage: pd.DataFrame,
    oom_kills: pd.DataFrame | None,
    until: datetime,
) -> Outcome:
    peak = _since(usage, adjustment, until, "max")
    kills = _since(oom_kills, adjustment, until, "sum") or 0.0
    breached = peak is not None and peak >= limit
    good = (
        adjustment.outcome in {"verified", "done"}
        and not kills
        and not (breached and resource is Resource.MEMORY)
    )
    saved = (
        (adjustment.before - limit) * len(adjustment.containers)
        if isinstance(adjustment.before, (int, float))
        else None
    )
    return Outcome(
        adjustment,
        resource,
        saved,
        adjustment.evidence.get("breach_after"),
        peak,
        breached,
        kills,
        good,
    )


def _since(
    frame: pd.DataFrame | None, adjustment: AppliedChange, until: datetime, how: str
) -> float | None:
    if frame is None or adjustment.service not in frame.columns:
        return None
    part = frame[adjustment.service][
        (frame.index > adjustment.time) & (frame.index <= until)
    ].dropna()
    return float(part.agg(how)) if len(part) else None
