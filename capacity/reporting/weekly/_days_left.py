"""How many days each limit and each host has left, as an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.reporting._analysis.runway import FULL, host_runways, run_out
from capacity.reporting._analysis.trends import weekly_peaks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capacity.history import History
    from capacity.reporting.weekly._limit_crossings import LimitCrossing

__all__ = ["WITHIN_DAYS", "DaysLeft", "days_left", "say_days"]

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
    history: History, tables: dict[Resource, pd.DataFrame], crossings: Iterable[LimitCrossing]
) -> list[DaysLeft]:
    """Every limit in force and every host with at least four weeks of peaks, or whose forecast
    reaches its limit; the soonest first.
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
            for row in _services(history, resource, tables[resource]["current"], crossing)
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
    limits: pd.Series[float],
    crossing: dict[tuple[str, Resource], tuple[float, float]],
) -> Iterable[DaysLeft]:
    peaks = weekly_peaks(history[resource.usage], history.end)
    for service, limit in limits.dropna().items():
        name = str(service)
        mine = peaks[name] if name in peaks else pd.Series(dtype=np.float64)
        out = run_out(mine, float(limit), weeks=_WEEKS)
        upper, median = crossing.get((name, resource), (np.inf, np.inf))
        if out is None and not np.isfinite(upper):
            continue
        weeks = (out.soonest, out.likely, out.latest) if out else (np.inf, np.inf, np.inf)
        yield DaysLeft(
            name,
            False,
            resource,
            float(limit),
            min(upper, 7 * weeks[0]),
            min(median, 7 * weeks[1]),
            7 * weeks[2],
        )


def say_days(days: float) -> str:
    """`now`, whole days, or that it is not within a quarter."""
    return f"> {WITHIN_DAYS}" if np.isinf(days) else f"{days:.0f}" if days >= 1 else "now"
