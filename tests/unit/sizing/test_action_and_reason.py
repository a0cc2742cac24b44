"""What people and events ask of a limit, beyond what the policy says."""

from __future__ import annotations

from typing import cast

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
from tests.fixtures.frames import float_at, times_of

GIB = 1024 * MIB

INDEX = pd.date_range("2026-10-01", periods=28 * 24, freq="1h", tz="UTC", unit="s")


def steady(*names: str, level: float = 100 * MIB, spread: float = 0.02) -> pd.DataFrame:
    """Flat services with a little noise."""
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {name: level * rng.lognormal(0, spread, len(INDEX)) for name in names}, index=INDEX
    )


def limits(names: pd.Index, mib: float) -> pd.Series:
    """The same limit for all."""
    return pd.Series(mib * MIB, index=names)


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
        proposed = recommend(window, current=current)["limit"]
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


def test_cpu_is_sized_for_business_hours_where_asked() -> None:
    """A nightly batch peak does not count for a service that may be slow at night."""
    usage = steady("web", level=1.0)
    usage.loc[times_of(usage).hour == 3, "web"] = 6.0
    always = recommend(usage, signal="cpu", risk=0.1)
    rules = {"web": ServiceRule(business_hours=(8, 18))}
    by_day = recommend(usage, signal="cpu", risk=0.1, context=Context(rules=rules))
    assert float_at(always, "web", "limit") >= 6
    assert float_at(by_day, "web", "limit") < 5


def test_a_budget_is_kept_beside_pinned_limits_and_minima_or_refused() -> None:
    """What rules of the settings hold is taken off what the others share; where it takes all of it,
    somebody must decide.
    """
    usage = steady(*(f"s{number}" for number in range(6)))
    names = list(usage.columns)
    current = pd.Series(2.0 * GIB, index=names)
    rules = {
        names[0]: ServiceRule(pinned=True),
        names[1]: ServiceRule(least={Resource.MEMORY: GIB}),
    }
    table = recommend(usage, current=current, budget=8 * GIB, context=Context(rules=rules))
    assert table["limit"].fillna(table["current"]).sum() <= 8 * GIB
    assert table.loc[names[0], "current"] == 2 * GIB
    assert float_at(table, names[1], "limit") >= GIB
    with pytest.raises(InputError, match="cannot be kept"):
        recommend(usage, current=current, budget=2.5 * GIB, context=Context(rules=rules))


def test_a_budget_that_pinned_limits_just_pass_is_refused_at_once() -> None:
    """A hair too much is too much, a rounding error is none, and neither takes many rounds."""
    usage = steady("a", "b", "c", level=0.05)
    names = [str(name) for name in usage]
    rules = {name: ServiceRule(pinned=True) for name in names}
    pinned = {"signal": "cpu", "current": dict.fromkeys(names, 0.1)}
    context = Context(rules=rules, replicas=dict.fromkeys(names, 3))
    table = recommend(usage, budget=0.9, context=context, **pinned)  # type: ignore[arg-type]  # a mapping of words
    assert set(table["reason"]) == {Reason.PINNED}
    with pytest.raises(InputError, match=r"0\.90 cores at least, 0\.001 cores too much"):
        recommend(usage, budget=0.8991, context=context, **pinned)  # type: ignore[arg-type]  # the same


def test_a_limit_without_history_counts_in_a_budget() -> None:
    """It stays in force whatever the default for its type is."""
    usage = steady("web")
    usage["new"] = np.nan
    with pytest.raises(InputError, match=r"new 12 GiB \(no data\)"):
        recommend(usage, current={"new": 12 * GIB}, budget=5 * GIB)


def test_a_budget_counts_every_replica() -> None:
    """Limits times replicas keep the budget, and one that is spent by defaults is refused in its
    own unit.
    """
    usage = steady("web", "db", "cache")
    replicas = {"web": 5}
    table = recommend(usage, budget=1.2 * 7 * 110 * MIB, context=Context(replicas=replicas))
    spent = sum(limit * replicas.get(str(name), 1) for name, limit in table["limit"].items())
    assert 0.9 * 1.2 * 7 * 110 * MIB < spent <= 1.2 * 7 * 110 * MIB
    usage["new"] = usage["web"].where(usage.index >= usage.index[-6])
    with pytest.raises(InputError, match=r"the rules demand 1\.\d+ GiB at least") as refused:
        recommend(usage, budget=800 * MIB)
    assert "new 1 GiB (type default)" in str(refused.value)


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


def test_a_budget_is_kept_and_shared() -> None:
    """All limits together fit, also after rounding, and more money breaks less."""
    usage = steady(*(f"s{number}" for number in range(6)), spread=0.25)
    poor, rich = (recommend(usage, budget=size * GIB) for size in (1.5, 3))
    assert poor["limit"].sum() <= 1.5 * GIB
    assert rich["limit"].sum() <= 3 * GIB
    assert rich["breach_after"].sum() < poor["breach_after"].sum()
    assert set(poor["reason"]) == {Reason.BUDGET}
    with pytest.raises(InputError, match="budget"):
        recommend(usage, budget=1e9, policy="krr")


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


