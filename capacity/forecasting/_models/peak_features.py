"""What the past days of a service say about its coming peak, without a unit."""

from __future__ import annotations

import numpy as np

from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._quantiles import Floats

__all__ = [
    "FEATURES",
    "RECENT",
    "WEEK",
    "features",
    "highest",
    "known_median",
    "log_size",
    "since_fall",
    "since_rise",
    "stray",
]

RECENT, WEEK = 14, 7
"""Days of the trailing peak that all else is relative to, and of a week."""

_MONTH = 28
_FALLEN = 1.5  # times what followed: peaks of a level that was left
_ABOVE = 1.25  # times it: the last day of that level
_STEADY = 0.12  # change of the log daily peak below which a level can be told to be left
_FALLEN_DAYS, _BEFORE_DAYS = 3, 7  # that show the new level, and the old one
_TINY, _UNKNOWN = 1e-12, -9.0
_S = {name: number for number, name in enumerate(STATS)}

FEATURES = (
    *(f"peak of {days} days" for days in (1, 2, 3, 7, 28)),
    "peak of all days",
    "median daily peak",
    "lowest daily peak",
    "spread of daily peaks",
    "spread of daily peaks, 28 days",
    "spread of weekly peaks",
    "last week against the one before",
    "the one before against its own",
    "second highest day",
    "third highest day",
    "fifth highest day",
    "second highest of 28",
    "fourth highest of 28",
    "eighth highest of 28",
    "second highest of all days",
    *(
        f"{stat} of a day"
        for stat in ("second", "p99", "p95", "p90", "p50", "mean", "min", "hour", "hour2")
    ),
    *(f"highest {stat}" for stat in ("second", "p99", "p95", "hour", "hour2")),
    "p99 of the last day",
    "mean of the last day",
    "share of days without samples",
    "days since the highest",
    "share of days within 5 % of the highest",
    "concentration of the hour of the peak",
    "daily peaks against those a week before",
    "past stray, highest",
    "past stray, mean",
    "past stray, share above 5 %",
    "past stray, spread",
    "past stray, mean above",
    "past stray, last",
    "past stray, lowest",
    "past windows seen",
    "log of days with samples",
    "log of the horizon",
)
"""Of a service alone, without unit: sizes are logarithms relative to the trailing 14-day peak."""


def features(days: Floats, horizon: int) -> Floats:
    """Services x `FEATURES` at the end of `days` (days x services x `STATS`), horizon in days."""
    peaks = days[:, :, 0]
    count, services = peaks.shape
    recent, month = peaks[-RECENT:], peaks[-_MONTH:]
    unit = log_size(highest(recent))

    def relative(size: Floats) -> Floats:
        return np.asarray(np.clip(log_size(size) - unit, -6.0, 3.0))

    none = np.full(services, np.nan)
    weeks = [peaks[max(0, count - WEEK * (k + 1)) : max(0, count - WEEK * k)] for k in range(4)]
    weekly = log_size(np.stack([highest(week) if len(week) else none for week in weeks]))
    ordered, ordered_month, ordered_all = (
        -np.sort(-part, axis=0) for part in (recent, month, peaks)
    )
    angle = days[-RECENT:, :, _S["hour of max"]] * (2 * np.pi / 24)
    near = np.where(np.isfinite(recent), 1.0 * (log_size(recent) - unit > -0.05), np.nan)
    repeated = (
        known_mean(np.abs(log_size(peaks[-WEEK:]) - log_size(peaks[-2 * WEEK : -WEEK])))
        if count >= 2 * WEEK
        else none
    )
    columns = [
        *(relative(highest(peaks[-span:])) for span in (1, 2, 3, 7, 28)),
        relative(highest(peaks)),
        relative(known_median(recent)),
        relative(-highest(-recent)),
        known_spread(log_size(recent)),
        known_spread(log_size(month)),
        known_spread(weekly),
        weekly[0] - weekly[1],
        weekly[1] - weekly[2],
        *(relative(ordered[min(place, len(ordered) - 1)]) for place in (1, 2, 4)),
        *(relative(ordered_month[min(place, len(ordered_month) - 1)]) for place in (1, 3, 7)),
        relative(ordered_all[min(1, count - 1)]),
        *(relative(known_mean(days[-WEEK:, :, number])) for number in range(1, 10)),
        *(
            relative(highest(days[-RECENT:, :, _S[name]]))
            for name in ("second", "p99", "p95", "hour", "hour2")
        ),
        *(relative(days[-1, :, _S[name]]) for name in ("p99", "mean")),
        1 - np.isfinite(recent).mean(axis=0),
        np.where(np.isfinite(recent), recent, -np.inf)[::-1].argmax(axis=0).astype(np.float64),
        known_mean(near),
        np.hypot(known_mean(np.cos(angle)), known_mean(np.sin(angle))),
        repeated,
        *_past_strays(peaks, horizon),
        np.log1p(np.isfinite(peaks).sum(axis=0)),
        np.full(services, np.log(horizon)),
    ]
    table = np.stack(columns, axis=1)
    return np.where(np.isfinite(table), table, _UNKNOWN)


