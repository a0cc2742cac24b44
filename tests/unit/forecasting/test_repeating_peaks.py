"""Peaks that repeat: jobs of every night or weekday are not taken for services that burst."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.forecasting._models.daily_summaries import summarise
from capacity.forecasting._models.peak_distribution import MARGINS
from capacity.forecasting._models.peak_model import PeakModel
from capacity.forecasting._models.repeating_peaks import narrowed, repeating_bound
from capacity.forecasting._quantiles import Floats

DAY = 288
STEP = 300
FAILED = 20


def job(days: list[bool], rng: np.random.Generator, noise: float, idle: float) -> Floats:
    """Use of a job that takes 3 cores for 20 minutes on the days that are true."""
    use = np.abs(rng.normal(0.0, idle, len(days) * DAY))
    for day in np.flatnonzero(days):
        use[day * DAY + 24 : day * DAY + 28] = 3.0 * (1 + rng.normal(0.0, noise, 4))
    return use[:, None]


def high_quantile(use: Floats) -> float:
    """The 98th percentile of the coming week's peak, over the trailing peak."""
    found = PeakModel.load().predict(summarise(use, STEP))
    return float(found.quantile((0.98,))[0, 0] / found.base[0])


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    noise=st.floats(0.0, 0.02),
    idle=st.sampled_from([0.0, 0.002, 0.05]),
    days=st.sampled_from([28, 60]),
    rhythm=st.sampled_from(["nightly", "weekdays", "weekly", "one night failed"]),
)
def test_a_job_that_repeats_is_given_half_as_much_again(
    seed: int, noise: float, idle: float, days: int, rhythm: str
) -> None:
    """Whatever it does between its runs: for a week of equal peaks it was 5 to 6 times its peak."""
    runs = {
        "nightly": range(days),
        "weekdays": [day for day in range(days) if day % 7 < 5],
        "weekly": range(2, days, 7),
        "one night failed": set(range(days)) - {FAILED},
    }[rhythm]
    use = job([day in runs for day in range(days)], np.random.default_rng(seed), noise, idle)
    assert 1.0 <= high_quantile(use) < 1.6


def test_two_weeks_of_nights_are_given_more_room() -> None:
    """Than four weeks, and less than half of the 5 to 6 times that they were given."""
    rng = np.random.default_rng(1)
    few, many = (high_quantile(job([True] * days, rng, 0.01, 0.002)) for days in (14, 28))
    assert many < few < 2.5


def test_what_its_past_shows_higher_stays_possible() -> None:
    """A peak of three times as much, seven weeks ago, is no bound's to rule out."""
    peaks = np.full((60, 2), 3.0)
    peaks[10, 0] = 9.0
    bounds = repeating_bound(peaks)
    assert bounds[0] == pytest.approx(np.log(3.0) + bounds[1])


@pytest.mark.parametrize("days", [1, 7, 10])
def test_a_few_days_bound_nothing(days: int) -> None:
    """Ten pairs of days, at least, have to be alike."""
    assert np.isinf(repeating_bound(np.full((days, 3), 2.0))).all()


def test_unknown_services_bound_nothing() -> None:
    """Neither one never seen nor one of zeros."""
    peaks = np.full((28, 3), np.nan)
    peaks[:, 1] = 0.0
    peaks[-2:, 2] = 5.0
    assert not np.isfinite(repeating_bound(peaks)[[0, 2]]).any()


@given(
    seed=st.integers(0, 1000),
    bounds=st.lists(st.floats(0.05, 5.0) | st.just(np.inf), min_size=4, max_size=4),
)
def test_narrowed_chances_are_chances(seed: int, bounds: list[float]) -> None:
    """They fall, are none the larger, hold the bound, and leave what lies below the peak alone."""
    rng = np.random.default_rng(seed)
    chances = -np.sort(-rng.beta(0.4, 1.0, (4, len(MARGINS))), axis=1)
    found = narrowed(chances, np.array(bounds))
    assert (np.diff(found, axis=1) <= 1e-12).all()
    assert (found <= chances + 1e-12).all()
    assert np.array_equal(found[:, MARGINS <= 0], chances[:, MARGINS <= 0])
    for row, before, bound in zip(found, chances, bounds, strict=True):
        if np.isinf(bound):
            assert np.array_equal(row, before)
        else:
            assert np.interp(bound + 0.05, MARGINS, row) <= 0.011
