"""Limits on fleets that nothing was learned from: each family of traces judged with a peak model
trained on the others.

    CAPACITY_TRACES=folder python benchmarks/unseen_fleets.py [--models DIR] [--shipped]

Weekly decisions, the next seven days judged at five minutes (Google's ten days: decisions on days 4
and 7, three days ahead), with the longest history there is, 28 and 14 days; bare and through
`capacity.sizing.recommend` as it ships. Each is held against the tuned envelope of
`benchmarks/sizing.py` at its own total and typical cost. *Pooled* is the sum of breaches over the
sum of the envelope's, a fleet's own ratio has half a breach added to both; both are geometric means
over the risks. Models are trained where DIR lacks them. `--shipped` uses the shipped model, which
has seen all of these fleets.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.sizing import LEVELS, MARGINS, RISKS, geometric, read, weighted
from benchmarks.train_peak_model import train, write
from capacity.forecasting import Forecaster
from capacity.forecasting._models import peak_model
from capacity.model import Resource
from capacity.sizing import PEAK_QUANTILES, Context, recommend
from capacity.sizing._policies.base import Floats, column_max
from capacity.sizing._policies.capacity import Capacity
from capacity.sizing._policies.registry import Past

DAY = 288  # samples
WAYS = ("bare", "recommend")
TRACES = (
    "bitbrains_memory",
    "bitbrains_cpu",
    "smd_memory",
    "smd_cpu",
    "azure_cpu_max_half",
    "jumpstarter_cpu_half",
    "google_cpu_half",
    "google_memory_half",
)
SCALES = {
    "azure": 0.04,
    "jumpstarter": 0.16,
    "smd_cpu": 8.0,
    "smd_memory": 8192.0,
    "google": 1024.0,
}
"""What makes plausible cores or MiB of traces that are scaled: whole units and floors then mean
what they do on a real fleet.
"""


@dataclass(frozen=True)
class Decision:
    """One moment of one fleet: what was known, and what came."""

    past: pd.DataFrame
    ahead: Floats


@dataclass(frozen=True)
class Tally:
    """What came of a fleet at every risk.

    Attributes:
        breached: ours, counts by risk.
        minutes: ours, breach minutes by risk.
        total, typical: the envelope's breaches at our total and typical cost, counts by risk.
        weeks: service-weeks judged.
    """

    breached: Floats
    minutes: Floats
    total: Floats
    typical: Floats
    weeks: int


def main() -> None:
    """Judge every trace and print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--shipped", action="store_true")
    parser.add_argument("--through", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument(
        "--history", nargs="+", type=int, default=(0, 28, 14), help="days; 0 = all there is"
    )
    asked = parser.parse_args()
    folder = os.environ.get("CAPACITY_TRACES")
    if not folder:
        sys.exit("Set CAPACITY_TRACES to the folder of the traces")
    for history in asked.history:
        for through in asked.through:
            print(f"\nhistory {history or 'all'}, {through}")
            tallies = []
            for name in TRACES:
                if not asked.shipped:
                    peak_model.SHIPPED = model_without(name.partition("_")[0], asked.models, folder)
                tally = judge(Path(folder) / f"{name}.parquet", history or None, through)
                if tally is not None:
                    tallies.append(tally)
                    show(name, tally, half=0.5)
            whole = Tally(*(sum(getattr(t, f) for t in tallies) for f in Tally.__annotations__))
            show("pooled", whole, half=0.0)


def model_without(family: str, models: Path, traces: str) -> Path:
    """A model that has not seen a family; trained where it is not there yet."""
    path = models / f"{family}.json"
    if not path.exists():
        models.mkdir(parents=True, exist_ok=True)
        write(train(Path(traces), family), path)
    return path


def scaled(usage: pd.DataFrame, name: str) -> pd.DataFrame:
    """A trace in plausible units."""
    return usage * next((by for start, by in SCALES.items() if name.startswith(start)), 1.0)


def judge(file: Path, history: int | None, through: str) -> Tally | None:
    """Everything about one fleet; None where it is too short for that history."""
    usage, resource = read(file)
    usage = scaled(usage, file.stem)
    horizon = 3 if file.stem.startswith("google") else 7
    ours, base, peak, minutes, rivals = [], [], [], [], []
    for moment in decisions(usage, history, horizon):
        limits = decide(moment.past, resource, horizon, through)
        ours.append(limits)
        base.append(column_max(moment.past.to_numpy()[-14 * DAY :]))
        peak.append(column_max(moment.ahead))
        with np.errstate(invalid="ignore"):
            minutes.append(5.0 * np.stack([(moment.ahead > row).sum(axis=0) for row in limits]))
        rivals.append(constants(moment.past, resource))
    if not ours:
        return None
    limits, mins = np.concatenate(ours, axis=1), np.concatenate(minutes, axis=1)
    b, p = np.concatenate(base), np.concatenate(peak)
    seen = (b > 0) & np.isfinite(p) & np.isfinite(limits).all(axis=0)
    limits, mins, b, p = limits[:, seen], mins[:, seen], b[seen], p[seen]
    hull = envelope(np.concatenate(rivals, axis=1)[:, seen], b, p)
    costs = {
        "total": limits.sum(axis=1) / b.sum(),
        "typical": np.exp(np.log(np.maximum(limits / b, 0.01)).mean(axis=1)),
    }
    best = {
        cost: np.array([hull.loc[hull[cost] <= each, "breached"].min() for each in values])
        for cost, values in costs.items()
    }
    counted = {cost: np.nan_to_num(share, nan=1.0) * len(p) for cost, share in best.items()}
    return Tally((p > limits).sum(axis=1), mins.sum(axis=1), **counted, weeks=len(p))


def decisions(usage: pd.DataFrame, history: int | None, horizon: int) -> Iterator[Decision]:
    """The moments at which a fleet is judged."""
    days, google = len(usage) // DAY, horizon != 7
    first = 4 if google else min(history or 28, max(14, days - horizon - 7))
    if history is not None and (google or days < history + horizon):
        return
    for day in range(first, days - horizon + 1, 3 if google else 7):
        start = 0 if history is None else max(0, day - history)
        past = usage.iloc[start * DAY : day * DAY]
        alive = past.iloc[-7 * DAY :].notna().any().to_numpy()
        known = past.loc[:, alive]
        ahead = usage.iloc[day * DAY : (day + horizon) * DAY].loc[:, alive].to_numpy()
        yield Decision(known, ahead)


def decide(past: pd.DataFrame, resource: Resource, horizon: int, through: str) -> Floats:
    """Limits at every risk: risks x services."""
    if through == "bare":
        nothing = np.full(past.shape[1], np.nan)
        seen = Past(past.to_numpy(), 300, resource, nothing, horizon=float(horizon))
        return Capacity().limits(seen, RISKS)
    rows, context = [], Context(forecaster=Forecaster(quantiles=PEAK_QUANTILES).fit(past))
    for risk in RISKS:
        table = recommend(past, signal=resource, horizon=f"{horizon}D", risk=risk, context=context)
        rows.append(table["limit"].to_numpy(np.float64))
    return np.stack(rows)


def constants(past: pd.DataFrame, resource: Resource) -> Floats:
    """Limits of every constant policy before any margin: policies x services."""
    values = past.to_numpy()
    rows = [column_max(values[-days * DAY :]) for days in (7, 14, 28)]
    if resource is Resource.MEMORY:
        samples, age = past.resample("1D").max(), np.arange(-(-len(past) // DAY))[::-1] / 1.0
        age = age[-len(samples) :]
    else:
        samples = past.tail(8 * DAY)
        age = np.arange(len(samples))[::-1] / DAY
    rows += [weighted(samples, 0.5**age, level).to_numpy() for level in LEVELS]
    return np.stack(rows)


def envelope(rivals: Floats, base: Floats, peak: Floats) -> pd.DataFrame:
    """Breaches and costs of every constant policy with every margin."""
    points = []
    for row in rivals:
        for margin in MARGINS:
            ratio = np.maximum(row * margin, 0.01 * base) / base
            points.append(
                (
                    (peak > row * margin).mean(),
                    np.nansum(row * margin) / base.sum(),
                    np.exp(np.nanmean(np.log(ratio))),
                )
            )
    return pd.DataFrame(points, columns=["breached", "total", "typical"])


def show(name: str, tally: Tally, half: float) -> None:
    """One line of the table."""
    ratios = {
        cost: geometric((tally.breached + half) / np.maximum(getattr(tally, cost) + half, 1e-9))
        for cost in ("total", "typical")
    }
    asked = tally.breached / tally.weeks / np.array(RISKS)
    print(
        f"{name:22} {tally.weeks:6} weeks  total {ratios['total']:.2f}  typical "
        f"{ratios['typical']:.2f}  realised/asked {' '.join(f'{each:.2f}' for each in asked)}  "
        f"minutes {' '.join(f'{each:.1f}' for each in tally.minutes / tally.weeks)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
