"""The maximum over the horizon, modelled directly.

The maximum of marginal quantiles is not the quantile of the maximum, so past maxima are forecast as
such: the peak of a window is a base (an earlier peak) plus a multiple of the height of that peak
over the usual level. The multiples of all services and past windows form one pool: with three to
eight past weeks a service cannot show its own 0.99 quantile, a fleet can. Regional frequency
analysis does the same with floods (Hosking and Wallis, 1997: the index-flood method).

Every origin, past or present, looks back over the same length of history: a peak forecast from one
week misses by more than one forecast from four, and multiples learned from the former would be too
large for the latter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._models import weights
from capacity.forecasting._preprocessing import DAY
from capacity.forecasting._quantiles import Floats, Singles, row_quantiles, weighted_quantiles

__all__ = ["peak_quantiles"]

_LATEST_DAYS = (
    28  # older peaks, and how peaks followed on one another then, mislead more than they help
)
_BLOCKS = 7  # a window is at least this many blocks; origins lie a block apart
_SEEN = 2 / 3  # of what is not the window judged is looked back on
_GROUP_PEAKS = (
    60.0  # the fleet weighs like this many services of the same kind, seen at their median
)
# weeks of a whole fleet differ: the tail is asked for further out, the less so the more weeks were
# seen
_CAUTION = 0.25
_SHARPNESS = 10.0  # three independent weeks choose less surely than 168 hours do
_COUNT = 3  # bases
_LEAST_UNIT = 0.02  # of a service's whole spread
_FARTHEST = 60.0  # a multiple beyond says no more than this
_PRIOR_PEAKS = 8.0
# Multiples assumed before a fleet has shown its own: heavy tails on both sides, the middle at the
# base. Peaks of services are much like Pareto's law: at one chance in n the next peak is some n
# times 15 % of the height above.
_CHANCES = (np.arange(200) + 0.5) / 200
_PRIOR = 0.15 * ((1 - _CHANCES) ** -1.15 - 1.5) - 0.07 * (1 / _CHANCES - 1)


def peak_quantiles(tops: Singles, window: int, group: NDArray[np.intp], levels: Floats) -> Floats:
    """Quantiles of the maximum over the next `window` hours, in the units of `tops`: (services,
    quantiles).

    A window of more than a third of the history is judged by shorter ones: were they independent,
    the q-quantile of a maximum over n of them is the q^(1/n)-quantile of the maximum over one.

    Args:
        tops: (services, hours) hourly maxima, NaN where nothing was seen.
        window: hours ahead.
        group: (services,) kind of each service.
        levels: (quantiles,).
    """
    tops = tops[:, -max(_LATEST_DAYS * DAY, 4 * window) :]
    hours = tops.shape[1]
    judged = max(1, min(window, hours // 3))
    block = max(1, judged // _BLOCKS)
    ahead, count = judged // block, hours // block
    seen = max(1, int((count - ahead) * _SEEN))
    blocks = _top(tops[:, hours - count * block :].reshape(len(tops), count, block))
    backs = range(ahead, count - seen + 1)

    def before(end: int) -> Singles:
        """The hours of the last blocks before one."""
        late = hours - (count - end) * block
        return tops[:, max(0, late - seen * block) : late]

    past = [_bases(blocks[:, : count - back], before(count - back), seen, ahead) for back in backs]
    bases, heights = (np.array([p[i] for p in past]).reshape(-1, len(tops), _COUNT) for i in (0, 1))
    actual = np.array(
        [_top(blocks[:, count - back : count - back + ahead]) for back in backs]
    ).reshape(-1, len(tops))
    errors = np.clip((actual[:, :, None] - bases) / heights, -_FARTHEST, _FARTHEST)
    bases_now, height_now = _bases(blocks, before(count), seen, ahead)
    bases_now = np.where(np.isfinite(bases_now), bases_now, _top(tops)[:, None])
    height_now = np.where(np.isfinite(height_now), height_now, 1.0)
    weeks = len(past) / ahead + 1
    asked = 1 - (1 - levels ** (ahead * block / window)) ** (1 + _CAUTION * levels / weeks)
    steps = _pooled(errors, group, asked, weeks)
    share = _shares(errors, height_now, steps, asked)
    return np.sort(
        ((bases_now[:, :, None] + height_now[:, :, None] * steps) * share).sum(axis=1), axis=1
    )


def _bases(blocks: Floats, hours: Singles, seen: int, ahead: int) -> tuple[Floats, Floats]:
    """Earlier peaks to start from and their heights over the usual level, two (services, bases);
    NaN where nothing was seen.

    The bases: the last window's peak, the highest seen, and the quantile of blocks that, were they
        independent, is the median of
    the maximum over a window of them.

    Args:
        blocks: (services, blocks) maxima up to an origin.
        hours: (services, hours) the same time by the hour.
        seen: blocks looked back on.
        ahead: blocks of a window.
    """
    part = blocks[:, -seen:]
    highest, last = _top(part), _top(part[:, -ahead:])
    typical = row_quantiles(part, np.array([0.5 ** (1 / ahead)]))[:, 0]
    bases = np.stack([np.where(np.isfinite(last), last, highest), typical, highest], axis=1)
    low, middle, high = np.moveaxis(
        row_quantiles(hours, np.array([0.25, 0.5, 0.9])).astype(np.float64), -1, 0
    )
    over = 0.7 * (bases - middle[:, None]) + 0.3 * (high - low)[:, None]
    wander = np.abs(bases[:, 0] - highest)[:, None]
    return bases, np.maximum(over, 0) + 0.3 * wander + _LEAST_UNIT


def _top(rows: Floats | Singles) -> Floats:
    """Maximum along the last axis, gaps left out."""
    there = np.isfinite(rows)
    return np.where(
        there.any(axis=-1), np.where(there, rows, -np.inf).max(axis=-1, initial=-np.inf), np.nan
    ).astype(np.float64)


def _pooled(errors: Floats, group: NDArray[np.intp], levels: Floats, weeks: float) -> Floats:
    """Quantiles of the multiples, by kind of service shrunk to the fleet: (services, bases,
    quantiles).
    """
    services = errors.shape[1]
    out = np.zeros((services, errors.shape[2], len(levels)))
    for base in range(errors.shape[2]):
        table = errors[:, :, base]
        there = np.isfinite(table)
        having = there.any(axis=0)
        fleet = _with_prior(table[there], int(having.sum()), levels, weeks)
        for kind in np.unique(group):
            of_kind = group == kind
            members = int((having & of_kind).sum())
            mine = _with_prior(table[:, of_kind][there[:, of_kind]], members, levels, weeks)
            # Of the peaks of a kind only those beyond a quantile say where it lies.
            heard = members * 4 * levels * (1 - levels)
            out[of_kind, base] = (heard * mine + _GROUP_PEAKS * fleet) / (heard + _GROUP_PEAKS)
    return out


def _with_prior(values: Floats, members: int, levels: Floats, weeks: float) -> Floats:
    """Conformal quantiles of past multiples; overlapping windows of one service count as the weeks
    they span.
    """
    each = weeks * members / len(values) if len(values) else 0.0
    sample = np.concatenate([values, _PRIOR])
    return weighted_quantiles(
        sample,
        np.concatenate(
            [np.full(len(values), each), np.full(len(_PRIOR), _PRIOR_PEAKS / len(_PRIOR))]
        ),
        levels,
    )


def _shares(errors: Floats, height: Floats, steps: Floats, levels: Floats) -> Floats:
    """Weights of the bases, (services, bases, quantiles), from their past pinball losses as for all
    candidates.
    """
    services, bases = errors.shape[1:]
    losses = np.full((len(errors), services, len(levels), bases), np.nan)
    for number, level in enumerate(levels):
        gap = (errors - steps[None, :, :, number]) * height
        losses[:, :, number] = np.where(gap > 0, level * gap, (level - 1) * gap)
    if len(errors):
        relative, count = weights.own_losses(losses.mean(axis=0, keepdims=True), np.ones(1))
        count = count * 3.0
    else:
        relative, count = np.full((services, len(levels), bases), np.nan), np.zeros(services)
    fleet = weights.fleet_losses(relative, np.ones(bases))
    share = weights.weights(relative, count, fleet, np.ones(bases, np.float32), _SHARPNESS)
    return share.transpose(0, 2, 1).astype(np.float64)
