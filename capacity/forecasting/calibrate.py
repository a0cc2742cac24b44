"""Conformal calibration: how far past forecasts missed, in units of each service's own uncertainty, pooled over the fleet.

A quantile is moved by the same quantile of its past scaled misses, so that it would have been right that often (conformalised
quantile regression: Romano, Patterson and Candes, NeurIPS 2019). One service has a handful of independent past weeks, far too
few for a 0.99 quantile; misses are therefore pooled, over services of one kind and over the fleet, after division by a scale
that each service sets itself (locally weighted conformal prediction; Lei et al., JASA 113, 2018).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting.grid import DAY
from capacity.forecasting.quantiles import Floats, Singles, level_index, row_quantiles

__all__ = ["GROUPS", "LEAD_PARTS", "kinds", "lead_part", "offsets", "uncertainty"]

GROUPS = ("idle", "bursty", "seasonal", "steady")
LEAD_PARTS = (DAY, 3 * DAY)  # the first day, the next two, the rest
_GROUP_SERVICES = 200.0  # the fleet weighs like this many services of the same kind
_OWN_MISSES = 400.0  # the group weighs like this many independent misses of a service's own
_PRIOR_SERVICES = 10.0  # the prior weighs like this many services of the fleet
_LEAD_SHARE = 0.5  # how much a lead part is heard against all leads together
_LEAST_UNIT = 0.02  # of a service's whole spread: a quiet stretch must not make the first stir look like a miracle


def lead_part(hours: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which lead part an hour ahead belongs to."""
    return np.digitize(hours, LEAD_PARTS)


def kinds(means: Singles, centre: Floats, spread: Floats) -> NDArray[np.intp]:
    """Kind of each service as an index into `GROUPS`, from its history alone: (services,).

    Idle: varies by less than 2 % of its level. Bursty: deviates by more than its mean, or the 99 % quantile is above four times the median.
    Seasonal: the hour of the day explains 30 % of the variance. Steady: the rest.
    """
    level = means.astype(np.float64) * spread[:, None] + centre[:, None]
    there = np.isfinite(level)
    count = np.maximum(there.sum(axis=1), 1)
    mean = np.where(there, level, 0).sum(axis=1) / count
    variance = np.where(there, (level - mean[:, None]) ** 2, 0).sum(axis=1) / count
    middle, high = np.moveaxis(row_quantiles(level, np.array([0.5, 0.99])), -1, 0)
    days = level.shape[1] // DAY
    table = level[:, level.shape[1] - days * DAY :].reshape(len(level), days, DAY)
    known = np.isfinite(table)
    profile = np.where(known, table - mean[:, None, None], 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    explained = (profile**2).mean(axis=1) > 0.3 * variance if days > 1 else np.zeros(len(level), bool)
    deviation = np.sqrt(variance)
    idle = (deviation <= 0.02 * np.abs(mean)) | (spread <= 0)
    bursty = (high > 4 * middle) | (deviation > mean)
    return np.select([idle, bursty, explained], [0, 1, 2], 3).astype(np.intp)


def uncertainty(forecast: Singles, samples: Singles, own: Floats, levels: Floats) -> Singles:
    """The unit a service's misses are measured in, by lead hour: (services, 168).

    The forecast's own width there, the history's width, the spread of its daily levels and the typical past loss: the last two grow when
    levels wander from day to day, which is what a width alone does not see.

    Args:
        forecast: (services, 168, quantiles).
        samples: (services, hours, samples) up to the origin.
        own: (services,) mean past pinball loss of the median, NaN when unknown.
        levels: (quantiles,).
    """
    low, high = level_index(levels, 0.1), level_index(levels, 0.9)
    local = forecast[:, :, high] - forecast[:, :, low]
    recent = samples[:, -14 * DAY :]
    wide = _width(recent.reshape(len(recent), -1), 0.1)
    days = recent.shape[1] // DAY
    table = recent[:, recent.shape[1] - days * DAY :].reshape(len(recent), days, -1)
    by_day = row_quantiles(table, np.array([0.5]))[:, :, 0] if days else np.zeros((len(recent), 1), np.float32)
    drift = _width(by_day, 0.05)
    past = np.where(np.isfinite(own), own, wide / 4)
    return np.asarray(0.7 * local + (0.3 * wide + 0.3 * drift + past + _LEAST_UNIT)[:, None], np.float32)


def _width(rows: Singles, tail: float) -> Floats:
    low, high = np.moveaxis(row_quantiles(rows, np.array([tail, 1 - tail])), -1, 0)
    return np.nan_to_num(high - low).astype(np.float64)


def offsets(misses: Singles, group: NDArray[np.intp], levels: Floats, samples_apart: float) -> Singles:
    """How far to move each quantile, in units of the uncertainty: (services, lead parts, quantiles).

    Args:
        misses: (services, origins, 168, samples, ) scaled `actual - forecast` for one quantile after another is asked through
            `levels`; shape (services, origins, 168, samples, quantiles).
        group: (services,) index into `GROUPS`.
        levels: (quantiles,).
        samples_apart: samples that count as one independent miss, since neighbours are alike.
    """
    services, parts, count = len(misses), len(LEAD_PARTS) + 1, len(levels)
    part = lead_part(np.arange(misses.shape[2]))
    out = np.zeros((services, parts, count), np.float32)
    for number, asked in enumerate(levels):
        table = misses[..., number]
        whole = _pooled(table.reshape(services, -1), group, asked, samples_apart)
        for which in range(parts):
            own = _pooled(table[:, :, part == which].reshape(services, -1), group, asked, samples_apart)
            out[:, which, number] = _LEAD_SHARE * own + (1 - _LEAD_SHARE) * whole
    return out


def _pooled(rows: Singles, group: NDArray[np.intp], asked: float, apart: float) -> Floats:
    """The asked quantile of each service's misses, shrunk to its group's and the group's to the fleet's: (services,)."""
    there = np.isfinite(rows)
    seen = there.sum(axis=1)
    # Before a fleet has shown its own: past-data quantiles are always too narrow, the more so in the tails.
    prior = 0.007 / (1 - asked) - 0.004 / asked
    if not seen.any():
        return np.full(len(rows), prior)
    having = int((seen > 0).sum())
    fleet = (having * _quantile(rows[there], asked) + _PRIOR_SERVICES * prior) / (having + _PRIOR_SERVICES)
    out = np.full(len(rows), fleet)
    for kind in range(len(GROUPS)):
        of_kind = group == kind
        members = int((of_kind & (seen > 0)).sum())
        if members:
            mine = _quantile(rows[of_kind][there[of_kind]], asked)
            out[of_kind] = (members * mine + _GROUP_SERVICES * fleet) / (members + _GROUP_SERVICES)
    own = row_quantiles(rows, np.array([asked]))[:, 0]
    # An extreme quantile needs more misses than a middle one to be seen at all.
    independent = seen / apart * min(1.0, 4 * asked * (1 - asked))
    trust = independent / (independent + _OWN_MISSES)
    return np.asarray(np.where(seen > 0, trust * np.nan_to_num(own) + (1 - trust) * out, out), np.float64)


def _quantile(values: Singles, asked: float) -> float:
    """The ceil((n + 1) q)-th smallest: the conformal quantile."""
    place = min(int(np.ceil((len(values) + 1) * asked)), len(values)) - 1
    return float(np.partition(values, place)[place])
