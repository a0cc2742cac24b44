"""What an SRE asks about a service: seasons, trend, change points, leaks, starts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from capacity.forecasting._diagnostics import starts
from capacity.forecasting._models.base_models import BASE_MODELS, since_change
from capacity.forecasting._models.conformal import GROUPS
from capacity.forecasting._preprocessing import DAY, WEEK
from capacity.forecasting._quantiles import Floats, Singles
from capacity.forecasting._state import FittedState

__all__ = ["change_points", "explain", "leak", "seasons", "slopes", "starts"]


def slopes(means: Singles) -> tuple[Floats, Floats]:
    """Trend of each service over the last four weeks and its standard error, scaled units a day:
    two (services,).

    Ordinary least squares on daily means; the error is widened for the likeness of neighbouring
    days by (1 + r) / (1 - r), r the lag-one autocorrelation of what the line leaves (Bayley and
    Hammersley, JRSS Supplement 8, 1946).
    """
    days = min(means.shape[1] // DAY, 28)
    if days < 3:
        return np.zeros(len(means)), np.full(len(means), np.inf)
    table = (
        means[:, means.shape[1] - days * DAY :].reshape(len(means), days, DAY).astype(np.float64)
    )
    there = np.isfinite(table)
    count = there.sum(axis=2)
    daily = np.where(there, np.clip(table, -20, 20), 0).sum(axis=2) / np.maximum(count, 1)
    known = (count >= DAY // 2).astype(np.float64)
    total = np.maximum(known.sum(axis=1), 1)
    time = np.arange(days) - (known * np.arange(days)).sum(axis=1)[:, None] / total[:, None]
    middle = (known * daily).sum(axis=1) / total
    over = np.maximum((known * time**2).sum(axis=1), 1e-9)
    slope = (known * time * (daily - middle[:, None])).sum(axis=1) / over
    rest = known * (daily - middle[:, None] - slope[:, None] * time)
    variance = (rest**2).sum(axis=1) / np.maximum(total - 2, 1)
    likeness = np.clip(
        (rest[:, 1:] * rest[:, :-1]).sum(axis=1) / np.maximum((rest**2).sum(axis=1), 1e-12), 0, 0.9
    )
    return slope, np.sqrt(variance / over * (1 + likeness) / (1 - likeness))


def seasons(level: Floats) -> dict[str, float]:
    """Strength of the day and the week: share of the variance that the hour of day, then of week,
    explains, 0 to 1.
    """
    out = {"day": 0.0, "week": 0.0}
    rest = level - np.nanmean(level) if np.isfinite(level).any() else level
    for name, period in (("day", DAY), ("week", WEEK)):
        cycles = len(rest) // period
        total = np.nanvar(rest) if np.isfinite(rest).any() else 0.0
        if cycles < 2 or not total > 0:
            continue
        table = rest[len(rest) - cycles * period :].reshape(cycles, period)
        there = np.isfinite(table)
        profile = np.where(there, table, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        left = table - profile
        # A mean of n values explains 1/n of pure noise: take that share off.
        explained = 1 - np.nanvar(left) / total * cycles / (cycles - 1)
        out[name] = float(np.clip(explained, 0, 1))
        rest = rest - np.resize(profile, len(rest) + period)[(-len(rest)) % period :][: len(rest)]
    return out


def change_points(means: Singles, deepest: int = 3) -> list[int]:
    """Hours at which the level of one service moved for good, oldest first: binary segmentation
    with `since_change`.
    """
    found: list[int] = []
    pieces = [(0, len(means))]
    for _ in range(deepest):
        following = []
        for start, stop in pieces:
            at = int(since_change(means[None, start:stop])[0])
            if at:
                found.append(start + at)
                following += [(start, start + at), (start + at, stop)]
        pieces = following
    return sorted(found)


def leak(level: Floats) -> dict[str, Any]:
    """Monotone growth with resets at restarts.

    A reset is a fall by half of the history's range from one hour to the next. A leak grows along a
    line between resets: the line explains most of the variance there, use climbs on most half days
    and gains a tenth of the level over a segment.

    Returns:
        verdict: `leak`, `leak with resets` or `none`; growth: units a day; resets: hours at which
            use fell.
    """
    where = np.flatnonzero(np.isfinite(level))
    nothing: dict[str, Any] = {"verdict": "none", "growth": 0.0, "resets": []}
    if len(where) < 2 * DAY:
        return nothing
    values = level[where]
    low, high = np.quantile(values, (0.02, 0.98))
    resets = (
        [0, *(np.flatnonzero(np.diff(values) < -0.5 * (high - low)) + 1), len(values)]
        if high > low
        else [0, len(values)]
    )
    explained = around = climbed = hours = growth = gain = 0.0
    for start, stop in pairwise(resets):
        if stop - start < DAY // 2:
            continue
        time, part = where[start:stop] / DAY, values[start:stop]
        since, away = time - time.mean(), part - part.mean()
        slope = (since @ away) / (since @ since)  # least squares
        around += float((away**2).sum())
        explained += float(((slope * since) ** 2).sum())
        smooth = part[: len(part) // 12 * 12].reshape(-1, 12).mean(axis=1)
        climbed += float((np.diff(smooth) > 0).sum()) / max(1, len(smooth) - 1) * len(part)
        hours += len(part)
        growth += float(slope) * len(part)
        gain = max(gain, float(slope) * float(time[-1] - time[0]))
    if not hours or not around > 0:
        return nothing
    leaking = (
        explained / around > 0.6
        and climbed / hours > 0.7
        and gain > 0.1 * max(abs(float(np.median(values))), 1e-12)
    )
    inner = [int(where[r]) for r in resets[1:-1]]
    verdict = ("leak with resets" if inner else "leak") if leaking else "none"
    return {
        "verdict": verdict,
        "growth": growth / hours if leaking else 0.0,
        "resets": inner if leaking else [],
    }


def named_starts(row: Floats) -> dict[str, float | None]:
    """A row of `startups.find` by name; length and peak are None without a startup."""
    return {
        name: float(value) if np.isfinite(value) else None
        for name, value in zip(starts.COLUMNS, row, strict=True)
    }


def explain(
    state: FittedState, number: int, service: Any, end: pd.Timestamp | None
) -> dict[str, Any]:
    """Everything about one service as plain data, in the unit of its usage.

    Keys: service, kind, weights (candidate -> mean weight over quantiles, largest first), seasons,
        trend (per_day, error),
    change_points, leak (verdict, growth, resets), starts (count, startups, the longest in hours,
    their peak).
    """
    spread, centre = float(state.spread[number]), float(state.centre[number])
    means = state.hourly_mean[number]
    level = means.astype(np.float64) * spread + centre
    share = state.weights[number].mean(axis=0)
    slope, error = slopes(means[None])
    weights = {
        BASE_MODELS[i]: float(share[i])
        for i in np.argsort(-share, kind="stable")
        if share[i] >= 0.01
    }
    verdict = leak(level)
    verdict["resets"] = [_time(hour, len(means), end) for hour in verdict["resets"]]
    return {
        "service": str(service),
        "kind": GROUPS[int(state.pattern[number])],
        "weights": weights,
        "seasons": seasons(level),
        "trend": {
            "per_day": float(slope[0]) * spread,
            "error": float(error[0]) * spread if spread else 0.0,
        },
        "change_points": [_time(hour, len(means), end) for hour in change_points(means)],
        "leak": verdict,
        "starts": named_starts(state.starts[number]),
    }


def _time(hour: int, hours: int, end: pd.Timestamp | None) -> pd.Timestamp | None:
    """Start of an hour counted from the first of the history."""
    return None if end is None else end - pd.Timedelta("1h") * (hours - 1 - hour)
