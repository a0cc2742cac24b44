"""Startup segments told apart from steady state: what a service uses just after a start, until it
settles.

A start is the first sample after a gap of half an hour (two steps at least), or the first ever
when that long after the first row. Its samples are a startup when they lie outside the band of the
day that follows and come back into it within three hours; use that never comes back is a new level,
not a startup. The steady state is learned without startups; peaks keep them, for a limit must hold
at a start as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._preprocessing import DAY, Grid, Scaled, hours_of
from capacity.forecasting._quantiles import Floats, row_quantiles

__all__ = [
    "COLUMNS",
    "Startups",
    "find_starts",
    "keep_peaks",
    "starts_after_gaps",
    "without_starts",
]

COLUMNS = (
    "count",
    "startups",
    "hours",
    "peak",
)  # starts; those with a startup; its longest, in hours; its highest use
_LEAST_GAP = 2  # rows; a single missing sample is no stop
_SETTLES = 3  # hours
_BAND = (0.05, 0.95)  # quantiles of the day that follows
_BESIDE = 0.75  # of the band's width beyond its ends is outside
_MOST_STARTS = 40  # a service that starts more often has no steady state to be told apart from


@dataclass(frozen=True)
class Startups:
    """Startup samples of some services.

    Attributes:
        row: row of each sample.
        column: service of each sample.
        table: (services, columns), see `COLUMNS`; length and peak are NaN without a startup.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    table: Floats


def find_starts(values: Floats, an_hour: int) -> Startups:
    """Startup samples in (rows, services), NaN where nothing was seen."""
    there = np.isfinite(values)
    begin, service = starts_after_gaps(there, an_hour)
    counts = np.bincount(service, minlength=values.shape[1]).astype(np.float64)
    kept = counts[service] <= _MOST_STARTS
    begin, service = begin[kept], service[kept]
    length = _lengths(values, begin, service, an_hour)
    row, column = _samples(begin, length), np.repeat(service, length)
    use = values[row, column]
    table = np.column_stack(
        [
            counts,
            np.bincount(service[length > 0], minlength=len(counts)),
            *np.full((2, len(counts)), np.nan),
        ]
    )
    np.fmax.at(table[:, 2], service[length > 0], length[length > 0] / an_hour)
    np.fmax.at(table[:, 3], column, use)
    known = np.isfinite(use)
    return Startups(row[known], column[known], table)


def without_starts(values: Floats, found: Startups) -> Floats:
    """The values with startups taken out."""
    if not len(found.row):
        return values
    out = values.copy()
    out[found.row, found.column] = np.nan
    return out


def keep_peaks(scaled: Scaled, values: Floats, found: Startups, grid: Grid) -> None:
    """Put the use of startups into the hourly maxima of scaled services."""
    hour = hours_of(grid)[0][found.row]
    unit = np.where(scaled.spread > 0, scaled.spread, 1.0)[found.column]
    use = (values[found.row, found.column] - scaled.centre[found.column]) / unit
    recent = hour >= 0
    np.fmax.at(
        scaled.tops,
        (found.column[recent], hour[recent]),
        np.clip(use, -1e7, 1e7).astype(np.float32)[recent],
    )


def starts_after_gaps(
    there: NDArray[np.bool_], an_hour: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and service of each start; the one definition of a start that forecasts and limits share.

    Args:
        there: rows x services, whether there is a sample.
        an_hour: rows in an hour.
    """
    gap = max(_LEAST_GAP, an_hour // 2)
    holed = np.flatnonzero(~there.all(axis=0))
    part = there[:, holed]
    rows = np.arange(len(part), dtype=np.int32)[:, None]
    last = np.maximum.accumulate(np.where(part, rows, np.int32(-1)), axis=0)
    before = np.concatenate([np.full_like(last[:1], -1), last[:-1]])
    row, column = np.nonzero(part & (rows - before > gap))
    return row.astype(np.intp), holed[column].astype(np.intp)


def _lengths(
    values: Floats, begin: NDArray[np.intp], service: NDArray[np.intp], an_hour: int
) -> NDArray[np.intp]:
    """Samples of each start's startup, 0 where it has none or never settles."""
    early, day = _SETTLES * an_hour, DAY * an_hour
    place = begin[:, None] + np.arange(early + day)
    inside = place < len(values)
    after = np.where(
        inside, values[np.minimum(place, max(len(values) - 1, 0)), service[:, None]], np.nan
    )
    settled = after[:, early:]
    low, high = np.moveaxis(row_quantiles(settled, np.array(_BAND)), -1, 0)
    beside = _BESIDE * (high - low) + 1e-9 * np.abs(high)
    within = (after[:, :early] >= (low - beside)[:, None]) & (
        after[:, :early] <= (high + beside)[:, None]
    )
    judged = within.any(axis=1) & (np.isfinite(settled).sum(axis=1) >= day // 2)
    return np.where(judged, within.argmax(axis=1), 0).astype(np.intp)


def _samples(begin: NDArray[np.intp], length: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows begin, begin + 1, ... of each startup, one after the other."""
    first = np.cumsum(length) - length
    return np.repeat(begin - first, length) + np.arange(length.sum())
