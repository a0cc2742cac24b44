"""Jobs are not taken for services that burst, calm services not for restless ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.forecasting._models.daily_summaries import summarise
from capacity.forecasting._models.peak_bounds import peak_bound
from capacity.forecasting._models.peak_distribution import MARGINS
from capacity.forecasting._models.peak_model import PeakModel
from capacity.forecasting._quantiles import Floats

DAY = 288
STEP = 300
FAILED = 20


def job(
    days: list[bool], rng: np.random.Generator, *, unlike: float, idle: float, samples: int = 4
) -> Floats:
    """Use of a job that takes about 3 cores for some samples on the days that are true."""
    use = np.abs(rng.normal(0.0, idle, len(days) * DAY))
    for day in np.flatnonzero(days):
        start = day * DAY + 24
        use[start : start + samples] = 3.0 * np.exp(rng.normal(0.0, unlike))
    return use[:, None]


def high_quantile(use: Floats) -> float:
    """The 98th percentile of the coming week's peak, over the trailing peak."""
    found = PeakModel.load().predict(summarise(use, STEP))
    return float(found.quantile((0.98,))[0, 0] / found.base[0])


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    unlike=st.floats(0.0, 0.02),
    idle=st.sampled_from([0.0, 0.002, 0.05]),
    days=st.sampled_from([14, 28, 60]),
    rhythm=st.sampled_from(["nightly", "weekdays", "weekly", "one night failed"]),
)
def test_a_short_job_that_repeats_is_given_less_than_twice_its_peak(
    seed: int, unlike: float, idle: float, days: int, rhythm: str
) -> None:
    """Whatever it does between its runs: the forest alone gives it 5 to 18 times its peak."""
    runs = {
        "nightly": range(days),
        "weekdays": [day for day in range(days) if day % 7 < 5],
        "weekly": range(2, days, 7),
        "one night failed": set(range(days)) - {FAILED % days},
    }[rhythm]
    rng = np.random.default_rng(seed)
    use = job([day in runs for day in range(days)], rng, unlike=unlike, idle=idle)
    assert 1.0 <= high_quantile(use) < (2.0 if days >= 28 else 2.5)  # a week is seen once


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    unlike=st.floats(0.0, 0.4),
    samples=st.integers(1, 140),
    days=st.sampled_from([14, 28, 60]),
)
def test_no_job_is_given_many_times_its_peak(
    seed: int, unlike: float, samples: int, days: int
) -> None:
    """However long it takes, and however unlike its nights are: the forest alone went to twenty."""
    rng = np.random.default_rng(seed)
    use = job([True] * days, rng, unlike=unlike, idle=0.02, samples=samples)
    assert 1.0 <= high_quantile(use) < 8.0


def test_the_more_alike_its_peaks_the_less_it_is_given() -> None:
    """Nights of equal peaks need less room than nights that differ by a tenth or by a third."""
    found = [
        high_quantile(
            job([True] * 28, np.random.default_rng(3), unlike=unlike, idle=0.002, samples=6)
        )
        for unlike in (0.0, 0.1, 0.2)
    ]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_what_its_past_shows_higher_stays_possible() -> None:
    """A peak of three times as much, seven weeks ago, moves the bound by as much."""
    use = job([True] * 60, np.random.default_rng(1), unlike=0.0, idle=0.002)
    days = summarise(np.repeat(use, 2, axis=1), STEP)
    days[10, 0, 0] *= 3.0
    moved, plain = peak_bound(days)
    at = int(np.argmin(np.abs(MARGINS - 2.0)))
    shifted = np.interp(MARGINS[at] - np.log(3.0), MARGINS, plain)
    assert moved[at] == pytest.approx(shifted, rel=0.01)  # read between two margins
    assert moved[at] > plain[at]


def test_a_service_that_works_all_day_on_unlike_days_is_not_bounded() -> None:
    """The forest knows it: only who idles for half of the day is bounded, or has days alike."""
    rng = np.random.default_rng(1)
    use = (1.0 + rng.random((28 * DAY, 2))) * np.repeat(rng.lognormal(0.0, 0.5, 28), DAY)[:, None]
    use[::5, 1] = use[1::5, 1] = use[2::5, 1] = 0.01
    bounds = peak_bound(summarise(use, STEP))
    assert (bounds[0] == 1.0).all()
    assert (bounds[1, MARGINS > 0] < 1.0).all()


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    unlike=st.floats(0.0, 0.02),
    days=st.sampled_from([14, 20, 28, 60]),
    swing=st.floats(0.05, 0.8),  # flat days look like means of an hour
    strange=st.lists(st.integers(0, 13), max_size=1),
)
def test_calm_services_are_not_given_a_multiple_of_their_peak(
    seed: int, unlike: float, days: int, swing: float, strange: list[int]
) -> None:
    """Days alike, whatever a day looks like and whatever befell one of them: the forest alone gave
    some up to twelve times their peak after two weeks.
    """
    rng = np.random.default_rng(seed)
    hours = 1.0 - swing * np.cos(np.arange(days * DAY) * 2 * np.pi / DAY)
    use = 3.0 * hours * np.repeat(np.exp(rng.normal(0.0, unlike, days)), DAY)
    for day in strange:
        use[day * DAY + 100] *= 0.2
    assert 1.0 <= high_quantile(use[:, None]) < (1.8 if days >= 28 else 2.3)


