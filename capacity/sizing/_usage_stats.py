"""What was seen of each service and what is forecast: the first columns of a recommendation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.sizing._context import Context
from capacity.sizing._diagnostics import find_leaks, startup_peaks, step_of
from capacity.sizing._policies.base import column_quantile
from capacity.sizing._service_types import type_of

__all__ = ["describe"]

_RECENT = pd.Timedelta("14D")


def describe(
    table: pd.DataFrame,
    usage: pd.DataFrame,
    peaks: pd.DataFrame,
    risk: float,
    resource: Resource,
    context: Context,
) -> None:
    """What was seen and what is forecast."""
    table["peak"] = peaks[0.5]
    table["peak_high"] = _quantile(peaks, 1 - risk)
    end = usage.index.max()
    recent = usage.loc[usage.index > end - _RECENT] if len(usage) else usage
    table["observed_peak"] = recent.max()
    table["startup_peak"] = startup_peaks(usage, context.restarts)
    table["mean"] = usage.mean()
    values = usage.to_numpy(np.float64)
    for name, level in (("p95", 0.95), ("p99", 0.99)):
        table[name] = column_quantile(values, level)
    table["throttled"] = _column_stat(
        context.throttled if resource is Resource.CPU else None, table.index, "quantile"
    )
    table["oom_kills"] = _column_stat(
        context.oom_kills if resource is Resource.MEMORY else None, table.index, "sum"
    )
    leaks = find_leaks(usage) if resource is Resource.MEMORY else {}
    table["growth"] = pd.Series(leaks, dtype=np.float64).reindex(table.index)
    table["uneven"] = np.nan if context.uneven is None else context.uneven.reindex(table.index)
    table["type"] = [type_of(str(name), context.types).name for name in table.index]
    known = usage.notna().sum()
    table["confidence"] = (known * (step_of(usage) / pd.Timedelta("14D"))).clip(upper=1.0).round(2)


def _column_stat(
    frame: pd.DataFrame | None, services: pd.Index[Any], what: str
) -> pd.Series[float]:
    if frame is None or frame.empty:
        return pd.Series(0.0, index=services)
    stat = frame.quantile(0.95) if what == "quantile" else frame.sum()
    return stat.reindex(services).fillna(0.0)


def _quantile(peaks: pd.DataFrame, level: float) -> pd.Series[float]:
    """The quantile `level` of each row, read between the given ones; outside them the nearest."""
    levels = peaks.columns.to_numpy(dtype=float)
    position = np.interp(level, levels, np.arange(len(levels)))
    below, above = int(np.floor(position)), int(np.ceil(position))
    values = peaks.to_numpy()
    mixed = values[:, below] + (position - below) * (values[:, above] - values[:, below])
    return pd.Series(mixed, index=peaks.index)
