"""Limits for a fleet from its distributions of the coming peak: the mean chance is the risk, spent
where it saves most.

The choice is a smooth rule: the only link between services is a few clipped means, so what happens
to one moves the others little.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from capacity.forecasting import PeakDistribution
from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._models.peak_distribution import MARGINS, falling
from capacity.forecasting._models.peak_features import highest
from capacity.sizing._policies.base import Floats

__all__ = ["choose_limits", "spike_limits"]

_LOG_STEP = 0.1
_LOG_CHANCES: Floats = np.arange(np.log(0.98), np.log(2e-4), -_LOG_STEP)
_KNOWN = STATS.index("known")
# what more than an hour of a day passes: a quantile of its samples, by how many of them are known
_SUSTAINED = ((0.9, STATS.index("p95")), (0.5, STATS.index("p90")), (0.1, STATS.index("p50")))
# weight of the fleet's total in the cost, by margin; the rest is relative
_MONEY = (0.24, 0.12, 0.30)
_PLACES = (-1.0, 0.0, float(np.log(2.0)))
_SHARPNESS, _SHARP_FROM = 0.85, 60.0  # of following the cost; half at so many services
_FEW = 30.0  # services; of fewer, each would move the others through what all of them cost
_SMOOTHED = 8  # steps of the log chance that a margin is averaged over, to either side
# where the slope of the cost is taken, around the risk
_BELOW, _ABOVE = float(np.log(3.0)), float(np.log(10.0))
_SIZES = 50.0  # a service counts as so many typical ones at most
_ASKED = (0.2, 0.1, 0.05, 0.02, 0.01)
_RESCALED = (1.15, 1.15, 1.3, 1.6, 1.6)  # of the risk, so that realised is near asked
_OTHER_DAYS = 2  # that show what is usual, at least
_SPIKE = 2.0  # an isolated short spike buys this multiple of the highest other peak
# unless such spikes are common in a large fleet
_COMMON, _COMMON_SLOPE, _COMMON_FROM = 0.04, 40.0, 50.0


def choose_limits(
    peaks: PeakDistribution,
    risks: Sequence[float],
    days: Floats | None = None,
    *,
    rescale: bool = True,
) -> Floats:
    """Limits, risks x services: the fleet's mean chance is each risk, spent where it saves most.

    The best chance of a service is proportional to what halving it would cost: the first-order
    condition of least cost at a given mean chance. The cost is a mixture of the fleet's total and
    of each service's own relative cost.

    Args:
        peaks: the distribution.
        risks: mean chances asked.
        days: daily summaries, to bound what an isolated short spike buys; None = unbounded.
        rescale: correct the risk for what was learned of realised over asked.
    """
    known = np.flatnonzero(peaks.base > 0)
    limits = np.full((len(risks), len(peaks.base)), np.nan)
    limits[:, peaks.base == 0] = 0.0
    if len(known):
        base = peaks.base[known]
        margins = smoothed_margins(peaks.chances[known])
        cost = _cost(margins, base)
        tops = (
            _spike_tops(days[:, known], base) if days is not None else np.full(len(known), np.inf)
        )
        for number, risk in enumerate(risks):
            asked = risk * _factor(risk) if rescale else risk
            chosen = _read(margins, _log_chances(cost, min(asked, 0.9)))
            limits[number, known] = np.exp(np.minimum(chosen, tops)) * base
        limits[:, known] = _monotone(limits[:, known], risks)
    return limits


def spike_limits(peaks: PeakDistribution, days: Floats) -> Floats:
    """What an isolated short spike buys each service at most, in the unit of the usage; inf where
    its highest day is none.
    """
    limits = np.full(len(peaks.base), np.inf)
    known = np.flatnonzero(peaks.base > 0)
    if len(known):
        base = peaks.base[known]
        limits[known] = np.exp(_spike_tops(days[:, known], base)) * base
    return limits


def smoothed_margins(chances: Floats) -> Floats:
    """Services x log chances: the margin at each chance, averaged over neighbouring chances."""
    rows = np.stack([np.interp(-_LOG_CHANCES, -np.log(falling(row)), MARGINS) for row in chances])
    padded = np.pad(rows, ((0, 0), (_SMOOTHED, _SMOOTHED)), mode="edge")
    sums = np.cumsum(np.pad(padded, ((0, 0), (1, 0))), axis=1)
    width = 2 * _SMOOTHED + 1
    return np.asarray((sums[:, width:] - sums[:, :-width]) / width)


def _cost(margins: Floats, base: Floats) -> Floats:
    """What each service costs at each log chance, on a scale of its own: services x log chances."""
    logs = np.log(base)
    size = np.clip(np.exp(logs - _centre(logs, 2.0)), 1 / _SIZES, _SIZES)
    between = (MARGINS[1:] + MARGINS[:-1]) / 2
    weight = np.interp(between, _PLACES, _MONEY)
    total = np.concatenate([[0.0], np.cumsum(weight * np.diff(np.exp(MARGINS)))])
    typical = np.concatenate([[0.0], np.cumsum((1 - weight) * np.diff(MARGINS))])
    return np.asarray(
        np.interp(margins, MARGINS, total) * size[:, None] + np.interp(margins, MARGINS, typical)
    )


def _log_chances(cost: Floats, risk: float) -> Floats:
    """Log chance of each service: more than the risk where lowering it costs more, and less."""
    count = len(cost)
    at = np.full(count, np.log(risk))
    low, high = at - _BELOW, np.minimum(at + _ABOVE, np.log(0.9))
    slope = np.log(np.maximum((_read(cost, low) - _read(cost, high)) / (high - low), 1e-6))
    bound = min(2.5, 1.0 + count / 50)
    sharp = _SHARPNESS * count / (count + _SHARP_FROM) * min(1.0, count / _FEW)
    tilt = sharp * np.clip(slope - _centre(slope, 1.0), -bound, bound)
    return np.asarray(at + tilt - np.log(np.mean(np.exp(tilt))))


def _read(table: Floats, log_chances: Floats) -> Floats:
    """Each row at its own log chance, linearly between columns."""
    place = np.clip((_LOG_CHANCES[0] - log_chances) / _LOG_STEP, 0, table.shape[1] - 1.001)
    low = place.astype(np.intp)
    share, rows = place - low, np.arange(len(table))
    return np.asarray((1 - share) * table[rows, low] + share * table[rows, low + 1])


def _centre(values: Floats, width: float) -> float:
    """Huber's location: no value counts as further than `width` from it."""
    centre = float(np.median(values))
    for _ in range(20):
        centre += float(np.mean(np.clip(values - centre, -width, width)))
    return centre


