"""Limits, actions and reasons from usage alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._common.text.units import MIB
from capacity.errors import InputError
from capacity.forecasting import Forecaster
from capacity.model import Action, Reason, Resource
from capacity.sizing import PEAK_QUANTILES, Context, changes_from, recommend
from tests.fixtures.fleets.flat_usage import fitted
from tests.fixtures.frames import float_at

DAYS = 21
INDEX = pd.date_range("2026-10-01", periods=DAYS * 24, freq="1h", tz="UTC", unit="s")


def usage(**levels: float) -> pd.DataFrame:
    """Steady services around a level in MiB, with a daily rhythm and a little noise."""
    rng = np.random.default_rng(7)
    rhythm = 1 + 0.1 * np.sin(2 * np.pi * INDEX.hour.to_numpy() / 24)
    columns = {
        name: level * MIB * rhythm * rng.lognormal(0, 0.02, len(INDEX))
        for name, level in levels.items()
    }
    return pd.DataFrame(columns, index=INDEX)


def limits(**values: float) -> pd.Series:
    """Limits in MiB."""
    return pd.Series(values, dtype=float) * MIB


def test_every_reason_has_its_case() -> None:
    """Unlimited, oversized, fitting, too small, killed, censored, stopped, empty and new services
    are told apart.
    """
    frame = usage(free=100, wide=100, fits=100, small=100, killed=100, touching=100, stopped=100)
    frame["empty"] = np.nan
    frame["new"] = np.nan
    frame.loc[frame.index[-5:], "new"] = 50 * MIB
    peak = float(frame["touching"].max() / MIB)
    kills = pd.DataFrame({"killed": [0.0, 2.0]}, index=INDEX[:2])
    running = pd.Series(True, index=frame.columns)
    running["stopped"] = False
    table = recommend(
        frame,
        current=limits(wide=2000, fits=170, small=100, killed=128, touching=peak, stopped=100),
        context=Context(oom_kills=kills, running=running),
    )
    assert table["reason"].to_dict() == {
        "free": Reason.UNLIMITED,
        "wide": Reason.OVERSIZED,
        "fits": Reason.WITHIN_TOLERANCE,
        "small": Reason.BREACH_EXPECTED,
        "killed": Reason.OOM_KILLED,
        "touching": Reason.BREACH_EXPECTED,
        "stopped": Reason.STOPPED,
        "empty": Reason.NO_DATA,
        "new": Reason.TYPE_DEFAULT,
    }
    assert table["action"].to_dict()["wide"] == Action.LOWER
    assert float_at(table, "killed", "limit") >= 1.5 * 128 * MIB
    assert table.loc[["stopped", "fits"], "limit"].isna().all()


def test_never_lowers_a_limit_that_was_touched() -> None:
    """Throttled, killed or nearly reached: the window does not show the true need."""
    frame = usage(throttled=100, quiet=100) / MIB / 100
    throttled = pd.DataFrame({"throttled": np.full(len(INDEX), 0.1)}, index=INDEX)
    table = recommend(
        frame,
        signal=Resource.CPU,
        risk=0.1,
        current=pd.Series({"throttled": 8.0, "quiet": 8.0}),
        context=Context(throttled=throttled),
    )
    assert table["action"].to_dict() == {"throttled": Action.KEEP, "quiet": Action.LOWER}
    assert table.loc["quiet", "reason"] == Reason.OVERSIZED


def test_throttling_raises_the_limit() -> None:
    """Held back in a quarter of the periods and more: up by half at least."""
    frame = usage(web=100) / MIB / 100
    throttled = pd.DataFrame({"web": np.full(len(INDEX), 0.4)}, index=INDEX)
    table = recommend(
        frame, signal="cpu", current=pd.Series({"web": 1.2}), context=Context(throttled=throttled)
    )
    assert table.loc["web", "reason"] == Reason.THROTTLED
    assert float_at(table, "web", "limit") >= 1.8


def test_stops_at_the_host() -> None:
    """A need beyond the host's size is cut there and said."""
    table = recommend(usage(huge=900), ceiling=512.0 * MIB)
    assert float_at(table, "huge", "limit") <= 512 * MIB
    assert table.loc["huge", "reason"] == Reason.HOST_CEILING


