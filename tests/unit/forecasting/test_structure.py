"""What `explain` finds in planted structure, and what `time_to_limit` and `totals` make of a
forecast.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capacity.errors import InputError
from capacity.forecasting import Forecaster, totals
from tests.fixtures.frames import cell_at
from tests.unit.forecasting.conftest import fleet, grid


def explained(values: np.ndarray, step: str = "1h") -> dict[str, object]:
    """Explanation of one service."""
    index = grid(len(values) * (pd.Timedelta(step) / pd.Timedelta("1D")), step)
    return Forecaster().fit(pd.DataFrame({"shop/it": values}, index=index)).explain("shop/it")


def test_planted_change_point_is_found_within_a_day() -> None:
    """A deploy that doubles the level is found within a day, and nothing else is."""
    values = np.random.default_rng(0).normal(10, 1, 24 * 28)
    values[24 * 17 :] += 10
    found = explained(values)["change_points"]
    assert isinstance(found, list)
    assert len(found) == 1
    assert abs(
        found[0] - (pd.Timestamp("2026-01-05", tz="UTC") + pd.Timedelta("17D"))
    ) <= pd.Timedelta("1D")


def test_after_a_change_the_old_level_is_forgotten() -> None:
    """Ten days after a doubling the forecast stands at the new level."""
    values = np.random.default_rng(0).normal(10, 1, 24 * 28)
    values[24 * 18 :] += 10
    usage = pd.DataFrame({"shop/it": values}, index=grid(28))
    future = Forecaster().fit(usage).predict("7D")["shop/it"]
    assert future[0.5].mean() == pytest.approx(20, abs=1)
    assert future[0.1].min() > 15


def test_noise_and_season_have_no_change_points() -> None:
    """Neither noise nor a daily season is a change point."""
    hour = np.arange(24 * 28)
    draw = np.random.default_rng(4)
    assert explained(draw.normal(10, 1, len(hour)))["change_points"] == []
    assert (
        explained(10 + 4 * np.sin(2 * np.pi * hour / 24) + draw.normal(0, 1, len(hour)))[
            "change_points"
        ]
        == []
    )


def test_planted_leak_with_resets() -> None:
    """Growth that falls back at restarts is a leak; the restarts are named to the day."""
    hour = np.arange(24 * 28)
    values = 100 + (hour % (24 * 7)) * 2.0 + np.random.default_rng(1).normal(0, 2, len(hour))
    verdict = explained(values)["leak"]
    assert isinstance(verdict, dict)
    assert verdict["verdict"] == "leak with resets"
    assert verdict["growth"] == pytest.approx(48, rel=0.1)
    start = pd.Timestamp("2026-01-05", tz="UTC")
    for found, planted in zip(verdict["resets"], (7, 14, 21), strict=True):
        assert abs(found - start - pd.Timedelta(days=planted)) <= pd.Timedelta("1D")


def test_planted_leak_without_resets() -> None:
    """Steady growth is a leak with its rate."""
    values = 100 + np.arange(24 * 28) * 0.5 + np.random.default_rng(1).normal(0, 2, 24 * 28)
    verdict = explained(values)["leak"]
    assert isinstance(verdict, dict)
    assert (verdict["verdict"], verdict["resets"]) == ("leak", [])
    assert verdict["growth"] == pytest.approx(12, rel=0.05)


@pytest.mark.parametrize("kind", ["noise", "season", "constant", "bursts"])
def test_no_leak(kind: str) -> None:
    """Noise, seasons, constants and bursts do not leak."""
    hour, draw = np.arange(24 * 28), np.random.default_rng(2)
    values = {
        "noise": draw.normal(10, 1, len(hour)),
        "season": 10 + 5 * np.sin(2 * np.pi * hour / 24) + draw.normal(0, 0.2, len(hour)),
        "constant": np.full(len(hour), 7.0),
        "bursts": draw.pareto(1.5, len(hour)),
    }[kind]
    verdict = explained(values)["leak"]
    assert isinstance(verdict, dict)
    assert verdict["verdict"] == "none"


def test_seasons_and_trend() -> None:
    """Season strengths and the trend's error tell a season from noise."""
    hour, draw = np.arange(24 * 28), np.random.default_rng(2)
    seasonal = explained(10 + 5 * np.sin(2 * np.pi * hour / 24) + draw.normal(0, 0.5, len(hour)))
    noisy = explained(draw.normal(10, 1, len(hour)))
    assert seasonal["seasons"]["day"] > 0.9  # type: ignore[index]  # plain data of mixed types
    assert noisy["seasons"]["day"] < 0.1  # type: ignore[index]  # plain data of mixed types
    assert seasonal["kind"] == "seasonal"
    assert noisy["kind"] == "steady"
    trend = noisy["trend"]
    assert abs(trend["per_day"]) < 3 * trend["error"]  # type: ignore[index]  # plain data of mixed types
    assert sum(seasonal["weights"].values()) == pytest.approx(1, abs=0.15)  # type: ignore[attr-defined]  # plain data of mixed types


