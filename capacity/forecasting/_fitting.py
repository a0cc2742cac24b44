"""What `fit` does: candidates at past origins, their losses, weights, calibration, and the forecast
of the coming week.

Two passes over the services in chunks: the first makes every candidate at past origins and keeps
losses and compact tables; the second, when the fleet's losses are known, blends and calibrates.
Nothing loops over services.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._diagnostics import starts, structure
from capacity.forecasting._models import conformal, global_model, weights
from capacity.forecasting._models.base_models import (
    BASE_MODELS,
    BOOSTED,
    forecast_all,
    rows_of,
    since_change,
)
from capacity.forecasting._models.candidates import ChunkCandidates
from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._preprocessing import DAY, WEEK, Scaled
from capacity.forecasting._quantiles import Floats, Singles, level_index, pinball, seen
from capacity.forecasting._state import FittedState

__all__ = [
    "Blend",
    "ChunkCandidates",
    "ChunkForecast",
    "Part",
    "blend_chunk",
    "calibrated",
    "chunk_losses",
    "fitted_state",
    "learn_chunks",
    "pooled_losses",
    "prepare_chunk",
]

CHUNK = 128  # services at once: more is no faster, and takes more memory
THREADS = 2  # numpy sorts without holding the interpreter's lock
_FARTHEST = 20.0  # a miss by more units says no more than this
_EVERY = 2  # misses look at every second hour
_SCORED = 2  # samples an hour that losses look at: neighbours say the same


@dataclass(frozen=True)
class Blend:
    """What a chunk knows before it is calibrated, in scaled units.

    Attributes:
        forecast: (services, 168, quantiles) of the coming week.
        unit: (services, 168) that its misses are measured in.
        share: (services, quantiles, candidates) weights.
        misses: of past blends, and the pattern of each service.
        days: of history.
    """

    forecast: Singles
    unit: Singles
    share: Singles
    misses: conformal.Misses
    days: float


@dataclass
class ChunkForecast:
    """What a fitted chunk knows, in scaled units.

    Attributes:
        forecast: (services, 168, quantiles) calibrated.
        share: (services, quantiles, candidates) weights.
    """

    forecast: Singles
    share: Singles
    kind: NDArray[np.intp]


def origins(hours: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Past origins in hours before the end, and which of them calibrate; nearer ones for a short
    history.

    The first two see less than a week ahead of them, but say which candidate fits the present state
    of a service.
    """
    days = hours // DAY
    if hours >= global_model.LEAST_HOURS:
        return (DAY, 3 * DAY, 7 * DAY, 14 * DAY, 21 * DAY, 28 * DAY), (2, 3)
    if days >= 28:
        return (DAY, 3 * DAY, 7 * DAY, 14 * DAY, 21 * DAY), (2, 3)
    if days >= 21:
        return (DAY, 3 * DAY, 7 * DAY, 14 * DAY), (2, 3)
    if days >= 14:
        return (DAY, 3 * DAY, 5 * DAY, 7 * DAY, 10 * DAY), (3, 4)
    if days >= 4:
        return (DAY, days * DAY // 3, days * DAY // 2), (2,)
    if days >= 2:
        return (hours // 3, hours // 2), (1,)
    return (), ()


def prepare_chunk(scaled: Scaled, levels: Floats) -> ChunkCandidates:
    """Candidates of a chunk at all origins, and their losses at the past ones."""
    samples, means = scaled.samples, scaled.means
    hours = means.shape[1]
    backs, kept = origins(hours)
    losses = np.full((len(backs), len(samples), len(levels), len(BASE_MODELS)), np.nan)
    out = ChunkCandidates(losses, {}, scaled, {})
    for number, back in enumerate((*backs, 0)):
        cut = hours - back
        made = forecast_all(samples[:, :cut], means[:, :cut], levels)
        if back:
            for name, loss in _losses(scaled, back, made, levels).items():
                losses[number, :, :, BASE_MODELS.index(name)] = loss
        if number in kept or not back:
            out.tables[back] = made
        if (
            hours >= global_model.LEAST_HOURS
            and cut >= global_model.SEEN_HOURS
            and (back in global_model.TAUGHT or not back)
        ):
            out.asked[back] = global_model.asked(made, means[:, cut:], levels)
    return out


def _losses(
    scaled: Scaled, back: int, made: dict[str, Singles], levels: Floats
) -> dict[str, Singles]:
    """Pinball losses of candidates over the week after an origin; NaN for services not yet there at
    the origin.
    """
    samples, cut = scaled.samples, scaled.means.shape[1] - back
    actual = seen(samples[:, cut : cut + WEEK, :: max(1, samples.shape[2] // _SCORED)])
    absent = np.isfinite(scaled.means[:, :cut]).sum(axis=1) < DAY // 2
    out = {
        name: pinball(actual, rows_of(name, table, min(back, WEEK)), levels)
        for name, table in made.items()
    }
    for loss in out.values():
        loss[absent] = np.nan
    return out


def _add_boosted(chunks: list[ChunkCandidates], levels: Floats, seed: int) -> None:
    """Give every chunk the boosted model's table for the coming week, and its loss where that can
    be judged.
    """
    if not all(chunk.asked for chunk in chunks):
        return
    backs, _ = origins(chunks[0].scaled.means.shape[1])
    for back, number, table in global_model.teach(chunks, seed):
        chunk = chunks[number]
        chunk.tables[back][BOOSTED] = table
        if back:
            loss = _losses(chunk.scaled, back, {BOOSTED: table}, levels)
            chunk.losses[backs.index(back), :, :, BASE_MODELS.index(BOOSTED)] = loss[BOOSTED]


def learn_chunks(chunks: list[ChunkCandidates], levels: Floats, seed: int) -> list[ChunkForecast]:
    """Blend and calibrate all chunks with what the fleet as a whole shows."""
    _add_boosted(chunks, levels, seed)
    losses = pooled_losses(chunk_losses(chunk) for chunk in chunks)
    with ThreadPoolExecutor(THREADS) as pool:
        blends = list(pool.map(lambda chunk: blend_chunk(chunk, losses, levels), chunks))
        pooled = conformal.pooled_offsets(
            pool.map(lambda blend: blend.misses.upper(), blends),
            lambda bins: pool.map(lambda blend: blend.misses.lower(bins), blends),
            levels,
        )
        return list(pool.map(lambda blend: calibrated(blend, pooled, levels), blends))


def chunk_losses(chunk: ChunkCandidates) -> list[weights.LossSums]:
    """What the fleet's losses need of a chunk: one for each origin calibrated on, and the end."""
    return [weights.loss_sums(relative) for relative, _ in _own_losses(chunk)]


def pooled_losses(parts: Iterable[list[weights.LossSums]]) -> list[Floats]:
    """The fleet's relative losses, (quantiles, candidates), for each origin calibrated on and the
    end.
    """
    totals: list[weights.LossSums] = []
    for part in parts:
        added = [total + more for total, more in zip(totals, part, strict=False)]
        totals = added or part
    return [weights.fleet_losses(total, weights.prior()) for total in totals]


def calibrated(blend: Blend, pooled: Floats, levels: Floats) -> ChunkForecast:
    """A blend whose quantiles are moved by what past blends of the fleet have missed."""
    scaled = blend.misses.scaled
    offset = conformal.offsets(
        blend.misses,
        pooled,
        levels,
        samples_apart=12.0 / _EVERY * max(1, scaled.shape[3]),
        days=blend.days,
    )
    if not scaled.shape[1]:  # nothing was missed: there was no origin to miss from
        offset = np.zeros_like(offset)
    part = conformal.lead_part(np.arange(WEEK))
    moved = blend.forecast + offset[:, part] * blend.unit[:, :, None]
    return ChunkForecast(np.sort(moved, axis=-1), blend.share, blend.misses.group)


def blend_chunk(chunk: ChunkCandidates, losses: list[Floats], levels: Floats) -> Blend:
    """The coming week's blend, the unit of its misses, and the misses of past blends."""
    middle, hours = level_index(levels, 0.5), chunk.scaled.means.shape[1]
    missed: list[Singles] = []
    for end, (share, own) in zip(_ends(hours), _weigh(chunk, losses), strict=True):
        cut = hours - end
        forecast = weights.blended(chunk.tables.pop(end), share)
        unit = conformal.uncertainty(
            forecast, chunk.scaled.samples[:, :cut], own[:, middle], levels
        )
        if end:
            missed.append(_misses(chunk.scaled.samples[:, cut : cut + WEEK], forecast, unit))
    none = np.zeros((len(forecast), 0, WEEK // _EVERY, 1, len(levels)), np.float32)
    kind = conformal.kinds(chunk.scaled.means, chunk.scaled.centre, chunk.scaled.spread)
    misses = conformal.Misses(np.stack(missed, axis=1) if missed else none, kind, _EVERY)
    return Blend(forecast, unit, share, misses, hours / DAY)


def _ends(hours: int) -> list[int]:
    """Origins calibrated on, in hours before the end, and the end."""
    backs, kept = origins(hours)
    return [*(backs[origin] for origin in kept), 0]


def _masks(backs: tuple[int, ...], kept: tuple[int, ...]) -> list[Floats]:
    """Origins to learn weights from: those whose week ended before the one calibrated on began,
    then all.

    Where there are none, those that began earlier; where there are none either, all others.
    """
    masks = []
    ages = np.array(backs)
    for judged in kept:
        choices = (ages >= ages[judged] + WEEK, ages > ages[judged], ages != ages[judged], ages > 0)
        masks.append(next(choice for choice in choices if choice.any()).astype(np.float64))
    return [*masks, np.ones(len(backs))]


def _origin_weights(hours: int) -> list[Floats]:
    """Weights of the past origins, for each origin calibrated on and the end."""
    backs, kept = origins(hours)
    return [np.array(weights.ORIGIN_WEIGHTS[: len(backs)]) * mask for mask in _masks(backs, kept)]


def _own_losses(chunk: ChunkCandidates) -> Iterator[tuple[Floats, Floats]]:
    """Relative losses of each service, and how many origins they rest on, for each origin
    calibrated on and the end.
    """
    count, levels, models = chunk.losses.shape[1:]
    for weight in _origin_weights(chunk.scaled.means.shape[1]):
        used = weight > 0
        if used.any():
            yield weights.own_losses(chunk.losses[used], weight[used])
        else:
            yield np.full((count, levels, models), np.nan), np.zeros(count)


def _weigh(chunk: ChunkCandidates, losses: list[Floats]) -> list[tuple[Singles, Floats]]:
    """Weights of a chunk's candidates and each service's past loss by quantile under them, for each
    origin calibrated on and the end.
    """
    hours = chunk.scaled.means.shape[1]
    out = []
    for (own, count), fleet, end, weight in zip(
        _own_losses(chunk), losses, _ends(hours), _origin_weights(hours), strict=True
    ):
        exists = np.array([name in chunk.tables[end] for name in BASE_MODELS], np.float32)
        share = weights.weights(own, count, fleet, exists)
        out.append((share, _past_loss(chunk.losses[weight > 0], share)))
    return out


def _past_loss(losses: Floats, share: Singles) -> Floats:
    """Typical loss of a blend over origins, by service and quantile; NaN without evidence.

    The mean of roots: one bad week long ago must not make a quiet service look restless.
    """
    there = np.isfinite(losses)
    heard = np.maximum((share * there).sum(axis=-1), 1e-9)
    at_origin = (np.nan_to_num(losses) * share).sum(axis=-1) / heard
    origins_seen = there.any(axis=-1)
    roots = (np.sqrt(np.maximum(at_origin, 0)) * origins_seen).sum(axis=0) / np.maximum(
        origins_seen.sum(axis=0), 1
    )
    return np.where(origins_seen.any(axis=0), roots**2, np.nan)


def _misses(actual: Singles, forecast: Singles, unit: Singles) -> Singles:
    """Scaled misses: (services, 168 / every, samples, quantiles), NaN where nothing was seen; a
    short origin is padded.
    """
    thin = actual[:, ::_EVERY, :: max(1, actual.shape[2] // _SCORED)]
    forecast, unit = forecast[:, ::_EVERY], unit[:, ::_EVERY]
    out = np.full(
        (len(thin), forecast.shape[1], thin.shape[2], forecast.shape[2]), np.nan, np.float32
    )
    seen = thin.shape[1]
    scaled = (thin[..., None] - forecast[:, :seen, None]) / unit[:, :seen, None, None]
    out[:, :seen] = np.clip(scaled, -_FARTHEST, _FARTHEST)
    return out


@dataclass(frozen=True)
class Part:
    """What the first pass says about some columns.

    Attributes:
        skipped: service -> why it has no forecast.
        kept: numbers of the other columns.
        prepared: their candidates.
        holidays: what their holidays looked like.
        starts: their startups.
        days: their daily summaries, (services, days, stats).
    """

    skipped: dict[str, str]
    kept: list[int]
    prepared: ChunkCandidates | None
    holidays: Floats | None
    starts: Floats | None
    days: Floats | None


def fitted_state(parts: list[Part], levels: Floats, seed: int) -> FittedState:
    """Everything a trained model knows."""
    prepared = [part.prepared for part in parts if part.prepared is not None]
    holidays = [part.holidays for part in parts if part.holidays is not None]
    if not prepared:
        return _nothing(levels)
    learned = learn_chunks(prepared, levels, seed)
    scaled = [chunk.scaled for chunk in prepared]
    hourly_mean = np.concatenate([chunk.means for chunk in scaled])
    hourly_max = np.concatenate([chunk.tops for chunk in scaled])
    # Peaks from before a lasting change of level say nothing about peaks after it.
    known = np.arange(hourly_max.shape[1]) >= since_change(hourly_mean)[:, None]
    return FittedState(
        levels=levels,
        forecast=np.concatenate([part.forecast for part in learned]),
        weights=np.concatenate([part.share for part in learned]),
        hourly_mean=hourly_mean,
        hourly_max=np.where(known, hourly_max, np.float32(np.nan)),
        pattern=np.concatenate([part.kind for part in learned]),
        centre=np.concatenate([chunk.centre for chunk in scaled]),
        spread=np.concatenate([chunk.spread for chunk in scaled]),
        slope=structure.slopes(hourly_mean)[0],
        starts=np.concatenate([part.starts for part in parts if part.starts is not None]),
        days=np.concatenate([part.days for part in parts if part.days is not None]),
        holiday=np.concatenate(holidays) if holidays else np.zeros((0, 24, len(levels))),
    )


def _nothing(levels: Floats) -> FittedState:
    """The state of a fleet without a service that can be forecast."""
    none = np.zeros(0)
    return FittedState(
        levels=levels,
        forecast=np.zeros((0, WEEK, len(levels)), np.float32),
        weights=np.zeros((0, len(levels), len(BASE_MODELS)), np.float32),
        hourly_mean=np.zeros((0, 0), np.float32),
        hourly_max=np.zeros((0, 0), np.float32),
        pattern=np.zeros(0, np.intp),
        centre=none,
        spread=none,
        slope=none,
        starts=np.zeros((0, len(starts.COLUMNS))),
        days=np.zeros((0, 0, len(STATS))),
        holiday=np.zeros((0, 24, len(levels))),
    )
