"""Break least at a given cost: every policy replayed on real traces, against comparators and
against their tuned envelope.

    CAPACITY_TRACES=folder python benchmarks/sizing.py [--scale]

Weekly decisions from day 28 on, the next seven days judged at the trace's step (minutes are
gathered to five). For each policy and risk: share of service-weeks with a breach, breach minutes,
total and typical cost, slack, changes. The envelope is the best, at each cost, of the trailing
maximum over 7, 14 and 28 days and of VPA's decaying percentiles, each times every margin: constants
tuned with hindsight on the very weeks they are judged on, which no one has. Each comparator is met
twice: on our frontier where it costs as much, and with a budget, each week, of just what its limits
add up to. `--scale` replays 1,000 services over 13 weeks with every
policy and prints the time.
"""

from __future__ import annotations

import os
import resource as system
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.sizing import POLICIES, frontier, replay
from capacity.sizing._baselines.vpa import Vpa
from capacity.sizing._policies.registry import Past
from capacity.sizing._replay.frontier import trailing_peaks

RISKS = (0.2, 0.1, 0.05, 0.02, 0.01)
POLICIES["vpa-upper"] = lambda: Vpa("vpa-upper", "upper")
RIVALS = [name for name in POLICIES if name != "capacity"]
MARGINS = np.exp(np.linspace(-1.5, 3.5, 101))
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
LEAST = 100  # service-weeks below which a trace says nothing


def main() -> None:
    """Run every trace in the folder, or the scale run."""
    folder = os.environ.get("CAPACITY_TRACES")
    if not folder:
        sys.exit("Set CAPACITY_TRACES to the folder of the traces")
    if "--scale" in sys.argv:
        scale(Path(folder))
        return
    for file in sorted(Path(folder).glob("*.parquet")):
        usage, resource = read(file)
        began = time.perf_counter()
        rows = replay(usage, signal=resource, policies=["capacity", *RIVALS], risk=RISKS)
        table = frontier(rows, usage, tolerance=0.0)
        print(
            f"\n{file.stem}: {len(usage.columns)} services, {time.perf_counter() - began:.0f} s "
            "for the whole frontier"
        )
        if len(rows) == 0 or table["weeks"].max() < LEAST:
            print(
                f"  {0 if table.empty else int(table['weeks'].max())} service-weeks: too few to "
                "judge"
            )
            continue
        judge(table, envelope(usage, resource, rows))
        with_their_budgets(usage, resource, rows)


def read(file: Path) -> tuple[pd.DataFrame, Resource]:
    """A trace as a usage frame of five-minute steps, bytes or cores."""
    frame = pd.read_parquet(file).astype(np.float64)
    resource = Resource.MEMORY if "memory" in file.stem else Resource.CPU
    frame.index = pd.to_datetime(np.asarray(frame.index) * 60, unit="s", utc=True)
    frame = frame.resample("5min").max()
    whole = pd.date_range(frame.index[0].floor("D"), frame.index[-1], freq="5min")
    frame = frame.reindex(whole)
    frame.columns = [f"trace/{name}" for name in frame.columns]
    return frame * (float(1 << 20) if resource is Resource.MEMORY else 1.0), resource


