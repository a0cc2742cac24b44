"""Make `capacity/forecasting/_models/peak_model.json`: a forest of log(peak / trailing peak), from
random windows of several fleets.

    CAPACITY_TRACES=folder python benchmarks/train_peak_model.py [--without FAMILY] [--out FILE]

Windows differ in origin, days of history (3 to 90), horizon (1 to 14 days) and sub-fleet. A fleet
weighs by the root of its rows. Trees (extremely randomised, scikit-learn) split by the variance
of the clipped target; leaf distributions are replaced by the nearest of 256 prototypes. Only
these arrays are written, nothing of the traces.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from sklearn.ensemble import ExtraTreesRegressor

from capacity.forecasting._models.daily_summaries import summarise
from capacity.forecasting._models.peak_features import (
    FEATURES,
    features,
    highest,
    known_median,
    stray,
)
from capacity.forecasting._models.peak_model import GRID, SHIPPED

WINDOWS = {
    "bitbrains_memory": 260,
    "bitbrains_cpu": 260,
    "smd_memory": 300,
    "smd_cpu": 300,
    "nab_cpu": 150,
    "azure_cpu_max_half": 250,
    "azure_cpu_mean_half": 100,
    "jumpstarter_cpu_half": 400,
    "google_cpu_half": 120,
    "google_memory_half": 120,
}
HORIZONS = (7, 7, 7, 1, 2, 3, 5, 10, 14)
HISTORIES = (3, 5, 7, 10, 14, 14, 21, 28, 28, 42, 60, 90)
BASES = ("", "peak of all days", "peak of 7 days")
TREES, LEAVES, LEAST, COLUMNS, SHARE, CLIP = 20, 100, 30, 0.6, 0.7, 1.5  # trees a base
PROTOTYPES, SCALE = 256, 10_000
OFF = 0.02  # of the usual daily peak: a service that was all but off says nothing of one at work
Floats = NDArray[np.float64]


@cache
def daily(folder: Path, name: str) -> Floats:
    """Daily summaries of one trace, at five minutes, aligned to days."""
    frame = pd.read_parquet(folder / f"{name}.parquet").astype(np.float64)
    frame.index = pd.to_datetime(np.asarray(frame.index) * 60, unit="s", utc=True)
    frame = frame.resample("5min").max()
    whole = pd.date_range(frame.index[0].floor("D"), frame.index[-1], freq="5min")
    values = frame.reindex(whole).to_numpy()
    return summarise(values[: len(values) // 288 * 288], 300)


def aligned(table: Floats) -> Floats:
    """Series that lived at different times, moved to a common end (NAB)."""
    alive = [table[np.isfinite(table[:, service, 0]), service] for service in range(table.shape[1])]
    moved = np.full((max(map(len, alive)), table.shape[1], table.shape[2]), np.nan)
    for service, rows in enumerate(alive):
        moved[len(moved) - len(rows) :, service] = rows
    return moved


def windows(
    folder: Path, name: str, count: int, seed: int = 1
) -> tuple[NDArray[np.float32], Floats]:
    """Features and targets of random windows of one trace."""
    rng = np.random.default_rng(seed)
    table = daily(folder, name)
    if name.startswith("nab"):
        table = aligned(table)
    days, services = table.shape[:2]
    rows, targets = [], []
    for _ in range(count):
        horizon = min(int(rng.choice(HORIZONS)), max(1, days // 3))
        history = int(rng.choice(HISTORIES))
        origin = int(rng.integers(min(max(3, history), days - horizon), days - horizon + 1))
        least = min(10, services)
        size = int(
            np.clip(np.exp(rng.uniform(np.log(least), np.log(services + 1))), least, services)
        )
        part = table[max(0, origin - history) : origin + horizon][
            :, rng.choice(services, size, replace=False)
        ]
        past, peaks = part[:-horizon], part[:, :, 0]
        target = stray(peaks, len(past), horizon)
        base, usual = highest(past[-14:, :, 0]), known_median(peaks)
        alive = np.isfinite(highest(past[-7:, :, 0]))
        with np.errstate(invalid="ignore"):
            kept = np.isfinite(target) & alive & (base >= OFF * usual)
        rows.append(features(past, horizon)[kept].astype(np.float32))
        targets.append(target[kept])
    return np.concatenate(rows), np.concatenate(targets)


def train(folder: Path, without: str = "", seed: int = 0) -> dict[str, Any]:
    """The model as it is written, from all traces but those of one family."""
    names = [name for name in WINDOWS if not without or not name.startswith(without)]
    parts = [windows(folder, name, WINDOWS[name]) for name in names]
    rows, targets = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    weights = np.concatenate([np.full(len(part[1]), len(part[1]) ** -0.5) for part in parts])
    weights /= weights.mean()
    trees, leaves, mass = [], [], []
    for number, base in enumerate(BASES):
        column = FEATURES.index(base) if base else -1
        target = targets - (rows[:, column] if base else 0.0)
        forest = ExtraTreesRegressor(
            TREES,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=LEAST,
            max_features=COLUMNS,
            bootstrap=True,
            max_samples=SHARE,
            random_state=seed + number,
            n_jobs=1,
        ).fit(rows, np.clip(target, -CLIP, CLIP), sample_weight=weights)
        place = np.searchsorted(GRID, np.clip(target, -2.9, 3.9))
        for tree, found in zip(forest.estimators_, forest.apply(rows).T, strict=True):
            width = len(GRID) + 1
            cells = tree.tree_.node_count * width
            counts = np.bincount(found * width + place, minlength=cells, weights=weights).reshape(
                -1, width
            )
            total = counts.sum(axis=1)
            chances = 1 - np.cumsum(counts, axis=1)[:, :-1] / np.maximum(total, 1e-9)[:, None]
            trees.append(_written(tree.tree_, column, len(leaves)))
            inner = np.asarray(tree.tree_.children_left) >= 0
            leaves += list(chances[~inner])
            mass += list(total[~inner])
    prototypes, nearest = _prototypes(np.array(leaves), np.array(mass))
    for entry in trees:
        feature, value = entry["feature"], entry["value"]
        entry["value"] = [
            int(nearest[int(v)]) if f < 0 else v for f, v in zip(feature, value, strict=True)
        ]
    return {
        "what": "Of log(peak over the horizon / trailing 14-day peak).",
        "provenance": {
            "made by": "benchmarks/train_peak_model.py",
            "date": datetime.now(tz=UTC).date().isoformat(),
            "traces": {name: len(part[1]) for name, part in zip(names, parts, strict=True)},
            "left out": without or "nothing",
            "forest": f"{TREES} trees a base, {LEAVES} leaves, seed {seed}",
        },
        "features": list(FEATURES),
        "grid": [round(float(point), 6) for point in GRID],
        "scale": SCALE,
        "distributions": [[round(float(p) * SCALE) for p in row] for row in prototypes],
        "trees": trees,
    }


def _written(tree: Any, base: int, first: int) -> dict[str, Any]:
    """Depth-first arrays; a leaf's value is its number among all leaves, counted from `first`."""
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    number = np.cumsum(left < 0) - 1 + first
    feature, value, follow = [], [], []

    def visit(node: int) -> None:
        here = len(feature)
        inner = left[node] >= 0
        feature.append(int(tree.feature[node]) if inner else -1)
        value.append(float(f"{tree.threshold[node]:.4g}") if inner else int(number[node]))
        follow.append(0)
        if inner:
            visit(int(left[node]))
            follow[here] = len(feature)
            visit(int(right[node]))

    visit(0)
    return {"base": base, "feature": feature, "value": value, "right": follow}


