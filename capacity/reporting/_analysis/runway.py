"""When hosts run out: the first week in which they are nine tenths full, as a distribution.

Memory counts by its peak, since what does not fit is killed; CPU by its busiest hour, since five
full minutes only make others wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity.model import Resource, Signal
from capacity.reporting._analysis.trends import (
    Lines,
    Trend,
    bootstrap_positions,
    sample_lines,
    trend_of,
    week_numbers,
    weekly_peaks,
)

if TYPE_CHECKING:
    from capacity.history import History

__all__ = ["FULL", "HORIZON_WEEKS", "HostRunway", "RunOut", "host_runways", "run_out", "run_outs"]

FULL = 0.9  # share of a host from which it counts as full
HORIZON_WEEKS = 104  # a straight line says nothing about what is further away
_SEED = 20_260_102
_SIGNALS = {
    Resource.CPU: (Signal.HOST_CPU, Signal.HOST_CORES),
    Resource.MEMORY: (Signal.HOST_MEMORY, Signal.HOST_MEMORY_TOTAL),
}


@dataclass(frozen=True)
class RunOut:
    """Weeks until something is full: `soonest` and `latest` hold nine of ten courses; infinite =
    not within two years.
    """

    soonest: float
    likely: float
    latest: float


@dataclass(frozen=True)
class HostRunway:
    """What is left of a host.

    Attributes:
        host: its name.
        resource: CPU in cores or memory in bytes.
        size: what it has.
        peak: highest of the weekly peaks (CPU: busiest hours); NaN without one.
        trend: of its weekly peaks; None with too few weeks.
        as_is: if it goes on as in the quarter.
        doubled: if it grows twice as fast.
        lost: until the other hosts together are full if this one is lost; None where it is alone.
    """

    host: str
    resource: Resource
    size: float
    peak: float
    trend: Trend | None
    as_is: RunOut | None
    doubled: RunOut | None
    lost: RunOut | None


def host_runways(quarter: History) -> list[HostRunway]:
    """Every host and resource, what runs out first at the top."""
    found = [row for resource in Resource for row in _of_resource(quarter, resource)]
    return sorted(found, key=lambda row: (_soonest(row), row.host, row.resource))


def _soonest(row: HostRunway) -> float:
    return row.as_is.soonest if row.as_is else np.inf


def _of_resource(quarter: History, resource: Resource) -> list[HostRunway]:
    used, sized = (quarter[signal] for signal in _SIGNALS[resource])
    sizes = sized.ffill().iloc[-1].dropna() if len(sized) else pd.Series(dtype=float)
    used = used.reindex(columns=sizes.index)
    if resource is Resource.CPU:
        used = used.resample("1h").mean()
    peaks = weekly_peaks(used, quarter.end)
    pooled = weekly_peaks(used.sum(axis=1, min_count=1).to_frame("all"), quarter.end)["all"]
    rows = []
    for host, size in sizes.items():
        mine, rest = peaks[host], float(sizes.sum() - size)
        rows.append(
            HostRunway(
                host=str(host),
                resource=resource,
                size=float(size),
                peak=float(mine.max()) if len(mine) else np.nan,
                trend=trend_of(mine),
                as_is=run_out(mine, FULL * float(size)),
                doubled=run_out(mine, FULL * float(size), growth=2.0),
                lost=run_out(pooled, FULL * rest) if rest > 0 else None,
            )
        )
    return rows


def run_out(
    peaks: pd.Series[float], bound: float, *, growth: float = 1.0, weeks: int = HORIZON_WEEKS
) -> RunOut | None:
    """Weeks until a weekly peak reaches `bound`; None with too few weeks.

    Args:
        peaks: weekly, oldest first.
        bound: in their unit.
        growth: what growing trends are multiplied by.
        weeks: how far to look.
    """
    lines = sample_lines(week_numbers(peaks), np.asarray(peaks, np.float64))
    return None if lines is None else _along(lines, bound, growth, weeks)


def run_outs(peaks: pd.DataFrame, bounds: pd.Series[float], weeks: int) -> dict[str, RunOut]:
    """Weeks until the weekly peaks of each name reach its bound, for those with enough weeks.

    Args:
        peaks: weeks, oldest first, x names.
        bounds: by name, in their unit.
        weeks: how far to look.
    """
    numbers, named = week_numbers(peaks), peaks.reindex(columns=bounds.index)
    found = {}
    for name, bound, mine in zip(bounds.index, bounds, named.to_numpy(np.float64).T, strict=True):
        lines = sample_lines(numbers, mine)
        if lines is not None:
            found[str(name)] = _along(lines, float(bound), 1.0, weeks)
    return found


def _along(lines: Lines, bound: float, growth: float, weeks: int) -> RunOut:
    ahead = np.arange(weeks + 1, dtype=np.float64)
    slopes = np.where(lines.slopes > 0, growth * lines.slopes, lines.slopes)
    noise = lines.scatter[bootstrap_positions(_SEED, len(lines.scatter), (len(slopes), len(ahead)))]
    reached = lines.levels[:, None] + slopes[:, None] * ahead + noise >= bound
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), np.inf)
    places = (np.array([0.05, 0.5, 0.95]) * (len(first) - 1)).astype(np.intp)
    low, middle, high = np.sort(first)[places]
    return RunOut(float(low), float(middle), float(high))
