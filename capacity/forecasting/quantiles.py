"""Quantiles of rows with gaps, and the pinball loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Singles", "check_levels", "level_index", "pinball", "row_quantiles", "weighted_quantiles"]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def check_levels(levels: tuple[float, ...]) -> Floats:
    """The levels as an array; ValueError when they do not increase strictly between 0 and 1."""
    out = np.asarray(levels, np.float64)
    if out.ndim != 1 or out.size == 0 or out[0] <= 0 or out[-1] >= 1 or np.any(np.diff(out) <= 0):
        raise ValueError("quantiles must increase strictly between 0 and 1")
    return out


def level_index(levels: Floats, level: float) -> int:
    """Position of the level nearest to `level`."""
    return int(np.argmin(np.abs(levels - level)))


def row_quantiles(rows: Singles, levels: Floats) -> Singles:
    """Quantiles along the last axis, gaps (NaN) left out; a row of gaps gives NaN.

    Linear interpolation between order statistics, definition 7 of Hyndman and Fan, "Sample quantiles in statistical packages"
    (The American Statistician 50, 1996). Sorting puts NaN last, so counting and one gather replace `nanquantile`, which
    walks row by row.

    Args:
        rows: (..., samples).
        levels: (quantiles,).

    Returns:
        (..., quantiles), the dtype of `rows`.
    """
    ordered = np.sort(rows, axis=-1)
    last = np.maximum(np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1, 0)
    place = last * levels
    below = np.floor(place).astype(np.intp)
    part = (place - below).astype(rows.dtype)
    low = np.take_along_axis(ordered, below, axis=-1)
    high = np.take_along_axis(ordered, np.minimum(below + 1, last), axis=-1)
    return np.asarray(low + (high - low) * part, rows.dtype)


def weighted_quantiles(values: Floats, weights: Floats, levels: Floats) -> Floats:
    """Quantiles of a weighted sample: (samples,) and (samples,) -> (quantiles,)."""
    order = np.argsort(values, kind="stable")
    heap = np.cumsum(weights[order])
    place = np.searchsorted(heap, levels * heap[-1], side="left")
    return np.asarray(values[order][np.minimum(place, len(values) - 1)], np.float64)


def pinball(actual: Singles, forecast: Singles, levels: Floats) -> Singles:
    """Mean pinball loss a series and level, gaps left out.

    Koenker and Bassett, "Regression quantiles" (Econometrica 46, 1978).

    Args:
        actual: (series, times, samples) with NaN.
        forecast: (series, times, quantiles).
        levels: (quantiles,).

    Returns:
        (series, quantiles); NaN where a series has no sample.
    """
    there = np.isfinite(actual)
    count = there.sum(axis=(1, 2))
    filled = np.where(there, actual, np.float32(0))
    out = np.empty((len(actual), len(levels)), np.float32)
    for number, level in enumerate(levels):
        gap = filled - forecast[:, :, number, None]
        loss = np.where(gap > 0, np.float32(level) * gap, np.float32(level - 1) * gap)
        loss *= there
        out[:, number] = np.where(count > 0, loss.sum(axis=(1, 2), dtype=np.float32) / np.maximum(count, 1), np.nan)
    return out
