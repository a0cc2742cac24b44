"""What earlier runs promised, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.reporting._runs import ReportRun, list_reports, proposed
from capacity.reporting.weekly import REPORT as WEEKLY

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.history import History

__all__ = ["MONTHLY", "earlier_runs", "promised_limits"]

MONTHLY = "monthly-optimization"
_AGREES = 0.02  # relative difference at which a limit counts as the one promised


def earlier_runs(reports: Path | None, history: History, services: str) -> list[ReportRun]:
    """Weekly and monthly runs of the same source and choice, oldest first; of two of one moment the
    weekly one.
    """
    if reports is None:
        return []
    same = (history.source, services)
    found = [run for name in (MONTHLY, WEEKLY) for run in list_reports(reports, name)]
    mine = [
        run
        for run in found
        if (run.facts.get("source"), run.facts.get("services", "")) == same
        and run.as_of < history.end
    ]
    return sorted({run.as_of: run for run in mine}.values(), key=lambda run: run.as_of)


def promised_limits(history: History, run: ReportRun | None) -> pd.DataFrame:
    """What became of each proposal of a run.

    Returns:
        columns `service`, `resource`, `action`, `before`, `promised`, `now`, `state` (applied,
        open, other), `breach_minutes`, `oom_kills`.
    """
    rows: list[dict[str, object]] = []
    known = run.state.get("services", {}) if run else {}
    limits = {resource: history.limits(resource) for resource in Resource}
    for service in sorted(known):
        for resource in Resource:
            before, promised, action = proposed(known[service], resource)
            if run is None or promised is None:
                continue
            now = limits[resource].get(service, np.nan)
            rows.append(
                {
                    "service": service,
                    "resource": str(resource),
                    "action": action,
                    "before": np.nan if before is None else before,
                    "promised": promised,
                    "now": now,
                    "state": _state(before, promised, now),
                    **_since(history, run, service, resource, now),
                }
            )
    columns = [
        "service",
        "resource",
        "action",
        "before",
        "promised",
        "now",
        "state",
        "breach_minutes",
        "oom_kills",
    ]
    return pd.DataFrame(rows, columns=columns)


def _state(before: float | None, promised: float, now: float) -> str:
    if np.isfinite(now) and abs(now - promised) <= _AGREES * promised:
        return "applied"
    same = (
        np.isnan(now)
        if before is None
        else np.isfinite(now) and abs(now - before) <= _AGREES * before
    )
    return "open" if same else "other"


def _since(
    history: History, run: ReportRun, service: str, resource: Resource, limit: float
) -> dict[str, float]:
    """Minutes above the limit in force, and kills, since the run."""
    usage = history[resource.usage]
    after = usage[service][usage.index > run.as_of] if service in usage else pd.Series(dtype=float)
    kills = history["oom_kills"]
    count = (
        float(kills[service][kills.index > run.as_of].sum())
        if resource is Resource.MEMORY and service in kills
        else 0.0
    )
    minutes = (
        float((after > limit).sum()) * (history.step / pd.Timedelta("1min"))
        if np.isfinite(limit)
        else 0.0
    )
    return {"breach_minutes": minutes, "oom_kills": count}
