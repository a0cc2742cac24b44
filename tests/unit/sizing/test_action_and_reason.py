"""What people and events ask of a limit, beyond what the policy says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._common.text.units import MIB
from capacity.errors import InputError
from capacity.forecasting import Forecaster
from capacity.model import Action, Reason, Resource
from capacity.sizing import POLICIES, Context, ServiceRule, recommend, replay
from capacity.sizing._service_types import type_of
from capacity.sizing._usage.diagnostics import find_leaks, startup_peaks
from tests.fixtures.fleets.flat_usage import GIB, INDEX, fitted, limits, steady
from tests.fixtures.frames import float_at


def test_house_rules_of_single_services() -> None:
    """Pinned, never lowered, bounded from below and above, each with its reason."""
    usage = steady("pinned", "never", "least", "most", "free")
    rules = {
        "pinned": ServiceRule(pinned=True),
        "never": ServiceRule(never_lower=True),
        "least": ServiceRule(least={Resource.MEMORY: 3.0 * GIB}),
        "most": ServiceRule(most={Resource.MEMORY: 1.0 * GIB}),
    }
    table = recommend(usage, current=limits(usage.columns, 2000), context=Context(rules=rules))
    assert table["reason"].to_dict() == {
        "pinned": Reason.PINNED,
        "never": Reason.NEVER_LOWER,
        "least": Reason.OWN_BOUNDS,
        "most": Reason.OWN_BOUNDS,
        "free": Reason.OVERSIZED,
    }
    assert table.loc["least", "limit"] == 3 * GIB
    assert float_at(table, "most", "limit") <= GIB
    assert table.loc[["pinned", "never"], "limit"].isna().all()


def test_a_critical_service_gets_more_room_than_a_batch_job() -> None:
    """The class multiplies the risk it may run."""
    usage = steady(*(f"s{number}" for number in range(12)), spread=0.2)
    rules = {"s0": ServiceRule(risk_class="critical"), "s1": ServiceRule(risk_class="batch")}
    ruled, plain = (
        recommend(usage, risk=0.05, context=Context(rules=rules)),
        recommend(usage, risk=0.05),
    )
    assert float_at(ruled, "s0", "limit") > float_at(plain, "s0", "limit")
    assert float_at(ruled, "s1", "limit") <= float_at(plain, "s1", "limit")
    assert (ruled["limit"] == plain["limit"])[2:].all()


def test_a_leak_is_not_chased() -> None:
    """A quarter above what it has, with the days until that is full, instead of whatever the growth
    will ask for.
    """
    usage = steady("web", "leaky")
    usage["leaky"] = (
        (100 + 12 * np.arange(len(INDEX)) / 24)
        * MIB
        * np.random.default_rng(1).lognormal(0, 0.004, len(INDEX))
    )
    top = float(usage["leaky"].max())
    assert find_leaks(usage) == {"leaky": pytest.approx(12 * MIB, rel=0.1)}
    table = recommend(usage, current=pd.Series({"leaky": top * 1.02}))
    assert table.loc["leaky", "reason"] == Reason.LEAK
    assert float_at(table, "leaky", "limit") <= top * 1.02 * 1.25 + MIB
    assert table.loc["leaky", "days_to_limit"] == pytest.approx(
        (float_at(table, "leaky", "limit") - top) / (12 * MIB), rel=0.15
    )
    assert (
        recommend(usage, current=pd.Series({"leaky": top * 20})).loc["leaky", "reason"]
        == Reason.LEAK
    )


def test_a_limit_lets_a_service_start() -> None:
    """A startup that needs five times the rest, three weeks ago: the limit is at least that."""
    usage = steady("web")
    usage.iloc[100:106, 0] = np.nan
    usage.iloc[106, 0] = 500 * MIB
    assert startup_peaks(usage, None)["web"] == 500 * MIB
    table = recommend(usage, risk=0.2, current=pd.Series({"web": 200.0 * MIB}))
    assert float_at(table, "web", "limit") >= 500 * MIB
    assert table.loc["web", "reason"] == Reason.STARTUP_PEAK


@pytest.mark.parametrize(("minutes", "seen"), [(20, False), (30, True), (40, True), (90, True)])
def test_forecasts_and_limits_share_one_definition_of_a_start(minutes: int, seen: bool) -> None:
    """A gap of half an hour makes a start, for the limit and for what the forecaster explains."""
    index = pd.date_range("2026-11-01", periods=12 * 24 * 10, freq="5min", tz="UTC")
    values = 100 + 5 * np.sin(np.arange(len(index)))
    values[1000 : 1000 + minutes // 5] = np.nan
    values[1000 + minutes // 5 : 1004 + minutes // 5] = 400
    usage = pd.DataFrame({"shop/web": values}, index=index)
    explained = Forecaster().fit(usage).explain("shop/web")["starts"]
    assert bool(explained["startups"]) == seen
    assert startup_peaks(usage, None)["shop/web"] == (
        400 if seen else pytest.approx(np.nan, nan_ok=True)
    )


def test_counted_restarts_are_starts_too() -> None:
    """A restart within a step leaves no gap, but the counter shows it; before the first sample
    there is no start.
    """
    usage = steady("web")
    usage.iloc[50, 0] = 400 * MIB
    restarts = pd.DataFrame({"web": [1.0]}, index=INDEX[50:51])
    assert startup_peaks(usage, restarts)["web"] == 400 * MIB
    assert startup_peaks(usage, None).isna().all()


def test_a_new_level_is_observed_before_anything_is_lowered() -> None:
    """Two days after use fell by half for good the limit stays; four weeks after it goes down."""
    usage = steady("web", level=1000 * MIB)
    fell = usage.copy()
    fell.iloc[-48:] *= 0.3
    keep = recommend(
        fell, current=limits(usage.columns, 8000), context=Context(largest_step_down=0.5)
    )
    assert keep.loc["web", "reason"] == Reason.REGIME_CHANGE
    assert (
        recommend(usage, current=limits(usage.columns, 8000)).loc["web", "reason"]
        == Reason.OVERSIZED
    )


def test_down_slowly_one_step_a_cooldown() -> None:
    """At most half at once, and not at all within a week of the last change; up is never held
    back.
    """
    usage = steady("web")
    since = pd.Series({"web": INDEX[-48]})
    table = recommend(usage, current=limits(usage.columns, 4000))
    assert table.loc["web", "limit"] == 2000 * MIB
    held = recommend(usage, current=limits(usage.columns, 4000), context=Context(limit_since=since))
    assert held.loc["web", "reason"] == Reason.COOLDOWN
    raised = recommend(usage, current=limits(usage.columns, 90), context=Context(limit_since=since))
    assert raised.loc["web", "action"] == Action.RAISE


@pytest.mark.slow
@pytest.mark.parametrize("start", [20.0, 140.0, 5000.0])
def test_twenty_six_weeks_of_flat_usage_converge(start: float) -> None:
    """Applied week after week the rule settles within a few weeks and then changes nothing: no
    shrink loop.
    """
    rng = np.random.default_rng(2)
    index = pd.date_range("2026-01-01", periods=30 * 7 * 24, freq="1h", tz="UTC", unit="s")
    usage = pd.DataFrame(
        {f"s{number}": 100 * MIB * rng.lognormal(0, 0.03, len(index)) for number in range(4)},
        index=index,
    )
    current = limits(usage.columns, start)
    changed = []
    for week in range(26):
        window = usage.iloc[week * 168 : (week + 4) * 168]
        context = Context(forecaster=fitted(window))
        proposed = recommend(window, current=current, context=context)["limit"]
        changed.append(int(proposed.notna().sum()))
        current = proposed.fillna(current)
        assert (current >= window.max()).all()
    assert sum(changed[8:]) <= 2
    assert (current < 600 * MIB).all()


def test_defaults_by_type_say_that_they_are_defaults() -> None:
    """Services without history get what their kind gets, at least half more than was ever seen."""
    usage = steady("shop/web")
    for name in ("ai/code-agent", "shop/postgres", "shop/redis", "ops/grafana", "shop/thing"):
        usage[name] = np.nan
        usage.loc[usage.index[-3:], name] = 0.1 * GIB
    usage["ai/big-agent"] = np.nan
    usage.loc[usage.index[-3:], "ai/big-agent"] = 3.0 * GIB
    table = recommend(usage)
    default = table[table["reason"] == Reason.TYPE_DEFAULT]
    assert (default["limit"] / GIB).to_dict() == {
        "ai/code-agent": 2,
        "shop/postgres": 4,
        "shop/redis": 2,
        "ops/grafana": 1,
        "shop/thing": 1,
        "ai/big-agent": 4.5,
    }
    assert type_of("x/Prometheus").name == "monitoring"


def test_limits_in_force_may_be_a_plain_mapping() -> None:
    """A dict says the same as a series, for what is in force, the ceiling and a replay."""
    usage = steady("web", "db")
    known = {"web": 64.0 * MIB, "db": 4096.0 * MIB}
    plain, series = (
        recommend(usage, current=each, ceiling=each) for each in (known, pd.Series(known))
    )
    pd.testing.assert_frame_equal(plain, series)
    plain, series = (
        replay(usage, policies=["seed"], current=each, first="14D")
        for each in (known, pd.Series(known))
    )
    pd.testing.assert_frame_equal(plain, series)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_can_be_asked(policy: str) -> None:
    """Each answers with positive limits and the chances of our own model."""
    usage = steady("a", "b", "c")
    table = recommend(usage, policy=policy, current=limits(usage.columns, 1))
    assert (table["limit"] > 0).all()
    assert table["breach_now"].between(0.5, 1).all()
    with pytest.raises(InputError, match="no policy"):
        recommend(usage, policy="guess")


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.3, 30), seed=st.integers(0, 1000))
def test_sizes_scale_and_columns_permute(scale: float, seed: int) -> None:
    """Ten times the use is ten times the limit within a unit; the order of columns does not
    matter.
    """
    rng = np.random.default_rng(seed)
    usage = pd.DataFrame(
        {
            f"s{number}": 400 * MIB * rng.lognormal(0, 0.1 + 0.1 * number, len(INDEX))
            for number in range(4)
        },
        index=INDEX,
    )
    plain = recommend(usage, risk=0.05)["limit"]
    scaled = recommend(usage * scale, risk=0.05)["limit"]
    assert scaled.to_numpy() == pytest.approx(
        plain.to_numpy() * scale, abs=2 * MIB * max(scale, 1), rel=0.06
    )


@given(peak=st.floats(5e8, 3.9e9))
@settings(max_examples=10, deadline=None)
def test_a_limit_that_an_old_peak_holds_up_is_whole_too(peak: float) -> None:
    """Lowered to a peak from before the window, a limit is still whole MiB."""
    usage = steady("web", level=100 * MIB)
    days = pd.DatetimeIndex([INDEX[0] - pd.Timedelta("30D")]).normalize()
    past = pd.DataFrame({"web": [peak]}, index=days)
    table = recommend(
        usage,
        current=limits(usage.columns, 4096),
        context=Context(forecaster=fitted(usage), past_peaks=past, largest_step_down=0.99),
    )
    assert float_at(table, "web", "limit") % MIB == 0