def judge(table: pd.DataFrame, hull: pd.DataFrame) -> None:
    """Print the frontier and how our points lie against the envelope and against each comparator as
    it ships.
    """
    shown = table.drop(index=[(name, risk) for name in RIVALS for risk in RISKS[1:]])
    print(shown.round(3).to_string())
    ours = table.loc["capacity"]
    least = 0.5 / ours["weeks"]
    for cost in ("total", "typical"):
        best = np.array([hull.loc[hull[cost] <= each, "breached"].min() for each in ours[cost]])
        ratios = np.maximum(ours["breached"], least) / np.maximum(
            np.nan_to_num(best, nan=1.0), least
        )
        print(
            f"  tuned envelope at equal {cost} cost: {geometric(ratios):.3f} x "
            f"({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        )
    print(
        "  realised over asked: "
        f"{', '.join(f'{real / risk:.2f}' for risk, real in ours['breached'].items())}"
    )
    for name in RIVALS:
        rival = table.loc[name].iloc[0]
        for cost in ("total", "typical"):
            # between our own points, on the logarithm of the breaches
            costs, breaches = (
                ours[cost].to_numpy(),
                np.log(np.maximum(ours["breached"], least).to_numpy()),
            )
            inside = costs[0] <= rival[cost] <= costs[-1]
            mine = float(np.exp(np.interp(rival[cost], costs, breaches)))
            where = "" if inside else " (outside our risks: nearest)"
            ratio = mine / rival["breached"] if rival["breached"] > 0 else np.nan
            print(
                f"  {name:22} breached {rival['breached']:.3f} at {cost} {rival[cost]:.2f}: ours "
                f"{mine:.3f}, {ratio:.2f} x{where}"
            )


def with_their_budgets(usage: pd.DataFrame, resource: Resource, rows: pd.DataFrame) -> None:
    """Print how often and how long our limits break where they add up to each comparator's own,
    week by week.
    """
    ours = POLICIES["capacity"]()
    broken: dict[str, list[tuple[int, float]]] = {}
    step = usage.index[1] - usage.index[0]
    for time_, week in rows[rows["policy"].isin(RIVALS) & (rows["risk"] == RISKS[0])].groupby(
        "time"
    ):
        before, after = (
            usage[usage.index < time_],
            usage[(usage.index >= time_) & (usage.index < time_ + pd.Timedelta("7D"))],
        )
        past = Past(
            before.to_numpy(),
            round(step.total_seconds()),
            resource,
            np.full(len(usage.columns), np.nan),
        )
        study = ours.allocate(past, RISKS[:1])
        for name, theirs in week.groupby("policy"):
            sized = usage.columns.isin(theirs["service"])
            limits = study.within(theirs["limit"].sum(), sized * 1.0)[sized]
            assert np.isfinite(limits).all()  # no answer must not count as kept
            above = after.loc[:, sized] > limits
            broken.setdefault(str(name), []).append(
                (above.any().sum(), above.to_numpy().sum() * (step / pd.Timedelta("1min")))
            )
    for name, counts in broken.items():
        breaches, minutes = np.sum(counts, axis=0)
        theirs = rows[(rows["policy"] == name) & (rows["risk"] == RISKS[0])]
        shares = breaches / theirs["breached"].sum(), minutes / theirs["breach_minutes"].sum()
        print(
            f"  with the budget of {name:22}: {shares[0]:.2f} x its breaches, {shares[1]:.2f} x "
            "its breach minutes"
        )


def envelope(usage: pd.DataFrame, resource: Resource, rows: pd.DataFrame) -> pd.DataFrame:
    """Every constant policy with every margin: `breached`, `total`, `typical`."""
    judged = rows[rows["policy"] == "capacity"].drop_duplicates(["time", "service"])
    times = pd.Index(judged["time"].unique())
    peaks = trailing_peaks(usage, times)
    place = pd.MultiIndex.from_frame(judged[["time", "service"]])
    base, peak = flat(peaks).reindex(place).to_numpy(), judged["peak"].to_numpy()
    kept = base > 0
    points = []
    for name, limits in constants(usage, resource, times).items():
        limit = flat(limits).reindex(place).to_numpy()[kept]
        for margin in MARGINS:
            ratio = np.maximum(limit * margin, 0.01 * base[kept]) / base[kept]
            breached = (peak[kept] > limit * margin).mean()
            points.append(
                (
                    name,
                    margin,
                    breached,
                    np.nansum(limit * margin) / base[kept].sum(),
                    np.exp(np.nanmean(np.log(ratio))),
                )
            )
    return pd.DataFrame(points, columns=["policy", "margin", "breached", "total", "typical"])


def flat(table: pd.DataFrame) -> pd.Series:
    """Times x services as one column."""
    return table.stack()  # noqa: PD013 - a series by time and service, which melt does not make


def constants(usage: pd.DataFrame, resource: Resource, times: pd.Index) -> dict[str, pd.DataFrame]:
    """Limits before any margin: times x services, by name."""
    found: dict[str, dict[pd.Timestamp, pd.Series]] = {}
    for when in times:
        past = usage[usage.index < when]
        for days in (7, 14, 28):
            found.setdefault(f"max of {days} days", {})[when] = past.tail(days * 288).max()
        samples = past.resample("1D").max() if resource is Resource.MEMORY else past.tail(8 * 288)
        age = np.arange(len(samples))[::-1] / (1 if resource is Resource.MEMORY else 288)
        for level in LEVELS:
            found.setdefault(f"vpa {level:g}", {})[when] = weighted(samples, 0.5**age, level)
    return {name: pd.DataFrame(rows).T for name, rows in found.items()}


def weighted(samples: pd.DataFrame, weights: np.ndarray, level: float) -> pd.Series:
    """Quantile of each column with a weight a row."""
    values = samples.to_numpy()
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), axis=0)
    share = np.cumsum(np.take_along_axis(weights[:, None] * np.isfinite(values), order, 0), axis=0)
    place = (share >= (level - 1e-9) * share[-1:]).argmax(axis=0)
    return pd.Series(
        np.take_along_axis(values, order, 0)[place, np.arange(values.shape[1])],
        index=samples.columns,
    )


def geometric(values: pd.Series | np.ndarray) -> float:
    """Geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def scale(folder: Path) -> None:
    """1,000 services over 13 weeks, every policy, every risk."""
    usage, resource = read(min(folder.glob("*memory*.parquet")))
    rng = np.random.default_rng(0)
    columns = rng.integers(0, len(usage.columns), 1000)
    values = usage.to_numpy()[-91 * 288 :, columns] * rng.lognormal(0, 0.1, 1000)
    shift = rng.integers(0, 7, 1000) * 288
    values = np.stack([np.roll(values[:, column], shift[column]) for column in range(1000)], axis=1)
    index = pd.date_range("2026-01-01", periods=len(values), freq="5min", tz="UTC")
    wide = pd.DataFrame(values, index=index, columns=[f"fleet/{number}" for number in range(1000)])
    began = time.perf_counter()
    replay(wide, signal=resource, policies=list(POLICIES), risk=RISKS)
    took = time.perf_counter() - began
    memory = system.getrusage(system.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"1,000 services, 13 weeks, {len(POLICIES)} policies at {len(RISKS)} risks: {took:.0f} s, "
        f"{memory:.1f} GB"
    )


if __name__ == "__main__":
    main()
