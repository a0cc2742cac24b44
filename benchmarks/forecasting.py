"""Forecasts against the field on real traces: rolling origins, 7 days ahead, history of 28 days.

python benchmarks/forecasting.py accuracy [--step 1h|5min] [--peers fast|all|none]
python benchmarks/forecasting.py scale
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np
import pandas as pd

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
TRACES = Path(os.environ.get("CAPACITY_TRACES", "traces"))
CACHE = Path(os.environ.get("CAPACITY_BENCH_CACHE", Path(tempfile.gettempdir()) / "forecasting-bench"))
NAMES = ("bitbrains_cpu", "bitbrains_memory", "smd_cpu", "smd_memory", "nab_cpu")
HISTORY, HORIZON = pd.Timedelta("28D"), pd.Timedelta("7D")
FAST = ("SeasonalNaive24", "SeasonalNaive168", "HistoricAverage")
SLOW = ("DynamicOptimizedTheta", "AutoETS", "MSTL")


# ---------------------------------------------------------------- data: windows of real traces


def load(name: str, step: str) -> pd.DataFrame:
    """A trace on a UTC grid of `step`: means for CPU and hourly values, maxima for memory below an hour."""
    raw = pd.read_parquet(TRACES / f"{name}.parquet").astype(np.float64)
    raw.index = pd.to_datetime(raw.index * 60, unit="s", utc=True)
    groups = raw.resample(step)
    frame = groups.max() if name.endswith("memory") and step != "1h" else groups.mean()
    return aligned(frame.asfreq(step), step)


def aligned(frame: pd.DataFrame, step: str) -> pd.DataFrame:
    """Series that end early (NAB's are weeks apart) moved later by whole weeks, so that all end in the last week."""
    a_week = round(HORIZON / pd.Timedelta(step))
    last = len(frame) - 1 - frame.notna().to_numpy()[::-1].argmax(axis=0)
    weeks = (len(frame) - 1 - last) // a_week
    return pd.DataFrame({c: frame[c].shift(int(w) * a_week) for c, w in zip(frame.columns, weeks, strict=True)}).asfreq(step)


def windows(name: str, step: str, origins: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """(history, future) pairs, oldest first: series with most of the last history week and half of the future week."""
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
    """Mean pinball loss over quantiles and times a series: (times, series) x (times, series, quantiles) -> series."""
    gap = actual[:, :, None] - forecast
    q = np.asarray(QUANTILES)
    return np.nanmean(np.maximum(q * gap, (q - 1) * gap).mean(axis=2), axis=0)


def in_sample(history: np.ndarray, period: int) -> np.ndarray:
    """Scale of a series: mean |y(t) - y(t - period)| over the history; a day's period where a week's is not there."""
    with np.errstate(all="ignore"):
        week = (
            _nanmean(np.abs(history[period:] - history[:-period])) if len(history) > period else np.full(history.shape[1], np.nan)
        )
        day = _nanmean(np.abs(history[period // 7 :] - history[: -(period // 7)]))
    return np.where(np.isfinite(week), week, day)


def _nanmean(values: np.ndarray) -> np.ndarray:
    there = np.isfinite(values)
    return np.where(there, values, 0).sum(axis=0) / np.where(there.any(axis=0), there.sum(axis=0), np.nan)


def score(history: pd.DataFrame, future: pd.DataFrame, forecast: np.ndarray) -> pd.DataFrame:
    """One row a series: pinball, MASE, total terms of WQL and how often the use was within each quantile."""
    actual, past = future.to_numpy(), history.to_numpy()
    period = len(future)
    scale = in_sample(past, period)
    there = np.isfinite(actual)
    count = there.sum(axis=0)
    loss = pinball(actual, forecast)
    absolute = np.nanmean(np.abs(actual - forecast[:, :, QUANTILES.index(0.5)]), axis=0)
    out = pd.DataFrame(
        {"loss": loss, "mae": absolute, "scale": scale, "weight": np.nansum(np.abs(actual), axis=0), "count": count},
        index=history.columns,
    )
    for number, level in enumerate(QUANTILES):
        out[f"c{level}"] = ((actual <= forecast[:, :, number] + 1e-9 * np.abs(forecast[:, :, number])) & there).sum(
            axis=0
        ) / count
    out["group"] = groups(past)
    return out


def groups(past: np.ndarray) -> np.ndarray:
    """Kind of each series from its history alone: idle, bursty, seasonal or steady, in this order of precedence."""
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
        subprocess.run([python, "-m", "pip", "install", "-q", "statsforecast", "prophet", "pyarrow"], check=True)
    return python


def peer(model: str, name: str, step: str, number: int, history: pd.DataFrame, length: int) -> tuple[np.ndarray, float]:
    """Cached forecast of a peer (times x series x quantiles) and the seconds it took."""
    key = CACHE / f"{name}-{step}-{number}-{history.shape[1]}-{model}.npz"
    if not key.exists():
        source = CACHE / f"{name}-{step}-{number}-{history.shape[1]}-{os.getpid()}.parquet"
        history.to_parquet(source)
        subprocess.run([peers_python(), __file__, "worker", model, str(source), str(length), step, str(key)], check=True)
        source.unlink()
    with np.load(key, allow_pickle=False) as kept:
        return kept["forecast"].astype(np.float64), float(kept["seconds"])


def worker(model: str, source: str, length: int, step: str, target: str) -> None:
    """Runs inside the peers' environment: one model on every column; gaps interpolated, since peers take none."""
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
        "MSTL": lambda: models.MSTL(season_length=[day, 7 * day] if len(frame) >= 14 * day else [day]),
    }[model]()
    long = frame.melt(ignore_index=False, var_name="unique_id", value_name="y").rename_axis("ds").reset_index()
    long["unique_id"] = long["unique_id"].map({c: f"{i:05d}" for i, c in enumerate(frame.columns)})
    runner = StatsForecast(models=[made], freq=step, n_jobs=1, fallback_model=models.SeasonalNaive(day))
    made_of = runner.forecast(df=long, h=length, level=[50, 80, 90, 98]).sort_values(["unique_id", "ds"])
    stem = next(c for c in made_of.columns if c not in {"unique_id", "ds"} and "-" not in c)
    columns = ["lo-80", "lo-50", "", "hi-50", "hi-80", "hi-90", "hi-98"]
    values = made_of[[f"{stem}-{c}" if c else stem for c in columns]].to_numpy()
    values = np.where(np.isfinite(values), values, values[:, 2:3])
    return values.reshape(frame.shape[1], length, 7).transpose(1, 0, 2)


def _prophet(model: str, frame: pd.DataFrame, length: int, step: str) -> np.ndarray:
    import logging

    from prophet import Prophet

    logging.getLogger("cmdstanpy").disabled = True
    logging.getLogger("prophet").setLevel(logging.ERROR)
    out = np.empty((length, frame.shape[1], 7))
    for number, column in enumerate(frame.columns):
        np.random.seed(0)  # noqa: NPY002 - prophet draws from the global generator
        fitted = Prophet(uncertainty_samples=300).fit(pd.DataFrame({"ds": frame.index, "y": frame[column].to_numpy()}))
        future = fitted.make_future_dataframe(length, freq=step, include_history=False)
        draws = fitted.predictive_samples(future)["yhat"]
        out[:, number] = np.quantile(draws, QUANTILES, axis=1).T
    return out


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5], sys.argv[6])
