"""What a window shows that a peak alone does not: startups, leaks, changes of regime, business
hours.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.forecasting._diagnostics.starts import starts_after_gaps
from capacity.forecasting._diagnostics.structure import leak
from capacity.forecasting._models.base_models import since_change
from capacity.sizing._context import Context

__all__ = ["find_leaks", "in_business_hours", "regime_since", "startup_peaks", "step_of"]

_STARTUP = pd.Timedelta("30min")
_HOUR = pd.Timedelta("1h")
_HOURS_A_DAY = 24
_BLOCK = 256  # services: what is worked on is no copy of all samples
_RISING = 0.5  # share of half days that end higher
_LOOK_BACK_DAYS = 14


def step_of(usage: pd.DataFrame) -> pd.Timedelta:
    """The grid's step; zero with fewer than two rows."""
    return pd.Timedelta(0) if len(usage.index) < 2 else usage.index[1] - usage.index[0]


def in_business_hours(frame: pd.DataFrame, context: Context) -> pd.DataFrame:
    """Usage, or a share of throttled periods, without what lies outside a service's business
    hours.
    """
    hours = {name: context.rule(name).business_hours for name in frame.columns}
    if not any(hours.values()):
        return frame
    index = pd.DatetimeIndex(frame.index)
    kept = frame.copy()
    for name, span in hours.items():
        if span is not None:
            open_ = (index.day_of_week < 5) & (index.hour >= span[0]) & (index.hour < span[1])
            kept[name] = frame[name].where(open_)
    return kept


def startup_peaks(
    usage: pd.DataFrame, restarts: pd.DataFrame | None, life: pd.DataFrame | None = None
) -> pd.Series[float]:
    """Highest use in the half hour after each start: a first sample after a gap, or a counted
    restart; NaN = no start seen.

    The window's own beginning is no start: what came before it is not known.

    Args:
        usage: UTC grid x services.
        restarts: counted ones, times x services.
        life: all samples, where those of `usage` are of some hours alone: closing time is no gap.
    """
    life = usage if life is None else life
    step = step_of(usage)
    if not step or not len(usage.columns):
        return pd.Series(np.nan, index=usage.columns)
    starts = range(0, len(usage.columns), _BLOCK)
    blocks = [slice(at, at + _BLOCK) for at in starts]
    peaks = [
        _startup_peaks(usage.iloc[:, block], restarts, life.iloc[:, block], step)
        for block in blocks
    ]
    return pd.concat(peaks)


def _startup_peaks(
    usage: pd.DataFrame, restarts: pd.DataFrame | None, life: pd.DataFrame, step: pd.Timedelta
) -> pd.Series[float]:
    inside = np.zeros(usage.shape, dtype=bool)
    inside[starts_after_gaps(life.notna().to_numpy(), max(1, round(_HOUR / step)))] = True
    if restarts is not None and len(restarts):
        counts = restarts.reindex(columns=usage.columns).resample(step).sum()
        counted = counts.reindex(usage.index).fillna(0.0).to_numpy() > 0
        inside |= counted
        # a count speaks of the time that ends at it: the start was at any moment of that
        for before in range(1, max(1, round(step_of(restarts) / step))):
            inside[:-before] |= counted[before:]
    begun = inside.copy()
    for ahead in range(1, max(1, round(_STARTUP / step)) + 1):
        inside[ahead:] |= begun[:-ahead]
    started = np.flatnonzero(inside.any(axis=0))
    peaks = usage.iloc[:, started].where(inside[:, started]).max()
    return pd.Series(peaks.reindex(usage.columns), dtype=np.float64)


def find_leaks(usage: pd.DataFrame) -> dict[str, float]:
    """Services whose use grows monotonously, with resets at restarts at most -> growth, units a
    day.
    """
    step = step_of(usage)
    if not step:
        return {}
    hourly = usage.resample("1h").max().to_numpy(np.float64)
    found = {}
    for column in np.flatnonzero(_may_leak(hourly)):
        verdict = leak(hourly[:, column])
        if verdict["verdict"] != "none":
            found[str(usage.columns[int(column)])] = float(verdict["growth"])
    return found


def _may_leak(hourly: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether most of a service's half days end higher than they began: a cheap sieve before the
    careful look.
    """
    whole = len(hourly) // 12 * 12
    if whole < 2 * _HOURS_A_DAY or not hourly.shape[1]:
        return np.zeros(hourly.shape[1], bool)
    halves = hourly[-whole:].reshape(-1, 12, hourly.shape[1])
    count = np.isfinite(halves).sum(axis=1)
    level = np.where(np.isfinite(halves), halves, 0.0).sum(axis=1) / np.maximum(count, 1)
    level = np.where(count > 0, level, np.nan)
    rises = np.diff(level, axis=0)
    seen = np.isfinite(rises).sum(axis=0)
    return np.asarray((rises > 0).sum(axis=0) > _RISING * np.maximum(seen, 1))


def regime_since(usage: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    """When the level of each service last moved for good within fourteen days, UTC; NaT where it
    did not.
    """
    never = pd.Series(pd.NaT, index=usage.columns, dtype="datetime64[ns, UTC]")
    if not step_of(usage) or not len(usage.columns):
        return never
    hourly = usage.resample("1h").mean().tail(_LOOK_BACK_DAYS * _HOURS_A_DAY)
    spread = hourly.std(ddof=0)
    scaled = (hourly - hourly.mean()) / spread.where(spread > 0)
    hours = since_change(scaled.to_numpy(np.float32).T)
    moved = np.flatnonzero(hours)
    never.iloc[moved] = pd.DatetimeIndex(hourly.index).take(hours[moved].tolist())
    return never
