"""A service's days, and what they say about how far its next peak may stray: scale-free numbers a model can learn from."""

from __future__ import annotations

import numpy as np

from capacity.sizing.policies.base import Floats, column_max, column_quantile

__all__ = ["FEATURES", "base", "days_of", "features", "next_peak"]

_LEVELS = (0.5, 0.9, 0.95, 0.99)
_LEAST = 1e-12  # of whatever unit: a logarithm needs something
_RECENT, _WEEK = 14, 7

FEATURES = (
    "peak of 1 day",
    "of 3 days",
    "of 7 days",
    "of 28 days",
    "of all days",
    "median daily peak",
    "lowest daily peak",
    "spread of daily peaks",
    "spread of weekly peaks",
    "last week against the one before",
    "second highest day",
    "third highest day",
    "fifth highest day",
    "median of a day",
    "90th percentile of a day",
    "95th percentile of a day",
    "99th percentile of a day",
    "mean of a day",
    "share of days without samples",
    "days since the highest",
    "rank by size in the fleet",
    "past excess, highest",
    "past excess, mean",
    "past excess, how often",
    "past excess, spread",
    "past excess, mean above",
    "past weeks seen",
)


def days_of(values: Floats, step: int) -> Floats:
    """Days x services x (maximum, 50th, 90th, 95th, 99th percentile, mean), counted back from the end.

    NaN for a day without samples.
    """
    length = max(1, 86_400 // step)
    whole = len(values) // length
    cut = values[len(values) - whole * length :].reshape(whole, length, -1)
    return np.stack([_day(day) for day in cut]) if whole else np.zeros((0, values.shape[1], 6))


def _day(values: Floats) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    row = [column_max(values), *(column_quantile(values, level) for level in _LEVELS), mean]
    return np.where(count > 0, np.stack(row), np.nan).T


def base(days: Floats) -> Floats:
    """Trailing peak of 14 days, of which margins are multiples; NaN or 0 where there is none."""
    return column_max(days[-_RECENT:, :, 0])


def next_peak(days: Floats, since: int) -> Floats:
    """Peak of the week that begins with day `since`."""
    return column_max(days[since : since + _WEEK, :, 0])


def features(days: Floats) -> Floats:
    """Services x `FEATURES` at the end of `days`; sizes are logarithms relative to the trailing peak of 14 days."""
    peaks = days[:, :, 0]
    count = len(peaks)
    recent = peaks[-_RECENT:]
    unit = np.log(np.maximum(base(days), _LEAST))

    def relative(size: Floats) -> Floats:
        return np.asarray(np.clip(np.log(np.maximum(size, _LEAST)) - unit, -6.0, 3.0))

    weeks = np.stack([column_max(peaks[max(0, count - _WEEK * (k + 1)) : max(0, count - _WEEK * k)]) for k in range(4)])
    logs, week_logs = np.log(np.maximum(recent, _LEAST)), np.log(np.maximum(weeks, _LEAST))
    ordered = -np.sort(-np.where(np.isfinite(recent), recent, -np.inf), axis=0)
    ordered = np.where(np.isfinite(ordered), ordered, np.nan)
    filled = np.where(np.isfinite(recent), recent, -np.inf)
    rank = np.argsort(np.argsort(np.where(np.isfinite(unit), unit, -np.inf), kind="stable"), kind="stable") / max(len(unit), 1)
    columns = [
        *(relative(column_max(peaks[-span:])) for span in (1, 3, 7, 28)),
        relative(column_max(peaks)),
        relative(column_quantile(recent, 0.5)),
        relative(column_quantile(recent, 0.0)),
        _spread(logs),
        _spread(week_logs),
        week_logs[0] - week_logs[1],
        *(relative(ordered[min(place, len(ordered) - 1)]) for place in (1, 2, 4)),
        *(relative(_mean(days[-_WEEK:, :, number])) for number in (1, 2, 3, 4, 5)),
        1 - np.isfinite(recent).mean(axis=0),
        filled[::-1].argmax(axis=0).astype(np.float64),
        rank.astype(np.float64),
        *_excesses(days),
    ]
    return np.stack(columns, axis=1)


def _excesses(days: Floats) -> list[Floats]:
    """How far past weeks went beyond the trailing peak before them."""
    origins = range(_WEEK, len(days) - _WEEK + 1, 3)
    past = [np.log(np.maximum(next_peak(days, day), _LEAST) / np.maximum(base(days[:day]), _LEAST)) for day in origins]
    table = np.stack(past) if past else np.full((1, days.shape[1]), np.nan)
    known = np.isfinite(table)
    above = np.where(known, np.maximum(table, 0.0), np.nan)
    often = np.where(known.any(axis=0), (known & (table > 0)).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)
    seen = np.full(days.shape[1], float(min(len(past), 12)))
    return [column_max(table), _mean(table), often, _spread(table), _mean(above), seen]


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _spread(values: Floats) -> Floats:
    centre = _mean(values)
    return np.asarray(np.sqrt(_mean((values - centre) ** 2)))
