"""Limits from the one model of the peak: bounded influence, bounded spikes, monotone, no unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capacity.forecasting._models.daily_summaries import summarise
from capacity.forecasting._models.peak_model import PeakModel
from capacity.sizing._policies.margins import choose_limits

RISKS = (0.2, 0.1, 0.05, 0.02, 0.01)
STEP, DAY = 300, 288
MODEL = PeakModel.load()


def fleet(services: int, days: int, seed: int, noise: float = 0.08) -> np.ndarray:
    """Steady services with a daily rhythm, sizes over two orders of magnitude."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * DAY)[:, None] / DAY * 2 * np.pi
    level = np.exp(rng.normal(0, 1.2, services))
    rhythm = 1 + rng.uniform(0.1, 0.8, services) * np.sin(hours + rng.uniform(0, 6, services))
    daily = np.repeat(np.exp(rng.normal(0, noise, (days, services))), DAY, axis=0)
    made: np.ndarray = level * rhythm * daily * np.exp(rng.normal(0, 0.03, rhythm.shape))
    return made


def limits(values: np.ndarray, horizon: int = 7) -> np.ndarray:
    """Limits at each of the risks."""
    days = summarise(values, STEP)
    return choose_limits(MODEL.predict(days, horizon), RISKS, days)


KINDS = ("hour", "scale", "gone", "zero", "step", "days", "random")


def corrupt(values: np.ndarray, service: int, kind: str, size: float, seed: int) -> np.ndarray:
    """The same fleet with one service changed in one way."""
    rng, out, rows = np.random.default_rng(seed), values.copy(), len(values)
    own = values[:, service]
    if kind == "hour":
        start = int(rng.integers(0, rows - 12))
        out[start : start + 12, service] = size * own.max()
    elif kind == "scale":
        out[:, service] = own * size
    elif kind in ("gone", "zero"):
        out[:, service] = np.nan if kind == "gone" else 0.0
    elif kind == "step":
        out[int(rng.integers(rows)) :, service] *= size
    elif kind == "days":
        out[:, service] = own * np.repeat(np.exp(rng.normal(0, 2, rows // DAY)), DAY)
    else:
        out[:, service] = rng.lognormal(0, 3, rows)
    return out


@settings(max_examples=25)
@example(services=10, days=28, seed=860, kind="days", size=10.0)
@example(services=60, days=28, seed=205, kind="days", size=0.001)
@given(
    st.sampled_from([5, 10, 14, 20, 30, 60]),
    st.sampled_from([14, 28]),
    st.integers(0, 1000),
    st.sampled_from(KINDS),
    st.sampled_from([0.001, 10.0, 1000.0]),
)
def test_one_service_moves_no_other(
    services: int, days: int, seed: int, kind: str, size: float
) -> None:
    """Whatever happens to one service, the limits of the others stay within a few percent."""
    values = fleet(services, days, seed)
    before, after = limits(values), limits(corrupt(values, 0, kind, size, seed))
    moved = np.abs(np.log(after[:, 1:] / before[:, 1:]))
    assert np.expm1(moved.max()) <= (0.05 if services >= 10 else 0.15)


@pytest.mark.parametrize("ago", [4, 10])
@pytest.mark.parametrize("services", [10, 30])
def test_an_hour_at_ten_times_the_peak_buys_twice_the_real_peak_at_most(
    ago: int, services: int
) -> None:
    """One short spike far above everything else buys a bounded limit."""
    values = fleet(services, 28, 1)
    real = values[:, 0].max()
    values[-ago * DAY : -ago * DAY + 12, 0] = 10 * real
    assert (limits(values)[:, 0] <= 2.0 * real * 1.001).all()


@pytest.mark.parametrize("samples", [1, 20, 60, 200])
def test_a_spike_in_a_day_with_few_samples_is_no_level(samples: int) -> None:
    """An hour that is most of what is known of its day buys no more than on a whole day."""
    values = fleet(20, 28, 3)
    real, day = values[:, 0].max(), slice(-5 * DAY, -4 * DAY)
    kept = values[-5 * DAY : -5 * DAY + samples, 0].copy()
    values[day, 0] = np.nan
    kept[:12] = 10 * real
    values[-5 * DAY : -5 * DAY + samples, 0] = kept
    assert (limits(values)[:, 0] <= 2.0 * real * 1.001).all()


@pytest.mark.parametrize("known", [4, 6, 10])
def test_a_young_service_is_not_sized_by_one_sample(known: int) -> None:
    """Two other days are enough to call a single sample a spike."""
    values = fleet(20, 28, 4)
    values[: -known * DAY, 0] = np.nan
    real = values[-known * DAY :, 0].max()
    values[-known * DAY + 40, 0] = 1000 * real
    assert (limits(values)[:, 0] <= 2.0 * real * 1.001).all()


def test_hours_at_a_new_level_are_no_spike() -> None:
    """Use that stays up for a third of a day is believed at once."""
    values = fleet(20, 28, 5)
    real = values[:, 0].max()
    values[-8 * 12 :, 0] = 4 * real
    assert limits(values)[3, 0] > 4 * real


def test_seen_again_it_is_believed() -> None:
    """A spike that comes back raises the limit to hold it."""
    values = fleet(30, 28, 1)
    real = values[:, 0].max()
    for ago in (4, 11, 18, 25):
        values[-ago * DAY : -ago * DAY + 12, 0] = 10 * real
    assert limits(values)[3, 0] > 5 * real


def test_chances_and_limits_are_monotone_and_have_no_unit() -> None:
    """Limits rise as the risk falls, and scale with the unit of usage."""
    values = fleet(20, 28, 2)
    peaks = MODEL.predict(summarise(values, STEP))
    assert (np.diff(peaks.chances, axis=1) <= 1e-12).all()
    assert (np.diff(peaks.quantile((0.1, 0.5, 0.9, 0.99)), axis=1) >= 0).all()
    assert (np.diff(limits(values), axis=0) >= 0).all()
    np.testing.assert_allclose(limits(values * 1e9), limits(values) * 1e9, rtol=1e-3)


@pytest.mark.parametrize(("services", "days"), [(1, 1), (1, 3), (2, 5), (3, 40)])
def test_little_history_gives_an_answer(services: int, days: int) -> None:
    """A day of a single service is enough for a finite limit."""
    found = limits(fleet(services, days, 3))
    assert np.isfinite(found).all()
    assert (found > 0).all()


def test_unknown_services_have_no_limit_and_change_nothing() -> None:
    """A column without samples gets no limit and moves no other."""
    values = fleet(12, 21, 4)
    wider = np.concatenate([values, np.full((len(values), 1), np.nan)], axis=1)
    assert np.isnan(limits(wider)[:, -1]).all()
    np.testing.assert_allclose(limits(wider)[:, :-1], limits(values), rtol=0.01)
