"""A service's days, and what they say about how far its next peak may stray: scale-free numbers a
model can learn from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from capacity.sizing._policies.base import LEAST, Floats, column_max, column_quantile

__all__ = ["BASES", "FEATURES", "Days", "days_of", "features"]

_LEVELS = (0.99, 0.95, 0.9, 0.5)
_RECENT, _WEEK = 14, 7
_DAY = 86_400

FEATURES = (
    "peak of 1 day",
    "peak of 2 days",
    "peak of 3 days",
    "peak of 7 days",
    "peak of 28 days",
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
    "second highest sample of a day",
    "99th percentile of a day",
    "95th percentile of a day",
    "90th percentile of a day",
    "median of a day",
    "mean of a day",
    "lowest of a day",
    "busiest hour of a day",
    "highest second sample",
    "highest 99th percentile",
    "highest 95th percentile",
    "highest busiest hour",
    "99th percentile of the last day",
    "mean of the last day",
    "share of days without samples",
    "days since the highest",
    "rank by size in the fleet",
    "past excess, highest",
    "past excess, mean",
    "past excess, how often",
    "past excess, spread",
    "past excess, mean above",
    "past excess, last",
    "past weeks seen",
    "days with samples",
)
BASES = (
    None,
    "peak of all days",
    "peak of 7 days",
)  # what a next peak may be a multiple of, beside that of 14 days
_UNKNOWN = -9.0


@dataclass(frozen=True)
class Days:
    """Daily summaries and the features of every past morning, computed once.

    Attributes:
        table: days x services x (maximum, second sample, 99th, 95th, 90th, 50th percentile, mean,
            minimum, busiest hour).
    """

    table: Floats
    _kept: dict[int, Floats] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.table)

    def until(self, day: int) -> Days:
        """The days before `day`; what was computed is shared."""
        return Days(self.table[:day], self._kept)

    def features(self, day: int) -> Floats:
        """Services x `FEATURES` on the morning of `day`: nothing later is looked at."""
        if day not in self._kept:
            self._kept[day] = features(self.table[:day])
        return self._kept[day]

    def base(self, day: int) -> Floats:
        """Peak of the 14 days before `day`, of which margins are multiples; NaN or 0 where there is
        none.
        """
        return column_max(self.table[max(0, day - _RECENT) : day, :, 0])

    def alive(self, day: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether there was a sample in the week before `day`."""
        return np.isfinite(column_max(self.table[max(0, day - _WEEK) : day, :, 0]))

    def next_peak(self, day: int) -> Floats:
        """Peak of the week that begins with `day`."""
        return column_max(self.table[day : day + _WEEK, :, 0])


def days_of(values: Floats, step: int) -> Floats:
    """The table of `Days`, counted back from the last sample; less than a day of samples counts as
    one.

    Args:
        values: samples x services.
        step: seconds between samples.
    """
    length = max(1, _DAY // step)
    whole = max(1, len(values) // length)
    cut = values[-whole * length :]
    length = len(cut) // whole
    return np.stack([_day(day, step) for day in cut.reshape(whole, length, -1)])


def _day(values: Floats, step: int) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    ordered = -np.sort(np.where(known, -values, np.inf), axis=0)
    second = ordered[np.minimum(1, np.maximum(count - 1, 0)), np.arange(values.shape[1])]
    levels = [column_quantile(values, level) for level in _LEVELS]
    rows = [
        column_max(values),
        second,
        *levels,
        mean,
        column_quantile(values, 0.0),
        _busiest_hour(values, known, step),
    ]
    return np.where(count > 0, np.stack(rows), np.nan).T


def _busiest_hour(
    values: Floats, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], step: int
) -> Floats:
    """Highest mean of an hour."""
    length = max(1, 3_600 // step)
    hours = max(1, len(values) // length)
    length = len(values) // hours
    shape = (hours, length, values.shape[1])
    seen = known[: hours * length].reshape(shape).sum(axis=1)
    total = np.where(known, values, 0.0)[: hours * length].reshape(shape).sum(axis=1)
    return column_max(np.where(seen > 0, total / np.maximum(seen, 1), np.nan))


def features(days: Floats) -> Floats:
    """Services x `FEATURES` at the end of `days`; sizes are logarithms relative to the peak of the
    last 14 days.
    """
    peaks = days[:, :, 0]
    count = len(peaks)
    recent, month = peaks[-_RECENT:], peaks[-2 * _RECENT :]
    unit = np.log(np.maximum(column_max(recent), LEAST))

    def relative(size: Floats) -> Floats:
        return np.asarray(np.clip(_log(size) - unit, -6.0, 3.0))

    weeks = _log(
        np.stack(
            [
                column_max(peaks[max(0, count - _WEEK * (k + 1)) : max(0, count - _WEEK * k)])
                for k in range(4)
            ]
        )
    )
    ordered, ordered_month = _descending(recent), _descending(month)
    rank = np.argsort(
        np.argsort(np.where(np.isfinite(unit), unit, -np.inf), kind="stable"), kind="stable"
    ) / max(len(unit), 1)
    columns = [
        *(relative(column_max(peaks[-span:])) for span in (1, 2, 3, 7, 28)),
        relative(column_max(peaks)),
        relative(column_quantile(recent, 0.5)),
        relative(column_quantile(recent, 0.0)),
        *(_spread(_log(part)) for part in (recent, month)),
        _spread(weeks),
        weeks[0] - weeks[1],
        weeks[1] - weeks[2],
        *(relative(ordered[min(place, len(ordered) - 1)]) for place in (1, 2, 4)),
        *(relative(ordered_month[min(place, len(ordered_month) - 1)]) for place in (1, 3, 7)),
        *(relative(_mean(days[-_WEEK:, :, number])) for number in range(1, 9)),
        *(relative(column_max(days[-_RECENT:, :, number])) for number in (1, 2, 3, 8)),
        *(relative(days[-1, :, number]) for number in (2, 6)),
        1 - np.isfinite(recent).mean(axis=0),
        np.where(np.isfinite(recent), recent, -np.inf)[::-1].argmax(axis=0),
        rank,
        *_excesses(peaks),
        np.isfinite(peaks).sum(axis=0),
    ]
    return np.nan_to_num(
        np.stack(columns, axis=1).astype(np.float64), nan=_UNKNOWN, posinf=_UNKNOWN, neginf=_UNKNOWN
    )


def _excesses(peaks: Floats) -> list[Floats]:
    """How far past weeks went beyond the peak of the 14 days before them."""
    origins = range(_WEEK, len(peaks) - _WEEK + 1, 3)
    past = [
        _log(column_max(peaks[day : day + _WEEK]))
        - _log(column_max(peaks[max(0, day - _RECENT) : day]))
        for day in origins
    ]
    table = np.stack(past) if past else np.full((1, peaks.shape[1]), np.nan)
    known = np.isfinite(table)
    above = np.where(known, np.maximum(table, 0.0), np.nan)
    often = np.where(
        known.any(axis=0),
        (known & (table > 0)).sum(axis=0) / np.maximum(known.sum(axis=0), 1),
        np.nan,
    )
    seen = np.full(peaks.shape[1], float(min(len(past), 12)))
    return [column_max(table), _mean(table), often, _spread(table), _mean(above), table[-1], seen]


def _log(size: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(size, LEAST)))


def _descending(values: Floats) -> Floats:
    """Each column from its highest to its lowest; NaN last."""
    return -np.sort(-values, axis=0)


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _spread(values: Floats) -> Floats:
    return np.asarray(np.sqrt(_mean((values - _mean(values)) ** 2)))
