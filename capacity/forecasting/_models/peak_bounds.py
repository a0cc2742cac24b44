"""What the chance of a higher peak is at most, for services whose days show it: those that idle
for half of the day or more (jobs of every night or weekday), and those whose daily peaks are alike.

The pre-trained forest has seen few of either. It takes a job for a service that bursts, and gives
calm services, now and then, the leaf of restless ones: up to twenty times the peak. The chances
here are those that real traces showed, as sums of exponentials of the log of what passed the
trailing peak: of weeks like those before, and of the few that are like no other. The peak model
was trained on the same traces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._models.peak_distribution import MARGINS
from capacity.forecasting._models.peak_features import RECENT, WEEK, highest, log_size
from capacity.forecasting._quantiles import Floats

__all__ = ["peak_bound"]

_DAYS = 28  # looked at
_PAIRS, _FEW_PAIRS = 10, 6  # of days a lag apart, at least; fewer do where all are the same
_SAME = 0.05  # change of a peak
_EXCEPTIONS = 2  # changes that do not count: a night on which the job failed
_HOURLY = 2.0  # times the change: means of an hour hide half of it
_NOTHING = 0.1  # of the highest peak; daily peaks below are all alike
_IDLE = 0.1  # median use over the highest peak: an idle service has at most this
# idle services: 2,800 service-weeks whose past had not shown higher peaks
_PASSED = 0.25  # chance that a week passes the trailing peak
_OTHERS = 0.012  # share of weeks unlike those before; the scale of their exponential is 1
_SCALE = 0.2  # of the exponential, for short work with daily peaks that are alike
_LONG, _SHORT_MEAN, _LONG_MEAN = 0.15, 0.05, 0.1  # more where the mean is more of the peak
_IDLE_SCALE_BY_CHANGE = ((0.1, 0.4, 0.55, 0.85, 1.2), (0.0, 0.15, 0.3, 0.2, 0.1))
# more by how daily peaks change; those that change most have shown how high they go
# the others: 930 service-weeks after two weeks of history, 290 after four
_KNOWN = 14  # daily peaks; after ten alike, one service-week in eight reached four times the peak
_CALM_CHANGE = (0.0, 0.02, 0.05, 0.1, 0.15, 0.3, 0.4)  # of daily peaks; beyond, none is bounded
_CALM_PASSED = (0.4, 0.4, 0.4, 0.4, 0.5, 1.0, 1.0)
_CALM_SCALE = (0.005, 0.01, 0.03, 0.06, 0.2, 0.3, 0.3)
_CALM_OTHERS = (0.025, 0.025, 0.045, 0.045, 0.15, 0.2, 0.6)
_LONGER = 0.55  # times `_CALM_OTHERS` where the peaks of all `_DAYS` are known


@dataclass(frozen=True)
class _Days:
    """What the last days of each service were like.

    Attributes:
        middle, mean: use, over the highest peak.
        change: of the log daily peaks, see `_change`.
        known: daily peaks.
        beyond: services x `MARGINS`, log of what passes the highest peak.
    """

    middle: Floats
    mean: Floats
    change: Floats
    known: Floats
    beyond: Floats


def peak_bound(days: Floats, horizon: int = WEEK, *, shown: bool = True) -> Floats:
    """What the chance of each margin is at most: services x `MARGINS`, 1 where nothing bounds it.

    Args:
        days: daily summaries, days x services x `STATS`, at the present level.
        horizon: days ahead; each week of them has the same chance.
        shown: count from the highest peak there ever was, and from where growth will lead, not from
            the trailing peak.
    """
    weeks = max(horizon / WEEK, 1.0)
    seen = _seen(days, weeks, shown=shown)
    idle = (seen.middle <= _IDLE) & np.isfinite(seen.change + seen.mean)
    calm = (seen.middle > _IDLE) & (seen.change <= _CALM_CHANGE[-1]) & (seen.known >= _KNOWN)
    higher = (MARGINS > 0) & np.isfinite(seen.beyond)
    bound = np.where(idle[:, None] & higher, _idle(seen), 1.0)
    bound = np.where(calm[:, None] & higher, _calm(seen), bound)
    return np.asarray(1.0 - (1.0 - bound) ** weeks)


def _idle(seen: _Days) -> Floats:
    """Chances of services that idle for half of the day or more: services x `MARGINS`."""
    scale = (
        _SCALE
        + _LONG * np.clip((seen.mean - _SHORT_MEAN) / (_LONG_MEAN - _SHORT_MEAN), 0.0, 1.0)
        + np.interp(seen.change, *_IDLE_SCALE_BY_CHANGE)
    )
    return _chance(seen, np.full(len(scale), _PASSED), scale, np.full(len(scale), _OTHERS))


def _calm(seen: _Days) -> Floats:
    """Chances of services whose daily peaks are alike: services x `MARGINS`."""
    passed, scale, others = (
        np.interp(seen.change, _CALM_CHANGE, each)
        for each in (_CALM_PASSED, _CALM_SCALE, _CALM_OTHERS)
    )
    return _chance(
        seen, passed, scale, others * np.interp(seen.known, (_KNOWN, _DAYS), (1.0, _LONGER))
    )


def _chance(seen: _Days, passed: Floats, scale: Floats, others: Floats) -> Floats:
    """Chance that a week passes each margin: services x `MARGINS`. It is the sum of an exponential
    for weeks like those before (`passed` at 0, `scale`) and one for the `others`, unlike them.
    """
    with np.errstate(invalid="ignore"):
        usual = passed[:, None] * np.exp(-seen.beyond / scale[:, None])
        return np.minimum(usual + others[:, None] * np.exp(-seen.beyond), 1.0)


def _seen(days: Floats, weeks: float, *, shown: bool) -> _Days:
    recent = days[-_DAYS:]
    peaks, top = recent[:, :, 0], highest(recent[:, :, 0])
    known = np.nan_to_num(recent[:, :, STATS.index("known")])
    with np.errstate(invalid="ignore", divide="ignore"):
        middle, mean = (_mean_of(recent, stat, known) / top for stat in ("p50", "mean"))
        higher = log_size(highest(days[:, :, 0])) - log_size(highest(peaks[-RECENT:]))
    lead = np.maximum(higher, weeks * _growth(peaks)) if shown else np.zeros(len(higher))
    beyond = np.maximum(MARGINS - lead[:, None], 0.0)
    count = np.isfinite(peaks).sum(axis=0).astype(np.float64)
    change = np.where(_of_hours(recent), _HOURLY, 1.0) * _change(peaks)
    return _Days(middle, mean, change, count, beyond)


def _of_hours(days: Floats) -> NDArray[np.bool_]:
    """Whether the samples are means of an hour: no day's peak is above its highest hour."""
    with np.errstate(invalid="ignore"):
        above = days[:, :, 0] > days[:, :, STATS.index("hour")] * (1 + 1e-9)
    return np.asarray(~above.any(axis=0))


def _growth(peaks: Floats) -> Floats:
    """Log of the highest peak of the last week over that of the week before; 0 where it is lower or
    unknown.
    """
    with np.errstate(invalid="ignore"):
        rise = log_size(highest(peaks[-WEEK:])) - log_size(highest(peaks[-2 * WEEK : -WEEK]))
    return np.asarray(np.fmax(rise, 0.0))


def _mean_of(days: Floats, stat: str, known: Floats) -> Floats:
    """A statistic over whole days, by service, since its first known one: what is absent later is
    idle.
    """
    there = np.isfinite(days[:, :, 0])
    age = np.where(there.any(axis=0), len(days) - there.argmax(axis=0), 1)
    return np.asarray(np.nansum(days[:, :, STATS.index(stat)] * known, axis=0) / age)


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