@given(seed=st.integers(0, 1000), unlike=st.floats(0.0, 0.05), days=st.sampled_from([17, 28]))
def test_a_bound_moves_little_with_one_day(seed: int, unlike: float, days: int) -> None:
    """One peak a hundredth higher or lower: the chance of a twentieth more, and beyond, moves by
    less than one in seven.
    """
    rng = np.random.default_rng(seed)
    peaks = np.exp(rng.normal(0.0, unlike, days))
    moved = peaks * np.where(np.arange(days) == rng.integers(days), 1.01, 1.0)
    plain, after = (
        peak_bound(summarise(np.repeat(each, DAY)[:, None], STEP)) for each in (peaks, moved)
    )
    assert np.abs(after - plain)[:, MARGINS >= 0.05].max() < 0.15


@pytest.mark.parametrize(("days", "unlike"), [(1, 0.0), (6, 0.0), (10, 0.1)])
def test_a_few_days_bound_nothing(days: int, unlike: float) -> None:
    """Ten pairs of days, at least, have to be known, or six that are the same."""
    use = job([True] * days, np.random.default_rng(1), unlike=unlike, idle=0.0)
    assert (peak_bound(summarise(use, STEP)) == 1.0).all()


def test_a_week_of_equal_nights_is_enough() -> None:
    """A young job whose peaks are all the same is not given twelve times its peak."""
    use = job([True] * 7, np.random.default_rng(1), unlike=0.0, idle=0.002)
    assert high_quantile(use) < 2.0


def test_unknown_services_are_not_bounded() -> None:
    """Neither one never seen nor one of zeros nor one of two days."""
    use = np.full((28 * DAY, 3), np.nan)
    use[:, 1] = 0.0
    use[-2 * DAY :, 2] = 5.0
    assert (peak_bound(summarise(use, STEP)) == 1.0).all()


def test_a_job_that_is_absent_between_its_runs_is_idle() -> None:
    """A container that is gone says the same as one that does nothing."""
    use = job([True] * 28, np.random.default_rng(1), unlike=0.0, idle=0.0)
    absent = np.where(use > 0, use, np.nan)
    np.testing.assert_allclose(
        peak_bound(summarise(absent, STEP)), peak_bound(summarise(use, STEP))
    )


@given(seed=st.integers(0, 1000))
def test_bounds_are_chances(seed: int) -> None:
    """Between 0 and 1, falling, and none below the trailing peak."""
    rng = np.random.default_rng(seed)
    use = rng.lognormal(0.0, rng.uniform(0.1, 3.0, 6), (21 * DAY, 6))
    bounds = peak_bound(summarise(use, STEP))
    assert ((bounds >= 0) & (bounds <= 1)).all()
    assert (np.diff(bounds, axis=1) <= 1e-12).all()
    assert (bounds[:, MARGINS <= 0] == 1.0).all()


@given(seed=st.integers(0, 1000), unlike=st.floats(0.01, 0.1))
def test_means_of_an_hour_are_not_taken_for_calmer_than_samples(seed: int, unlike: float) -> None:
    """Averages hide half of what peaks change: their bounds are as for twice the change."""
    rng = np.random.default_rng(seed)
    peaks = np.repeat(np.exp(rng.normal(0.0, unlike, 28)), 24)
    shape = 1.0 + 0.3 * np.sin(np.arange(len(peaks)) * 2 * np.pi / 24)
    hourly = (peaks * shape)[:, None]
    samples = np.repeat(hourly, 12, axis=0)
    samples[5::12] *= 1.02  # a sample of each hour is above its mean
    wide, narrow = peak_bound(summarise(hourly, 3600)), peak_bound(summarise(samples, STEP))
    assert (wide >= narrow - 1e-9).all()
    assert (wide > narrow).any()


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    growth=st.floats(0.0, 0.03),
    days=st.sampled_from([14, 21, 28, 60]),
    weeks=st.sampled_from([1, 4]),
)
def test_growth_is_followed(seed: int, growth: float, days: int, weeks: int) -> None:
    """Days that are alike but for steady growth: where it leads is expected."""
    rng = np.random.default_rng(seed)
    time = np.arange(days * DAY) / DAY
    use = np.exp(growth * time) * rng.lognormal(0.0, 0.01, len(time))
    found = PeakModel.load().predict(summarise(use[:, None], STEP), 7 * weeks)
    high = found.quantile((0.98,))[0, 0] / found.base[0]
    assert high >= np.exp(7 * weeks * growth)


@given(
    seed=st.integers(0, 1000),
    days=st.integers(7, 27),
    middle=st.floats(0.02, 0.6),
    before=st.integers(1, 60),
)
def test_days_before_a_service_say_nothing(
    seed: int, days: int, middle: float, before: int
) -> None:
    """How long others are known for does not move its bound."""
    rng = np.random.default_rng(seed)
    use = np.full(days * DAY, middle)
    use[::DAY] = np.exp(rng.normal(0.0, 0.02, days))
    alone = summarise(use[:, None], STEP)
    absent = np.full((before, *alone.shape[1:]), np.nan)
    np.testing.assert_allclose(
        peak_bound(np.concatenate([absent, alone])), peak_bound(alone), atol=1e-12
    )
