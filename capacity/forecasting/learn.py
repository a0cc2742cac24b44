"""What `fit` does: candidates at past origins, their losses, weights, calibration, and the forecast of the coming week.

Two passes over the services in chunks: the first makes every candidate at past origins and keeps losses and compact
tables; the second, when the fleet's losses are known, blends and calibrates. Nothing loops over services.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting import blend, calibrate
from capacity.forecasting.candidates import CANDIDATES, expand, forecast_all
from capacity.forecasting.grid import DAY, WEEK, Scaled
from capacity.forecasting.quantiles import Floats, Singles, level_index, pinball

__all__ = ["Learned", "Prepared", "learn", "prepare"]

CHUNK = 256
_FARTHEST = 20.0  # a miss by more units says no more than this
_EVERY = 1  # losses look at every second hour
_SCORED = 2  # samples an hour that losses look at: neighbours say the same


@dataclass
class Prepared:
    """First pass over a chunk of services.

    Attributes:
        losses: (origins, services, quantiles, candidates), NaN where a candidate did not exist or nothing was seen.
        tables: for the origins calibrated on, then for the end of the history: candidate -> table.
        actual: for the origins calibrated on: (services, 168, samples).
        before: for the same origins and the end: an `uncertainty` needs the samples up to there.
    """

    losses: Floats
    tables: list[dict[str, Singles]]
    scaled: Scaled


@dataclass
class Learned:
    """What a fitted chunk knows, in scaled units.

    Attributes:
        forecast: (services, 168, quantiles) calibrated.
        raw: (services, 168, quantiles) before calibration.
        share: (services, quantiles, candidates) weights.
    """

    forecast: Singles
    share: Singles
    kind: NDArray[np.intp]


def origins(hours: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Past origins in hours before the end, and which of them calibrate; nearer ones for a short history.

    The first two see less than a week ahead of them, but say which candidate fits the present state of a service.
    """
    days = hours // DAY
    if days >= 28:  # noqa: PLR2004 - what a history of that length can teach
        return (DAY, 3 * DAY, 7 * DAY, 14 * DAY, 21 * DAY), (2, 3)
    if days >= 21:  # noqa: PLR2004 - what a history of that length can teach
        return (DAY, 3 * DAY, 7 * DAY, 14 * DAY), (2, 3)
    if days >= 14:  # noqa: PLR2004 - what a history of that length can teach
        return (DAY, 3 * DAY, 5 * DAY, 7 * DAY, 10 * DAY), (3, 4)
    if days >= 4:  # noqa: PLR2004 - what a history of that length can teach
        return (DAY, days * DAY // 3, days * DAY // 2), (2,)
    if days >= 2:  # noqa: PLR2004 - what a history of that length can teach
        return (hours // 3, hours // 2), (1,)
    return (), ()


def prepare(scaled: Scaled, levels: Floats) -> Prepared:
    """Candidates of a chunk at all origins, and their losses at the past ones."""
    samples, means = scaled.samples, scaled.means
    hours = means.shape[1]
    backs, kept = origins(hours)
    losses = np.full((len(backs), len(samples), len(levels), len(CANDIDATES)), np.nan)
    tables: list[dict[str, Singles]] = []
    for number, back in enumerate(backs):
        cut = hours - back
        made = forecast_all(samples[:, :cut], means[:, :cut], levels)
        actual = samples[:, cut : cut + WEEK : _EVERY, :: max(1, samples.shape[2] // _SCORED)]
        seen_before = np.isfinite(means[:, :cut]).sum(axis=1) >= DAY // 2
        for name, table in made.items():
            loss = pinball(actual, expand(name, table, _EVERY)[:, : actual.shape[1]], levels)
            losses[number, :, :, CANDIDATES.index(name)] = np.where(seen_before[:, None], loss, np.nan)
        if number in kept:
            tables.append(made)
    tables.append(forecast_all(samples, means, levels))
    return Prepared(losses, tables, scaled)


def learn(chunks: list[Prepared], levels: Floats, hours: int) -> list[Learned]:
    """Blend and calibrate all chunks with what the fleet as a whole shows."""
    backs, kept = origins(hours)
    origin_weights = np.array(blend.ORIGIN_WEIGHTS[: len(backs)])
    middle = level_index(levels, 0.5)
    parts = [_weigh(chunks, levels, origin_weights * mask) for mask in _masks(backs, kept)]
    group = [calibrate.kinds(c.scaled.means, c.scaled.centre, c.scaled.spread) for c in chunks]
    finals, units, misses = [], [], []
    for number, chunk in enumerate(chunks):
        missed = []
        for which, origin in enumerate(kept):
            cut = hours - backs[origin]
            share, own = parts[which][number]
            forecast = blend.blended(chunk.tables[which], share)
            unit = calibrate.uncertainty(forecast, chunk.scaled.samples[:, :cut], own[:, middle], levels)
            missed.append(_misses(chunk.scaled.samples[:, cut : cut + WEEK], forecast, unit))
        share, own = parts[-1][number]
        finals.append((blend.blended(chunk.tables[-1], share), share))
        units.append(calibrate.uncertainty(finals[-1][0], chunk.scaled.samples, own[:, middle], levels))
        misses.append(np.stack(missed, axis=1) if missed else None)
        chunk.tables.clear()
    offset = _offsets(misses, np.concatenate(group), levels)
    part = calibrate.lead_part(np.arange(WEEK))
    out, start = [], 0
    for (forecast, share), unit, kind in zip(finals, units, group, strict=True):
        stop = start + len(forecast)
        moved = forecast + offset[start:stop][:, part] * unit[:, :, None]
        out.append(Learned(np.sort(moved, axis=-1), share, kind))
        start = stop
    return out


def _masks(backs: tuple[int, ...], kept: tuple[int, ...]) -> list[Floats]:
    """Origins to learn weights from: those whose week ended before the one calibrated on began, then all.

    Where there are none, those that began earlier; where there are none either, all others.
    """
    masks = []
    ages = np.array(backs)
    for judged in kept:
        choices = (ages >= ages[judged] + WEEK, ages > ages[judged], ages != ages[judged], ages > 0)
        masks.append(next(choice for choice in choices if choice.any()).astype(np.float64))
    return [*masks, np.ones(len(backs))]


def _weigh(chunks: list[Prepared], levels: Floats, origin_weights: Floats) -> list[tuple[Singles, Floats]]:
    """Weights of each chunk, and each service's own past loss by quantile under them."""
    used = origin_weights > 0
    if not used.any():
        relative = [np.full((len(c.scaled.means), len(levels), len(CANDIDATES)), np.nan) for c in chunks]
        counts = [np.zeros(len(c.scaled.means)) for c in chunks]
    else:
        both = [blend.own_losses(c.losses[used], origin_weights[used]) for c in chunks]
        relative, counts = [b[0] for b in both], [b[1] for b in both]
    fleet = blend.fleet_losses(np.concatenate(relative), blend.prior())
    out = []
    for chunk, own, count in zip(chunks, relative, counts, strict=True):
        exists = np.array([name in chunk.tables[0] for name in CANDIDATES], np.float32)
        share = blend.weights(own, count, fleet, exists)
        losses = chunk.losses[used]
        there = np.isfinite(losses).any(axis=(0,))
        mean = np.where(there, np.nan_to_num(losses).sum(axis=0) / np.maximum(np.isfinite(losses).sum(axis=0), 1), 0)
        past = (mean * share).sum(axis=-1) / np.maximum((share * there).sum(axis=-1), 1e-9)
        out.append((share, np.where(there.any(axis=-1), past, np.nan)))
    return out


def _misses(actual: Singles, forecast: Singles, unit: Singles) -> Singles:
    """Scaled misses: (services, 168 / every, samples, quantiles), NaN where nothing was seen; a short origin is padded."""
    thin = actual[:, ::_EVERY, :: max(1, actual.shape[2] // _SCORED)]
    forecast, unit = forecast[:, ::_EVERY], unit[:, ::_EVERY]
    out = np.full((len(thin), forecast.shape[1], thin.shape[2], forecast.shape[2]), np.nan, np.float32)
    seen = thin.shape[1]
    scaled = (thin[..., None] - forecast[:, :seen, None]) / unit[:, :seen, None, None]
    out[:, :seen] = np.clip(scaled, -_FARTHEST, _FARTHEST)
    return out


def _offsets(misses: list[Singles | None], group: NDArray[np.intp], levels: Floats) -> Singles:
    kept = [m for m in misses if m is not None]
    if not kept:
        return np.zeros((len(group), len(calibrate.LEAD_PARTS) + 1, len(levels)), np.float32)
    table = np.concatenate(kept)
    return calibrate.offsets(table, group, levels, every=_EVERY, samples_apart=12.0 / _EVERY * table.shape[3])
