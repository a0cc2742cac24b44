"""The candidates: many simple forecasts of the next week, each for all services in one pass.

A candidate gives quantiles on a short table that repeats: one row (a level), 24 rows (a day), 168
rows (a week), and so on; `LEADS[name]` says which row each of the 168 lead hours uses. All work on
`Scaled` units, services x hours x samples, and see nothing after the last hour given.

Sources: profiles and level models are the empirical-quantile baselines of Hong et al.,
    "Probabilistic energy forecasting:
GEFCom2014" (IJF 32, 2016); the Fourier regression is Hyndman and Athanasopoulos, FPP3, chapter 10;
the damped trend Gardner and McKenzie (Management Science 31, 1985).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._preprocessing import DAY, WEEK
from capacity.forecasting._quantiles import Floats, Singles, row_quantiles

__all__ = [
    "BASE_MODELS",
    "BOOSTED",
    "LEADS",
    "TRENDING",
    "expand",
    "forecast_all",
    "rows_of",
    "since_change",
]

_HOURS = np.arange(WEEK)
_ONE, _DAILY, _WEEKLY = np.zeros(WEEK, int), _HOURS % DAY, _HOURS
_WALKED, _BY_QUARTER = np.digitize(_HOURS // DAY, [1, 2, 4]), _HOURS // 6
_LEVELLED = np.digitize(_HOURS, [DAY, 3 * DAY]) * DAY + _HOURS % DAY
_DAMPING = 0.9  # of the trend, a day
_HOURS_AT_ONCE = 24  # keeps pooled samples in the processor's cache
_ERRORS_APART = 5  # hours; shares no factor with a day, so every hour of the day is heard
_RIDGE = 5.0  # pulls Fourier terms towards zero like five hours without them

TRENDING = ("line", "fourier")


def level(samples: Singles, levels: Floats, days: float) -> Singles:
    """Quantiles of the last `days`: (services, 1, quantiles)."""
    last = samples[:, -int(days * DAY) :]
    return row_quantiles(last.reshape(len(last), last.shape[1] * last.shape[2]), levels)[:, None]


def fading(samples: Singles, levels: Floats, half_life: float) -> Singles:
    """Quantiles of the history whose weight halves every `half_life` days: (services, 1,
    quantiles).

    Hours are drawn by the weights, the same for all services: a plain sort then replaces a weighted
    one.
    """
    hours = samples.shape[1]
    known = 1 - 0.5 ** (hours / DAY / half_life)
    ages = -half_life * DAY * np.log2(1 - (np.arange(256) + 0.5) / 256 * known)
    drawn = np.clip(hours - 1 - ages.astype(int), 0, hours - 1)
    chosen = samples[:, drawn, np.arange(256) % samples.shape[2]]
    return row_quantiles(chosen, levels)[:, None]


def profile(
    samples: Singles, levels: Floats, cycles: int, period: int, around: int, every: int = 1
) -> Singles:
    """Quantiles by hour of a cycle over the last `cycles`, neighbours pooled: (services, period /
    every, quantiles).

    With `every` 2 a row stands for two hours, `around` hours on either side of both.
    """
    count, hours, width = samples.shape
    cycles = min(cycles, hours // period)
    by_cycle = samples[:, hours - cycles * period :].reshape(count, cycles, period, width)
    table = np.ascontiguousarray(by_cycle.transpose(0, 2, 1, 3)).reshape(
        count, period, cycles * width
    )
    if around == 0:
        return row_quantiles(table, levels)
    rows = period // every
    out = np.empty((count, rows, len(levels)), np.float32)
    near = (np.arange(0, period, every)[:, None] + np.arange(-around, around + every)) % period
    for start in range(0, rows, _HOURS_AT_ONCE):
        now = near[start : start + _HOURS_AT_ONCE]
        pooled = table[:, now].reshape(count, len(now), -1)
        out[:, start : start + _HOURS_AT_ONCE] = row_quantiles(pooled, levels)
    return out


def moved_profile(samples: Singles, means: Singles, levels: Floats, days: int) -> Singles:
    """Hour-of-day profile around yesterday's level; the spread grows with lead: (services, 72,
    quantiles).
    """
    count, hours, width = samples.shape
    days = min(days, hours // DAY - 1)
    daily = _mean(means[:, hours - (days + 1) * DAY :].reshape(count, days + 1, DAY))
    now = daily[:, -1]
    table = samples[:, hours - days * DAY :].reshape(count, days, DAY, width)
    out = []
    for lag in (1, 2, 4):
        lag = min(lag, days)  # noqa: PLW2901 - short histories know short lags only
        away = table[:, lag - 1 :] - daily[:, : days + 1 - lag, None, None]
        flat = np.ascontiguousarray(away.transpose(0, 2, 1, 3)).reshape(count, DAY, -1)
        out.append(now[:, None, None] + row_quantiles(flat, levels))
    return np.concatenate(out, axis=1).astype(np.float32)


def random_walk(means: Singles, levels: Floats) -> Singles:
    """The last hours' level plus empirical increments over one, two, four and seven days:
    (services, 4, quantiles).
    """
    hours = means.shape[1]
    last = row_quantiles(means[:, -3:], np.array([0.5], np.float64))
    out = []
    for day in (1, 2, 4, 7):
        lag = day * DAY if hours >= (day + 1) * DAY else DAY
        out.append(last + row_quantiles((means[:, lag:] - means[:, :-lag])[:, ::3], levels))
    return np.stack(out, axis=1)


def line(samples: Singles, means: Singles, levels: Floats) -> Singles:
    """The seed plan's straight line, least squares on time, with the quantiles of its errors:
    (services, 28, quantiles).
    """
    hours = means.shape[1]
    time = np.column_stack([np.ones(hours + WEEK), (np.arange(hours + WEEK) - hours) / WEEK])
    return _regression(
        samples, means, levels, time[:hours], time[hours:].reshape(28, 6, 2).mean(axis=1), 1e-6
    )


def fourier(samples: Singles, means: Singles, levels: Floats) -> Singles:
    """Day and week Fourier terms with a damped trend, all services in one solve: (services, 168,
    quantiles).
    """
    hours = means.shape[1]
    time = (np.arange(hours + WEEK) - hours) / WEEK
    ahead = np.arange(1, WEEK + 1) / DAY
    damped = (1 - _DAMPING**ahead) / (1 - _DAMPING) / 7 * _DAMPING
    trend = np.where(time < 0, time, np.concatenate([np.zeros(hours), damped]))
    clock = np.arange(hours + WEEK) - hours
    waves = [
        wave(2 * np.pi * k * clock / period)
        for period, most in ((DAY, 3), (WEEK, 2))
        if hours >= 2 * period
        for k in range(1, most + 1)
        for wave in (np.sin, np.cos)
    ]
    design = np.column_stack([np.ones(hours + WEEK), trend, *waves])
    return _regression(samples, means, levels, design[:hours], design[hours:], _RIDGE)


def _regression(
    samples: Singles, means: Singles, levels: Floats, past: Floats, ahead: Floats, ridge: float
) -> Singles:
    """Ridge on hourly means, gaps left out, plus the quantiles of its errors."""
    there = np.isfinite(means)
    terms = past.shape[1]
    products = (past[:, :, None] * past[:, None, :]).reshape(len(past), -1)
    gram = (there.astype(np.float64) @ products).reshape(-1, terms, terms)
    right = np.where(there, np.clip(means, -20, 20), 0).astype(np.float64) @ past
    pull = np.eye(terms) * ridge
    pull[0, 0] = 1e-6
    solved = np.linalg.solve(gram + pull, right[:, :, None])[:, :, 0]
    fitted = (solved @ past.T).astype(np.float32)
    errors = row_quantiles(
        (samples - fitted[:, :, None])[:, ::_ERRORS_APART].reshape(len(samples), -1), levels
    )
    return np.asarray(
        (solved @ ahead.T).astype(np.float32)[:, :, None] + errors[:, None], np.float32
    )


def since_change(means: Singles) -> NDArray[np.intp]:
    """First hour of the present regime of each service, 0 where the history is one regime:
    (services,).

    The split whose two sides, each of a day at least, differ most in their mean, by the two-sample
    statistic: gap squared over the variance left within the sides (binary segmentation; Scott and
    Knott, Biometrics 30, 1974). Six-hour means are alike from one to the next, so the statistic
    must be far beyond its usual bounds and the gap two deviations.
    """
    count, hours = means.shape
    blocks = hours // 6
    start = np.zeros(count, np.intp)
    if blocks < 12:
        return start
    table = _mean(means[:, hours - blocks * 6 :].reshape(count, blocks, 6))
    table = np.clip(table, -3, 3).astype(np.float64)
    there = np.isfinite(table)
    filled = np.where(there, table, 0)
    left_n, left = np.cumsum(there, axis=1), np.cumsum(filled, axis=1)
    square = np.cumsum(filled**2, axis=1)
    right_n, right = left_n[:, -1:] - left_n, left[:, -1:] - left
    able = (left_n >= 4) & (right_n >= 4)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = right / right_n - left / left_n
        within = square[:, -1:] - right**2 / right_n - left**2 / left_n
        noise = np.maximum(within / np.maximum(left_n[:, -1:] - 2, 1), 1e-8)
        strength = np.where(able, gap**2 * left_n * right_n / (left_n + right_n) / noise, -np.inf)
    best = strength.argmax(axis=1)
    row = np.arange(count)
    enough = (strength[row, best] > 60) & (gap[row, best] ** 2 > 4 * noise[row, best])
    return np.where(enough, hours - blocks * 6 + (best + 1) * 6, start).astype(np.intp)


def _mean(table: Singles) -> Singles:
    there = np.isfinite(table)
    count = there.sum(axis=-1)
    total = np.where(there, table, np.float32(0)).sum(axis=-1, dtype=np.float32)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _regime(samples: Singles, means: Singles, levels: Floats) -> Singles:
    first = since_change(means)
    moved = np.flatnonzero(
        first
    )  # the others are one regime: NaN, where the level over everything stands in
    known = np.arange(samples.shape[1])[None, :, None] >= first[moved, None, None]
    out = np.full((len(samples), 1, len(levels)), np.nan, np.float32)
    out[moved] = level(np.where(known, samples[moved], np.float32(np.nan)), levels, 28)
    return out


_Maker = Callable[[Singles, Singles, Floats], Singles]
_MAKERS: dict[str, tuple[_Maker, NDArray[np.intp], int]] = {
    # name: how, which row a lead hour uses, hours of history it needs
    "level 28d": (lambda y, _, q: level(y, q, 28), _ONE, 1),
    "level 1d": (lambda y, _, q: level(y, q, 1), _ONE, DAY),
    "level 7d": (lambda y, _, q: level(y, q, 7), _ONE, DAY),
    "fading 2d": (lambda y, _, q: fading(y, q, 2), _ONE, DAY),
    "regime": (_regime, _ONE, 3 * DAY),
    "random walk": (lambda _, m, q: random_walk(m, q), _WALKED, 2 * DAY),
    "hour of day 7d": (lambda y, _, q: profile(y, q, 7, DAY, 0), _DAILY, 3 * DAY),
    "hour of day 28d": (lambda y, _, q: profile(y, q, 28, DAY, 0), _DAILY, 10 * DAY),
    "hour of day moved": (lambda y, m, q: moved_profile(y, m, q, 28), _LEVELLED, 4 * DAY),
    "hour of week": (lambda y, _, q: profile(y, q, 4, WEEK, 0), _WEEKLY, 2 * WEEK),
    "line": (line, _BY_QUARTER, 2 * DAY),
    "fourier": (fourier, _WEEKLY, 4 * DAY),
}
BOOSTED = "boosted"  # made by `boost` from what the others say, for the whole fleet at once
BASE_MODELS = (*_MAKERS, BOOSTED)
LEADS = {name: rows for name, (_, rows, _) in _MAKERS.items()} | {BOOSTED: _WEEKLY}


def forecast_all(samples: Singles, means: Singles, levels: Floats) -> dict[str, Singles]:
    """Every candidate's table, those that the history is too short for left out, gaps filled from
    the whole level.

    Args:
        samples: (services, hours, samples).
        means: (services, hours).
        levels: (quantiles,).
    """
    hours = samples.shape[1]
    out: dict[str, Singles] = {}
    for name, (make, _, least) in _MAKERS.items():
        if hours < least:
            continue
        table = make(samples, means, levels)
        if not out:
            whole = table  # of up to 28 days the level has sorted all there is
            if hours > 28 * DAY:
                whole = row_quantiles(samples.reshape(len(samples), -1), levels)[:, None]
            out[name] = np.where(
                np.isfinite(table), table, np.where(np.isfinite(whole), whole, np.float32(0))
            )
        else:
            out[name] = np.where(np.isfinite(table), table, out["level 28d"])
    return out


def rows_of(name: str, table: Singles, hours: int) -> Singles:
    """A candidate's table on the first lead hours, (services, quantiles, rows), hour h in row h
    modulo rows.
    """
    turned = table.transpose(0, 2, 1)
    whole_days = table.shape[1] == 1 or (LEADS[name] is _DAILY and hours % DAY == 0)
    return np.ascontiguousarray(turned if whole_days else turned[:, :, LEADS[name][:hours]])


def expand(name: str, table: Singles, every: int = 1) -> Singles:
    """A candidate's table on every lead hour, or each second, third and so on: (services, 168 /
    every, quantiles).
    """
    return table[:, LEADS[name][::every]]