@settings(max_examples=15, deadline=None)
@given(risk=st.sampled_from([0.2, 0.1, 0.05, 0.02, 0.01]), scale=st.floats(0.5, 20))
def test_limit_covers_the_observed_peak_and_scales(risk: float, scale: float) -> None:
    """The limit is above the recent peak at any risk and size, a whole number of MiB, and never
    falls as the risk falls.
    """
    frame = usage(web=100) * scale
    context = Context(forecaster=fitted(frame))
    limit = recommend(frame, risk=risk, context=context)["limit"]["web"]
    assert limit >= frame["web"].tail(14 * 24).max()
    assert limit % MIB == 0
    assert recommend(frame, risk=risk / 2, context=context)["limit"]["web"] >= limit


def test_evidence_counts_what_the_limit_would_have_done() -> None:
    """Episodes and minutes above the proposed limit are those of the window."""
    frame = usage(web=100)
    frame.iloc[10:13, 0] = 5000 * MIB  # three hours, older than the recent peak
    table = recommend(frame, current=limits(web=100))
    assert float_at(table, "web", "breaches") <= 1
    assert table.loc["web", "breach_minutes"] in (0.0, 180.0)
    assert 0 <= float_at(table, "web", "breach_after") <= float_at(table, "web", "breach_now") <= 1


def test_refuses_impossible_questions() -> None:
    """A risk of 0 or 1, and a resource without limits."""
    for risk in (0.0, 1.0, -1.0):
        with pytest.raises(InputError, match="risk"):
            recommend(usage(web=1), risk=risk)
    with pytest.raises(InputError, match="disk"):
        recommend(usage(web=1), signal="disk")


def test_changes_are_the_proposals() -> None:
    """One change a proposal, by service, with finite evidence."""
    table = recommend(usage(b=100, a=100, fits=100), current=limits(fits=170))
    changes = changes_from(table, "memory")
    assert [change.service for change in changes] == ["a", "b"]
    for change in changes:
        assert change.before is None
        assert isinstance(change.after, float)
        assert change.after > 0
    assert all(np.isfinite(value) for change in changes for value in change.evidence.values())


def test_an_empty_fleet_has_an_empty_table() -> None:
    """No service, no row, no error."""
    assert recommend(pd.DataFrame(index=INDEX)).empty


@pytest.mark.parametrize("struck", [1.0, 3.0])
@pytest.mark.parametrize("risk", [0.5, 0.3, 0.1])
def test_no_service_gets_less_than_its_steady_peak_and_even_odds(
    risk: float, struck: float
) -> None:
    """Also where writing one large service off would be the cheapest way to the risk asked, and
    after a week that struck all.
    """
    rng = np.random.default_rng(11)
    index = pd.date_range("2026-09-01", periods=42 * 24, freq="1h", tz="UTC", unit="s")
    values = rng.lognormal(0, 0.4, (len(index), 24)) * [50 * 1024 * MIB, *[100 * MIB] * 23]
    values[-7 * 24 :] *= struck
    frame = pd.DataFrame(values, index=index, columns=[f"s{number}" for number in range(24)])
    steady = frame.iloc[-14 * 24 :].quantile(0.98)
    table = recommend(frame, risk=risk)
    assert (table["limit"] >= steady).all()
    assert (table["breach_after"] <= 0.5 + 1e-6).all()
    assert (recommend(frame, risk=risk / 3)["limit"] >= table["limit"]).all()


def test_a_limit_that_is_likelier_to_be_passed_than_not_is_raised_at_any_risk() -> None:
    """Twice a loose risk is more than any chance; a limit of half the use is raised all the
    same.
    """
    frame = usage(a=100, b=200, c=300)
    table = recommend(frame, current=frame.max() / 2, risk=0.5)
    assert (table["action"] == Action.RAISE).all()


@pytest.mark.parametrize("minutes", [5, 60, 600])
def test_limits_do_not_move_with_the_minute(minutes: int) -> None:
    """The same archive asked a little later on the same day gives the same limits, nearly."""
    rng = np.random.default_rng(4)
    index = pd.date_range("2026-09-01", periods=28 * 288 + 230, freq="5min", tz="UTC", unit="s")
    values = rng.lognormal(0, 0.3, (len(index), 30)) * rng.uniform(100, 900, 30) * MIB
    frame = pd.DataFrame(values, index=index, columns=[f"s{number}" for number in range(30)])
    asked = len(index) - 130
    before = recommend(frame.iloc[asked - 28 * 288 : asked])["limit"]
    later = asked + minutes // 5
    after = recommend(frame.iloc[later - 28 * 288 : later])["limit"]
    moved = np.abs(np.log(after / before))
    assert np.median(moved) < 0.01
    assert (moved < 0.1).mean() > 0.9