def test_starts_are_told_apart() -> None:
    """Starts after a gap are counted, with the length and the peak of their startups."""
    values = np.random.default_rng(0).normal(10, 0.1, 24 * 14)
    for at in (50, 100, 200):
        values[at : at + 3] = np.nan
        values[at + 3] = 20
    assert explained(values)["starts"] == {
        "count": 3.0,
        "startups": 3.0,
        "hours": 1.0,
        "peak": 20.0,
    }


def test_time_to_limit_of_a_ramp() -> None:
    """A ramp reaches its limit when arithmetic says, the upper band before the median."""
    values = 100 + np.arange(24 * 28) / 24 + np.random.default_rng(0).normal(0, 0.3, 24 * 28)
    usage = pd.DataFrame({"shop/it": values, "shop/other": 5 + values * 0}, index=grid(28))
    found = (
        Forecaster()
        .fit(usage)
        .time_to_limit({"shop/it": 142.0, "shop/other": 9.0, "shop/gone": 1.0})
    )
    assert list(found.index) == ["shop/it", "shop/other"]
    expected = usage.index[0] + pd.Timedelta("42D")
    assert abs(found.loc["shop/it", "median"] - expected) < pd.Timedelta("3D")
    assert cell_at(found, "shop/it", "upper") <= cell_at(found, "shop/it", "median")
    assert found.loc["shop/other"].isna().all()


def test_explain_names_what_it_does_not_know(usage: pd.DataFrame) -> None:
    """Asking for an unknown or skipped service says which it is."""
    fitted = Forecaster(exclude=("shop/s1",)).fit(usage)
    with pytest.raises(InputError, match="was not in the usage frame"):
        fitted.explain("shop/none")
    with pytest.raises(InputError, match="excluded"):
        fitted.explain("shop/s1")


def test_ignored_windows_teach_nothing(usage: pd.DataFrame) -> None:
    """A load test that is ignored leaves the forecast where it was."""
    spoilt = usage.copy()
    spoilt.iloc[200:260] *= 40
    window = (("*", spoilt.index[200], spoilt.index[260]),)
    forecast = Forecaster(ignore=window).fit(spoilt).predict("7D")
    clean = Forecaster(ignore=window).fit(usage).predict("7D")
    np.testing.assert_allclose(forecast, clean, rtol=1e-6)


def test_known_change_point_hides_what_came_before() -> None:
    """With a known change only what follows is learned from."""
    usage = fleet(2)
    moved = usage.copy()
    moved.iloc[: 24 * 20, 0] += 100
    forecast = (
        Forecaster(change_points=(("shop/s0", usage.index[24 * 20]),)).fit(moved).predict("7D")
    )
    assert forecast["shop/s0"].to_numpy().max() < 30


def test_holidays_teach_only_holidays(usage: pd.DataFrame) -> None:
    """Past holidays shape coming ones and nothing else."""
    holidays = (("2026-01-19", "2026-01-20"), ("2026-02-03", "2026-02-04"))
    quiet = usage.copy()
    quiet.loc["2026-01-19"] = 0.01
    future = (
        Forecaster(holidays=holidays).fit(quiet).predict("7D").xs(0.5, axis=1, level="quantile")
    )
    assert future.loc["2026-02-03"].to_numpy().max() < 0.02
    assert future.loc["2026-02-05"].to_numpy().min() > 0.02


def test_totals_are_coherent(usage: pd.DataFrame) -> None:
    """Totals lie between the largest service and the sum of the services, and hosts are at most as
    spread as their parts.
    """
    fitted = Forecaster().fit(usage)
    placement = {name: f"host{i % 2}" for i, name in enumerate(usage.columns)} | {
        "shop/gone": "host0"
    }
    sums = totals(fitted, placement, "3D")
    parts = fitted.predict("3D")
    assert sums.attrs["missing"] == ["shop/gone"]
    assert list(sums.columns.get_level_values("host").unique()) == ["host0", "host1", "fleet"]
    upper = parts.T.xs(0.99, level="quantile").sum()
    assert (sums["fleet", 0.99] <= upper * (1 + 1e-6)).all()
    middle = parts.T.xs(0.5, level="quantile").sum()
    np.testing.assert_allclose(sums["fleet", 0.5], middle, rtol=0.05)
    assert (sums["fleet", 0.9] <= (sums["host0", 0.9] + sums["host1", 0.9]) * 1.02).mean() > 0.95
    assert (np.diff(sums.to_numpy().reshape(72, 3, 7), axis=2) >= 0).all()


def test_total_of_one_service_is_its_forecast(usage: pd.DataFrame) -> None:
    """A host with one service has that service's forecast within the scenarios' resolution."""
    fitted = Forecaster().fit(usage)
    sums, parts = totals(fitted, {"shop/s2": "alone"}, "1D"), fitted.predict("1D")
    np.testing.assert_allclose(sums["alone"], parts["shop/s2"], rtol=0.05)
