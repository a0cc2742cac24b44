"""What was seen of each service: the first columns of a recommendation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from capacity.forecasting._diagnostics.runs import find_jobs
from capacity.model import Resource
from capacity.sizing._context import STALLED_TOO_MUCH, Context
from capacity.sizing._policies.base import column_quantile
from capacity.sizing._service_types import type_of
from capacity.sizing._usage.diagnostics import find_leaks, startup_peaks, step_of
from capacity.sizing._usage.past_peaks import CALENDAR_ROOM, past_peaks

__all__ = ["describe", "describe_cache", "describe_past", "read_quantile"]

_RECENT = pd.Timedelta("14D")
_JOB_RUNS = 14  # runs of a job that say as much as two weeks of samples
_FULL = 0.9  # of its limit: a service whose memory fills it
_HELD = 0.75  # of its memory: where less cannot be reclaimed, the rest is page cache
_CACHE_ROOM = 1.25  # times the memory that cannot be reclaimed: what a service full of cache needs


def describe(
    table: pd.DataFrame,
    usage: pd.DataFrame,
    resource: Resource,
    context: Context,
    life: pd.DataFrame,
) -> None:
    """What was seen of each service.

    Args:
        table: one row a service; gets columns.
        usage: UTC grid x services, in the hours that count.
        resource: of which.
        context: events.
        life: usage in all hours: what tells starts and jobs.
    """
    end = usage.index.max()
    recent = usage.loc[usage.index > end - _RECENT] if len(usage) else usage
    table["observed_peak"] = recent.max()
    table["startup_peak"] = startup_peaks(usage, context.restarts, life)
    table["mean"] = usage.mean()
    values = usage.to_numpy(np.float64)
    for name, level in (("p95", 0.95), ("p99", 0.99)):
        table[name] = column_quantile(values, level)
    table["throttled"] = _column_stat(
        context.throttled if resource is Resource.CPU else None, table.index, 0.95
    )
    table["stalled"] = _column_stat(
        context.memory_stalled if resource is Resource.MEMORY else None, table.index, 0.99
    )
    table["oom_kills"] = _column_stat(
        context.oom_kills if resource is Resource.MEMORY else None, table.index, None
    )
    leaks = find_leaks(usage) if resource is Resource.MEMORY else {}
    table["growth"] = pd.Series(leaks, dtype=np.float64).reindex(table.index)
    table["uneven"] = np.nan if context.uneven is None else context.uneven.reindex(table.index)
    table["type"] = [type_of(str(name), context.types).name for name in table.index]
    known = usage.notna().sum() * (step_of(usage) / pd.Timedelta("14D"))
    _describe_jobs(table, life, known)
    table["confidence"] = known.clip(upper=1.0).round(2)


def _describe_jobs(table: pd.DataFrame, usage: pd.DataFrame, known: pd.Series[float]) -> None:
    """Rhythm of services that are jobs; whether they wait for their next run; what they know."""
    table["rhythm"], table["waiting"] = "", False
    if not len(usage):
        return
    step = step_of(usage).total_seconds()
    jobs = find_jobs(usage.to_numpy(np.float64), step, usage.index[0].timestamp()) if step else {}
    for column, job in jobs.items():
        name = usage.columns[column]
        table.loc[name, "rhythm"] = job.rhythm
        table.loc[name, "waiting"] = job.waiting
        table.loc[name, "startup_peak"] = np.nan  # its runs are its life, not its start
        known[name] = max(known[name], job.runs / _JOB_RUNS)


def describe_past(
    table: pd.DataFrame, usage: pd.DataFrame, context: Context, horizon: float
) -> None:
    """Peaks from before the window: the highest, what returns by the calendar, and what both ask
    for.

    Args:
        table: one row a service; gets `past_peak`, `past_peak_at` (UTC day), `past_need`,
            `calendar_need`, and a rhythm where one is found.
        usage: UTC grid x services.
        context: knows the days before the window.
        horizon: days ahead.
    """
    found = past_peaks(_daily_peaks(usage, context.past_peaks), horizon)
    rows = [found.get(str(name)) for name in table.index]
    expected = np.array([past.expected if past else np.nan for past in rows]) * CALENDAR_ROOM
    asked = np.array([past is not None and past.due for past in rows]) | table["current"].isna()
    table["past_peak"] = [past.highest if past else np.nan for past in rows]
    table["past_need"] = np.fmax(table["past_peak"].to_numpy(), expected)
    table["calendar_need"] = np.where(asked, expected, np.nan)
    table["past_peak_at"] = [past.at.isoformat() if past else "" for past in rows]
    returning = [past.rhythm if past else "" for past in rows]
    table["rhythm"] = [
        calendar or job for calendar, job in zip(returning, table["rhythm"], strict=True)
    ]


def _daily_peaks(usage: pd.DataFrame, before: pd.DataFrame | None) -> pd.DataFrame:
    """Highest sample of each UTC day x services, days without a gap."""
    if not len(usage):
        return pd.DataFrame(columns=usage.columns)
    daily = usage.resample("1D").max()
    if before is not None and len(before):
        older = before.loc[before.index < daily.index[0]].reindex(columns=usage.columns)
        daily = pd.concat([older, daily]).resample("1D").max()
    return daily


def describe_cache(
    table: pd.DataFrame, usage: pd.DataFrame, resource: Resource, context: Context
) -> None:
    """Which services fill their memory limit with page cache, and what they need without it.

    Adds `rss_peak` (of the last 14 days; memory that the kernel cannot reclaim), `cached` and
    `cache_need`.
    """
    table["rss_peak"], table["cached"], table["cache_need"] = np.nan, False, np.nan
    if resource is not Resource.MEMORY or context.rss is None or not len(usage):
        return
    recent = context.rss.loc[context.rss.index > usage.index[-1] - _RECENT]
    table["rss_peak"] = recent.max().reindex(table.index)
    full = table["observed_peak"] >= _FULL * table["current"]
    spare = table["rss_peak"] <= _HELD * table["observed_peak"]
    # cache that tasks stall for is no spare memory: it holds what they work on
    scarce = (table["oom_kills"] > 0) | (table["stalled"] > STALLED_TOO_MUCH)
    table["cached"] = full & spare & ~scarce
    table["cache_need"] = (table["rss_peak"] * _CACHE_ROOM).where(table["cached"])


def _column_stat(
    frame: pd.DataFrame | None, services: pd.Index[Any], level: float | None
) -> pd.Series[float]:
    """A quantile by service, or the sum; 0 where nothing was seen."""
    if frame is None or frame.empty:
        return pd.Series(0.0, index=services)
    stat = frame.sum() if level is None else frame.quantile(level)
    return stat.reindex(services).fillna(0.0)


def read_quantile(peaks: pd.DataFrame, level: float) -> pd.Series[float]:
    """The quantile `level` of each row, read between the given ones; outside them the nearest."""
    levels = peaks.columns.to_numpy(dtype=float)
    position = np.interp(level, levels, np.arange(len(levels)))
    below, above = int(np.floor(position)), int(np.ceil(position))
    values = peaks.to_numpy()
    mixed = values[:, below] + (position - below) * (values[:, above] - values[:, below])
    return pd.Series(mixed, index=peaks.index)
