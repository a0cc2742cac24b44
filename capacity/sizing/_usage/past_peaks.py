"""Peaks from before the window: the highest bounds what is lowered, and those that return by the
calendar are expected again.

A day counts as an excursion when its peak is well above the days around it. Excursions of at least
two months (three for a weekday of the month) on one place of the calendar, a day to either side,
are a rhythm when that place was missed seldom and no other day reaches as high; where there are
only two, none comes near.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.forecasting._models.peak_features import known_median
from capacity.forecasting._quantiles import Floats

__all__ = ["CALENDAR_ROOM", "PastPeak", "past_peaks"]

CALENDAR_ROOM = 1.1  # what returns may be this much higher than it was
Rows = NDArray[np.intp]

_RECENT = 28  # days that the policy has seen itself
_NOW = 14  # days that say what the level is
_AROUND = 21  # days of the level around a day
_FORMER_LEVEL = 1.25  # times the present level: a day of a higher one says nothing about now
_SPIKE = 2.0  # a single day counts at most as this multiple of the highest other one
_EXCURSION = 1.3  # times the level around it
_SPARSE = 0.2  # share of days with samples below which every one is an excursion
_RESTLESS = 0.15  # share of days that are excursions from which there is no rhythm to be told
_SELDOM_MISSED = 2 / 3
_ENOUGH, _CLEARLY = 3, 1.5  # fewer occurrences must stand out from all other days by so much
_NEAR = 1  # days to either side of a place of the calendar
_RECALLED = 3  # occurrences that say how high the next will be


@dataclass(frozen=True)
class PastPeak:
    """What one service did before the window.

    Attributes:
        highest: highest daily peak that still says something, in the unit of the usage.
        at: its UTC day.
        rhythm: place of the calendar where its peaks return, such as `day 26 of the month`; empty =
            none was found.
        expected: how high the next peak of the rhythm will be; NaN without one.
        due: whether it falls within the horizon.
    """

    highest: float
    at: date
    rhythm: str
    expected: float
    due: bool


@dataclass(frozen=True)
class _Place:
    """A place of the calendar.

    Attributes:
        name: for people.
        rows: of the past days on which it fell.
        zone: rows of these days and their neighbours.
        due: whether it, or a neighbour, lies ahead.
        least: occurrences that make a rhythm.
    """

    name: str
    rows: Rows
    zone: Rows
    due: bool
    least: int


@dataclass(frozen=True)
class _Rhythms:
    """The place that explains each service's excursions best; by service.

    Attributes:
        place: its position; -1 = none.
        expected: how high the next peak will be; NaN without one.
    """

    place: Rows
    expected: Floats


def past_peaks(peaks: pd.DataFrame, horizon: float) -> dict[str, PastPeak]:
    """What each service with something to tell did before the last four weeks.

    Args:
        peaks: highest sample of each UTC day x services, days without a gap, the last one the
            present; NaN = not seen.
        horizon: days ahead.
    """
    if len(peaks) <= _RECENT:
        return {}
    values = peaks.to_numpy(np.float64)
    days = [moment.date() for moment in pd.DatetimeIndex(peaks.index)]
    level = peaks.rolling(_AROUND, center=True, min_periods=1).median().to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        counts = np.isfinite(values) & ~(level > _FORMER_LEVEL * known_median(values[-_NOW:]))
        sparse = np.isfinite(values).mean(axis=0) < _SPARSE
        excursion = counts & ((values > _EXCURSION * level) | sparse)
    own = np.where(counts, values, 0.0)
    places = list(_places(days, int(np.ceil(horizon))))
    rhythms = _rhythms(own, counts | sparse, excursion, places)
    highest, at = _highest(own)
    found = {}
    for column in np.flatnonzero(own[:-_RECENT].any(axis=0)).tolist():
        place = places[rhythms.place[column]] if rhythms.place[column] >= 0 else None
        found[str(peaks.columns[column])] = PastPeak(
            float(highest[column]),
            days[at[column]],
            place.name if place else "",
            float(rhythms.expected[column]),
            place is not None and place.due,
        )
    return found


def _highest(own: Floats) -> tuple[Floats, Rows]:
    """The highest peak before the last four weeks, a single far one bounded, and its row."""
    at = own[:-_RECENT].argmax(axis=0)
    top = own[at, np.arange(own.shape[1])]
    beside = np.abs(np.arange(len(own))[:, None] - at) <= _NEAR
    other = np.where(beside, 0.0, own).max(axis=0)
    return np.where(other > 0, np.minimum(top, _SPIKE * other), top), at


def _rhythms(
    own: Floats, seen: NDArray[np.bool_], excursion: NDArray[np.bool_], places: list[_Place]
) -> _Rhythms:
    """Places that explain the excursions of services, where one does."""
    count = excursion.sum(axis=0)
    regular = (count >= 2) & (count <= np.maximum(2, _RESTLESS * len(own)))
    tops = _around(np.where(excursion, own, 0.0))
    near, met = _around(own), _around(seen.astype(np.float64)) > 0
    best = np.full((3, own.shape[1]), -1.0)
    place = np.full(own.shape[1], -1)
    expected = np.full(own.shape[1], np.nan)
    for number, entry in enumerate(places):
        hit = tops[entry.rows] > 0
        hits, past = hit.sum(axis=0), met[entry.rows].sum(axis=0)
        lowest = np.where(hit, tops[entry.rows], np.inf).min(axis=0, initial=np.inf)
        elsewhere = np.delete(own, entry.zone, axis=0).max(axis=0, initial=0.0)
        clear = lowest > elsewhere * np.where(hits < _ENOUGH, _CLEARLY, 1.0)
        fits = regular & clear & (hits >= entry.least) & (hits >= _SELDOM_MISSED * past)
        score = np.stack([hits / np.maximum(past, 1), hits, excursion[entry.rows].sum(axis=0)])
        better = fits & _later(score, best)
        best = np.where(better, score, best)
        place = np.where(better, number, place)
        expected = np.where(better, _next(near[entry.rows]), expected)
    return _Rhythms(place, expected)


def _later(score: Floats, best: Floats) -> NDArray[np.bool_]:
    """Whether each column comes after the other one in lexical order."""
    differs = score != best
    first = differs.argmax(axis=0)
    columns = np.arange(score.shape[1])
    later = score[first, columns] > best[first, columns]
    return np.asarray(differs.any(axis=0) & later, bool)


def _next(tops: Floats) -> Floats:
    """How high the next peak will be: the highest of the last ones, a single far one bounded."""
    recalled = np.sort(tops[-_RECALLED:], axis=0)
    if len(recalled) < 2:
        return recalled.max(axis=0) if len(recalled) else np.full(tops.shape[1], np.nan)
    return np.asarray(np.minimum(recalled[-1], _SPIKE * recalled[-2]))


def _places(days: list[date], ahead: int) -> Iterator[_Place]:
    """Every place of the calendar that is looked at."""
    more = ahead + _NEAR
    span = [*days, *(days[-1] + timedelta(days=number + 1) for number in range(more))]

    day, left, month, weekday, week = np.array(
        [(at.day, _days_left(at), at.month % 3, at.weekday(), (at.day - 1) // 7) for at in span]
    ).T

    def place(name: str, fits: NDArray[np.bool_], least: int = 2) -> _Place:
        rows = np.flatnonzero(fits)
        zone = np.unique(rows[:, None] + np.arange(-_NEAR, _NEAR + 1))
        due = bool(((zone >= len(days) - 1) & (zone < len(days) + ahead)).any())
        inside = (zone >= 0) & (zone < len(days))
        return _Place(name, rows[rows < len(days)], zone[inside], due, least)

    for number in range(1, 32):
        yield place(f"day {number} of the month", day == number)
    for back, name in enumerate(("last day", "last day but one", "last day but two")):
        yield place(f"{name} of the month", left == back)
        yield place(f"{name} of the quarter", (left == back) & (month == 0))
    for number in range(1, 4):
        yield place(f"day {number} of the quarter", (day == number) & (month == 1))
    for place_of, ordinal in enumerate(("first", "second", "third", "fourth")):
        for number, name in enumerate(_WEEKDAYS):
            fits = (weekday == number) & (week == place_of)
            yield place(f"{ordinal} {name} of the month", fits, 3)


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _days_left(day: date) -> int:
    """Days of its month that follow."""
    following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return (following - day).days - 1


def _around(values: Floats) -> Floats:
    """The highest of each day and its neighbours."""
    padded = np.pad(values, ((_NEAR, _NEAR), (0, 0)))
    shifted: Floats = np.max([padded[by : by + len(values)] for by in range(2 * _NEAR + 1)], axis=0)
    return shifted
