"""The maximum over the horizon, modelled directly.

The maximum of marginal quantiles is not the quantile of the maximum, so past maxima are forecast as such: the peak of a window is
a base (an earlier peak) plus a multiple of the height of that peak over the usual level. The multiples of all services
and past windows form one pool: with three to eight past weeks a service cannot show its own 0.99 quantile, a fleet can.
Regional frequency analysis does the same with floods (Hosking and Wallis, 1997: the index-flood method).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting import blend
from capacity.forecasting.grid import DAY
from capacity.forecasting.quantiles import Floats, Singles, row_quantiles, weighted_quantiles

__all__ = ["peak_quantiles"]

_BASES = ("last window", "last two windows", "highest", "mean of windows")
_MOST_ORIGINS = 15
_LATEST_DAYS = 28  # older peaks, and how peaks followed on one another then, mislead more than they help
_GROUP_PEAKS = 60.0  # the fleet weighs like this many services of the same kind
_CAUTION = 0.5  # a few weeks do not show the tail: it is asked for a little further out
_SHARPNESS = 10.0  # three independent weeks choose less surely than 168 hours do
_LEAST_UNIT = 0.02  # of a service's whole spread
_FARTHEST = 60.0  # a multiple beyond says no more than this
_PRIOR_PEAKS = 3.0  # and the prior like this many past peaks
# Multiples assumed before a fleet has shown its own: heavy tails on both sides, the middle at the base. Peaks of services are
# much like Pareto's law: at one chance in n the next peak is n times 3 % of the height above.
_CHANCES = (np.arange(200) + 0.5) / 200
_PRIOR = 0.03 / (1 - _CHANCES) - 0.03 / _CHANCES


def peak_quantiles(tops: Singles, window: int, group: NDArray[np.intp], levels: Floats) -> Floats:
    """Quantiles of the maximum over the next `window` hours, in the units of `tops`: (services, quantiles).

    Args:
        tops: (services, hours) hourly maxima, NaN where nothing was seen.
        window: hours ahead.
        group: (services,) kind of each service.
        levels: (quantiles,).
    """
    tops = tops[:, -max(_LATEST_DAYS * DAY, 4 * window) :]
    hours = tops.shape[1]
    window = max(1, min(window, hours // 2 if hours > 1 else 1))
    backs = _origins(hours, window)
    bases_now, height_now = _bases(tops, window)
    errors = np.full((len(backs), len(tops), len(_BASES)), np.nan)
    heights = np.full_like(errors, np.nan)
    for number, back in enumerate(backs):
        bases, height = _bases(tops[:, : hours - back], window)
        actual = _top(tops[:, hours - back : hours - back + window])
        errors[number] = np.clip((actual[:, None] - bases) / height, -_FARTHEST, _FARTHEST)
        heights[number] = height
    steps = _pooled(errors, group, levels)
    share = _shares(errors, height_now, steps, levels)
    blended = ((bases_now[:, :, None] + height_now[:, :, None] * steps) * share).sum(axis=1)
    unit = height_now.mean(axis=1)
    moved = _correction(errors, heights, steps, group, levels, min(hours / window - 1, 3.0))
    return np.sort(blended + moved * unit[:, None], axis=1)


def _correction(errors: Floats, heights: Floats, steps: Floats, group: NDArray[np.intp], levels: Floats, weeks: float) -> Floats:
    """What the choice among bases made too narrow, measured where it was not made: (services, quantiles).

    Weights from the older half of the origins are judged on the recent half, and the other way round.
    """
    count = len(errors)
    if count < 4:  # noqa: PLR2004 - two halves of two
        return np.zeros((errors.shape[1], len(levels)))
    missed = np.full((count, errors.shape[1], len(levels)), np.nan)
    halves = (np.arange(count) < count // 2, np.arange(count) >= count // 2)
    for learned, judged in (halves, halves[::-1]):
        share = _shares(errors[learned], heights[learned].mean(axis=0), steps, levels)
        unit = heights[judged].mean(axis=2)[:, :, None]
        # errors * height = actual - base; the blend is a weighted mean of base + height * step
        gap = (errors[judged] * heights[judged])[:, :, :, None] - heights[judged][:, :, :, None] * steps
        missed[judged] = (gap * share).sum(axis=2) / unit
    inflated = 1 - (1 - levels) ** (1 + _CAUTION * levels**6 / max(weeks, 1.0))
    out = np.zeros((errors.shape[1], len(levels)))
    for number in range(len(levels)):
        out[:, number] = _pooled(missed[:, :, number : number + 1], group, inflated[number : number + 1])[:, 0, 0]
    return out


def _origins(hours: int, window: int) -> list[int]:
    """Hours before the end at which a past peak is forecast: a seventh of the window apart, with some history before each."""
    apart = max(window // 7, 1)
    least = max(window, min(DAY, hours // 2))
    every = list(range(window, hours - least + 1, apart))
    return every[:_MOST_ORIGINS] if len(every) <= _MOST_ORIGINS else [every[i] for i in _spaced(len(every))]


def _spaced(count: int) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, count - 1, _MOST_ORIGINS).round().astype(np.intp))


def _top(rows: Singles) -> Floats:
    there = np.isfinite(rows)
    return np.where(there.any(axis=1), np.where(there, rows, -np.inf).max(axis=1, initial=-np.inf), np.nan).astype(np.float64)


def _bases(tops: Singles, window: int) -> tuple[Floats, Floats]:
    """Earlier peaks to start from, (services, bases), and the height of the last over the usual level, (services, bases)."""
    hours = tops.shape[1]
    count = max(1, min(4, hours // window))
    highest = _top(tops[:, -4 * max(window, 7 * DAY) :])
    whole = _top(tops)
    parts = np.stack([_top(tops[:, max(0, hours - (k + 1) * window) : hours - k * window]) for k in range(count)], axis=1)
    highest = np.where(np.isfinite(highest), highest, whole)
    parts = np.where(np.isfinite(parts), parts, highest[:, None])
    bases = np.stack([parts[:, 0], parts[:, :2].max(axis=1), highest, parts.mean(axis=1)], axis=1)
    recent = row_quantiles(tops[:, -max(window, DAY) :], np.array([0.25, 0.5, 0.9]))
    all_of_it = row_quantiles(tops, np.array([0.25, 0.5, 0.9]))
    recent = np.where(np.isfinite(recent), recent, all_of_it)
    height = 0.7 * (bases - recent[:, 1:2]) + 0.3 * (recent[:, 2:] - recent[:, :1])
    wander = parts.std(axis=1, keepdims=True)
    return bases, np.maximum(height, 0) + 0.3 * wander + _LEAST_UNIT


def _pooled(errors: Floats, group: NDArray[np.intp], levels: Floats) -> Floats:
    """Quantiles of the multiples, by kind of service shrunk to the fleet: (services, bases, quantiles)."""
    services = errors.shape[1]
    out = np.zeros((services, errors.shape[2], len(levels)))
    for base in range(errors.shape[2]):
        table = errors[:, :, base]
        there = np.isfinite(table)
        fleet = _with_prior(table[there], int(there.any(axis=0).sum()), levels)
        for kind in np.unique(group):
            of_kind = group == kind
            members = int((there.any(axis=0) & of_kind).sum())
            mine = _with_prior(table[:, of_kind][there[:, of_kind]], members, levels)
            out[of_kind, base] = (members * mine + _GROUP_PEAKS * fleet) / (members + _GROUP_PEAKS)
    return out


def _with_prior(values: Floats, members: int, levels: Floats) -> Floats:
    """Conformal quantiles of past multiples; overlapping windows of one service count as about three apart."""
    each = 3.0 * members / len(values) if len(values) else 0.0
    sample = np.concatenate([values, _PRIOR])
    return weighted_quantiles(
        sample, np.concatenate([np.full(len(values), each), np.full(len(_PRIOR), _PRIOR_PEAKS / len(_PRIOR))]), levels
    )


def _shares(errors: Floats, height: Floats, steps: Floats, levels: Floats) -> Floats:
    """Weights of the bases, (services, bases, quantiles), from their past pinball losses as for all candidates."""
    services, bases = errors.shape[1:]
    losses = np.full((len(errors), services, len(levels), bases), np.nan)
    for number, level in enumerate(levels):
        gap = (errors - steps[None, :, :, number]) * height
        losses[:, :, number] = np.where(gap > 0, level * gap, (level - 1) * gap)
    if len(errors):
        relative, count = blend.own_losses(losses.mean(axis=0, keepdims=True), np.ones(1))
        count = count * 3.0
    else:
        relative, count = np.full((services, len(levels), bases), np.nan), np.zeros(services)
    fleet = blend.fleet_losses(relative, np.ones(bases))
    share = blend.weights(relative, count, fleet, np.ones(bases, np.float32), _SHARPNESS)
    return share.transpose(0, 2, 1).astype(np.float64)