def _past_strays(peaks: Floats, horizon: int) -> list[Floats]:
    """What past windows of the same length did, relative to the trailing peak before each."""
    step = max(1, horizon // 3)
    origins = list(range(len(peaks) - horizon, 2, -step))[::-1]
    services = peaks.shape[1]
    if not origins:
        return [np.full(services, np.nan)] * 7 + [np.zeros(services)]
    table = np.stack([stray(peaks, origin, horizon) for origin in origins])
    known = np.isfinite(table)
    above = np.where(known, np.maximum(table, 0.0), np.nan)
    often = known_mean(np.where(known, 1.0 * (table > 0.05), np.nan))
    seen = known.sum(axis=0) * (step / horizon)
    return [
        highest(table),
        known_mean(table),
        often,
        known_spread(table),
        known_mean(above),
        table[-1],
        -highest(-table),
        seen,
    ]


def stray(peaks: Floats, origin: int, horizon: int) -> Floats:
    """log(peak of the window from day `origin` / peak of the 14 days before); NaN = unknown."""
    base, ahead = (
        highest(peaks[max(0, origin - RECENT) : origin]),
        highest(peaks[origin : origin + horizon]),
    )
    with np.errstate(invalid="ignore"):
        return np.where(base > 0, log_size(ahead) - log_size(base), np.nan)


def since_fall(peaks: Floats) -> Floats:
    """First day of the level that each service has fallen to for good; 0 = it has not fallen.

    A fall is for good when the service was steady before, a week at least, and never so low for so
    long: a quiet weekend, the calm after a single high day, or a service whose days differ anyway
    is none.

    Args:
        peaks: days x services, NaN = no sample.
    """
    count, services = peaks.shape
    first = np.zeros(services)
    for days in range(_FALLEN_DAYS, min(RECENT, count - _BEFORE_DAYS) + 1):
        left = peaks[: count - days]
        after = highest(peaks[count - days :])
        windows = np.lib.stride_tricks.sliding_window_view(
            np.where(np.isfinite(left), left, -np.inf), min(days, len(left)), axis=0
        )
        known = np.isfinite(left).sum(axis=0) >= _BEFORE_DAYS
        lowest = windows.max(axis=-1)
        lowest = np.where(np.isfinite(lowest), lowest, np.inf).min(axis=0)
        with np.errstate(invalid="ignore"):
            fallen = known & np.isfinite(lowest) & (after > 0)
            fallen &= (lowest > _FALLEN * after) & (left[-1] > _ABOVE * after)
            fallen &= _restlessness(left) < _STEADY
        first = np.where(fallen & (first == 0), count - days, first)
    return first


def since_rise(peaks: Floats) -> Floats:
    """First day of the level that each service has risen to for good; 0 = it has not risen.

    A rise is for good when the service was steady before it and has been since, for a week at
    least each, with no day between the levels. A service that rose twice may rise again.

    Args:
        peaks: days x services, NaN = no sample.
    """
    first = np.zeros(peaks.shape[1])
    if len(peaks) < WEEK + _BEFORE_DAYS:
        return first
    known = np.isfinite(peaks)
    highest_before, lowest_before = np.fmax.accumulate(peaks), np.fmin.accumulate(peaks)
    highest_after = np.fmax.accumulate(peaks[::-1])[::-1]
    lowest_after = np.fmin.accumulate(peaks[::-1])[::-1]
    enough = (np.cumsum(known, axis=0) >= _BEFORE_DAYS)[:-WEEK] & known[1 : 1 - WEEK]
    with np.errstate(invalid="ignore"):
        risen = enough & (lowest_after[1 : 1 - WEEK] > _FALLEN * highest_before[:-WEEK])
        risen &= highest_before[:-WEEK] < _FALLEN * lowest_before[:-WEEK]
        risen &= highest_after[1 : 1 - WEEK] < _FALLEN * lowest_after[1 : 1 - WEEK]
    for day in np.flatnonzero(risen.any(axis=1)) + 1:
        found = np.flatnonzero(risen[day - 1])
        steady = np.fmax(*(_restlessness(part[:, found]) for part in np.split(peaks, [day])))
        first[found[steady < _STEADY]] = day
    return first


def _restlessness(peaks: Floats) -> Floats:
    """Mean change of the log daily peak from one day, or one week, to the next, whichever is
    smaller; infinite where neither is known.
    """
    logs = log_size(peaks[-2 * RECENT :])
    logs[~np.isfinite(peaks[-2 * RECENT :])] = np.nan
    change = np.full(peaks.shape[1], np.inf)
    for lag in (1, WEEK):
        if len(logs) > lag:
            change = np.fmin(change, known_mean(np.abs(logs[lag:] - logs[:-lag])))
    return change


def log_size(size: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(size, _TINY)))


def highest(values: Floats) -> Floats:
    known = np.isfinite(values)
    highest = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(known.any(axis=0), highest, np.nan)


def known_mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def known_median(values: Floats) -> Floats:
    return np.asarray(np.nanmedian(np.where(np.isfinite(values).any(axis=0), values, 0.0), axis=0))


def known_spread(values: Floats) -> Floats:
    return np.asarray(np.sqrt(known_mean((values - known_mean(values)) ** 2)))
