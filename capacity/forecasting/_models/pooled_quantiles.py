"""Exact quantiles of what many blocks of services pool, from counts that add up in any order.

The bits of a float32 are a whole number that grows with its value. One pass over the blocks counts
the upper halves of these numbers, which says in which bin each quantile lies; a second counts the
lower halves within those bins, which says where (a radix selection). No block needs the values of
another, and no order or size of blocks changes a bit of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._quantiles import Floats, Singles

__all__ = ["Bins", "Tally", "find_bins", "lower_halves", "read_quantiles", "upper_halves"]

_HALVES = 1 << 16
_SIGN = np.uint32(1 << 31)
_WAITING = 1 << 20  # places
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Tally:
    """How many values of a block lie where; those of several blocks add up.

    Attributes:
        places: of what was seen, flat.
        counts: how often.
    """

    places: Indices
    counts: Indices


@dataclass(frozen=True)
class Bins:
    """Where each quantile lies, (levels, rows of pools, columns of pools).

    Attributes:
        upper: upper half of its bits; -1 = the pool is empty.
        rank: how many values of the same upper half lie below it.
    """

    upper: Indices
    rank: Indices


def upper_halves(values: Singles, cells: Indices, count: int) -> Tally:
    """First pass over a block.

    Args:
        values: (values, levels), NaN = none.
        cells: (values,) the cell of each.
        count: of cells.
    """
    tallies = []
    for number in range(values.shape[1]):
        known = np.isfinite(values[:, number])
        upper = _bits(values[known, number]) >> 16
        places, found = np.unique(cells[known] * _HALVES + upper, return_counts=True)
        tallies.append((places + number * count * _HALVES, found))
    places, counts = (np.concatenate(part) for part in zip(*tallies, strict=True))
    return Tally(places, counts)


def find_bins(
    tallies: Iterable[Tally], levels: Floats, rows: NDArray[np.bool_], columns: NDArray[np.bool_]
) -> Bins:
    """The bin of each pool's quantile: the ceil((n + 1) q)-th smallest, the conformal quantile.

    Args:
        tallies: of all blocks, of cells in (rows, columns).
        levels: of the quantiles.
        rows: (rows of pools, rows of cells), which of these each pool has.
        columns: (columns of pools, columns of cells), the same.
    """
    total = _added(tallies)
    upper = np.full((len(levels), len(rows), len(columns)), -1, np.intp)
    rank = np.zeros_like(upper)
    cell, half = np.divmod(total.places, _HALVES)
    level, cell = np.divmod(cell, rows.shape[1] * columns.shape[1])
    for number, asked in enumerate(levels):
        inside = np.flatnonzero(level == number)
        inside = inside[np.argsort(half[inside], kind="stable")]
        row, column = np.divmod(cell[inside], columns.shape[1])
        for at in np.ndindex(upper.shape[1:]):
            chosen = inside[rows[at[0]][row] & columns[at[1]][column]]
            below = np.cumsum(total.counts[chosen])
            if len(below):
                place = min(int(np.ceil((below[-1] + 1) * asked)), int(below[-1])) - 1
                halves = half[chosen]
                found = halves[np.searchsorted(below, place, side="right")]
                first = np.searchsorted(halves, found)
                upper[(number, *at)] = found
                rank[(number, *at)] = place - (below[first - 1] if first else 0)
    return Bins(upper, rank)


def lower_halves(
    values: Singles,
    cells: Indices,
    bins: Bins,
    rows: NDArray[np.bool_],
    columns: NDArray[np.bool_],
) -> Tally:
    """Second pass over a block: arguments as before."""
    shape, parts = bins.upper.shape, []
    row, column = np.divmod(cells, columns.shape[1])
    for level in range(shape[0]):
        known = np.isfinite(values[:, level])
        bits = _bits(values[known, level])
        upper, lower = bits >> 16, bits & (_HALVES - 1)
        wanted = np.zeros(_HALVES, bool)
        wanted[bins.upper[level][bins.upper[level] >= 0]] = True
        near = np.flatnonzero(wanted[upper])
        of_row, of_column = row[known][near], column[known][near]
        for pool in np.ndindex(shape[1:]):
            chosen = near[
                (upper[near] == bins.upper[(level, *pool)])
                & rows[pool[0]][of_row]
                & columns[pool[1]][of_column]
            ]
            found, counts = np.unique(lower[chosen], return_counts=True)
            start = np.ravel_multi_index((level, *pool), shape) * _HALVES
            parts.append((found + start, counts))
    places, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Tally(places, counts)


def read_quantiles(tallies: Iterable[Tally], bins: Bins) -> Floats:
    """The quantile of each pool, (levels, rows of pools, columns of pools); NaN of an empty one."""
    total = _added(tallies)
    out = np.full(bins.upper.shape, np.nan)
    for number, at in enumerate(np.ndindex(out.shape)):
        start, stop = np.searchsorted(total.places, [number * _HALVES, (number + 1) * _HALVES])
        if start < stop:
            below = np.cumsum(total.counts[start:stop])
            place = total.places[start + np.searchsorted(below, bins.rank[at], side="right")]
            out[at] = _value((int(bins.upper[at]) << 16) + int(place) % _HALVES)
    return out


def _added(tallies: Iterable[Tally]) -> Tally:
    """The sum, by place; what waits to be added is never more than what was added, and a bit."""
    total = Tally(np.zeros(0, np.intp), np.zeros(0, np.intp))
    waiting: list[Tally] = []
    for tally in tallies:
        waiting.append(tally)
        if sum(len(each.places) for each in waiting) > max(_WAITING, len(total.places)):
            total, waiting = _sum([total, *waiting]), []
    return _sum([total, *waiting])


def _sum(tallies: list[Tally]) -> Tally:
    places, which = np.unique(np.concatenate([t.places for t in tallies]), return_inverse=True)
    counts = np.bincount(which, weights=np.concatenate([t.counts for t in tallies]))
    return Tally(places, counts.astype(np.intp))  # exact: whole numbers below 2^53


def _bits(values: Singles) -> Indices:
    """Whole numbers in the order of the values."""
    bits = (values + np.float32(0)).view(np.uint32)  # minus zero is zero
    return np.where(bits & _SIGN, ~bits, bits | _SIGN).astype(np.intp)


def _value(bits: int) -> float:
    """The value of such a number."""
    plain = np.uint32(bits)
    return float((plain ^ _SIGN if plain & _SIGN else ~plain).view(np.float32))
