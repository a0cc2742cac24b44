"""Forecasts against the field on real traces: rolling origins, 7 days ahead, history of 28 days.

python benchmarks/forecasting.py accuracy [--step 1h|5min] [--peers fast|all|none] [--weeks 4]
python benchmarks/forecasting.py small
python benchmarks/forecasting.py scale

The traces are Parquet files in the folder that CAPACITY_TRACES names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

if len(sys.argv) > 1 and sys.argv[1] != "worker":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the tree this file is in

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TRACES = Path(os.environ.get("CAPACITY_TRACES", "traces"))
CACHE = Path(
    os.environ.get("CAPACITY_BENCH_CACHE", Path(tempfile.gettempdir()) / "forecasting-bench")
)
NAMES = ("bitbrains_cpu", "bitbrains_memory", "smd_cpu", "smd_memory", "nab_cpu")
HISTORY, HORIZON = pd.Timedelta("28D"), pd.Timedelta("7D")
FAST = ("SeasonalNaive24", "SeasonalNaive168", "HistoricAverage")
SLOW = ("DynamicOptimizedTheta", "AutoETS", "MSTL")


# ---------------------------------------------------------------- data: windows of real traces


def load(name: str, step: str) -> pd.DataFrame:
    """A trace on a UTC grid of `step`: means for CPU and hourly values, maxima for memory below an
    hour.
    """
    raw = pd.read_parquet(TRACES / f"{name}.parquet").astype(np.float64)
    raw.index = pd.to_datetime(raw.index * 60, unit="s", utc=True)
    groups = raw.resample(step)
    frame = groups.max() if name.endswith("memory") and step != "1h" else groups.mean()
    return aligned(frame.asfreq(step), step)


def aligned(frame: pd.DataFrame, step: str) -> pd.DataFrame:
    """Series that end early (NAB's are weeks apart) moved later by whole weeks, so that all end in
    the last week.
    """
    a_week = round(HORIZON / pd.Timedelta(step))
    last = len(frame) - 1 - frame.notna().to_numpy()[::-1].argmax(axis=0)
    weeks = (len(frame) - 1 - last) // a_week
    return pd.DataFrame(
        {c: frame[c].shift(int(w) * a_week) for c, w in zip(frame.columns, weeks, strict=True)}
    ).asfreq(step)


def windows(name: str, step: str, origins: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """(history, future) pairs, oldest first: series with most of the last history week and half of
    the future week.
    """
    frame = load(name, step)
    a_week = round(HORIZON / pd.Timedelta(step))
    out = []
    for back in range(origins, 0, -1):
        cut = len(frame) - back * a_week
        if cut < a_week:
            continue
        history = frame.iloc[max(0, cut - round(HISTORY / pd.Timedelta(step))) : cut]
        future = frame.iloc[cut : cut + a_week]
        usable = (history.tail(a_week).notna().mean() > 0.8) & (future.notna().mean() > 0.5)
        if usable.any():
            out.append((history.loc[:, usable], future.loc[:, usable]))
    return out


# ---------------------------------------------------------------- scores


def pinball(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Mean pinball loss over quantiles and times a series: (times, series) x (times, series,
    quantiles) -> series.
    """
    gap = actual[:, :, None] - forecast
    q = np.asarray(QUANTILES)
    return np.nanmean(np.maximum(q * gap, (q - 1) * gap).mean(axis=2), axis=0)


def in_sample(history: np.ndarray, period: int) -> np.ndarray:
    """Scale of a series: mean |y(t) - y(t - period)| over the history; a day's period where a
    week's is not there.
    """
    with np.errstate(all="ignore"):
        week = (
            _nanmean(np.abs(history[period:] - history[:-period]))
            if len(history) > period
            else np.full(history.shape[1], np.nan)
        )
        day = _nanmean(np.abs(history[period // 7 :] - history[: -(period // 7)]))
    return np.where(np.isfinite(week), week, day)


def _nanmean(values: np.ndarray) -> np.ndarray:
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(axis=0) / np.where(
        there.any(axis=0), there.sum(axis=0), np.nan
    )


def score(history: pd.DataFrame, future: pd.DataFrame, forecast: np.ndarray) -> pd.DataFrame:
    """One row a series: pinball, MASE, total terms of WQL and how often the use was within each
    quantile.
    """
    actual, past = future.to_numpy(), history.to_numpy()
    period = len(future)
    scale = in_sample(past, period)
    there = np.isfinite(actual)
    count = there.sum(axis=0)
    loss = pinball(actual, forecast)
    absolute = np.nanmean(np.abs(actual - forecast[:, :, QUANTILES.index(0.5)]), axis=0)
    out = pd.DataFrame(
        {
            "loss": loss,
            "mae": absolute,
            "scale": scale,
            "weight": np.nansum(np.abs(actual), axis=0),
            "count": count,
        },
        index=history.columns,
    )
    for number, level in enumerate(QUANTILES):
        out[f"c{level}"] = (
            (actual <= forecast[:, :, number] + 1e-9 * np.abs(forecast[:, :, number])) & there
        ).sum(axis=0) / count
    out["group"] = groups(past)
    return out


def groups(past: np.ndarray) -> np.ndarray:
    """Kind of each series from its history alone: idle, bursty, seasonal or steady, in this order
    of precedence.
    """
    with np.errstate(all="ignore"):
        mean, deviation = np.nanmean(past, axis=0), np.nanstd(past, axis=0)
        high, middle = np.nanquantile(past, (0.99, 0.5), axis=0)
        day = len(past) // max(1, len(past) // (168 if len(past) < 1000 else 2016)) // 7
        whole = past[len(past) % day :].reshape(-1, day, past.shape[1])
        profile = np.nanmean(whole, axis=0)
        strength = np.nanvar(profile, axis=0) / np.nanvar(past, axis=0)
    top = np.nanmax(past, axis=0)
    idle = (deviation <= 0.02 * np.maximum(mean, 1e-12)) | (top <= 0)
    bursty = (high > 4 * np.maximum(middle, 1e-12)) | (deviation > mean)
    return np.select([idle, bursty, strength > 0.3], ["idle", "bursty", "seasonal"], "steady")


def geometric(values: pd.Series) -> float:
    """Geometric mean; a perfect forecast counts as one thousandth."""
    return float(np.exp(np.log(np.maximum(values, 1e-3)).mean()))


# ---------------------------------------------------------------- peers


def peers_python() -> Path:
    """Python of the peers' own virtual environment, made on first use."""
    home = CACHE / "peers"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "statsforecast", "prophet", "pyarrow"],
            check=True,
        )
    return python


def peer(
    model: str, name: str, step: str, number: int, history: pd.DataFrame, length: int
) -> tuple[np.ndarray, float]:
    """Cached forecast of a peer (times x series x quantiles) and the seconds it took."""
    key = CACHE / f"{name}-{step}-{number}-{history.shape[1]}-{model}.npz"
    if not key.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        source = CACHE / f"{name}-{step}-{number}-{history.shape[1]}-{os.getpid()}.parquet"
        history.to_parquet(source)
        subprocess.run(
            [peers_python(), __file__, "worker", model, str(source), str(length), step, str(key)],
            check=True,
        )
        source.unlink()
    with np.load(key, allow_pickle=False) as kept:
        return kept["forecast"].astype(np.float64), float(kept["seconds"])


def worker(model: str, source: str, length: int, step: str, target: str) -> None:
    """Runs inside the peers' environment: one model on every column; gaps interpolated, since peers
    take none.
    """
    frame = pd.read_parquet(source).interpolate(limit_direction="both")
    frame.index = frame.index.tz_localize(None)
    began = time.perf_counter()
    run = _prophet if model == "Prophet" else _statsforecast
    forecast = np.maximum(run(model, frame, length, step), 0)
    seconds = time.perf_counter() - began
    np.savez_compressed(target, forecast=forecast.astype(np.float32), seconds=seconds)


def _statsforecast(model: str, frame: pd.DataFrame, length: int, step: str) -> np.ndarray:
    from statsforecast import StatsForecast, models

    day = round(pd.Timedelta("1D") / pd.Timedelta(step))
    made = {
        "SeasonalNaive24": lambda: models.SeasonalNaive(day),
        "SeasonalNaive168": lambda: models.SeasonalNaive(7 * day),
        "HistoricAverage": models.HistoricAverage,
        "DynamicOptimizedTheta": lambda: models.DynamicOptimizedTheta(season_length=day),
        "AutoETS": lambda: models.AutoETS(season_length=day if day <= 24 else 1),
        "MSTL": lambda: models.MSTL(
            season_length=[day, 7 * day] if len(frame) >= 14 * day else [day]
        ),
    }[model]()
    long = (
        frame.melt(ignore_index=False, var_name="unique_id", value_name="y")
        .rename_axis("ds")
        .reset_index()
    )
    long["unique_id"] = long["unique_id"].map({c: f"{i:05d}" for i, c in enumerate(frame.columns)})
    runner = StatsForecast(
        models=[made], freq=step, n_jobs=1, fallback_model=models.SeasonalNaive(day)
    )
    made_of = runner.forecast(df=long, h=length, level=[50, 80, 90, 98]).sort_values(
        ["unique_id", "ds"]
    )
    stem = next(c for c in made_of.columns if c not in {"unique_id", "ds"} and "-" not in c)
    columns = ["lo-80", "lo-50", "", "hi-50", "hi-80", "hi-90", "hi-98"]
    values = made_of[[f"{stem}-{c}" if c else stem for c in columns]].to_numpy()
    values = np.where(np.isfinite(values), values, values[:, 2:3])
    return values.reshape(frame.shape[1], length, 7).transpose(1, 0, 2)


def _prophet(_: str, frame: pd.DataFrame, length: int, step: str) -> np.ndarray:
    import logging

    from prophet import Prophet

    logging.getLogger("cmdstanpy").disabled = True
    logging.getLogger("prophet").setLevel(logging.ERROR)
    out = np.empty((length, frame.shape[1], 7))
    for number, column in enumerate(frame.columns):
        np.random.seed(0)  # noqa: NPY002 - prophet draws from the global generator
        fitted = Prophet(uncertainty_samples=300).fit(
            pd.DataFrame({"ds": frame.index, "y": frame[column].to_numpy()})
        )
        future = fitted.make_future_dataframe(length, freq=step, include_history=False)
        draws = fitted.predictive_samples(future)["yhat"]
        out[:, number] = np.quantile(draws, QUANTILES, axis=1).T
    return out


# ----- empirical profiles and the seed plan's baseline


def _sample_quantiles(rows: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.moveaxis(np.nanquantile(rows, QUANTILES, axis=-1), 0, -1)


def profiles(past: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """The single empirical profiles and LinearRegression: times x series x quantiles each."""
    hour = length // 168
    series = past.T
    week = series[:, -length:]
    level = np.repeat(_sample_quantiles(week)[None], length, axis=0)
    by_hour = (
        week.reshape(len(series), 7, 24, hour).transpose(2, 0, 1, 3).reshape(24, len(series), -1)
    )
    out = {
        "last week": level,
        "hour of day": np.repeat(np.tile(_sample_quantiles(by_hour), (7, 1, 1)), hour, axis=0),
    }
    weeks = len(past) // length
    table = series[:, len(past) - weeks * length :].reshape(len(series), weeks, 168, hour)
    out["hour of week"] = np.repeat(
        _sample_quantiles(table.transpose(2, 0, 1, 3).reshape(168, len(series), -1)), hour, axis=0
    )
    last = np.nanmedian(series[:, -3 * hour :], axis=1)
    last = np.where(np.isfinite(last), last, np.nanmedian(week, axis=1))
    walk = [
        last[:, None]
        + _sample_quantiles((series[:, d * 24 * hour :] - series[:, : -d * 24 * hour])[:, ::hour])
        for d in range(1, 8)
    ]
    out["random walk"] = np.repeat(np.stack(walk), 24 * hour, axis=0)
    out["LinearRegression"] = _linear(past, length)
    return {
        name: np.maximum(np.where(np.isfinite(made), made, level), 0) for name, made in out.items()
    }


def _linear(past: np.ndarray, length: int) -> np.ndarray:
    """The seed plan's straight line with the quantiles of its residuals."""
    from sklearn.linear_model import LinearRegression

    time_, filled = (
        np.arange(len(past))[:, None],
        pd.DataFrame(past).interpolate(limit_direction="both").to_numpy(),
    )
    fitted = LinearRegression().fit(time_, filled)
    ahead = fitted.predict(np.arange(len(past), len(past) + length)[:, None])
    return ahead[:, :, None] + _sample_quantiles((past - fitted.predict(time_)).T)[None]


# ---------------------------------------------------------------- runs


def ours(history: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, float]:
    """Forecast (times x series x quantiles), peaks (series x quantiles) and seconds, fit
    included.
    """
    from capacity.forecasting import Forecaster

    began = time.perf_counter()
    fitted = Forecaster(quantiles=QUANTILES).fit(history)
    forecast, peaks = fitted.predict(HORIZON), fitted.predict_peak(HORIZON)
    seconds = time.perf_counter() - began
    where = fitted.services_.get_indexer(history.columns)
    return (
        forecast.to_numpy().reshape(len(forecast), -1, 7)[:, where],
        peaks.to_numpy()[where],
        seconds,
    )


def accuracy(step: str, which: str, origins: int, half: str) -> None:
    """Run everything on all windows and print the tables."""
    rows, peaks, seconds = [], [], {}
    names = {"none": (), "fast": FAST, "all": (*FAST, *SLOW, "Prophet")}[which]
    if step != "1h":
        names = tuple(n for n in names if n != "AutoETS")  # its seasons end at 24 steps
    for trace in NAMES:
        for number, (history, future) in enumerate(windows(trace, step, origins)):
            every = 1 if step == "1h" or not names else (10 if trace.startswith("bitbrains") else 3)
            history, future = history.iloc[:, ::every], future.iloc[:, ::every]  # noqa: PLW2901 - thinned, otherwise the same
            made = profiles(history.to_numpy(), len(future))
            made["capacity"], peak, took = ours(history)
            times = {"capacity": took}
            for name in names:
                made[name], times[name] = peer(name, trace, step, number, history, len(future))
            if len(names) > 4:
                field = [made[n] for n in names if n != "Prophet"]
                made["median of StatsForecast"] = np.median(field, axis=0)
            for name, forecast in made.items():
                rows.append(
                    score(history, future, forecast).assign(trace=trace, origin=number, model=name)
                )
            for name, value in times.items():
                if trace.startswith("bitbrains"):
                    total = seconds.setdefault(name, [0.0, 0])
                    total[0], total[1] = total[0] + value, total[1] + history.shape[1]
            top = future.max().to_numpy()
            peaks.append(
                pd.DataFrame(
                    (top[:, None] <= peak * (1 + 1e-9)).astype(float),
                    columns=QUANTILES,
                    index=history.columns,
                ).assign(group=groups(history.to_numpy()), trace=trace)
            )
    table, peak_table = pd.concat(rows), pd.concat(peaks)
    if half != "all":
        chosen = (
            table.index.to_series()
            .map(lambda name: sum(map(ord, str(name))) % 2 == (half == "odd"))
            .to_numpy()
        )
        table = table[chosen]
        peak_table = peak_table[
            [sum(map(ord, str(name))) % 2 == (half == "odd") for name in peak_table.index]
        ]
    _report(table, peak_table, seconds, step)


def _report(table: pd.DataFrame, peaks: pd.DataFrame, seconds: dict[str, list], step: str) -> None:
    table = table.assign(
        scaled=table["loss"] / table["scale"],
        mase=table["mae"] / table["scale"],
        absolute=table["loss"] * table["count"],
    )
    by_series = table.groupby(["model", "trace", table.index.rename("series")])[
        ["scaled", "mase"]
    ].mean()
    naive = (
        by_series.loc["SeasonalNaive168"]
        if "SeasonalNaive168" in by_series.index
        else by_series.loc["hour of week"]
    )
    print(
        f"\n### {step}: {len(by_series.loc['capacity'])} series, "
        f"{len(table[table.model == 'capacity'])} series-origins\n"
    )
    print(
        "scaled = mean pinball over 7 quantiles / in-sample MAE of the weekly seasonal naive; "
        "geometric mean over series, floor 0.001"
    )
    lines = []
    for model, part in by_series.groupby(level=0):
        own = part.loc[model]
        all_rows = table[table.model == model]
        wql = (
            all_rows.groupby("trace")["absolute"].sum() / all_rows.groupby("trace")["weight"].sum()
        ).to_dict()
        line = {
            "model": model,
            "scaled": geometric(own.scaled),
            "median": own.scaled.median(),
            "MASE geo": geometric(own.mase),
            "MASE median": own.mase.median(),
        }
        line["MASE mean"] = own.mase.clip(upper=100).mean()
        line["scaled/SN168"] = geometric(own.scaled) / geometric(naive.scaled)
        line["capacity better on"] = float((by_series.loc["capacity"].scaled < own.scaled).mean())
        line |= {f"WQL {t}": v for t, v in wql.items()}
        line |= {f"cov {q}": all_rows[f"c{q}"].mean() for q in (0.5, 0.9, 0.95, 0.99)}
        line["series/s"] = seconds[model][1] / seconds[model][0] if model in seconds else np.nan
        lines.append(line)
    summary = pd.DataFrame(lines).set_index("model").sort_values("scaled")
    print(_markdown(summary.round(3)))
    mine = table[table.model == "capacity"]
    print("\nCoverage of capacity by group (use / peak):\n")
    by_group = mine.groupby("group")[[f"c{q}" for q in (0.5, 0.9, 0.95, 0.99)]].mean()
    by_group.loc["pooled"] = mine[[f"c{q}" for q in (0.5, 0.9, 0.95, 0.99)]].mean()
    of_peaks = peaks.groupby("group")[[0.5, 0.9, 0.95, 0.99]].mean().add_prefix("peak ")
    of_peaks.loc["pooled"] = peaks[[0.5, 0.9, 0.95, 0.99]].mean().to_numpy()
    print(_markdown(by_group.join(of_peaks).round(3)))


def _markdown(frame: pd.DataFrame) -> str:
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    body = [
        [str(i), *(f"{v:g}" for v in row)]
        for i, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def speed(count: int = 40) -> None:
    """Series per second of fit and predict on hourly windows, one after the other on this machine:
    ours, MSTL, AutoETS.
    """
    history, future = windows("bitbrains_cpu", "1h", 1)[-1]
    many = pd.concat([history.add_suffix(f"-{i}") for i in range(4)], axis=1)
    ours(history.iloc[:, :5])  # imports
    rates = {"capacity": many.shape[1] / float(np.median([ours(many)[2] for _ in range(5)]))}
    for model in ("MSTL", "AutoETS"):
        few = history.iloc[:, : count // 2]
        # Twice the series in one run less once: what starting costs is left out.
        twice = pd.concat([few, few.add_suffix("-again")], axis=1)
        once_, twice_ = (_fresh(model, frame, len(future)) for frame in (few, twice))
        rates[model] = few.shape[1] / max(twice_ - once_, 1e-3)
    for model, rate in rates.items():
        print(
            f"{model}: {rate:.1f} series/s"
            + ("" if model == "capacity" else f", {rates['capacity'] / rate:.0f} times slower")
        )


def _fresh(model: str, frame: pd.DataFrame, length: int) -> float:
    key = CACHE / f"speed-{model}-{frame.shape[1]}-1h-0-{frame.shape[1]}-{model}.npz"
    key.unlink(missing_ok=True)
    return peer(model, f"speed-{model}-{frame.shape[1]}", "1h", 0, frame, length)[1]


def small(sizes: tuple[int, ...] = (1, 5, 20)) -> None:
    """Coverage of use and of peaks when machines are split into small fleets: Bitbrains, hourly,
    three origins.
    """
    for size in sizes:
        use, peaks = [], []
        for trace in ("bitbrains_cpu", "bitbrains_memory"):
            for history, future in windows(trace, "1h", 3):
                for start in range(0, history.shape[1], size):
                    past, coming = (
                        history.iloc[:, start : start + size],
                        future.iloc[:, start : start + size],
                    )
                    forecast, peak, _ = ours(past)
                    use.append(
                        score(past, coming, forecast)[
                            [f"c{q}" for q in (0.9, 0.95, 0.99)]
                        ].to_numpy()
                    )
                    peaks.append(coming.max().to_numpy()[:, None] <= peak[:, 4:] * (1 + 1e-9))
        means = (np.concatenate(part).mean(axis=0) * 100 for part in (use, peaks))
        print(
            f"fleets of {size}: use and peaks at or below 90/95/99:",
            *(" ".join(f"{v:.1f}" for v in part) for part in means),
        )


def scale(sizes: tuple[int, ...] = (1000, 2000, 5000, 10000)) -> None:
    """Seconds and peak memory of fit, predict (full grid) and predict_peak on 28 days of 5 minutes,
    a process for each size.
    """
    times = []
    for size in sizes:
        said = subprocess.run(
            [sys.executable, __file__, "one-size", str(size)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        answer = json.loads(said)
        times.append(answer["seconds"])
        print(
            f"{size:6d} services: {answer['seconds']:6.1f} s, {answer['gigabytes']:.2f} GB, "
            f"{size / answer['seconds']:.0f} series/s",
            flush=True,
        )
    slope = np.polyfit(np.log(sizes), np.log(times), 1)[0]
    print(f"slope of log(seconds) over log(services): {slope:.2f} (1 is linear)")


def one_size(size: int) -> None:
    """One run of `scale`; prints JSON."""
    import resource

    from capacity.forecasting import Forecaster

    index = pd.date_range("2026-01-05", periods=8064, freq="5min", tz="UTC")
    draw = np.random.default_rng(0)
    values = np.empty((8064, size))
    day = np.arange(8064)[:, None] / 288 * 2 * np.pi
    for start in range(0, size, 500):
        count = min(500, size - start)
        noise = draw.normal(1, 0.2, (8064, count))
        values[:, start : start + count] = np.abs(
            noise + draw.random(count) * np.sin(day)
        ) * 10 ** draw.uniform(-3, 9, count)
    usage = pd.DataFrame(values, index=index, columns=[f"p/s{i}" for i in range(size)], copy=False)
    began = time.perf_counter()
    fitted = Forecaster().fit(usage)
    fitted.predict_peak("7D")
    fitted.predict("7D")
    seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": seconds,
                "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            }
        )
    )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("accuracy", "small", "scale", "speed"))
    parser.add_argument("--step", default="1h", choices=("1h", "5min"))
    parser.add_argument("--peers", default="all", choices=("none", "fast", "all"))
    parser.add_argument("--origins", type=int, default=3)
    parser.add_argument("--weeks", type=int, default=4, help="history before each origin")
    parser.add_argument(
        "--half", default="all", choices=("all", "odd", "even"), help="only half of the series"
    )
    asked = parser.parse_args()
    global HISTORY  # noqa: PLW0603 - one setting of a script
    HISTORY = pd.Timedelta(weeks=asked.weeks)
    if asked.what == "scale":
        scale()
    elif asked.what == "small":
        small()
    elif asked.what == "speed":
        speed()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # numpy's all-NaN slices of the profiles
            accuracy(asked.step, asked.peers, asked.origins, asked.half)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[6])
    elif sys.argv[1:2] == ["one-size"]:
        one_size(int(sys.argv[2]))
    else:
        main()
