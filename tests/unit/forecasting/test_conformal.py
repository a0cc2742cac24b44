"""`capacity.forecasting._models.conformal`."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capacity.forecasting._models.conformal import (
    Misses,
    offsets,
    pooled_offsets,
    uncertainty,
)

LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
SERVICES = 6
missed = arrays(
    np.float32,
    (SERVICES, 1, 84, 1, len(LEVELS)),
    elements=st.floats(0, 5, width=32),
    fill=st.just(np.float32(1)),
)
KINDS = np.arange(SERVICES) % 4


def widened(misses: np.ndarray, days: float) -> np.ndarray:
    """The offsets of a history of so many days."""
    made = Misses(misses, KINDS, every=2)
    pooled = pooled_offsets([made.upper()], lambda bins: [made.lower(bins)], LEVELS)
    return offsets(made, pooled, LEVELS, samples_apart=6.0, days=days)


@given(missed, st.floats(1, 28), st.floats(1, 28))
def test_fewer_known_weeks_open_the_upper_half_wider(
    misses: np.ndarray, first: float, second: float
) -> None:
    """Never narrower, the median where it was, and the lower half as wide as past misses say."""
    short, long = (widened(misses, days) for days in sorted((first, second)))
    upper = LEVELS > 0.5
    assert np.all(short[..., upper] >= long[..., upper] - 1e-5)
    assert np.array_equal(short[..., ~upper], long[..., ~upper])
    assert np.all(short[..., LEVELS == 0.5] == 0)


def test_a_long_history_is_believed_as_it_is() -> None:
    """Four weeks and more change nothing of what was missed."""
    misses = np.random.default_rng(1).random((SERVICES, 1, 84, 1, len(LEVELS))).astype(np.float32)
    assert np.array_equal(widened(misses, 28), widened(misses, 56))


@given(
    arrays(np.float32, (3, 168, len(LEVELS)), elements=st.floats(0, 1, width=32)),
    st.floats(0, 9),
)
def test_a_flat_forecast_is_less_certain_further_ahead(table: np.ndarray, past: float) -> None:
    """Its unit grows with the root of the lead, and is above zero from the first hour."""
    forecast = np.broadcast_to(np.sort(table[:, :1], axis=-1), table.shape)
    samples = np.zeros((3, 96, 1), np.float32)
    unit = uncertainty(forecast, samples, np.full(3, past), LEVELS)
    assert unit.shape == (3, 168)
    assert np.all(unit > 0)
    assert np.all(np.diff(unit, axis=1) >= 0)
    growth = unit[:, 160] / unit[:, 40]
    np.testing.assert_allclose(growth, np.sqrt((160 / 24 + 0.3) / (40 / 24 + 0.3)), rtol=1e-4)
