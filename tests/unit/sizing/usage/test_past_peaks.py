"""Peaks from before the window: what bounds a lowering, and what returns by the calendar."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.model import Action, Reason
from capacity.sizing import Context, recommend
from capacity.sizing._usage.past_peaks import past_peaks
from tests.fixtures.frames import float_at

GIB = float(1 << 30)
TODAY = date(2026, 11, 24)


def calendar(days: int, today: date = TODAY) -> list[date]:
    """The days up to and with today."""
    return [today - timedelta(days=days - 1 - number) for number in range(days)]


def frame(peaks: dict[str, np.ndarray], today: date = TODAY) -> pd.DataFrame:
    """Daily peaks that end today."""
    count = len(next(iter(peaks.values())))
    return pd.DataFrame(peaks, index=pd.DatetimeIndex(calendar(count, today), tz="UTC"))


def noise(days: int, seed: int = 1, spread: float = 0.05) -> np.ndarray:
    """A steady service of one unit."""
    return np.asarray(np.random.default_rng(seed).lognormal(0, spread, days))


@settings(max_examples=60, deadline=None)
@given(
    day=st.integers(1, 28),
    months=st.integers(3, 12),
    height=st.floats(1.6, 8.0),
    seed=st.integers(0, 99),
    horizon=st.integers(1, 14),
)
def test_a_monthly_peak_is_found_and_expected_when_it_is_due(
    day: int, months: int, height: float, seed: int, horizon: int
) -> None:
    """Whatever the day and the height; the next one is as high as the last ones."""
    days = calendar(months * 31)
    peaks = noise(len(days), seed)
    peaks[[at.day == day for at in days]] *= height
    found = past_peaks(frame({"job": peaks}), horizon)["job"]
    assert found.rhythm == f"day {day} of the month"
    assert found.expected == pytest.approx(height, rel=0.3)
    ahead = [TODAY + timedelta(days=number) for number in range(-1, horizon + 2)]
    assert found.due == any(at.day == day for at in ahead)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (lambda day: (day + timedelta(days=1)).day == 1, "last day of the month"),
        (
            lambda day: day.weekday() == 0 and day.day <= 7,
            "first Monday of the month",
        ),
        (
            lambda day: (day + timedelta(days=1)).day == 1 and day.month % 3 == 0,
            "last day of the quarter",
        ),
    ],
)
def test_other_places_of_the_calendar(place: object, name: str) -> None:
    """Ends of months and quarters, weekdays of a month."""
    days = calendar(360)
    peaks = noise(len(days))
    peaks[[place(day) for day in days]] *= 3  # type: ignore[operator]  # a predicate of days
    assert past_peaks(frame({"job": peaks}), 7)["job"].rhythm == name


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 500), spread=st.floats(0.02, 1.0), days=st.integers(29, 400))
def test_a_restless_service_has_no_rhythm(seed: int, spread: float, days: int) -> None:
    """Independent days are not read as a calendar, or at a rate of a few in a hundred."""
    found = past_peaks(
        frame({f"s{number}": noise(days, 1000 * seed + number, spread) for number in range(20)}), 7
    )
    assert sum(bool(past.rhythm) for past in found.values()) <= 2


def test_a_level_that_was_left_bounds_nothing() -> None:
    """A service that uses half of what it did in spring may be lowered."""
    peaks = noise(200)
    peaks[:100] *= 2
    assert past_peaks(frame({"web": peaks}), 7)["web"].highest < 1.4


def test_a_single_far_day_counts_as_twice_the_rest() -> None:
    """One surprise months ago does not hold a limit up for ever."""
    peaks = noise(200)
    peaks[60] = 50.0
    assert past_peaks(frame({"web": peaks}), 7)["web"].highest < 2.6


def usage_with_job(days: int = 28) -> pd.DataFrame:
    """A job of 3.1 GiB on the 26th, up to the 24th, beside steady services."""
    index = pd.date_range(
        end="2026-11-24 10:00", periods=days * 288, freq="5min", tz="UTC", unit="s"
    )
    rng = np.random.default_rng(1)
    usage = pd.DataFrame(
        {f"s{number}": 0.3 * GIB * rng.lognormal(0, 0.05, len(index)) for number in range(8)},
        index=index,
    )
    usage["job"] = GIB * rng.lognormal(0, 0.03, len(index))
    usage.loc[(index.day == 26) & (index.hour == 3), "job"] = 3.1 * GIB
    return usage


def test_a_monthly_job_is_not_lowered_below_its_day() -> None:
    """Its 26th lies before the window of four weeks: the archive remembers it, the limit stays, and
    the evidence names it; a lower limit is raised in time.
    """
    usage = usage_with_job(95)
    window, before = usage.iloc[-28 * 288 :], usage.iloc[: -28 * 288].resample("1D").max()
    context = Context(past_peaks=before)
    kept = recommend(window, current={"job": 4 * GIB}, context=context).loc["job"]
    assert kept["action"] == Action.KEEP
    assert kept["rhythm"] == "day 26 of the month"
    assert kept["past_peak"] == pytest.approx(3.1 * GIB)
    raised = recommend(window, current={"job": 2 * GIB}, context=context).loc["job"]
    assert (raised["action"], raised["reason"]) == (Action.RAISE, Reason.CALENDAR_PEAK)
    assert raised["limit"] >= 3.1 * GIB
    new = recommend(window, context=context)
    assert float_at(new, "job", "limit") >= 3.1 * GIB


def test_a_past_peak_says_why_a_limit_is_kept() -> None:
    """Without a rhythm the highest archived peak alone stops a lowering."""
    usage = usage_with_job().drop(columns="job")
    days = pd.date_range("2026-07-01", "2026-10-26", tz="UTC", unit="s")
    before = pd.DataFrame({"s0": np.where(np.arange(len(days)) % 37 < 3, 1.2, 0.3) * GIB}, days)
    before["s0"] = before["s0"].where(np.arange(len(days)) < 60, 0.3 * GIB)
    row = recommend(
        usage, current={"s0": 1.3 * GIB}, risk=0.2, context=Context(past_peaks=before)
    ).loc["s0"]
    free = recommend(usage, current={"s0": 1.3 * GIB}, risk=0.2).loc["s0"]
    assert free["action"] == Action.LOWER
    assert (row["action"], row["reason"]) == (Action.KEEP, Reason.PAST_PEAK)