@pytest.mark.parametrize("signal", ["cpu", "memory"])
@pytest.mark.parametrize("ago", [100, 300])
def test_an_absurd_sample_buys_twice_the_real_peak_at_most(signal: str, ago: int) -> None:
    """Also where the size of the host is unknown, and no other limit moves by more than 5 %."""
    values = np.random.default_rng(1).gamma(4.0, 0.1, (21 * 24, 20)) * (
        1.0 if signal == "cpu" else 1024 * MIB
    )
    spoilt = values.copy()
    spoilt[-ago, 0] *= 2000
    names = [f"s{number}" for number in range(20)]
    before, after = (
        recommend(pd.DataFrame(each, index=INDEX, columns=names), signal=signal)["limit"].to_numpy(
            np.float64
        )
        for each in (values, spoilt)
    )
    assert after[0] <= max(2.05 * values[:, 0].max(), 1.05 * before[0])
    assert np.abs(np.log(after / before))[1:].max() < np.log(1.05)


@pytest.mark.parametrize(("signal", "most"), [("cpu", 2.05), ("memory", 12.0)])
def test_a_start_that_needs_much_is_given_memory_at_once(signal: str, most: float) -> None:
    """For want of CPU a start is slow, for want of memory it fails: of CPU it buys twice the other
    peaks until another start shows the same.
    """
    unit = 1.0 if signal == "cpu" else 1024.0 * MIB
    values = np.random.default_rng(2).gamma(40.0, 0.01, (21 * 24, 20)) * unit
    real = values[:, 0].max()
    values[200:205, 0] = np.nan
    values[205, 0] = 10 * real
    frame = pd.DataFrame(values, index=INDEX, columns=[f"s{number}" for number in range(20)])
    given_once = float_at(recommend(frame, signal=signal), "s0", "limit")
    assert given_once <= most * real
    assert (given_once >= 10 * real) == (signal == "memory")
    values[400:405, 0] = np.nan
    values[405, 0] = 10 * real
    again = recommend(frame.assign(s0=values[:, 0]), signal=signal)
    assert float_at(again, "s0", "limit") >= 10 * real


@given(st.integers(0, 999), st.sampled_from([10, 20]), st.sampled_from([0.01, 10.0, 1000.0]))
@settings(max_examples=10)
def test_small_limits_move_no_more_than_large_ones(seed: int, services: int, size: float) -> None:
    """Whole units of a limit are so fine that one service moves no other by 5 %, however small."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(20.0, 0.05, (21 * 24, services)) * np.geomspace(0.02, 2, services)
    spoilt = values.copy()
    spoilt[int(rng.integers(21 * 24)) :, 0] *= size
    before, after = (
        recommend(pd.DataFrame(each, index=INDEX), signal="cpu")["limit"].to_numpy(np.float64)[1:]
        for each in (values, spoilt)
    )
    assert np.abs(np.log(after / before)).max() < np.log(1.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_limits_in_force_stay_from_day_to_day(seed: int) -> None:
    """Thirty services with a day's rhythm and noise of their own, asked daily for ten days: at most
    3 % of the limits move in a day.
    """
    rng = np.random.default_rng(seed)
    index = pd.date_range("2026-10-01", periods=38 * 288, freq="5min", tz="UTC", unit="s")
    hour = np.asarray(index.hour)[:, None] + np.zeros((1, 30))
    daily = 1 + rng.uniform(0, 0.5, 30) * np.sin((hour + rng.uniform(0, 24, 30)) / 12 * np.pi)
    noise = rng.lognormal(0, rng.uniform(0.02, 0.3, 30), (len(index), 30))
    usage = pd.DataFrame(
        daily * noise * 300 * MIB, index=index, columns=[f"s{number}" for number in range(30)]
    )
    limit = recommend(usage.iloc[: 28 * 288])["limit"]
    moves = []
    for day in range(29, 39):
        table = recommend(usage.iloc[(day - 28) * 288 : day * 288], current=limit)
        moves.append(table["limit"].notna().mean())
        limit = table["limit"].fillna(table["current"])
    assert np.mean(moves) <= 0.03


def test_sizing_a_large_fleet_takes_little_more_memory_than_its_samples() -> None:
    """What is measured of each service is measured of some at a time."""
    index = pd.date_range("2026-10-26", periods=28 * 96, freq="15min", tz="UTC")
    values = np.random.default_rng(0).lognormal(0, 0.3, (len(index), 1024))
    frame = pd.DataFrame(values, index=index, columns=[f"s/{number}" for number in range(1024)])
    forecaster = Forecaster(quantiles=PEAK_QUANTILES).fit(frame)
    tracemalloc.start()
    try:
        recommend(frame, signal="cpu", context=Context(forecaster=forecaster))
        _, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert highest < 2.5 * values.nbytes
