"""How many days each limit and each host has left, as an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.reporting._analysis.runway import FULL, host_runways, run_outs
from capacity.reporting._analysis.trends import weekly_peaks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capacity.history import History
    from capacity.reporting.weekly._limit_crossings import LimitCrossing

__all__ = ["WITHIN_DAYS", "DaysLeft", "days_left", "say_days"]

_EDGES = (0.05, 0.5, 0.95)  # shares of the courses: the soonest, the middle, the latest
_WEEKS = 13  # what lies beyond a quarter is the quarterly review's
WITHIN_DAYS = 7 * _WEEKS


@dataclass(frozen=True)
class DaysLeft:
    """Days until weekly peaks reach a bound; infinite = not within `WITHIN_DAYS`.

    Attributes:
        name: of the service or host.
        host: whether it is a host.
        resource: of what.
        bound: the limit in force, or nine tenths of the host; cores or bytes.
        soonest: one course in twenty is sooner, or the forecast's upper band reaches it then.
            Within the forecast's horizon its chance to pass the limit decides, as it does for the
            other two; beyond it lines through the weekly peaks.
        likely: the middle course.
        latest: one course in twenty is later.
    """

    name: str
    host: bool
    resource: Resource
    bound: float
    soonest: float
    likely: float
    latest: float


def days_left(
    history: History,
    tables: dict[Resource, pd.DataFrame],
    crossings: Iterable[LimitCrossing],
    horizon: float,
) -> list[DaysLeft]:
    """Every limit in force and every host with at least four weeks of peaks, or whose forecast
    reaches its limit; the soonest first.

    Args:
        history: the window.
        tables: recommendations by resource, with `current` and `breach_now`.
        crossings: where the forecast's band reaches a limit.
        horizon: days that the forecast looks ahead.
    """
    day = pd.Timedelta("1D")
    crossing = {
        (each.service, each.resource): (
            (each.upper - history.end) / day,
            (each.median - history.end) / day if each.median is not None else np.inf,
        )
        for each in crossings
    }
    found = [
        *_hosts(history),
        *(
            row
            for resource in Resource
            for row in _services(history, resource, tables[resource], crossing, horizon)
        ),
    ]
    return sorted(found, key=lambda row: (row.soonest, row.likely, row.name, row.resource))


def _hosts(history: History) -> Iterable[DaysLeft]:
    for row in host_runways(history):
        if row.as_is is not None:
            weeks = (row.as_is.soonest, row.as_is.likely, row.as_is.latest)
            soonest, likely, latest = (7 * week if week <= _WEEKS else np.inf for week in weeks)
            yield DaysLeft(row.host, True, row.resource, FULL * row.size, soonest, likely, latest)


def _services(
    history: History,
    resource: Resource,
    table: pd.DataFrame,
    crossing: dict[tuple[str, Resource], tuple[float, float]],
    horizon: float,
) -> Iterable[DaysLeft]:
    limited = table[table["current"].notna()]
    peaks = weekly_peaks(history[resource.usage], history.end)
    outs = run_outs(peaks, limited["current"], weeks=_WEEKS)
    rows = zip(limited.index, limited["current"], limited["breach_now"], strict=True)
    for name, limit, chance in ((str(name), float(limit), float(by)) for name, limit, by in rows):
        out = outs.get(name)
        upper, median = crossing.get((name, resource), (np.inf, np.inf))
        if out is None and not np.isfinite(upper) and not chance >= _EDGES[0]:
            continue
        weeks = (out.soonest, out.likely, out.latest) if out else (np.inf, np.inf, np.inf)
        soonest, likely, latest = (
            _as_forecast(min(7 * week, band), chance, edge, horizon)
            for week, band, edge in zip(weeks, (upper, median, np.inf), _EDGES, strict=True)
        )
        yield DaysLeft(name, False, resource, limit, soonest, likely, latest)


def _as_forecast(days: float, chance: float, edge: float, horizon: float) -> float:
    """Days until so large a share of the courses is at the limit, moved within the forecast's
    horizon or behind it as the chance to pass the limit says; NaN = unknown.
    """
    if np.isnan(chance):
        return days
    return min(days, horizon) if chance >= edge else max(days, horizon)


def say_days(days: float) -> str:
    """`now`, whole days, or that it is not within a quarter."""
    return f"> {WITHIN_DAYS}" if np.isinf(days) else f"{days:.0f}" if days >= 1 else "now"
