"""Peaks: equal history for past and present, few services, long windows, kinds apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.forecasting import Forecaster
from capacity.forecasting._models.daily_summaries import STATS, summarise, unfinished
from capacity.forecasting._models.peak_distribution import MARGINS, PeakDistribution
from capacity.forecasting._models.peak_model import PeakModel, present_level
from tests.unit.forecasting.conftest import grid

LEVELS = np.array([0.5, 0.9, 0.95, 0.99])


def noise(services: int, days: float, seed: int = 0, shape: float = 4.0) -> np.ndarray:
    """Gamma noise: (hours, services)."""
    return np.random.default_rng(seed).gamma(shape, 1, (round(days * 24), services))


@pytest.mark.parametrize("services", [1, 5, 20])
def test_small_fleets_are_covered(services: int) -> None:
    """Fleets too small to show their own tail are covered at least as often as asked, within three
    points.
    """
    values = noise(160, 35, seed=4)
    index = grid(35)
    inside: list[np.ndarray] = []
    for start in range(0, 160, services):
        part = values[:, start : start + services]
        past = pd.DataFrame(
            part[:672], index=index[:672], columns=[f"g/{i}" for i in range(services)]
        )
        peak = Forecaster(quantiles=(0.5, 0.9, 0.95, 0.99)).fit(past).predict_peak("7D").to_numpy()
        inside.append(part[672:].max(axis=0)[:, None] <= peak)
    for level, share in zip(LEVELS[1:], np.concatenate(inside).mean(axis=0)[1:], strict=True):
        assert share >= level - 0.03


def test_no_jump_with_the_length_of_history() -> None:
    """A few days more or fewer of the same steady noise move the fleet's peaks little; what falls
    over weeks is the doubt that the fleet is calm.
    """
    values, index = noise(40, 28, seed=1), grid(28)
    usage = pd.DataFrame(values, index=index, columns=[f"g/{i}" for i in range(40)])
    sums = [
        Forecaster().fit(usage.iloc[-days * 24 :]).predict_peak("7D").sum()[[0.5, 0.9]]
        for days in (8, 12, 15, 18, 21, 28)
    ]
    for level in (0.5, 0.9):
        found = [total[level] for total in sums]
        assert max(max(pair) / min(pair) for pair in pairwise(found)) < 1.2
        assert found[-1] <= found[0] * 1.05


def test_a_longer_window_has_a_higher_peak() -> None:
    """The maximum over more days is at least that over fewer, at every level."""
    values, index = noise(30, 28), grid(28)
    usage = pd.DataFrame(values, index=index, columns=[f"g/{i}" for i in range(30)])
    fitted = Forecaster(quantiles=tuple(LEVELS)).fit(usage)
    day, week, fortnight = (
        fitted.predict_peak(length).to_numpy().mean(axis=0) for length in ("1D", "7D", "14D")
    )
    assert (day <= week * 1.001).all()
    assert (week <= fortnight * 1.01).all()


@pytest.mark.parametrize("window", ["1h", "6h", "1D", "13D", "30D"])
def test_any_window_is_answered(window: str) -> None:
    """Horizons from an hour on give finite, ordered quantiles, even from a day of history."""
    for hours in (24, 50, 672):
        values, index = noise(3, hours / 24), grid(hours / 24)
        usage = pd.DataFrame(values, index=index, columns=["g/a", "g/b", "g/c"])
        found = Forecaster(quantiles=tuple(LEVELS)).fit(usage).predict_peak(window).to_numpy()
        assert np.isfinite(found).all()
        assert (np.diff(found, axis=1) >= 0).all()


@pytest.mark.parametrize("step", [60, 300, 420, 1800, 3600, 7200])
def test_days_are_the_same_at_any_step(step: int) -> None:
    """The highest sample of each day is its peak, also where a step does not divide an hour."""
    rows = 5 * 86_400 // step
    values = np.random.default_rng(1).gamma(4, 1, (rows, 2))
    days = summarise(values, step)
    assert days.shape[1:] == (2, len(STATS))
    assert days[:, :, 0].max() == values.max()


def test_chances_and_quantiles_are_of_one_distribution() -> None:
    """The chance to pass a quantile is what its level leaves."""
    values, index = noise(10, 28), grid(28)
    usage = pd.DataFrame(values, index=index, columns=[f"g/{i}" for i in range(10)])
    peaks = Forecaster().fit(usage).peak_distribution("7D")
    for level in (0.5, 0.8, 0.95):
        chance = peaks.exceedance(peaks.quantile((level,))[:, 0])
        assert chance == pytest.approx(1 - level, abs=0.02)


@given(st.integers(2, 5), st.integers(0, 287), st.sampled_from([300, 900, 3600]))
def test_summaries_follow_utc_days(days: int, extra: int, step: int) -> None:
    """Whole days are what they are at their end; an unfinished one counts with the day before."""
    a_day = 86_400 // step
    extra = extra % a_day
    index = pd.date_range(
        "2026-11-01", periods=days * a_day + extra, freq=pd.Timedelta(seconds=step), tz="UTC"
    )
    values = np.random.default_rng(days * 1000 + extra).gamma(2.0, 1.0, (len(index), 2))
    assert unfinished(index) == extra
    table = summarise(values, step, unfinished(index))
    assert len(table) == days
    np.testing.assert_allclose(table[:-1], summarise(values[: days * a_day], step)[:-1])
    since = values[(days - 1) * a_day :]
    np.testing.assert_allclose(table[-1, :, STATS.index("max")], since.max(axis=0))
    np.testing.assert_allclose(table[-1, :, STATS.index("p95")], np.quantile(since, 0.95, axis=0))
    np.testing.assert_allclose(table[-1, :, STATS.index("known")], len(since) / a_day)


@given(
    most=st.floats(0.2, 4),
    level=st.floats(0.01, 0.999),
    base=st.floats(0.2, 2),
    seed=st.integers(0, 999),
)
def test_no_peak_is_beyond_what_there_is(most: float, level: float, base: float, seed: int) -> None:
    """Quantiles stop at the host's size, up to a step of the grid; below it nothing changes."""
    rng = np.random.default_rng(seed)
    chances = np.sort(rng.random((1, len(MARGINS))))[:, ::-1]
    free = PeakDistribution(np.array([base]), chances)
    bound = free.within(np.array([most]))
    grid = float(np.exp(np.diff(MARGINS).max()))
    assert bound.quantile([level])[0, 0] <= max(most, base * np.exp(MARGINS[0])) * grid
    assert float(bound.exceedance(np.array([most * grid]))[0]) == 0.0
    below = most / grid**2
    assert bound.exceedance(np.array([below])) == free.exceedance(np.array([below]))
    assert free.within(np.array([np.nan])).chances.tobytes() == chances.tobytes()