def _factor(risk: float) -> float:
    return float(np.interp(-np.log(risk), -np.log(_ASKED), _RESCALED))


def _monotone(limits: Floats, risks: Sequence[float]) -> Floats:
    """No limit falls as the risk does."""
    order = np.argsort(-np.asarray(risks), kind="stable")
    answer = np.empty_like(limits)
    answer[order] = np.maximum.accumulate(limits[order], axis=0)
    return answer


def _spike_tops(days: Floats, base: Floats) -> Floats:
    """Highest margin where the highest day is a short spike over twice everything else, or inf."""
    peaks = days[:, :, 0]
    top = np.where(np.isfinite(peaks), peaks, -np.inf).argmax(axis=0)
    beside = np.abs(np.arange(len(peaks))[:, None] - top) <= 1
    other = np.where(beside, np.nan, peaks)
    bound = _SPIKE * highest(other)
    sustained = np.where(beside, _sustained(days), 0.0).max(axis=0)
    enough = np.isfinite(other).sum(axis=0) >= _OTHER_DAYS
    with np.errstate(invalid="ignore", divide="ignore"):
        isolated = enough & (bound > 0) & (highest(peaks) > bound) & (sustained <= bound)
        count = len(base)
        share = (isolated.sum() - isolated) / (count + 20.0)
        fleet = np.clip((count - _COMMON_FROM) / 100, 0.0, 1.0)
        room = _COMMON_SLOPE * np.maximum(share - _COMMON, 0.0) * fleet
        return np.where(isolated, np.log(bound / base) + room, np.inf)


def _sustained(days: Floats) -> Floats:
    """What each service used for more than an hour of each day, days x services; 0 where too little
    of the day is known to tell.
    """
    known = days[:, :, _KNOWN]
    return np.select(
        [known >= least for least, _ in _SUSTAINED], [days[:, :, at] for _, at in _SUSTAINED], 0.0
    )
