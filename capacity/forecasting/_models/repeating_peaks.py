"""Services whose peaks repeat, from day to day or from week to week: jobs of every night, of every
weekday, and whatever else does the same over and over.

The pre-trained forest takes a service that idles between its peaks for one that bursts, and gives
such a job many times its peak. On real traces, of some 1,300 service-days before which daily peaks
changed by less than a tenth and had never been higher, 0.5 % were followed by a week that passed
twice the peak. The constants here come from them; the peak model was trained on the same traces.
"""

from __future__ import annotations

import numpy as np

from capacity.forecasting._models.peak_distribution import MARGINS, falling
from capacity.forecasting._models.peak_features import RECENT, WEEK, highest, log_size
from capacity.forecasting._quantiles import Floats

__all__ = ["narrowed", "repeating_bound"]

_DAYS = 28  # in which peaks have to repeat
_PAIRS = 10  # of days a lag apart, at least
_EXCEPTIONS = 2  # changes that do not count: a night on which the job failed
_IDLE = 0.1  # of the highest peak; lower ones are all alike
_LEAST = float(np.log(1.5))  # margin of peaks that repeat exactly, four weeks known
_SAME, _SLOPE = 0.05, 8.6  # changes up to, and margin for each by which they are larger
_UNSEEN = 0.04  # margin for each of the days that is not known
_RARE = 0.01  # chance that a bound is passed by


def repeating_bound(peaks: Floats) -> Floats:
    """Log of the multiple of the trailing peak that one coming peak in a hundred passes at most;
    inf where the peaks do not repeat.

    Args:
        peaks: daily peaks, days x services, NaN = no sample.
    """
    with np.errstate(invalid="ignore"):
        higher = log_size(highest(peaks)) - log_size(highest(peaks[-RECENT:]))
    recent = peaks[-_DAYS:]
    known = np.isfinite(recent)
    change = _change(recent)
    unseen = _UNSEEN * (_DAYS - known.sum(axis=0))
    bound = _LEAST + _SLOPE * np.maximum(change - _SAME, 0.0) + unseen + higher
    return np.where(np.isfinite(change), bound, np.inf)


def narrowed(chances: Floats, bounds: Floats) -> Floats:
    """Chances by `MARGINS`, those above the trailing peak drawn in so that none passes its bound
    with a chance of more than one in a hundred.

    Args:
        chances: services x `MARGINS`.
        bounds: logs of multiples of the trailing peak, by service; inf = as they are.
    """
    answer = chances.copy()
    for place in np.flatnonzero(np.isfinite(bounds)):
        row = chances[place]
        rare = float(np.interp(-_RARE, -falling(row), MARGINS))
        if rare > bounds[place]:
            stretch = rare / bounds[place]
            at = np.where(MARGINS > 0, MARGINS * stretch, MARGINS)
            answer[place] = np.interp(at, MARGINS, row, right=0.0)
    return answer


def _change(peaks: Floats) -> Floats:
    """Largest change of the log daily peak from one day to the next, or from one week to the next,
    whichever is smaller, but for the exceptions; inf where too few days are known.
    """
    with np.errstate(invalid="ignore"):
        logs = log_size(np.maximum(peaks, _IDLE * highest(peaks)))
    logs[~np.isfinite(peaks)] = np.nan
    least = np.full(peaks.shape[1], np.inf)
    for lag in (1, WEEK):
        if len(logs) < lag + _PAIRS:
            continue
        changes = np.abs(logs[lag:] - logs[:-lag])
        enough = np.isfinite(changes).sum(axis=0) >= _PAIRS
        ordered = -np.sort(-np.nan_to_num(changes, nan=0.0), axis=0)
        least = np.where(enough, np.minimum(least, ordered[_EXCEPTIONS]), least)
    return least