def _prototypes(leaves: Floats, mass: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Few distributions that stand for all leaves: means of clusters by log odds."""
    odds = np.log((leaves + 0.002) / (1.002 - leaves))
    means = MiniBatchKMeans(PROTOTYPES, random_state=0, n_init=3, batch_size=2048).fit(
        odds, sample_weight=mass
    )
    groups = np.asarray(means.predict(odds), np.intp)
    _, groups = np.unique(groups, return_inverse=True)
    total = np.bincount(groups, weights=mass)
    sums = np.stack([np.bincount(groups, weights=mass * column) for column in leaves.T], axis=1)
    return np.minimum.accumulate(sums / total[:, None], axis=1), groups


def write(model: dict[str, Any], path: Path) -> None:
    """One line an array."""
    plain = {name: value for name, value in model.items() if name not in ("distributions", "trees")}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in plain.items()]
    for name in ("distributions", "trees"):
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in model[name])
        lines.append(f'"{name}": [\n{rows}\n]')
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Train and write."""
    folder = os.environ.get("CAPACITY_TRACES")
    if not folder:
        sys.exit("Set CAPACITY_TRACES to the folder of the traces")
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", default="")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    arguments = parser.parse_args()
    write(train(Path(folder), arguments.without), arguments.out)


if __name__ == "__main__":
    main()
