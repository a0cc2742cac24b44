"""Rolling-origin backtest of a forecaster on a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity.errors import InputError
from capacity.forecasting import _horizon
from capacity.forecasting._models.base_models import BASE_MODELS
from capacity.forecasting._preprocessing import check_usage, read_grid
from capacity.forecasting._quantiles import Floats, level_index
from capacity.forecasting._state import FittedForecaster

if TYPE_CHECKING:
    pass

__all__ = ["backtest"]

_AT_ONCE = 256


def backtest(
    forecaster: FittedForecaster, usage: pd.DataFrame, horizon: pd.Timedelta, origins: int
) -> pd.DataFrame:
    """One row a service and origin; see `Forecaster.backtest`."""
    grid = read_grid(check_usage(usage))
    steps = int(horizon / grid.step)
    if steps < 1 or origins < 1:
        raise InputError(
            "A backtest needs a horizon of at least a step and an origin",
            "Try horizon='7D', origins=4",
        )
    rows = []
    for back in range(origins, 0, -1):
        cut = len(grid.index) - back * steps
        if cut < 2:
            continue
        fitted = type(forecaster)(**forecaster.get_params()).fit(usage.iloc[:cut])
        rows.append(_origin(fitted, usage.iloc[:cut], usage.iloc[cut : cut + steps], horizon))
    if not rows:
        raise InputError(
            "The history is shorter than one backtest", "Give more history or a shorter horizon"
        )
    return pd.concat(rows, ignore_index=True)


def _origin(
    fitted: FittedForecaster, past: pd.DataFrame, future: pd.DataFrame, horizon: pd.Timedelta
) -> pd.DataFrame:
    levels = fitted.state_.levels
    middle = level_index(levels, 0.5)
    peaks = fitted.predict_peak(horizon).to_numpy()
    times, lead = fitted.future(horizon, None)
    where = past.columns.get_indexer(fitted.services_)
    out = []
    for start in range(0, len(where), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        columns = where[part]
        forecast = _horizon.on_grid(fitted.state_, lead, times, fitted.holidays, part)
        forecast = forecast.reshape(len(times), -1, len(levels))
        actual = future.iloc[:, columns].to_numpy(np.float64)
        table: dict[str, Any] = {"service": fitted.services_[part], "origin": past.index[-1]}
        table |= _scores(
            actual,
            forecast,
            _naive_error(past.iloc[:, columns].to_numpy(np.float64), fitted.step_),
            levels,
            middle,
        )
        top = np.where(
            np.isfinite(actual).any(axis=0),
            np.where(np.isfinite(actual), actual, -np.inf).max(axis=0),
            np.nan,
        )
        table["peak"] = top
        for number, level in enumerate(levels):
            table[f"peak_{level:g}"] = np.where(
                np.isfinite(top), (top <= peaks[part, number]).astype(float), np.nan
            )
        share = fitted.state_.weights[part].mean(axis=1)
        table["model"] = [BASE_MODELS[i] for i in share.argmax(axis=1)]
        out.append(pd.DataFrame(table))
    return pd.concat(out, ignore_index=True) if out else pd.DataFrame({"service": [], "origin": []})


def _scores(
    actual: Floats, forecast: Floats, naive: Floats, levels: Floats, middle: int
) -> dict[str, Floats]:
    """MASE against the seasonal naive of a week, WQL and coverage a service; NaN where nothing was
    seen.
    """
    there = np.isfinite(actual)
    count = np.where(there.any(axis=0), there.sum(axis=0), np.nan)
    gap = np.where(there[:, :, None], actual[:, :, None] - forecast, 0.0)
    loss = np.maximum(levels * gap, (levels - 1) * gap).sum(axis=0)
    size = np.where(there, np.abs(actual), 0).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        out = {
            "mase": np.abs(gap[:, :, middle]).sum(axis=0) / count / naive,
            "wql": 2 * loss.mean(axis=1) / np.where(size > 0, size, np.nan),
        }
    for number, level in enumerate(levels):
        within = (actual <= forecast[:, :, number] * (1 + 1e-9)) & there
        out[f"coverage_{level:g}"] = within.sum(axis=0) / count
    return out


def _naive_error(past: Floats, step: pd.Timedelta) -> Floats:
    """Mean |y(t) - y(t - 7 days)| in the history (Hyndman and Koehler, IJF 22, 2006), a day's lag
    where a week is not there.
    """
    out = np.full(past.shape[1], np.nan)
    for lag in ("7D", "1D"):
        rows = round(pd.Timedelta(lag) / step)
        if rows < len(past):
            gap = np.abs(past[rows:] - past[:-rows])
            there = np.isfinite(gap)
            error = np.where(there, gap, 0).sum(axis=0) / np.where(
                there.any(axis=0), there.sum(axis=0), np.nan
            )
            out = np.where(np.isfinite(out), out, error)
    return np.where(out > 0, out, np.nan)
