"""Chance that next week's peak passes any multiple of the trailing peak, learned from the fleet's
own past weeks.

A quantile regression forest (Meinshausen, JMLR 2006) of extremely randomised trees: what past weeks
did that fell into the same leaves is the distribution. One forest for each thing a peak may be a
multiple of, their chances averaged: services that come back to an old ceiling are told apart from
those that stray from their latest level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from capacity.sizing._policies.base import LEAST, Floats
from capacity.sizing._policies.daily_features import BASES, FEATURES, Days

__all__ = ["MARGINS", "learn_exceedance"]

MARGINS = np.concatenate(
    [
        np.arange(-2.5, -0.5, 0.1),
        np.arange(-0.5, 0.6, 0.025),
        np.arange(0.6, 1.5, 0.05),
        np.arange(1.5, 4.05, 0.1),
    ]
)  # logarithms of the multiple of the trailing peak
_GRID = np.arange(-3.0, 4.01, 0.05)
_TREES, _LEAF, _SHARE, _COLUMNS = 75, 30, 0.5, 0.6
_LEAST_ROWS = 60
_MOST_ROWS = 20_000


def learn_exceedance(
    days: Days,
    origins: Sequence[int],
    services: np.ndarray[tuple[int], np.dtype[np.intp]],
    seed: int,
) -> _Chances | None:
    """Fit on past weeks.

    Args:
        days: daily summaries; each origin needs the week after it.
        origins: days on which past weeks began.
        services: positions of the services to learn from.
        seed: of the trees.

    Returns:
        A function from features to chances (services x `MARGINS`, never rising with the margin), or
        None with too few weeks.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    rows, strays = _past_weeks(days, origins, services)
    if len(rows) < _LEAST_ROWS:
        return None
    parts: list[tuple[str | None, Callable[[Floats], Floats]]] = []
    for number, base in enumerate(BASES):
        shift = rows[:, FEATURES.index(base)] if base else 0.0
        target = np.clip(strays - shift, _GRID[0], _GRID[-1])
        trees = ExtraTreesRegressor(
            _TREES,
            min_samples_leaf=min(_LEAF, max(5, len(rows) // 20)),
            max_features=_COLUMNS,
            bootstrap=True,
            max_samples=_SHARE,
            random_state=seed + number,
            n_jobs=-1,
        ).fit(rows, target)
        parts.append((base, _tail_of(trees, rows, target)))
    return lambda now: np.mean([_at_margins(tail(now), now, base) for base, tail in parts], axis=0)


_Chances = Callable[[Floats], Floats]


def _past_weeks(
    days: Days, origins: Sequence[int], services: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> tuple[Floats, Floats]:
    """Features of past mornings, and the logarithm of the following week's peak over the trailing
    one.
    """
    stride = max(1, -(-len(origins) * len(services) // _MOST_ROWS))
    rows, strays = [np.zeros((0, len(FEATURES)))], [np.zeros(0)]
    for origin in list(origins)[::-1][::stride]:
        peak, base = days.next_peak(origin)[services], days.base(origin)[services]
        seen = np.isfinite(peak) & np.isfinite(base) & (base > 0)
        if seen.any():
            rows.append(days.features(origin)[services][seen])
            strays.append(np.log(np.maximum(peak[seen], LEAST) / base[seen]))
    return np.concatenate(rows), np.concatenate(strays)


def _tail_of(trees: object, rows: Floats, target: Floats) -> Callable[[Floats], Floats]:
    """From features to the share of past weeks, in the same leaves, above each point of the
    grid.
    """
    place = np.searchsorted(_GRID, target)
    width = len(_GRID) + 1
    leaves = trees.apply(rows)  # type: ignore[attr-defined]  # scikit-learn ships no types
    tables = []
    for leaf in leaves.T:
        counts = np.bincount(leaf * width + place, minlength=(leaf.max() + 1) * width).reshape(
            -1, width
        )
        total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        tables.append((1 - np.cumsum(counts, axis=1)[:, :-1] / total).astype(np.float32))

    def tail(now: Floats) -> Floats:
        found = trees.apply(now)  # type: ignore[attr-defined]
        return np.asarray(
            sum(table[leaf].astype(np.float64) for table, leaf in zip(tables, found.T, strict=True))
            / len(tables)
        )

    return tail


def _at_margins(tail: Floats, now: Floats, base: str | None) -> Floats:
    """Chances at multiples of the trailing peak from those at multiples of another base."""
    shift = now[:, FEATURES.index(base)] if base else np.zeros(len(now))
    return np.stack(
        [np.interp(MARGINS - by, _GRID, row) for by, row in zip(shift, tail, strict=True)]
    )
