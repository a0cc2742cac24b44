"""Services that idle for half of the day or more: jobs of every night, of every weekday, and
whatever else works now and then.

The pre-trained forest has seen few of them, takes one for a service that bursts, and gives it up to
twenty times its peak. On real traces, of 2,800 service-weeks of idle services whose past had not
shown higher peaks, one in four passed the trailing peak, and the logs of what they passed it by
fell off like exponentials: the faster, the more alike daily peaks were, and the shorter the work.
The constants here come from them; the peak model was trained on the same traces.
"""

from __future__ import annotations

import numpy as np

from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._models.peak_distribution import MARGINS
from capacity.forecasting._models.peak_features import RECENT, WEEK, highest, log_size
from capacity.forecasting._quantiles import Floats

__all__ = ["idle_bound"]

_DAYS = 28  # looked at
_PAIRS, _FEW_PAIRS = 10, 6  # of days a lag apart, at least; fewer do where all are the same
_SAME = 0.05  # change of a peak
_EXCEPTIONS = 2  # changes that do not count: a night on which the job failed
_NOTHING = 0.1  # of the highest peak; daily peaks below are all alike
_IDLE = 0.1  # median use over the highest peak: an idle service has at most this
_PASSED = 0.25  # chance that a week passes the trailing peak
_OTHERS = 0.012  # of weeks are like no other; theirs fall off at a scale of 1
_SCALE = 0.2  # of the exponential, for short work with daily peaks that are alike
_LONG, _SHORT_MEAN, _LONG_MEAN = 0.15, 0.05, 0.1  # more where the mean is more of the peak
_CHANGES = ((0.1, 0.4, 0.55, 0.85, 1.2), (0.0, 0.15, 0.3, 0.2, 0.1))
# more by how daily peaks change; those that change most have shown how high they go


def idle_bound(days: Floats) -> Floats:
    """What the chance of each margin is at most: services x `MARGINS`, 1 where nothing bounds it.

    Args:
        days: daily summaries, days x services x `STATS`, at the present level.
    """
    recent = days[-_DAYS:]
    peaks, top = recent[:, :, 0], highest(recent[:, :, 0])
    known = np.nan_to_num(recent[:, :, STATS.index("known")])
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = _mean_of(recent, "p50", known) / top
        mean = _mean_of(recent, "mean", known) / top
        higher = log_size(highest(days[:, :, 0])) - log_size(highest(peaks[-RECENT:]))
    change = _change(peaks)
    scale = (
        _SCALE
        + _LONG * np.clip((mean - _SHORT_MEAN) / (_LONG_MEAN - _SHORT_MEAN), 0.0, 1.0)
        + np.interp(change, *_CHANGES)
    )
    idle = (middle <= _IDLE) & np.isfinite(change) & np.isfinite(scale + higher)
    beyond = np.maximum(MARGINS - higher[:, None], 0.0)
    with np.errstate(invalid="ignore"):
        bound = _PASSED * np.exp(-beyond / scale[:, None]) + _OTHERS * np.exp(-beyond)
    return np.where(idle[:, None] & (MARGINS > 0), bound, 1.0)


def _mean_of(days: Floats, stat: str, known: Floats) -> Floats:
    """A statistic over whole days: what is absent is idle."""
    return np.asarray(np.nansum(days[:, :, STATS.index(stat)] * known, axis=0) / len(days))


def _change(peaks: Floats) -> Floats:
    """Largest change of the log daily peak from one day to the next, or from one week to the next,
    whichever is smaller, but for the exceptions; inf where too few days are known.
    """
    with np.errstate(invalid="ignore"):
        logs = log_size(np.maximum(peaks, _NOTHING * highest(peaks)))
    logs[~np.isfinite(peaks)] = np.nan
    least = np.full(peaks.shape[1], np.inf)
    for lag in (1, WEEK):
        if len(logs) < lag + _FEW_PAIRS:
            continue
        changes = np.abs(logs[lag:] - logs[:-lag])
        pairs = np.isfinite(changes).sum(axis=0)
        ordered = -np.sort(-np.nan_to_num(changes, nan=0.0), axis=0)
        same = (pairs >= _FEW_PAIRS) & (ordered[0] <= _SAME)
        found = np.where(same, ordered[0], np.where(pairs >= _PAIRS, ordered[_EXCEPTIONS], np.inf))
        least = np.minimum(least, found)
    return least
