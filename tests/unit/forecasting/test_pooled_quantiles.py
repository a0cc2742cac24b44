"""`capacity.forecasting._models.pooled_quantiles` against sorting all values at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capacity.forecasting._models.pooled_quantiles import (
    find_bins,
    lower_halves,
    read_quantiles,
    upper_halves,
)

LEVELS = np.array([0.05, 0.5, 0.99])
ROWS = np.array([[True, False], [False, True], [True, True]])
COLUMNS = np.array([[True, False, False], [False, True, True]])
CELLS = ROWS.shape[1] * COLUMNS.shape[1]


def sorted_quantile(pool: np.ndarray, asked: float) -> float:
    """The ceil((n + 1) q)-th smallest value; NaN of none."""
    place = min(int(np.ceil((len(pool) + 1) * asked)), len(pool)) - 1
    return float(np.sort(pool)[place]) if len(pool) else float("nan")


@given(
    arrays(np.float32, (30, 3), elements=st.floats(-20, 20, width=32) | st.just(float("nan"))),
    arrays(np.intp, 30, elements=st.integers(0, CELLS - 1)),
    st.permutations(range(30)),
    st.integers(1, 30),
)
def test_pooled_quantiles_are_those_of_all_values_sorted(
    values: np.ndarray, cells: np.ndarray, order: list[int], size: int
) -> None:
    """To the last bit, in whatever order and blocks they are counted."""
    blocks = [order[at : at + size] for at in range(0, 30, size)]
    upper = [upper_halves(values[rows], cells[rows], CELLS) for rows in blocks]
    bins = find_bins(upper, LEVELS, ROWS, COLUMNS)
    lower = [lower_halves(values[rows], cells[rows], bins, ROWS, COLUMNS) for rows in blocks]
    found = read_quantiles(lower, bins)
    row, column = np.divmod(cells, COLUMNS.shape[1])
    for level, asked in enumerate(LEVELS):
        for at in np.ndindex(len(ROWS), len(COLUMNS)):
            pool = values[ROWS[at[0]][row] & COLUMNS[at[1]][column], level]
            expected = sorted_quantile(pool[np.isfinite(pool)], asked)
            assert np.array_equal(found[(level, *at)], expected, equal_nan=True)
