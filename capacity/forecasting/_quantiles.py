"""Quantiles of rows with gaps, and the pinball loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Floats",
    "Seen",
    "Singles",
    "check_levels",
    "level_index",
    "pinball",
    "row_quantiles",
    "seen",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)


def check_levels(levels: tuple[float, ...]) -> Floats:
    """The levels as an array; ValueError when they do not increase strictly between 0 and 1."""
    out = np.asarray(levels, np.float64)
    if out.ndim != 1 or out.size == 0 or out[0] <= 0 or out[-1] >= 1 or np.any(np.diff(out) <= 0):
        raise ValueError("quantiles must increase strictly between 0 and 1")
    return out


def level_index(levels: Floats, level: float) -> int:
    """Position of the level nearest to `level`."""
    return int(np.argmin(np.abs(levels - level)))


def row_quantiles(rows: NDArray[Real], levels: Floats) -> NDArray[Real]:
    """Quantiles along the last axis, gaps (NaN) left out; a row of gaps gives NaN.

    Linear interpolation between order statistics, definition 7 of Hyndman and Fan, "Sample
    quantiles in statistical packages" (The American Statistician 50, 1996). Sorting puts NaN last,
    so counting and one gather replace `nanquantile`, which walks row by row.

    Args:
        rows: (..., samples).
        levels: (quantiles,).

    Returns:
        (..., quantiles), the dtype of `rows`.
    """
    width = rows.shape[-1]
    shape = (*rows.shape[:-1], len(levels))
    if width == 0:
        return np.full(shape, np.nan, rows.dtype)
    ordered = np.sort(rows, axis=-1).reshape(-1, width)
    out = _of_whole(ordered, levels)
    # each row by its own way, whatever stands beside it: a fleet in blocks gives the same bytes
    gaps = np.flatnonzero(~np.isfinite(ordered[:, -1]))
    if len(gaps):
        out[gaps] = _of_gappy(ordered[gaps], levels)
    return out.reshape(shape)


def _of_whole(ordered: NDArray[Real], levels: Floats) -> NDArray[Real]:
    """Quantiles of ordered rows without gaps: the same places in every row."""
    width = ordered.shape[1]
    place = (width - 1) * levels
    below = np.floor(place).astype(np.intp)
    part = (place - below).astype(ordered.dtype)
    # no matrix product, which is faster: how it rounds depends on how many rows there are
    low, high = ordered[:, below], ordered[:, np.minimum(below + 1, width - 1)]
    return np.asarray(low + (high - low) * part, ordered.dtype)


def _of_gappy(ordered: NDArray[Real], levels: Floats) -> NDArray[Real]:
    """Quantiles of ordered rows whose gaps come last."""
    last = np.maximum(np.isfinite(ordered).sum(axis=-1).reshape(-1, 1) - 1, 0)
    places = last * levels
    belows = np.floor(places).astype(np.intp)
    parts = (places - belows).astype(ordered.dtype)
    flat = ordered.reshape(-1)
    start = np.arange(len(last))[:, None] * ordered.shape[1]
    low = flat.take(start + belows)
    high = flat.take(start + np.minimum(belows + 1, last))
    return np.asarray(low + (high - low) * parts, ordered.dtype)


@dataclass(frozen=True)
class Seen:
    """What happened after an origin, laid out for many losses in a row.

    Attributes:
        samples: (samples an hour, series, hours), gaps filled with 0.
        there: the same shape, 1 where there is a sample, else 0.
    """

    samples: Singles
    there: Singles


def seen(actual: Singles) -> Seen:
    """Samples with gaps, (series, hours, samples an hour), as `pinball` takes them."""
    there = np.isfinite(actual)
    filled = np.where(there, actual, np.float32(0))
    samples, mask = (
        np.ascontiguousarray(np.moveaxis(table, 2, 0), np.float32) for table in (filled, there)
    )
    return Seen(samples, mask)


def pinball(actual: Seen, forecast: Singles, levels: Floats) -> Singles:
    """Mean pinball loss a series and level, gaps left out.

    Koenker and Bassett, "Regression quantiles" (Econometrica 46, 1978).

    Args:
        actual: what happened.
        forecast: (series, quantiles, rows); hour h is forecast by row h modulo rows, which divide
            the hours.
        levels: (quantiles,).

    Returns:
        (series, quantiles); NaN where a series has no sample.
    """
    # max(q g, (q - 1) g) = |g| / 2 + (q - 1/2) g, and the sum of the second term needs no look at
    # single samples.
    series, hours = actual.there.shape[1:]
    rows = forecast.shape[2]
    shape = (series, 1, hours) if rows == 1 else (series, 1, hours // rows, rows)
    against = forecast if rows == 1 else forecast[:, :, None]
    distance = np.zeros(forecast.shape[:2], np.float32)
    for sample, there in zip(actual.samples, actual.there, strict=True):
        gap = sample.reshape(shape) - against
        np.abs(gap, out=gap)
        flat = gap.reshape(series, -1, hours)
        distance += np.matmul(flat, there[:, :, None])[:, :, 0]
    by_row = actual.there.sum(axis=0).reshape(series, -1, rows).sum(axis=1)
    plain = (
        # hours first: summed over both at once, one series alone would be summed in another order
        actual.samples.sum(axis=2).sum(axis=0)[:, None]
        - np.matmul(forecast, by_row[:, :, None])[:, :, 0]
    )
    count = by_row.sum(axis=1)[:, None]
    loss = 0.5 * distance + (levels - 0.5).astype(np.float32) * plain
    return np.where(count > 0, loss / np.maximum(count, 1), np.nan).astype(np.float32)