@pytest.mark.parametrize("factor", [0.4, 2.0, 5.0])
@pytest.mark.parametrize("ago", [8, 12, 20])
def test_a_lasting_change_of_level_leaves_the_former_behind(factor: float, ago: int) -> None:
    """Steady before and since: only the days since count, whichever way it went."""
    daily = np.random.default_rng(ago).normal(1.0, 0.02, (28, 3))
    daily[-ago:, 0] *= factor
    days = np.repeat(daily[:, :, None], len(STATS), axis=2)
    left = np.isnan(present_level(days)[:, :, 0]).sum(axis=0)
    expected = 28 - ago if ago <= 14 or factor > 1 else 0
    assert left.tolist() == [expected, 0, 0]


def test_growth_in_steps_and_single_days_are_no_new_level() -> None:
    """A service that rose twice may rise again; one high day is a peak, not a level."""
    twice, day = np.ones(28), np.ones(28)
    twice[-18:] *= 2
    twice[-9:] *= 2
    day[-9] = 3
    noise = np.random.default_rng(1).normal(1.0, 0.02, (28, 2))
    days = np.repeat((np.stack([twice, day], axis=1) * noise)[:, :, None], len(STATS), axis=2)
    assert not np.isnan(present_level(days)).any()


@pytest.mark.parametrize("services", [12, 20, 40])
@pytest.mark.parametrize(("days", "most"), [(28, 3.2), (60, 2.3)])
def test_a_small_calm_fleet_is_believed(services: int, days: int, most: float) -> None:
    """Its services that never strayed by more than noise are not given a restless fleet's room."""
    use = np.random.default_rng(services).gamma(20.0, 0.05, (days * 288, services))
    found = PeakModel.load().predict(summarise(use, 300))
    high = found.quantile((0.98,))[:, 0] / found.base
    assert np.median(high) < most


@pytest.mark.parametrize(
    ("services", "steady", "more"), [(18, 20.0, 1.1), (18, 400.0, 1.05), (200, 400.0, 1.5)]
)
def test_a_restless_fleet_is_not_taken_for_a_calm_one(
    services: int, steady: float, more: float
) -> None:
    """Where a third of the services doubled their peak once, the others are given more room: the
    more, the more services there are to say so.
    """
    rng = np.random.default_rng(4)
    calm = rng.gamma(steady, 1 / steady, (42 * 288, services))
    restless = calm.copy()
    for service in range(0, services, 3):
        start = (20 + service % 18) * 288
        restless[start : start + 12, service] *= 2.5
    high = [
        np.median((found.quantile((0.98,))[:, 0] / found.base)[1::3])
        for found in (PeakModel.load().predict(summarise(use, 300)) for use in (calm, restless))
    ]
    assert high[1] > more * high[0]