def looping(kills: float, days: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Use of a service killed again and again under 256 MiB, and its kills by the hour."""
    usage = steady("web", "api").iloc[-24 * days :]
    usage["bad"] = np.where(np.arange(len(usage)) % 2, 200.0 * MIB, np.nan)
    return usage, pd.DataFrame({"bad": np.full(len(usage), kills)}, index=usage.index)


@settings(max_examples=25, deadline=None)
@given(
    kills=st.floats(0.5, 120),
    days=st.integers(1, 28),
    limit=st.integers(205, 2000),
)
def test_a_loop_that_the_limit_causes_ends_by_raising_it(
    kills: float, days: int, limit: int
) -> None:
    """However short the history and however often it was killed: twice the limit at least."""
    usage, events = looping(kills, days)
    context = Context(unstable=frozenset({"bad"}), oom_kills=events)
    row = recommend(usage, current={"bad": limit * MIB}, context=context).loc["bad"]
    assert (row["action"], row["reason"]) == (Action.RAISE, Reason.OOM_KILLED)
    assert row["limit"] >= 2 * limit * MIB


def test_a_loop_without_kills_stays_unstable() -> None:
    """Its memory is not what ends it."""
    usage, events = looping(0.0)
    context = Context(unstable=frozenset({"bad"}), oom_kills=events)
    row = recommend(usage, current={"bad": 256 * MIB}, context=context).loc["bad"]
    assert (row["action"], row["reason"]) == (Action.NONE, Reason.UNSTABLE)


def test_kills_at_the_most_there_is_say_so() -> None:
    """At the host's size, or at the bound that people gave, a kill is never within tolerance."""
    usage, events = looping(8.0)
    context = Context(unstable=frozenset({"bad"}), oom_kills=events)
    host = recommend(usage, current={"bad": 256 * MIB}, ceiling=256 * MIB, context=context)
    rules = {"bad": ServiceRule(most={Resource.MEMORY: 256.0 * MIB})}
    bound = recommend(
        usage, current={"bad": 256 * MIB}, context=Context(oom_kills=events, rules=rules)
    )
    for table, reason in ((host, Reason.HOST_CEILING), (bound, Reason.OWN_BOUNDS)):
        assert (table["action"]["bad"], table["reason"]["bad"]) == (Action.KEEP, reason)


@settings(max_examples=20, deadline=None)
@given(resident=st.floats(0.05, 0.7), limit=st.integers(300, 4000))
def test_page_cache_is_not_chased(resident: float, limit: int) -> None:
    """Memory that fills its limit with cache, without kills, keeps the limit, for ever."""
    usage = steady("web", "api", "db")
    rng = np.random.default_rng(2)
    usage["files"] = limit * MIB * np.minimum(1.0, 0.9 + 0.1 * rng.random(len(usage)))
    rss = pd.DataFrame({"files": resident * limit * MIB}, index=usage.index)
    row = recommend(usage, current={"files": limit * MIB}, context=Context(rss=rss)).loc["files"]
    assert (row["action"], row["reason"]) == (Action.KEEP, Reason.PAGE_CACHE)
    assert row["rss_peak"] == pytest.approx(resident * limit * MIB)
    assert row["breach_now"] < 0.5


@settings(max_examples=15, deadline=None)
@given(resident=st.floats(0.8, 1.0), used=st.floats(0.85, 1.0))
def test_a_proposal_for_resident_memory_is_kept_once_it_is_in_force(
    resident: float, used: float
) -> None:
    """Applied and asked again: no limit goes up and down by turns, and none goes on upwards."""
    usage = steady("web", "api", "db")
    rng = np.random.default_rng(3)
    usage["heap"] = 1000.0 * MIB * (used - 0.002 * rng.random(len(usage)))
    rss = pd.DataFrame({"heap": usage["heap"] * resident})
    limit = 1000.0 * MIB
    for _ in range(2):
        row = recommend(usage, current={"heap": limit}, context=Context(rss=rss)).loc["heap"]
        if row["action"] in {Action.RAISE, Action.LOWER}:
            limit = cast("float", row["limit"])
    row = recommend(usage, current={"heap": limit}, context=Context(rss=rss)).loc["heap"]
    assert row["action"] == Action.KEEP
    assert limit >= row["rss_peak"] / 0.95


def test_resident_memory_that_fills_its_limit_is_raised() -> None:
    """What is no cache is a need."""
    usage = steady("web", "api", "db")
    usage["files"] = 1000.0 * MIB
    rss = pd.DataFrame({"files": 950.0 * MIB}, index=usage.index)
    row = recommend(usage, current={"files": 1000 * MIB}, context=Context(rss=rss)).loc["files"]
    assert row["action"] == Action.RAISE


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0.0, 1.0), used=st.floats(0.2, 1.0), resident=st.floats(0.1, 1.0))
def test_stalls_for_memory_count_before_a_kill(share: float, used: float, resident: float) -> None:
    """At its limit a service that stalls is raised, whatever of it is page cache; elsewhere its
    limit is not lowered. A tenth of the time is accepted.
    """
    usage = steady("web", "api", "db")
    usage["slow"] = used * 1000.0 * MIB
    index = usage.index
    context = Context(
        memory_stalled=pd.DataFrame({"slow": share}, index=index),
        rss=pd.DataFrame({"slow": resident * used * 1000.0 * MIB}, index=index),
    )
    row = recommend(usage, current={"slow": 1000 * MIB}, context=context).loc["slow"]
    assert row["stalled"] == pytest.approx(share)
    if share <= 0.1:
        assert row["reason"] != Reason.MEMORY_STALLED
    elif used >= 0.9:
        assert (row["action"], row["reason"]) == (Action.RAISE, Reason.MEMORY_STALLED)
        assert row["limit"] >= 1500 * MIB
    else:
        assert row["action"] != Action.LOWER


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
        context=Context(past_peaks=past, largest_step_down=0.99),
    )
    assert float_at(table, "web", "limit") % MIB == 0


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
