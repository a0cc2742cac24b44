"""Conformal calibration: how far past forecasts missed, in units of each service's own uncertainty,
pooled over the fleet.

A quantile is moved by the same quantile of its past scaled misses, so that it would have been right
that often (conformalised quantile regression: Romano, Patterson and Candes, NeurIPS 2019). One
service has a handful of independent past weeks, far too few for a 0.99 quantile; misses are
therefore pooled, over services of one kind and over the fleet, after division by a scale that each
service sets itself (locally weighted conformal prediction; Lei et al., JASA 113, 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._models.pooled_quantiles import (
    Bins,
    Tally,
    find_bins,
    lower_halves,
    read_quantiles,
    upper_halves,
)
from capacity.forecasting._preprocessing import DAY
from capacity.forecasting._quantiles import Floats, Singles, level_index, row_quantiles

__all__ = [
    "GROUPS",
    "LEAD_PARTS",
    "Misses",
    "Spread",
    "kinds",
    "lead_part",
    "offsets",
    "pooled_offsets",
    "uncertainty",
]

GROUPS = ("idle", "bursty", "seasonal", "steady")
LEAD_PARTS = (DAY, 3 * DAY)  # the first day, the next two, the rest
_GROUP_SERVICES = 200.0  # the fleet weighs like this many services of the same kind
_OWN_MISSES = 400.0  # the group weighs like this many independent misses of a service's own
_PRIOR_SERVICES = 10.0  # the prior weighs like this many services of the fleet
_LEAD_SHARE = 0.5  # how much a lead part is heard against all leads together
# of a service's whole spread: a quiet stretch must not make the first stir look like a miracle
_LEAST_UNIT = 0.01
_AT_ONCE_DAYS = 0.3  # misses grow with the root of the lead, and are not nothing in the first hour
_USUAL_DAYS = 28.0  # of history, whose past weeks are believed as they are
_LEAST_DAYS = 4.0  # shorter ones open it no further
_SHORT_WIDER = 0.2  # times 28 days over those known, less one: of the upper half of the fan
_PARTS = len(LEAD_PARTS) + 1
# pools of misses: each lead part and all leads, of each group and of the fleet
_OF_PARTS = np.vstack([np.eye(_PARTS, dtype=bool), np.ones((1, _PARTS), bool)])
_OF_GROUPS = np.vstack([np.eye(len(GROUPS), dtype=bool), np.ones((1, len(GROUPS)), bool)])


@dataclass(frozen=True)
class Misses:
    """How far past forecasts of some services missed.

    Attributes:
        scaled: (services, origins, lead hours, samples, quantiles), `actual - forecast` in units of
            the uncertainty, NaN where nothing was seen.
        group: (services,) index into `GROUPS`.
        every: lead hours between two that are given.
    """

    scaled: Singles
    group: NDArray[np.intp]
    every: int

    def upper(self) -> Spread:
        """What the first pass over the fleet counts of these."""
        part = self._parts()
        members = np.zeros((self.scaled.shape[4], len(_OF_PARTS), len(GROUPS)), np.intp)
        for number in range(len(_OF_PARTS)):
            leads = np.flatnonzero(np.isin(part, np.flatnonzero(_OF_PARTS[number])))
            there = np.asarray(np.isfinite(self.scaled[:, :, leads]).any(axis=(1, 2, 3)))
            for group in range(len(GROUPS)):
                members[:, number, group] = there[self.group == group].sum(axis=0)
        flat = self.scaled.reshape(-1, self.scaled.shape[4])
        return Spread(upper_halves(flat, self._cells(), _PARTS * len(GROUPS)), members)

    def lower(self, bins: Bins) -> Tally:
        """What the second pass counts, within the bins that the first has found."""
        flat = self.scaled.reshape(-1, self.scaled.shape[4])
        return lower_halves(flat, self._cells(), bins, _OF_PARTS, _OF_GROUPS)

    def _parts(self) -> NDArray[np.intp]:
        """Lead part of each lead hour that is given."""
        return lead_part(np.arange(self.scaled.shape[2]) * self.every)

    def _cells(self) -> NDArray[np.intp]:
        """Lead part and group of each miss, as one number."""
        part = self._parts()
        cells = part[None, None, :, None] * len(GROUPS) + self.group[:, None, None, None]
        return np.broadcast_to(cells, self.scaled.shape[:4]).reshape(-1)


@dataclass(frozen=True)
class Spread:
    """How the misses of some services are spread.

    Attributes:
        upper: upper halves of their bits, see `pooled_quantiles`.
        members: (quantiles, lead parts and all, groups) services with a miss.
    """

    upper: Tally
    members: NDArray[np.intp]


def lead_part(hours: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which lead part an hour ahead belongs to."""
    return np.digitize(hours, LEAD_PARTS)


