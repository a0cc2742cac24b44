"""The one model of the coming peak of every service.

The target is log(peak over the horizon / peak of the last 14 days). A forest pre-trained on fleets
of several kinds is shipped as plain arrays (`peak_model.json`); each leaf holds a distribution. The
fleet's own past windows first say how calm it is as a whole, and are then dropped into the same
leaves; a leaf's answer is the posterior mean of both, so that it moves from the pre-trained one at
day 0 to the fleet's own after months. What one service did counts little for the others: its
excesses are clipped to what several services have shown, and the weight of the pre-trained part
grows as the fleet gets smaller.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._models.peak_bounds import peak_bound
from capacity.forecasting._models.peak_distribution import MARGINS, PeakDistribution
from capacity.forecasting._models.peak_features import (
    FEATURES,
    RECENT,
    WEEK,
    features,
    highest,
    since_fall,
    since_rise,
    stray,
)
from capacity.forecasting._quantiles import Floats

__all__ = [
    "GRID",
    "SHIPPED",
    "PeakModel",
    "Windows",
    "past_windows",
    "present_level",
]

Indices = NDArray[np.intp]

SHIPPED = Path(__file__).with_name("peak_model.json")
"""The arrays that come with the package; `benchmarks/train_peak_model.py` makes them."""

GRID: Floats = np.concatenate(
    [
        np.arange(-3, -1, 0.25),
        np.arange(-1, -0.3, 0.1),
        np.arange(-0.3, 0.3, 0.02),
        np.arange(0.3, 1.0, 0.05),
        np.arange(1.0, 2, 0.1),
        np.arange(2, 4.01, 0.25),
    ]
)
"""Points at which leaves know the chance that the target exceeds them."""
_BINS = len(GRID) + 1
# learning on the fleet's own past
_FIRST = 4  # days of history before a past window is learned from
_MOST_ROWS = 20_000
_WEEKS_OF_PRIOR = 5.0  # weight of the pre-trained leaf, in service-windows
_FEW_WEEKS = 15.0  # more of it, over the square of the windows seen: weeks of a fleet differ
_SMALL_FLEET = 200.0  # services; below, the pre-trained tail weighs more, by the fourth power
_CALM = 0.3  # a fleet whose shared strays are below is believed sooner: it can teach no more
_RARE = 0.01  # chances below are not held on to more firmly
_SHARED = slice(
    2, 6
)  # the third to sixth largest of the services' largest strays bound all of them
_LEAST_STRAY, _FEWEST = 0.02, 6
_NEAR, _FAR = 0.15, 0.45  # strays below are noise; beyond they say no more of how calm a fleet is
_DOUBT = 6.0  # sum of strays that the pre-trained expectation weighs: less, and one would count
_CALMEST = 0.25  # least share of it that is believed
_WINSORIZED = 2  # services on either side that count for no more than the next one


@dataclass(frozen=True)
class Tree:
    """A binary tree in depth-first order: the left child of a node is the next one.

    Attributes:
        feature: position in `FEATURES` by node; -1 at a leaf.
        threshold: a row with at most this goes left.
        right: position of the right child.
        leaf: row of the leaf distributions by node; meaningless elsewhere.
        base: position of the feature that the target is relative to; -1 = the trailing peak.
    """

    feature: Indices
    threshold: NDArray[np.float32]
    right: Indices
    leaf: Indices
    base: int

    def nodes(self, columns: NDArray[np.float32]) -> Indices:
        """The leaf, as a node, that each row falls into.

        Rows are parted node by node: a third of the time that a walk of each row takes.

        Args:
            columns: `FEATURES` x rows.
        """
        found = np.zeros(columns.shape[1], np.intp)
        waiting = [(0, np.arange(columns.shape[1]))]
        while waiting:
            node, rows = waiting.pop()
            feature = self.feature[node]
            if feature < 0:
                found[rows] = node
            elif len(rows):
                left = columns[feature].take(rows) <= self.threshold[node]
                waiting += [(node + 1, rows[left]), (int(self.right[node]), rows[~left])]
        return found


@dataclass(frozen=True)
class Windows:
    """Past windows of the fleet: rows to learn from.

    Attributes:
        rows: windows x `FEATURES`.
        strays: log(peak / trailing peak), clipped to what several services have shown.
        unclipped: the same as they were.
        weight: of one row in windows that do not overlap.
        prior: weight of the pre-trained leaf, in windows.
        tail: more weight of the pre-trained chance p, in events: tail / (p (1 - p)) windows.
        services: position of each row's service.
        windows: that do not overlap, of one service.
    """

    rows: NDArray[np.float32]
    strays: Floats
    unclipped: Floats
    services: Indices
    weight: float
    prior: float
    tail: float
    windows: float


@dataclass(frozen=True)
class PeakModel:
    """The pre-trained forest.

    Attributes:
        trees: with the rows of `distributions` that their leaves point to.
        distributions: prototypes x `GRID`, chance to exceed each point.
        bases: positions of the features that targets are relative to; -1 = the trailing peak.
    """

    trees: tuple[Tree, ...]
    distributions: Floats
    bases: tuple[int, ...]

    @classmethod
    def load(cls, path: Path | None = None) -> PeakModel:
        """The model in a JSON file, by default the shipped one."""
        return _loaded(path or SHIPPED)

    def predict(self, days: Floats, horizon: int = 7, *, own: bool = True) -> PeakDistribution:
        """The distribution for the horizon after `days`.

        Args:
            days: days x services x `STATS`.
            horizon: days ahead.
            own: learn from the fleet's own past windows too.
        """
        level = present_level(days)
        base = highest(level[-RECENT:, :, 0])
        known = np.flatnonzero(base > 0)
        chances = np.full((len(base), len(MARGINS)), np.nan)
        if len(known):
            now = features(level[:, known], horizon).astype(np.float32)
            past = past_windows(days, horizon) if own else None
            bound = peak_bound(level[:, known], horizon)
            if past is not None:
                unmoved = np.ones((len(base), len(MARGINS)))
                unmoved[known] = peak_bound(level[:, known], horizon, shown=False)
                bound = np.minimum(_surprised(unmoved, past) * bound, 1.0)
            chances[known] = np.fmin(self._chances(now, past), bound)
        if horizon > WEEK:  # learned apart from the shorter horizon, that it includes
            chances = np.fmax(chances, self.predict(days, WEEK, own=own).chances)
        return PeakDistribution(base, chances)

    def _chances(self, now: NDArray[np.float32], past: Windows | None) -> Floats:
        """Services x margins: the mean over trees, by base, then over bases."""
        total = np.zeros((len(now), len(MARGINS)))
        rows = now if past is None else np.concatenate([past.rows, now])
        columns, seen = np.ascontiguousarray(rows.T), len(rows) - len(now)
        leaves = [tree.nodes(columns) for tree in self.trees]
        scale = self._calm(past, [nodes[:seen] for nodes in leaves]) if past is not None else 1.0
        stretched = np.where(GRID > 0, GRID / scale, GRID)
        prior = np.stack([np.interp(stretched, GRID, row) for row in self.distributions])
        for base in self.bases:
            pairs = zip(self.trees, leaves, strict=True)
            found = [(tree, nodes) for tree, nodes in pairs if tree.base == base]
            shift = now[:, base].astype(np.float64) if base >= 0 else np.zeros(len(now))
            mean = np.zeros((len(now), len(GRID)))
            for tree, nodes in found:
                mean += _posterior(tree, prior, past, nodes[:seen])[nodes[seen:]] / len(found)
            moved = zip(shift, mean, strict=True)
            total += np.stack(
                [np.interp(MARGINS - by, GRID, row, left=1.0, right=0.0) for by, row in moved]
            )
        return np.asarray(np.minimum.accumulate(total / len(self.bases), axis=1), np.float64)

    def _calm(self, past: Windows, leaves: list[Indices]) -> float:
        """How far peaks stray above the trailing ones, over what was expected; 1 at most.

        The services are winsorized (Tukey, 1962): what befell one or two of them says nothing of
        the others, and what befell most of them is believed.

        Args:
            past: windows.
            leaves: the leaf of each window, by tree.
        """
        inside = np.flatnonzero((GRID > _NEAR - 1e-9) & (GRID < _FAR + 1e-9))
        area = np.asarray(np.trapezoid(self.distributions[:, inside], GRID[inside], axis=1))
        pairs = zip(self.trees, leaves, strict=True)
        areas = [area[tree.leaf[nodes]] for tree, nodes in pairs if tree.base < 0]
        expected = np.mean(areas, axis=0) * past.weight
        seen = np.clip(past.unclipped - _NEAR, 0.0, _FAR - _NEAR) * past.weight
        strayed, foreseen = (
            _winsorized_sum(np.bincount(past.services, weights=each).astype(np.float64))
            for each in (seen, expected)
        )
        doubt = _DOUBT * (1 + 1 / past.windows)
        return float(np.clip((doubt + strayed) / (doubt + foreseen), _CALMEST, 1.0))


def _surprised(bound: Floats, past: Windows) -> float:
    """How far peaks of bounded services have strayed, over what the bounds say; 1 at least.

    Args:
        bound: services x `MARGINS`, chances.
        past: windows of the same services.
    """
    inside = (MARGINS > _NEAR - 1e-9) & (MARGINS < _FAR + 1e-9)
    bounded = bound[:, inside].max(axis=1) < 1.0
    if not bounded.any():
        return 1.0
    foreseen = np.asarray(np.trapezoid(bound[:, inside], MARGINS[inside], axis=1))
    seen = np.clip(past.unclipped - _NEAR, 0.0, _FAR - _NEAR)
    windows, strayed = (
        past.weight * np.bincount(past.services, weights=each, minlength=len(bound))[bounded]
        for each in (np.ones(len(seen)), seen)
    )
    expected = _winsorized_sum(windows * foreseen[bounded])
    return max(1.0, (_DOUBT + _winsorized_sum(strayed)) / (_DOUBT + expected))


def _winsorized_sum(values: Floats) -> float:
    """The sum, in which the largest and the smallest count for no more than the next ones."""
    ordered, beyond = np.sort(values), min(_WINSORIZED, len(values) // 4)
    return float(np.clip(ordered, *ordered[[beyond, -1 - beyond]]).sum())


def present_level(days: Floats) -> Floats:
    """The summaries without the days before each service fell or rose to its present level.

    Args:
        days: days x services x `STATS`.
    """
    first = np.maximum(since_fall(days[:, :, 0]), since_rise(days[:, :, 0]))
    if not first.any():
        return days
    former = np.arange(len(days))[:, None] < first
    return np.where(former[:, :, None], np.nan, days)


def past_windows(days: Floats, horizon: int) -> Windows | None:
    """The fleet's own past windows; None where there are none.

    No service's stray counts for more than the third to sixth largest of the services' largest do,
    in geometric mean.
    """
    peaks = days[:, :, 0]
    origins = range(_FIRST, len(days) - horizon + 1)
    step = max(1, -(-len(origins) * peaks.shape[1] // _MOST_ROWS))
    used = list(origins)[::-1][::step]
    found = [stray(peaks, origin, horizon) for origin in used]
    alive = [np.isfinite(highest(peaks[max(0, origin - WEEK) : origin])) for origin in used]
    seen = [np.isfinite(each) & lives for each, lives in zip(found, alive, strict=True)]
    if not any(each.any() for each in seen):
        return None
    pairs = list(zip(used, seen, strict=True))
    rows = np.concatenate(
        [features(days[:origin], horizon)[kept] for origin, kept in pairs if kept.any()]
    )
    largest = np.max(
        [np.where(kept, each, 0.0) for each, kept in zip(found, seen, strict=True)], axis=0
    )
    services = int(np.any(seen, axis=0).sum())
    shared = _shared_stray(largest, services)
    strays = np.concatenate(
        [each[kept] for each, kept in zip(found, seen, strict=True) if kept.any()]
    )
    windows = len(used) * step / horizon
    tail = (_SMALL_FLEET / services) ** 4 * min(1.0, (shared / _CALM) ** 2)
    prior = _WEEKS_OF_PRIOR + _FEW_WEEKS / windows**2
    which = np.concatenate([np.flatnonzero(kept) for kept in seen])
    return Windows(
        rows.astype(np.float32),
        np.minimum(strays, shared),
        strays,
        which,
        step / horizon,
        prior,
        tail,
        windows,
    )


def _shared_stray(largest: Floats, services: int) -> float:
    """How far several services have strayed, from each service's largest stray."""
    if services < _FEWEST:
        return _LEAST_STRAY
    ordered = np.maximum(np.sort(largest)[::-1], _LEAST_STRAY)
    return float(np.exp(np.log(ordered[_SHARED]).mean()))


