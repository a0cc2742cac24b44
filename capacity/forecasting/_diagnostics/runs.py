"""Jobs: services that run again and again for a while and are gone in between.

A run is a stretch of samples between gaps of half an hour or more; an hour in which nothing of the
fleet was measured ends none. Three runs that take less than half of the time make a job: the gap
after its last run is part of its rhythm and no stop, and its runs are the samples to size it by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._quantiles import Floats

__all__ = ["Job", "find_jobs"]

_GAP = 1800  # seconds without a sample that end a run
_LEAST_RUNS = 3
_MOST_BUSY = 0.5  # share of the time that a job runs at most
_LATE = 1.5  # times its longest gap: a job silent for longer has stopped
_DAY, _HOUR = 86_400, 3600
_REGULAR = 0.1  # share of the gap that gaps differ by, for a rhythm to be named


@dataclass(frozen=True)
class Job:
    """How one service runs.

    Attributes:
        runs: how many were seen.
        length: median length of a run, seconds.
        gap: median time from the end of a run to the start of the next, seconds.
        longest_gap: the longest of them, seconds.
        silent: seconds since its last sample.
        start: usual second of the day at which it starts, UTC; NaN where runs are no day or week
            apart.
    """

    runs: int
    length: float
    gap: float
    longest_gap: float
    silent: float
    start: float

    @property
    def waiting(self) -> bool:
        """Whether its next run is not overdue."""
        return self.silent <= _LATE * max(self.longest_gap, _HOUR)

    @property
    def rhythm(self) -> str:
        """For people, such as `daily at 02:00, for 20 min`."""
        period = self.gap + self.length
        length = _span(self.length)
        for name, span in (("daily", _DAY), ("weekly", 7 * _DAY)):
            if abs(period - span) < _REGULAR * span and np.isfinite(self.start):
                hour, minute = divmod(round(self.start / 60) % 1440, 60)
                return f"{name} at {hour:02d}:{minute:02d} UTC, for {length}"
        return f"every {_span(period)}, for {length}"


def find_jobs(values: Floats, step: float, first: float) -> dict[int, Job]:
    """Columns that are jobs, of samples x services.

    Args:
        values: NaN = no sample.
        step: seconds between rows.
        first: Unix time of the first row, seconds.
    """
    there = np.isfinite(values)
    if not there.any():
        return {}
    rows = np.flatnonzero(there.any(axis=1))
    if len(rows) < _MOST_BUSY * len(there):  # a fleet of jobs alone: its silence is no outage
        rows = np.arange(len(there))
    there = there[rows]
    gap = max(2, round(_GAP / step))
    found = {}
    # a service that is there for most of its life is none: a cheap sieve
    begin, end = _ends(there)
    busy = there.sum(axis=0) / np.maximum(end - begin, 1)
    for column in np.flatnonzero((there.sum(axis=0) > 0) & (busy < _MOST_BUSY)):
        job = _job(np.flatnonzero(there[:, column]), gap, len(rows), step, first, rows)
        if job is not None:
            found[int(column)] = job
    return found


def _ends(there: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First row with a sample, and the row after the last, by column."""
    if not len(there):
        none = np.zeros(there.shape[1], np.intp)
        return none, none
    return there.argmax(axis=0), len(there) - there[::-1].argmax(axis=0)


def _job(
    seen: NDArray[np.intp],
    gap: int,
    count: int,
    step: float,
    first: float,
    rows: NDArray[np.intp],
) -> Job | None:
    """The rhythm of one service from the rows with samples, or None where it is no job."""
    breaks = np.flatnonzero(np.diff(seen) > gap)
    starts = seen[np.concatenate([[0], breaks + 1])]
    ends = seen[np.concatenate([breaks, [len(seen) - 1]])]
    if len(starts) < _LEAST_RUNS:
        return None
    lengths = (ends - starts + 1) * step
    gaps = (starts[1:] - ends[:-1] - 1) * step
    day = (first + rows[starts] * step) % _DAY
    angle = np.angle(np.exp(2j * np.pi * day / _DAY).mean()) % (2 * np.pi)
    return Job(
        runs=len(starts),
        length=float(np.median(lengths)),
        gap=float(np.median(gaps)),
        longest_gap=float(gaps.max()),
        silent=float((count - 1 - seen[-1]) * step),
        start=float(angle / (2 * np.pi) * _DAY),
    )


def _span(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 1.5 * _HOUR:
        return f"{max(1, round(seconds / 60))} min"
    if seconds < 1.5 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} days"
