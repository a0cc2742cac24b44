"""Row quantiles and pinball losses against the plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.forecasting._quantiles import pinball, row_quantiles, seen

LEVELS = np.array([0.1, 0.5, 0.9, 0.99])


@pytest.mark.parametrize("width", [1, 4, 31, 200])
@pytest.mark.parametrize("gaps", [False, True])
def test_row_quantiles_are_numpys(width: int, gaps: bool) -> None:
    """Short rows, long rows and rows with gaps agree with numpy."""
    rows = np.random.default_rng(width).normal(0, 3, (50, width))
    if gaps and width > 1:
        rows[::2, 0] = np.nan
    expected = np.moveaxis(np.nanquantile(rows, LEVELS, axis=1), 0, -1)
    np.testing.assert_allclose(row_quantiles(rows, LEVELS), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rows", [1, 24, 48])
@pytest.mark.parametrize("gaps", [False, True])
def test_pinball_is_the_plain_formula(rows: int, gaps: bool) -> None:
    """Forecasts that repeat every hour, day or not at all have the loss of the formula."""
    draw = np.random.default_rng(rows)
    actual = draw.normal(0, 1, (5, 48, 2)).astype(np.float32)
    if gaps:
        actual[draw.random(actual.shape) < 0.2] = np.nan
        actual[0] = np.nan
    forecast = np.sort(draw.normal(0, 1, (5, len(LEVELS), rows)), axis=1).astype(np.float32)
    whole = np.tile(forecast, (1, 1, 48 // rows)).transpose(0, 2, 1)
    gap = actual[:, :, :, None] - whole[:, :, None]
    plain = np.maximum(LEVELS * gap, (LEVELS - 1) * gap).reshape(5, -1, len(LEVELS))
    expected = [
        np.nanmean(loss, axis=0) if np.isfinite(loss).any() else np.full(len(LEVELS), np.nan)
        for loss in plain
    ]
    np.testing.assert_allclose(
        pinball(seen(actual), forecast, LEVELS), expected, rtol=1e-4, atol=1e-5
    )


@given(st.integers(1, 40), st.integers(0, 39), st.integers(0, 2**32 - 1))
def test_a_row_has_the_same_bytes_whatever_stands_beside_it(
    width: int, first: int, seed: int
) -> None:
    """Rows with gaps and rows without do not change each other's quantiles."""
    draw = np.random.default_rng(seed)
    rows = draw.random((40, width)).astype(np.float32)
    rows[draw.random((40, 1)) < draw.random((40, width)) * 0.7] = np.nan
    whole = row_quantiles(rows, LEVELS)
    for stop in (first + 1, 40):
        part = row_quantiles(rows[first:stop], LEVELS)
        assert np.array_equal(part, whole[first:stop], equal_nan=True)
