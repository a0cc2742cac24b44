"""When a service is used: business hours, jobs that come back, and a level that is over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.forecasting import Forecaster
from capacity.model import Action, Reason
from capacity.sizing import Context, ServiceRule, recommend
from tests.fixtures.fleets.flat_usage import GIB, INDEX, steady
from tests.fixtures.frames import float_at, times_of


def test_cpu_is_sized_for_business_hours_where_asked() -> None:
    """A nightly batch peak does not count for a service that may be slow at night."""
    usage = steady("web", level=1.0)
    usage.loc[times_of(usage).hour == 3, "web"] = 6.0
    always = recommend(usage, signal="cpu", risk=0.1)
    rules = {"web": ServiceRule(business_hours=(8, 18))}
    by_day = recommend(usage, signal="cpu", risk=0.1, context=Context(rules=rules))
    assert float_at(always, "web", "limit") >= 6
    assert float_at(by_day, "web", "limit") < 5


@settings(max_examples=20, deadline=None)
@given(hour=st.integers(0, 23), level=st.floats(0.2, 4.0))
def test_a_nightly_job_is_sized_by_its_runs(hour: int, level: float) -> None:
    """Between two runs it is not stopped, and while it runs not unknown: its peaks size it."""
    index = pd.date_range("2026-10-27", periods=28 * 288, freq="5min", tz="UTC", unit="s")
    rng = np.random.default_rng(4)
    usage = pd.DataFrame({"web": GIB * rng.lognormal(0, 0.05, len(index))}, index=index)
    runs = (index.hour == hour) & (index.minute < 20)
    usage["job"] = np.where(runs, level * GIB * rng.lognormal(0, 0.05, len(index)), np.nan)
    running = pd.Series({"web": True, "job": False})
    row = recommend(usage, context=Context(running=running)).loc["job"]
    assert row["action"] == Action.SET
    assert row["limit"] >= usage["job"].max() * 0.98
    assert row["rhythm"] == f"daily at {hour:02d}:00 UTC, for 20 min"
    late = usage.copy()
    late.loc[late.index > index[-1] - pd.Timedelta("4D"), "job"] = np.nan
    row = recommend(late, context=Context(running=running)).loc["job"]
    assert row["reason"] == Reason.STOPPED


@pytest.mark.parametrize("days", [4, 7, 10, 14])
def test_the_level_of_now_counts_after_a_fall(days: int) -> None:
    """A fall to half is forecast at its new level, and a service that ends at what is left."""
    index = pd.date_range("2026-10-27", periods=28 * 288, freq="5min", tz="UTC", unit="s")
    rng = np.random.default_rng(6)
    noise = rng.lognormal(0, 0.05, (len(index), 2))
    ended = index[-1] - pd.Timedelta("1D")
    usage = pd.DataFrame(
        {
            "half": np.where(index > index[-1] - pd.Timedelta(days=days), 1.0, 2.0) * noise[:, 0],
            "ending": np.clip((ended - index) / pd.Timedelta("26D"), 0, 1) * 2 * noise[:, 1] + 1e-3,
        },
        index=index,
    )
    peaks = Forecaster(quantiles=(0.1, 0.5, 0.9)).fit(usage).predict_peak("7D")
    assert float_at(peaks, "half", 0.5) < 1.4
    assert float_at(peaks, "ending", 0.5) < 0.4
    if days >= 10:
        fleet = usage.join(
            pd.DataFrame(rng.gamma(20.0, 0.05, (len(index), 12)), index=index).add_prefix("s")
        )
        limits = recommend(fleet, signal="cpu")
        assert float_at(limits, "half", "limit") < 1.5 * 2.3
        assert float_at(limits, "ending", "limit") < 1.5


def test_a_job_that_starts_every_hour_is_no_loop() -> None:
    """Its starts are as many as those of a loop, and its gaps are not those of one."""
    index = pd.date_range("2026-11-10", periods=14 * 288, freq="5min", tz="UTC", unit="s")
    rng = np.random.default_rng(4)
    usage = pd.DataFrame({"web": GIB * rng.lognormal(0, 0.05, len(index))}, index=index)
    usage["job"] = np.where(index.minute < 10, GIB * rng.lognormal(0, 0.05, len(index)), np.nan)
    row = recommend(usage, context=Context(unstable=frozenset({"job"}))).loc["job"]
    assert (row["action"], row["rhythm"]) == (Action.SET, "every 60 min, for 10 min")


@pytest.mark.parametrize("hours", [(8, 18), (6, 23)])
def test_closing_time_is_no_end_and_no_start(hours: tuple[int, int]) -> None:
    """A service that runs all day is no job for its business hours, its mornings are no starts, and
    what throttles a batch at night asks for nothing.
    """
    usage = steady("web", level=2.0)
    opening = INDEX.hour == hours[0]
    usage.loc[opening, "web"] = 3.0
    night = pd.DataFrame(
        {"web": np.where(np.isin(INDEX.hour, [0, 1, 2]), 0.9, 0.0)}, index=usage.index
    )
    days = pd.DatetimeIndex([usage.index[0] - pd.Timedelta("40D")]).normalize()
    table = recommend(
        usage,
        signal="cpu",
        current=pd.Series({"web": 8.0}),
        context=Context(
            rules={"web": ServiceRule(business_hours=hours)},
            throttled=night,
            past_peaks=pd.DataFrame({"web": [7.9]}, index=days),
        ),
    )
    assert table.loc["web", "rhythm"] == ""
    assert np.isnan(float_at(table, "web", "startup_peak"))
    assert table.loc["web", "reason"] != Reason.THROTTLED
    assert float_at(table, "web", "throttled") == 0.0
    assert np.isnan(float_at(table, "web", "past_peak"))
