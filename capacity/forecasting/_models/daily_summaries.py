"""The days of services in a few numbers each: what peaks are learned from."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.forecasting._quantiles import Floats

__all__ = ["STATS", "summarise", "unfinished"]

STATS = (
    "max",
    "second",
    "p99",
    "p95",
    "p90",
    "p50",
    "mean",
    "min",
    "hour",
    "hour2",
    "hour of max",
    "known",
)
"""Of the samples of a day: the highest and the second, quantiles, mean and lowest; the highest
hourly mean, the second highest hourly maximum, and the hour of the highest; and how many there are,
as a share of those of a whole day.
"""

_HOUR, _DAY = 3600, 86_400
Indices = NDArray[np.intp]


def summarise(values: Floats, step: int, tail: int = 0) -> Floats:
    """Daily summaries, days x services x `STATS`, counted back from the last whole day.

    Args:
        values: samples x services, NaN = no sample.
        step: seconds between samples. Steps that do not divide an hour are gathered to hourly
            maxima first, longer ones are taken to last.
        tail: samples of the day that is not over, see `unfinished`. They belong to the day before,
            so that summaries follow whole days and what is made from them does not move with the
            minute it is asked.
    """
    tail, (values, step) = tail * step, _dividing_an_hour(values, step)
    length = _DAY // step
    tail //= step
    days, services = (len(values) - tail) // length, values.shape[1]
    if days < 1:
        tail, days = 0, len(values) // length
    day = values[len(values) - tail - days * length : len(values) - tail]
    table = _table(day.reshape(days, length, services), 24)
    if tail:
        last = np.full((1, 2 * length, services), np.nan)
        last[0, : length + tail] = values[-length - tail :]
        table[-1:] = _table(last, 48)
    return table


def unfinished(index: pd.DatetimeIndex) -> int:
    """How many samples at the end of a regular UTC index belong to a day that is not over."""
    if len(index) < 2:
        return 0
    count = int((index[-1] - index[-1].normalize()) / (index[1] - index[0])) + 1
    return count % round(pd.Timedelta("1D") / (index[1] - index[0]))


def _table(day: Floats, span: int) -> Floats:
    """Summaries of days x samples x services, each of so many hours."""
    days, length, services = day.shape
    known = np.isfinite(day)
    count = known.sum(axis=1)
    ordered = -np.sort(-np.where(known, day, -np.inf), axis=1)
    filled = np.where(known, day, 0.0)
    hours = (days, span, length // span, services)
    seen = known.reshape(hours).sum(axis=2)
    hourly = np.where(seen > 0, filled.reshape(hours).sum(axis=2) / np.maximum(seen, 1), -np.inf)
    tops = np.where(known, day, -np.inf).reshape(hours).max(axis=2)
    columns = [
        ordered[:, 0],
        np.take_along_axis(ordered, np.minimum(1, np.maximum(count - 1, 0))[:, None], 1)[:, 0],
        *(_level(ordered, count, level) for level in (0.99, 0.95, 0.9, 0.5)),
        filled.sum(axis=1) / np.maximum(count, 1),
        _level(ordered, count, 0.0),
        hourly.max(axis=1),
        np.partition(tops, -2, axis=1)[:, -2],
        tops.argmax(axis=1).astype(np.float64) % 24,
        count * (span / 24 / length),
    ]
    table = np.stack(columns, axis=-1)
    table[~np.isfinite(table)] = np.nan
    table[count == 0] = np.nan
    return table


def _level(ordered: Floats, count: Indices, level: float) -> Floats:
    """Interpolated quantile of descending samples along axis 1."""
    last = np.maximum(count - 1, 0)
    place = (1 - level) * last
    low = np.floor(place).astype(np.intp)
    high = np.minimum(low + 1, last)
    first = np.take_along_axis(ordered, low[:, None], 1)[:, 0]
    second = np.take_along_axis(ordered, high[:, None], 1)[:, 0]
    with np.errstate(invalid="ignore"):
        return np.asarray(first + (place - low) * (second - first), np.float64)


def _dividing_an_hour(values: Floats, step: int) -> tuple[Floats, int]:
    """The samples at a step that divides an hour."""
    if _HOUR % step == 0:
        return values, step
    # counted back from the last sample, as days are
    hours = (np.arange(len(values))[::-1] * step) // _HOUR
    whole = int(hours.max(initial=0)) + 1
    out = np.full((whole, values.shape[1]), np.nan)
    np.fmax.at(out, whole - 1 - hours, values)
    for row in range(whole - 2, -1, -1):  # a sample stands for all hours of its step
        if step > _HOUR and not (hours == whole - 1 - row).any():
            out[row] = out[row + 1]
    return out, _HOUR
