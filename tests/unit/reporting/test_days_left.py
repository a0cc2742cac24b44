"""How many days limits and hosts have left."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.history import History
from capacity.model import Resource, Signal
from capacity.reporting._analysis.runway import run_out
from capacity.reporting.weekly._days_left import WITHIN_DAYS, days_left, say_days
from capacity.reporting.weekly._limit_crossings import LimitCrossing
from capacity.reporting.weekly._sections.days_left import _cells

START = pd.Timestamp("2026-10-26", tz="UTC")
INDEX = pd.date_range(START, periods=28 * 24, freq="1h", unit="s")
END = START + pd.Timedelta("28D")


def history(slope: float) -> History:
    """One service and one host whose use grows by `slope` bytes a day from 100."""
    days = np.arange(len(INDEX)) / 24
    use = pd.DataFrame({"shop/web": 100 + slope * days}, index=INDEX)
    size = pd.DataFrame({"dock1": 200.0}, index=INDEX)
    frames = {
        Signal.MEMORY: use,
        Signal.CPU: use * 0,
        Signal.HOST_MEMORY: use.set_axis(["dock1"], axis=1),
        Signal.HOST_MEMORY_TOTAL: size,
    }
    return History(frames, START, END, pd.Timedelta("1h"), "test", hosts={"shop/web": "dock1"})


def tables(limit: float) -> dict[Resource, pd.DataFrame]:
    """A limit on memory alone."""
    return {
        Resource.MEMORY: pd.DataFrame(
            {"current": [limit], "breach_now": np.nan}, index=["shop/web"]
        ),
        Resource.CPU: pd.DataFrame({"current": [np.nan], "breach_now": np.nan}, index=["shop/web"]),
    }


@given(st.floats(-1, 3), st.floats(150, 400))
@settings(max_examples=30, deadline=None)
def test_a_straight_line_is_read_to_the_week(slope: float, limit: float) -> None:
    """The interval holds what the line says, its edges are in order, and the soonest is first."""
    found = days_left(history(slope), tables(limit), [], 7.0)
    assert [row.soonest for row in found] == sorted(row.soonest for row in found)
    for row in found:
        bound = 0.9 * 200 if row.host else limit
        days = (bound - (100 + slope * 28)) / slope if slope > 1e-3 else math.inf
        assert row.bound == bound
        assert row.soonest <= row.likely <= row.latest
        if days > WITHIN_DAYS + 7:
            assert math.isinf(row.soonest)
        elif days < WITHIN_DAYS - 7:
            assert max(days - 7, 0) - 1 <= row.likely <= max(days, 0) + 8


def test_the_forecast_brings_a_limit_nearer() -> None:
    """Where the upper band of the forecast is at the limit before the trend, it counts."""
    crossing = LimitCrossing(
        "shop/web", Resource.MEMORY, 400.0, END + pd.Timedelta("36h"), None, 300.0
    )
    found = days_left(history(0.0), tables(400.0), [crossing], 7.0)
    services = [row for row in found if not row.host]
    assert [(row.soonest, row.likely) for row in services] == [(1.5, math.inf)]


@given(st.floats(-0.002, 3.0), st.floats(90, 400), st.floats(0, 1))
def test_the_days_left_begin_their_interval(slope: float, limit: float, chance: float) -> None:
    """What a row says is left is within what it says is possible."""
    told = tables(limit)
    told[Resource.MEMORY]["breach_now"] = chance
    for row in days_left(history(slope), told, [], 7.0):
        *_, left, interval = _cells(row)
        assert interval == left if math.isinf(row.soonest) else interval.startswith(f"{left} to ")
        assert row.soonest <= row.latest


def test_days_in_words() -> None:
    """Full is now, and beyond a quarter nothing is said."""
    assert [say_days(days) for days in (0.0, 6.6, math.inf)] == ["now", "7", f"> {WITHIN_DAYS}"]


@given(
    st.integers(4, 13),
    st.integers(0, 12),
    st.floats(0.7, 0.99),
    st.floats(-0.004, 0.004),
    st.integers(0, 1000),
)
def test_one_high_week_is_no_trend(
    weeks: int, which: int, high: float, drift: float, seed: int
) -> None:
    """A flat service that was near its limit once is not said to reach it within a quarter."""
    end = pd.Timestamp("2026-11-23", tz="UTC")
    index = pd.DatetimeIndex([end - pd.Timedelta(weeks=back) for back in range(weeks)][::-1])
    rng = np.random.default_rng(seed)
    values = 0.5 + drift * np.arange(weeks) + rng.normal(0, 0.002, weeks)
    values[which % weeks] = high
    found = run_out(pd.Series(values, index=index), 1.0, weeks=13)
    assert found is not None
    assert found.likely == np.inf