def _posterior(tree: Tree, distributions: Floats, past: Windows | None, leaves: Indices) -> Floats:
    """Nodes x `GRID`: chance to exceed each point; rows of inner nodes mean nothing.

    Args:
        tree: whose leaves are asked for.
        distributions: prototypes x `GRID`.
        past: windows.
        leaves: the leaf of each window.
    """
    prior = distributions[tree.leaf]
    if past is None:
        return prior
    shift = past.rows[:, tree.base] if tree.base >= 0 else 0.0
    place = np.searchsorted(GRID, np.clip(past.strays - shift, -2.9, 3.9))
    counts = (
        np.bincount(leaves * _BINS + place, minlength=len(prior) * _BINS).reshape(-1, _BINS)
        * past.weight
    )
    total = counts.sum(axis=1, keepdims=True)
    above = total - np.cumsum(counts, axis=1)[:, :-1]
    chance = np.clip(prior, 1e-5, 1 - 1e-5)
    weight = past.prior + past.tail / np.maximum(chance * (1 - chance), _RARE)
    return np.minimum.accumulate((weight * chance + above) / (weight + total), axis=1)


@cache
def _loaded(path: Path) -> PeakModel:
    data = json.loads(path.read_text(encoding="utf-8"))
    if tuple(data["features"]) != FEATURES or not np.allclose(data["grid"], GRID, atol=1e-6):
        raise ValueError(f"{path} was made for other features")
    return PeakModel(
        tuple(_tree(entry) for entry in data["trees"]),
        np.asarray(data["distributions"], np.float64) / data["scale"],
        tuple(dict.fromkeys(entry["base"] for entry in data["trees"])),
    )


def _tree(entry: dict[str, Any]) -> Tree:
    feature = np.asarray(entry["feature"], np.intp)
    value = np.asarray(entry["value"], np.float64)
    leaf = np.where(feature < 0, value, 0).astype(np.intp)
    right = np.asarray(entry["right"], np.intp)
    return Tree(feature, value.astype(np.float32), right, leaf, int(entry["base"]))
