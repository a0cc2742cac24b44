"""Straight lines through weekly peaks, with what the scatter around them leaves open."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity.model import Resource

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FEWEST_WEEKS",
    "Lines",
    "ServiceTrend",
    "Trend",
    "bootstrap_positions",
    "sample_lines",
    "trend_of",
    "week_numbers",
    "weekly_peaks",
]

FEWEST_WEEKS = 4
_FEWEST_DAYS = 4  # of a week that has samples
_WEEK = pd.Timedelta("7D")
_DRAWS = 400
_FAR = 3.0  # deviations from the line of the weeks that a week counts for at most
_LEAST_ROOM = 0.05  # of the level: weeks that are all alike may differ by this
_SEED = 20_260_101
_EDGES = (0.05, 0.95)


@dataclass(frozen=True)
class Trend:
    """A line through weekly peaks, in the unit of the peaks.

    Attributes:
        level: of the line in the last week.
        slope: change a week.
        low: lower edge of the slope's 90 % interval.
        high: upper edge.
        weeks: with a peak.
    """

    level: float
    slope: float
    low: float
    high: float
    weeks: int

    @property
    def verdict(self) -> str:
        """`grows` or `shrinks` where the interval leaves zero out, else `level`."""
        return "grows" if self.low > 0 else "shrinks" if self.high < 0 else "level"


@dataclass(frozen=True)
class Lines:
    """Lines that the weeks could as well have come from: `levels` (of the last week) and `slopes` a
    week, one each a draw; `scatter` of weeks around them.
    """

    levels: NDArray[np.float64]
    slopes: NDArray[np.float64]
    scatter: NDArray[np.float64]


def weekly_peaks(usage: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """Highest sample of each whole week before `end`: weeks (their ends) x names; a week with
    samples on fewer than four of its days has none.
    """
    back = (end - pd.DatetimeIndex(usage.index) - pd.Timedelta("1ns")) // _WEEK
    daily = usage.resample("1D").max()
    of_day = (end - pd.DatetimeIndex(daily.index) - pd.Timedelta("1ns")) // _WEEK
    peaks = usage.groupby(np.asarray(back)).max()
    days = daily.notna().groupby(np.asarray(of_day)).sum().reindex(peaks.index, fill_value=0)
    found = peaks.where(days >= _FEWEST_DAYS)
    found.index = pd.DatetimeIndex([end - week * _WEEK for week in found.index])
    return found.sort_index().dropna(how="all")


def week_numbers(peaks: pd.DataFrame | pd.Series[float]) -> NDArray[np.float64]:
    """Weeks from the last row to each."""
    ends = pd.DatetimeIndex(peaks.index)
    return np.asarray((ends - ends.max()) / _WEEK, dtype=np.float64)


def sample_lines(weeks: NDArray[np.float64], peaks: NDArray[np.float64]) -> Lines | None:
    """Lines by least squares through weeks whose scatter was drawn anew; None with too few weeks.

    The same peaks give the same lines. One week far from all others does not make a trend.

    Args:
        weeks: numbers of the weeks, rising.
        peaks: of each week; NaN = none.
    """
    known = np.isfinite(peaks)
    if known.sum() < FEWEST_WEEKS:
        return None
    weeks = weeks[known] - weeks[known][-1]
    values = _without_outlier(weeks, peaks[known])[None, :]
    slope, level = _fit(weeks, values)
    free = len(weeks) / (len(weeks) - 2)  # two were spent on the line
    scatter = np.asarray((values[0] - level - slope * weeks) * np.sqrt(free), np.float64)
    drawn = scatter[bootstrap_positions(_SEED, len(weeks), (_DRAWS, len(weeks)))]
    rows: NDArray[np.float64] = np.asarray(level + slope * weeks + drawn, np.float64)
    slopes, levels = _fit(weeks, rows)
    return Lines(levels, slopes, scatter)


@lru_cache(maxsize=64)
def bootstrap_positions(seed: int, weeks: int, shape: tuple[int, int]) -> NDArray[np.intp]:
    """Positions of weeks, drawn with replacement: the same for every service of a fleet."""
    return np.random.default_rng(seed).integers(0, weeks, shape)


def _without_outlier(weeks: NDArray[np.float64], peaks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weekly peaks, each at most so many deviations from a line that a single week cannot bend.

    The line has the median slope between weeks (Sen, "Estimates of the regression coefficient based
    on Kendall's tau", JASA 63, 1968), the deviation is 1.48 times the median distance from it.
    """
    first, last = np.triu_indices(len(weeks), 1)
    slopes = np.sort((peaks[last] - peaks[first]) / (weeks[last] - weeks[first]))
    # of four weeks half of the slopes are one week's: of the two in the middle the flatter counts
    slope = min(slopes[(len(slopes) - 1) // 2], slopes[len(slopes) // 2], key=abs)
    line = np.median(peaks - slope * weeks) + slope * weeks
    spread = 1.48 * np.median(np.abs(peaks - line))
    room = np.maximum(_FAR * spread, _LEAST_ROOM * np.abs(line))
    return np.asarray(np.clip(peaks, line - room, line + room), np.float64)


def trend_of(peaks: pd.Series[float]) -> Trend | None:
    """The trend of weekly peaks; None with fewer than four weeks."""
    lines = sample_lines(week_numbers(peaks), np.asarray(peaks, np.float64))
    if lines is None:
        return None
    low, high = np.quantile(lines.slopes, _EDGES)
    middle, level = float(np.median(lines.slopes)), float(np.median(lines.levels))
    return Trend(level, middle, float(low), float(high), int(peaks.notna().sum()))


def _fit(
    weeks: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope, and level at week 0, of each row."""
    centred = weeks - weeks.mean()
    slopes = rows @ centred / float(centred @ centred)
    return slopes, rows.mean(axis=1) - slopes * weeks.mean()


@dataclass(frozen=True)
class ServiceTrend:
    """How a service's weekly peaks move, in cores or bytes.

    Attributes:
        service: `project/service`.
        resource: what is used.
        peak: highest of the quarter.
        quarter: trend of its 13 weeks; None with too few.
        archive: trend of all archived weeks; None where there are no more than the quarter's.
        limit: in force, NaN without one.
    """

    service: str
    resource: Resource
    peak: float
    quarter: Trend | None
    archive: Trend | None
    limit: float
