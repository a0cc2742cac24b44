"""From usage and its forecast to a limit, an action and a typed reason for every service."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity.errors import InputError
from capacity.forecasting import Forecaster
from capacity.model import Action, Reason, Resource
from capacity.units import MIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PEAK_QUANTILES", "Context", "recommend"]

PEAK_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)
_CENSORED_WITHIN = 0.05  # usage this near its limit may have wanted more
_THROTTLED_TOO_MUCH = 0.25  # share of periods, at the 95th percentile of the window
_THROTTLED_AT_ALL = 0.05  # above this a window says nothing about how much CPU was wanted
_AFTER_A_KILL = 1.5  # the need is hidden by the kill: go up by half and look again
_GRAIN = {Resource.CPU: 0.05, Resource.MEMORY: 16 * MIB}
_RECENT = pd.Timedelta("14D")


@dataclass(frozen=True)
class Context:
    """What else is known beside usage.

    Attributes:
        forecaster: one already fitted on the same usage with `PEAK_QUANTILES`; fitted here when absent.
        throttled: share of throttled periods, times x services.
        oom_kills: kills, times x services.
        running: service -> whether it ran at the window's end.
        unstable: services in a restart loop.
        limits_known: False when the source cannot tell which limits are in force.
        headroom: share added to the forecast peak.
        tolerance: changes smaller than this share of the limit are not proposed.
        floors: smallest limit of each resource, cores and bytes.
    """

    forecaster: Forecaster | None = None
    throttled: pd.DataFrame | None = None
    oom_kills: pd.DataFrame | None = None
    running: pd.Series[bool] | None = None
    unstable: frozenset[str] = frozenset()
    limits_known: bool = True
    headroom: float = 0.1
    tolerance: float = 0.15
    floors: dict[Resource, float] = field(default_factory=lambda: {Resource.CPU: 0.1, Resource.MEMORY: 32.0 * MIB})


def recommend(
    usage: pd.DataFrame,
    *,
    signal: Resource | str = Resource.MEMORY,
    current: pd.Series[float] | None = None,
    ceiling: pd.Series[float] | float | None = None,
    horizon: str = "7D",
    risk: float = 0.02,
    context: Context | None = None,
) -> pd.DataFrame:
    """A proposed limit, or the reason why there is none, for every column of `usage`.

    The limit is the forecast peak's (1 - risk) quantile, or the recent observed peak where that is higher, plus the headroom.
    It is
    never lowered from a window in which usage was held back by the limit (throttled, killed, or within 5 % of it).

    Args:
        usage: UTC grid x services; cores or bytes; NaN = no sample.
        signal: `cpu` or `memory`.
        current: limit in force by service; NaN or absent = unlimited.
        ceiling: the most a limit may be, for instance the host's size; by service or for all.
        horizon: how far ahead the limit must hold.
        risk: accepted chance that the horizon's peak passes the limit.
        context: events, the forecaster, house rules.

    Returns:
        One row a service: `limit` (NaN = no proposal), `reservation`, `current`, `action`, `reason`, `breach_now`, `breach_after`
        (chance that the horizon's peak passes the limit in force, and the proposed one; NaN = unknown), `confidence` (0 to 1).
        The evidence: `peak` (median forecast peak), `peak_high` (its 1 - risk quantile), `observed_peak` (last 14 days), `mean`,
        `p95`, `p99`, `slack` (share of the limit in force that the 99th percentile leaves free), `breaches`, `breach_minutes`
        (of the proposed limit in the window), `throttled` (95th percentile), `oom_kills`.

    Raises:
        InputError: impossible `risk` or `signal`.
    """
    resource = _resource(signal)
    if not 0 < risk < 1:
        raise InputError(f"risk {risk} is not between 0 and 1", "Use a share such as 0.02")
    context = context or Context()
    services = pd.Index(usage.columns, name="service", dtype=object)
    table = pd.DataFrame(index=services)
    table["current"] = _by_service(current, services)
    forecaster = context.forecaster or Forecaster(quantiles=PEAK_QUANTILES).fit(usage)
    peaks = forecaster.predict_peak(horizon).reindex(services)
    _add_evidence(table, usage, peaks, risk, resource, context)
    table["limit"] = _needed(table, resource, context)
    _decide(table, usage, ceiling, resource, context, forecaster.skipped_)
    step_minutes = _step_minutes(usage)
    table["breaches"], table["breach_minutes"] = _replay(usage, table["limit"], step_minutes)
    table["breach_now"] = _chance_above(peaks, table["current"])
    table["breach_after"] = _chance_above(peaks, table["limit"].fillna(table["current"]))
    return table[_COLUMNS]


_COLUMNS = ["limit", "reservation", "current", "action", "reason", "breach_now", "breach_after", "confidence"]
_COLUMNS += [
    "peak",
    "peak_high",
    "observed_peak",
    "mean",
    "p95",
    "p99",
    "slack",
    "breaches",
    "breach_minutes",
    "throttled",
    "oom_kills",
]


def _resource(signal: Resource | str) -> Resource:
    try:
        return Resource(signal)
    except ValueError as error:
        raise InputError(f"{signal!r} has no limits", "Use cpu or memory") from error


def _by_service(values: pd.Series[float] | float | None, services: pd.Index[Any]) -> pd.Series[float]:
    if isinstance(values, pd.Series):
        return values.reindex(services).astype(float)
    return pd.Series(math.nan if values is None else float(values), index=services)


def _add_evidence(
    table: pd.DataFrame, usage: pd.DataFrame, peaks: pd.DataFrame, risk: float, resource: Resource, context: Context
) -> None:
    table["peak"] = peaks[0.5]
    table["peak_high"] = _quantile(peaks, 1 - risk)
    end = usage.index.max()
    recent = usage.loc[usage.index > end - _RECENT] if len(usage) else usage
    table["observed_peak"] = recent.max()
    table["mean"] = usage.mean()
    table["p95"], table["p99"] = usage.quantile(0.95), usage.quantile(0.99)
    table["slack"] = 1 - table["p99"] / table["current"]
    table["throttled"] = _column_stat(context.throttled if resource is Resource.CPU else None, table.index, "quantile")
    table["oom_kills"] = _column_stat(context.oom_kills if resource is Resource.MEMORY else None, table.index, "sum")
    known = usage.notna().sum()
    table["confidence"] = (known * _step_minutes(usage) / (14 * 24 * 60)).clip(upper=1.0).round(2)


def _column_stat(frame: pd.DataFrame | None, services: pd.Index[Any], what: str) -> pd.Series[float]:
    if frame is None or frame.empty:
        return pd.Series(0.0, index=services)
    stat = frame.quantile(0.95) if what == "quantile" else frame.sum()
    return stat.reindex(services).fillna(0.0)


def _needed(table: pd.DataFrame, resource: Resource, context: Context) -> pd.Series[float]:
    """The limit before it is compared with anything: forecast peak or recent peak, plus headroom, rounded up."""
    need = table[["peak_high", "observed_peak"]].max(axis=1) * (1 + context.headroom)
    hidden = (table["oom_kills"] > 0) | (table["throttled"] > _THROTTLED_TOO_MUCH)
    need = need.where(~hidden, pd.concat([need, table["current"] * _AFTER_A_KILL], axis=1).max(axis=1))
    return _round_up(need.clip(lower=context.floors[resource]), _GRAIN[resource])


def _decide(
    table: pd.DataFrame,
    usage: pd.DataFrame,
    ceiling: pd.Series[float] | float | None,
    resource: Resource,
    context: Context,
    skipped: dict[str, str],
) -> None:
    """Action and reason of each row; the first matching line wins."""
    services = table.index
    top = _by_service(ceiling, services)
    capped = table["limit"] > top
    table["limit"] = np.fmin(table["limit"], (top / _GRAIN[resource]).apply(np.floor) * _GRAIN[resource])
    limit, current = table["limit"], table["current"]
    running = pd.Series(True, index=services) if context.running is None else context.running.reindex(services).fillna(False)
    has_samples = usage.notna().any().reindex(services)
    offered = pd.Series([str(name) not in skipped for name in services], index=services) & table["peak_high"].notna()
    excluded = pd.Series([skipped.get(str(name)) == "excluded" for name in services], index=services)
    unstable = pd.Series([str(name) in context.unstable for name in services], index=services)
    unlimited = current.isna()
    recent_peak = table["observed_peak"]
    censored = (
        (recent_peak >= current * (1 - _CENSORED_WITHIN)) | (table["throttled"] > _THROTTLED_AT_ALL) | (table["oom_kills"] > 0)
    )
    up, down = limit > current * (1 + context.tolerance / 3), limit < current * (1 - context.tolerance)
    rules: list[tuple[Any, Action, Reason]] = [
        (excluded, Action.NONE, Reason.EXCLUDED),
        (~has_samples, Action.NONE, Reason.NO_DATA),
        (~running, Action.NONE, Reason.STOPPED),
        (unstable, Action.NONE, Reason.UNSTABLE),
        (~offered, Action.NONE, Reason.NOT_ENOUGH_HISTORY),
        (unlimited & (not context.limits_known), Action.SET, Reason.LIMIT_UNKNOWN),
        (capped & unlimited, Action.SET, Reason.HOST_CEILING),
        (capped & up, Action.RAISE, Reason.HOST_CEILING),
        (unlimited, Action.SET, Reason.UNLIMITED),
        ((table["oom_kills"] > 0) & up, Action.RAISE, Reason.OOM_KILLED),
        ((table["throttled"] > _THROTTLED_TOO_MUCH) & up, Action.RAISE, Reason.THROTTLED),
        (up & (table["peak_high"] > current), Action.RAISE, Reason.BREACH_EXPECTED),
        (down & censored, Action.KEEP, Reason.CENSORED),
        (down, Action.LOWER, Reason.OVERSIZED),
    ]
    conditions = [np.asarray(condition, dtype=bool) for condition, _, _ in rules]
    table["action"] = np.select(conditions, [str(action) for _, action, _ in rules], str(Action.KEEP))
    table["reason"] = np.select(conditions, [str(reason) for _, _, reason in rules], str(Reason.WITHIN_TOLERANCE))
    changes = table["action"].isin([Action.SET, Action.RAISE, Action.LOWER])
    table["limit"] = limit.where(changes)
    floor = context.floors[resource]
    table["reservation"] = np.fmin(
        (table["p95"].clip(lower=floor) / _GRAIN[resource]).apply(np.ceil) * _GRAIN[resource], table["limit"]
    )


def _round_up(values: pd.Series[float], grain: float) -> pd.Series[float]:
    return (values / grain).apply(np.ceil).mul(grain).round(6)


def _quantile(peaks: pd.DataFrame, level: float) -> pd.Series[float]:
    """The quantile `level` of each row, read between the given ones; outside them the nearest."""
    levels = peaks.columns.to_numpy(dtype=float)
    position = np.interp(level, levels, np.arange(len(levels)))
    below, above = int(np.floor(position)), int(np.ceil(position))
    values = peaks.to_numpy()
    mixed = values[:, below] + (position - below) * (values[:, above] - values[:, below])
    return pd.Series(mixed, index=peaks.index)


def _chance_above(peaks: pd.DataFrame, limit: pd.Series[float]) -> NDArray[np.float64]:
    """Chance that the peak passes the limit, from its quantiles; NaN without a limit or a forecast.

    Outside the outermost quantiles it is that quantile's own chance: nothing is claimed about a tail that was not estimated.
    """
    levels = peaks.columns.to_numpy(dtype=float)
    values, bounds = peaks.to_numpy(), limit.to_numpy(dtype=float)
    chances = np.full(len(values), np.nan)
    for row in np.flatnonzero(np.isfinite(bounds) & np.isfinite(values).all(axis=1)):
        chances[row] = 1 - np.interp(bounds[row], values[row], levels)
    return chances


def _replay(
    usage: pd.DataFrame, limits: pd.Series[float], step_minutes: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often (episodes) and how long (minutes) past usage was above the proposed limits."""
    above = usage.to_numpy() > limits.to_numpy()
    starts = above[:1].sum(axis=0) + (above[1:] & ~above[:-1]).sum(axis=0)
    unknown = limits.isna().to_numpy()
    return np.where(unknown, np.nan, starts), np.where(unknown, np.nan, above.sum(axis=0) * step_minutes)


def _step_minutes(usage: pd.DataFrame) -> float:
    if len(usage.index) < 2:  # noqa: PLR2004 - a step needs two times
        return 0.0
    return float((usage.index[1] - usage.index[0]) / pd.Timedelta("1min"))