def kinds(means: Singles, centre: Floats, spread: Floats) -> NDArray[np.intp]:
    """Kind of each service as an index into `GROUPS`, from its history alone: (services,).

    Idle: varies by less than 2 % of its level. Bursty: deviates by more than its mean, or the 99 %
        quantile is above four
    times the median. Seasonal: the hour of the day explains 30 % of the variance. Steady: the rest.
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
    profile = np.where(known, table - mean[:, None, None], 0).sum(axis=1) / np.maximum(
        known.sum(axis=1), 1
    )
    explained = (
        (profile**2).mean(axis=1) > 0.3 * variance if days > 1 else np.zeros(len(level), bool)
    )
    deviation = np.sqrt(variance)
    idle = (deviation <= 0.02 * np.abs(mean)) | (spread <= 0)
    bursty = (high > 4 * middle) | (deviation > mean)
    return np.select([idle, bursty, explained], [0, 1, 2], 3).astype(np.intp)


def uncertainty(forecast: Singles, samples: Singles, own: Floats, levels: Floats) -> Singles:
    """The unit a service's misses are measured in, by lead hour: (services, 168).

    The root of its own typical past loss (in scaled units, so free of a scale), and a little of the
    forecast's width at that hour, both growing with the root of the lead as a random walk does; so
    misses a day ahead tell something of those a week ahead that a short history has not seen. The
    loss grows when levels wander from week to week, which a width alone does not see; the root,
    because quiet services are surprised by larger multiples of their usual loss than busy ones.

    Args:
        forecast: (services, 168, quantiles).
        samples: (services, hours, samples) up to the origin, for services without a past loss.
        own: (services,) mean past pinball loss of the median, NaN when unknown.
        levels: (quantiles,).
    """
    low, high = level_index(levels, 0.1), level_index(levels, 0.9)
    local = forecast[:, :, high] - forecast[:, :, low]
    past = own.astype(np.float64)
    if not np.isfinite(past).all():
        recent = samples[:, -7 * DAY :].reshape(len(samples), -1)
        ends = row_quantiles(recent, np.array([0.1, 0.9]))
        past = np.where(np.isfinite(past), past, np.nan_to_num(ends[:, 1] - ends[:, 0]) / 4)
    unit = 0.05 * local + (0.3 * np.sqrt(past) + _LEAST_UNIT)[:, None]
    days = np.arange(forecast.shape[1]) / DAY + _AT_ONCE_DAYS
    return np.asarray(unit * np.sqrt(days / (3.5 + _AT_ONCE_DAYS)), np.float32)


def pooled_offsets(
    spreads: Iterable[Spread],
    lower: Callable[[Bins], Iterable[Tally]],
    levels: Floats,
) -> Floats:
    """The asked quantile of the misses of each group, shrunk to the fleet's and that to the prior:
    (quantiles, lead parts and all, groups).

    Args:
        spreads: of every part of the fleet.
        lower: counts its parts once more, within these bins.
        levels: (quantiles,).
    """
    members = np.zeros((len(levels), len(_OF_PARTS), len(GROUPS)), np.intp)

    def upper() -> Iterable[Tally]:
        for spread in spreads:
            members[:] += spread.members
            yield spread.upper

    bins = find_bins(upper(), levels, _OF_PARTS, _OF_GROUPS)
    found = np.nan_to_num(read_quantiles(lower(bins), bins))
    # Before a fleet has shown its own: quantiles of the past are always too narrow, the more so in
    # the tails.
    prior = (0.04 / (1 - levels) - 0.025 / levels)[:, None]
    count = members.sum(axis=2)
    fleet = (count * found[:, :, -1] + _PRIOR_SERVICES * prior) / (count + _PRIOR_SERVICES)
    mine = (members * found[:, :, :-1] + _GROUP_SERVICES * fleet[:, :, None]) / (
        members + _GROUP_SERVICES
    )
    return np.where(members > 0, mine, np.where(count > 0, fleet, prior)[:, :, None])


def offsets(
    misses: Misses,
    pooled: Floats,
    levels: Floats,
    samples_apart: float,
    days: float = _USUAL_DAYS,
) -> Singles:
    """How far to move each quantile, in units of the uncertainty: (services, lead parts,
    quantiles).

    A fleet's weeks differ, all services together: the fewer of them a history has, the wider the
    fan must open above what they showed.

    Args:
        misses: of these services.
        pooled: what the fleet's say, see `pooled_offsets`.
        levels: (quantiles,).
        samples_apart: samples that count as one independent miss, since neighbours are alike.
        days: of history.
    """
    out = np.zeros((len(misses.scaled), _PARTS, len(levels)), np.float32)
    for number, asked in enumerate(levels):
        rows = np.ascontiguousarray(misses.scaled[..., number]).reshape(len(out), -1)
        by_part = pooled[number][:, misses.group].T
        whole = by_part[:, -1]
        out[:, :, number] = _LEAD_SHARE * by_part[:, :-1] + (1 - _LEAD_SHARE) * whole[:, None]
        trust, own = _own(rows, asked, samples_apart)
        out[:, :, number] += (trust * (own - whole))[:, None]
    # Past misses say how far to open the fan. Which way levels will move on the whole they cannot
    # say: the median stays.
    fan = np.minimum(np.abs(levels - 0.5) / 0.4, 1.0)
    short = _USUAL_DAYS / np.clip(days, _LEAST_DAYS, _USUAL_DAYS) - 1
    return np.asarray(out * fan * np.where(levels > 0.5, 1 + _SHORT_WIDER * short, 1), np.float32)


def _own(rows: Singles, asked: float, apart: float) -> tuple[Floats, Floats]:
    """How far a service's own misses are trusted, and their asked quantile: two (services,)."""
    seen = np.isfinite(rows).sum(axis=1)
    # An extreme quantile needs more misses than a middle one to be seen at all.
    independent = seen / apart * min(1.0, 4 * asked * (1 - asked))
    own = row_quantiles(rows, np.array([asked]))[:, 0]
    return independent / (independent + _OWN_MISSES), np.nan_to_num(own).astype(np.float64)
