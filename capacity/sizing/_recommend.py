"""From usage and its forecast to a limit, an action and a typed reason for every service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from capacity._common.units import count_cores, format_memory
from capacity.errors import InputError
from capacity.forecasting import Forecaster
from capacity.model import Resource
from capacity.sizing._actions import decide_actions, type_defaults
from capacity.sizing._context import GRAIN, RISK_CLASSES, THROTTLED_TOO_MUCH, Context
from capacity.sizing._diagnostics import (
    find_leaks,
    in_business_hours,
    regime_since,
    startup_peaks,
    step_of,
)
from capacity.sizing._frames import checked
from capacity.sizing._nan_math import at_least, at_most, by_service, in_days, round_down, round_up
from capacity.sizing._policies.base import Floats, column_quantile
from capacity.sizing._policies.capacity import EVEN_ODDS, PEAK_LEVELS, Allocation, Capacity
from capacity.sizing._policies.registry import POLICIES, Past
from capacity.sizing._replay.evidence import add_baselines, add_replay
from capacity.sizing._service_types import type_of
from capacity.sizing._throttling import learn_curve, predicted_share, smallest_limit

__all__ = ["PEAK_QUANTILES", "recommend"]

PEAK_QUANTILES = PEAK_LEVELS
_AFTER_A_KILL = 1.5  # the need is hidden by the kill: go up by half and look again
_URGENT = 2.0  # times the risk: below it a limit in force stays
_SURE, _NEAR = (
    0.5,
    0.8,
)  # a week of samples, or use near the limit: without either a chance alone raises nothing
_SAFE = 1.25  # times the risk: no limit is lowered to run more
_LEAK_ROOM = (
    1.25  # a leak gets this much above its recent peak, or its limit this much more, and no more
)
_RECENT = pd.Timedelta("14D")
_LEAST = 0.001  # of a budget: what can be shared out at least
_EXACT = 1e-9  # share of a budget that sums of many limits may be off by
_ROUNDS = 12  # halvings, to a four-thousandth of the budget

_FIRST = [
    "limit",
    "reservation",
    "current",
    "action",
    "reason",
    "breach_now",
    "breach_after",
    "confidence",
]
_EVIDENCE = [
    "peak",
    "peak_high",
    "observed_peak",
    "startup_peak",
    "mean",
    "p95",
    "p99",
    "slack",
    "slack_after",
    "breaches",
]
_EVIDENCE += [
    "breach_minutes",
    "breaches_now",
    "breach_minutes_now",
    "throttled",
    "throttled_after",
    "oom_kills",
]
_EVIDENCE += ["days_to_limit", "uneven", "type", "krr", "vpa"]


def recommend(
    usage: pd.DataFrame,
    *,
    signal: Resource | str = Resource.MEMORY,
    current: pd.Series[float] | Mapping[str, float] | None = None,
    ceiling: pd.Series[float] | Mapping[str, float] | float | None = None,
    horizon: str = "7D",
    risk: float = 0.02,
    policy: str = "capacity",
    budget: float | None = None,
    context: Context | None = None,
) -> pd.DataFrame:
    """A proposed limit, or the reason why there is none, for every column of `usage`.

    The policy `capacity` chooses limits so that the expected share of services whose coming peak
    passes its limit is `risk`, at the least cost; see `capacity.sizing._policies.capacity`. On top
    of any policy: a limit is at least the startup peak, a CPU limit keeps throttling under its
    target, a kill or throttling raises, a leak is not chased, and nothing is lowered from a window
    in which usage was held back by its limit, within a cooldown, or shortly after the level moved.
    No proposal of the policy `capacity` without a budget is below the steady peak (the 98th
    percentile of the last 14 days) or likelier to be passed than not, whatever the risk, as far as
    what is known, a leak, own bounds and the ceiling bear that.

    Args:
        usage: UTC grid x services; cores or bytes; NaN = no sample.
        signal: `cpu` or `memory`.
        current: limit in force by service; NaN or absent = unlimited.
        ceiling: the most a limit may be, for instance the host's size; by service or for all.
        horizon: how far ahead the limit must hold.
        risk: accepted share of services whose peak passes the limit within the horizon.
        policy: name in `POLICIES`.
        budget: what all limits may add up to, cores or bytes, each as often as its service has
            replicas; then the expected number of breaches is the least it can be, and `risk` only
            judges. Only for the policy `capacity`.
        context: events, the forecaster, house rules.

    Returns:
        One row a service: `limit` (NaN = no proposal), `reservation`, `current`, `action`,
        `reason`, `breach_now`, `breach_after` (chance that the horizon's peak passes the limit in
        force, and the proposed one; NaN = unknown), `confidence` (0 to 1). The evidence: `peak`
        (median forecast peak), `peak_high` (its 1 - risk quantile), `observed_peak` (last 14 days),
        `startup_peak`, `mean`, `p95`, `p99`, `slack` (share of the limit in force that the 95th
        percentile leaves free) and `slack_after`, `breaches` and `breach_minutes` (of the proposed
        limit in the window; `_now`: of the limit in force), `throttled` (share of periods at the
        95th percentile) and `throttled_after` (predicted), `oom_kills`, `days_to_limit` (of a
        leak), `uneven` (worst replica over the mean one), `type` (of the service), `krr` and `vpa`
        (what these would set).

    Raises:
        InputError: impossible `risk`, `signal`, `policy` or `budget`, also one that house rules
            leave nothing of.
    """
    resource = _resource(signal)
    _check(risk, policy, budget, resource)
    in_days(horizon)
    usage = checked(usage)
    context = context or Context()
    services = pd.Index(usage.columns, name="service", dtype=object)
    table = pd.DataFrame(index=services)
    table["current"] = by_service(current, services)
    forecaster = context.forecaster
    if resource is Resource.CPU:
        open_hours = in_business_hours(usage, context)
        if open_hours is not usage and forecaster is not None:  # it has learned from all hours
            forecaster = Forecaster(**forecaster.get_params()).fit(open_hours)
        usage = open_hours
    forecaster = forecaster or Forecaster(quantiles=PEAK_QUANTILES).fit(usage)
    peaks = forecaster.predict_peak(horizon).reindex(services)
    past = _past(usage, resource, table["current"], forecaster, horizon)
    risks = pd.Series(
        [min(0.5, risk * RISK_CLASSES[context.rule(name).risk_class]) for name in services],
        index=services,
    )
    asked = sorted({risk, *risks}, reverse=True)
    allocation = Capacity().allocate(past, asked) if len(services) and len(usage.index) else None
    _describe(table, usage, peaks, risk, resource, context)
    table["default"] = type_defaults(table, usage, resource, context)
    copies = pd.Series(
        {name: max(1.0, float(context.replicas.get(str(name), 1))) for name in services},
        index=services,
        dtype=float,
    )
    if budget is not None:  # what services without history get is no longer there for the others
        unseen = float(
            (
                table["current"].fillna(table["default"]).where(table["peak_high"].isna()) * copies
            ).sum()
        )
        if unseen >= budget:
            said = (
                f"A budget of {_amount(budget, resource)} is spent by what services without "
                "history have, or get by default"
            )
            raise InputError(
                said, f"They take {_amount(unseen, resource)}: raise it, or leave them out"
            )
        budget -= unseen
    curve = (
        learn_curve(usage, table["current"], context.throttled)
        if resource is Resource.CPU
        else np.zeros(0)
    )
    _add_chances(table, "breach_now", table["current"], allocation)
    sure = (table["confidence"] >= _SURE) | (table["observed_peak"] > _NEAR * table["current"])
    table["urgent"] = (
        (table["breach_now"] > np.minimum(_URGENT * risks, EVEN_ODDS)) & sure
        if policy == "capacity"
        else True
    )
    table["safe"] = (
        _safe(allocation, risks, asked) if allocation is not None and policy == "capacity" else 0.0
    )
    regime = regime_since(usage)

    def decided(share: float | None) -> pd.DataFrame:
        chosen = _chosen(policy, allocation, past, asked, risks, share, copies)
        chosen = np.where(
            table["peak_high"].notna(), chosen, np.nan
        )  # where the forecaster has too little, so have we
        answer = table.copy()
        answer["limit"] = _needed(
            answer, usage, chosen, resource, context, curve, within_budget=share is not None
        )
        decide_actions(
            answer,
            usage,
            ceiling,
            resource,
            context,
            forecaster.skipped_,
            regime,
            within_budget=share is not None,
        )
        return answer

    table = decided(None) if budget is None else _kept_within(budget, decided, copies)
    _add_chances(table, "breach_after", table["limit"].fillna(table["current"]), allocation)
    _add_evidence(table, usage, resource, curve, context)
    return table[_FIRST + _EVIDENCE]


def _kept_within(
    budget: float, decided: Callable[[float], pd.DataFrame], copies: pd.Series[float]
) -> pd.DataFrame:
    """Decisions whose limits in force add up to the budget at most: what house rules take beyond
    their share, others give.

    Raises:
        InputError: what is pinned, kept or has a minimum leaves nothing for the others.
    """
    table = decided(budget)
    if _over(table, budget, copies) <= 0:
        return table
    fits = decided(budget * _LEAST)
    over = _over(fits, budget, copies)
    if over > 0:
        raise InputError(
            "The budget cannot be kept: what is pinned, kept or has a minimum takes "
            f"{over / budget:.1%} too much",
            "Raise the budget, or change [services] in capacity.toml",
        )
    low, high = budget * _LEAST, budget
    for _ in range(_ROUNDS):
        share = (low + high) / 2
        table = decided(share)
        if _over(table, budget, copies) <= 0:
            low, fits = share, table
        else:
            high = share
    return fits


def _over(table: pd.DataFrame, budget: float, copies: pd.Series[float]) -> float:
    """What the limits in force take beyond a budget; those of services without history are off it
    already.
    """
    known = table["peak_high"].notna()
    return float((table["limit"].fillna(table["current"]) * copies)[known].sum()) - budget * (
        1 + _EXACT
    )


def _check(risk: float, policy: str, budget: float | None, resource: Resource) -> None:
    if not 0 < risk < 1:
        raise InputError(f"risk {risk} is not between 0 and 1", "Use a share such as 0.02")
    if policy not in POLICIES:
        raise InputError(f"There is no policy {policy!r}", f"Known are {', '.join(POLICIES)}")
    if budget is not None and (policy != "capacity" or not budget > 0):
        said = f"A budget of {_amount(budget, resource)} for the policy {policy}"
        raise InputError(said, "Give a size above zero, and the policy capacity")


def _amount(size: float, resource: Resource) -> str:
    return count_cores(size) if resource is Resource.CPU else format_memory(size)


def _resource(signal: Resource | str) -> Resource:
    try:
        return Resource(signal)
    except ValueError as error:
        raise InputError(f"{signal!r} has no limits", "Use cpu or memory") from error


def _past(
    usage: pd.DataFrame,
    resource: Resource,
    current: pd.Series[float],
    forecaster: Forecaster,
    horizon: str,
) -> Past:
    step = max(1, round(step_of(usage).total_seconds()))
    where = pd.Index(forecaster.services_).get_indexer(usage.columns)
    peaks = forecaster.peak_distribution(horizon).of(where)
    return Past(
        usage.to_numpy(np.float64),
        step,
        resource,
        np.asarray(current, np.float64),
        peaks=peaks,
        horizon=in_days(horizon),
    )


def _chosen(
    policy: str,
    allocation: Allocation | None,
    past: Past,
    asked: list[float],
    risks: pd.Series[float],
    budget: float | None,
    copies: pd.Series[float],
) -> Floats:
    """The policy's limit of each service at its own risk."""
    if allocation is None:
        return np.full(len(risks), np.nan)
    if budget is not None:
        return allocation.within(budget, np.asarray(copies, dtype=np.float64))
    if policy == "capacity":
        limits = np.maximum(allocation.limits, allocation.floors())
    else:
        limits = POLICIES[policy]().limits(past, asked)
    return np.asarray(limits[[asked.index(each) for each in risks], np.arange(len(risks))])


def _describe(
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


def _needed(
    table: pd.DataFrame,
    usage: pd.DataFrame,
    chosen: Floats,
    resource: Resource,
    context: Context,
    curve: Floats,
    *,
    within_budget: bool,
) -> pd.Series[float]:
    """The limit before it is compared with the one in force: the policy's, and what events ask for;
    whole units.
    """
    grain = GRAIN[resource]
    need = pd.Series(chosen, index=table.index) * (1 + context.headroom)
    table["hard"] = np.nan
    if within_budget:  # a budget is not exceeded by rounding
        return round_down(need, grain).clip(lower=context.floors[resource])
    hard = table["startup_peak"]
    if resource is Resource.CPU:
        hard = at_least(
            hard, smallest_limit(usage, context.throttled, curve, context.throttle_target)
        )
    hidden = (table["oom_kills"] > 0) | (table["throttled"] > THROTTLED_TOO_MUCH)
    hard = at_least(hard, (table["current"] * _AFTER_A_KILL).where(hidden))
    table["hard"] = hard
    need = at_least(need, hard)
    room = at_least(table["current"], table["observed_peak"]) * _LEAK_ROOM
    need = need.where(table["growth"].isna(), at_most(need, room))
    return round_up(need.clip(lower=context.floors[resource]), grain).where(np.isfinite(chosen))


def _safe(allocation: Allocation, risks: pd.Series[float], asked: list[float]) -> pd.Series[float]:
    """The lowest limit of each service that runs no more than the risk itself, whatever others run;
    what lowering stops at.
    """
    order = sorted({*asked})
    levels = allocation.peaks.quantile([1 - min(_SAFE * risk, 1.0) for risk in order])
    limits = np.full(len(risks), np.nan)
    for row, risk in enumerate(risks):
        limits[row] = levels[row, order.index(risk)]
    return pd.Series(limits, index=risks.index)


def _add_chances(
    table: pd.DataFrame, name: str, limits: pd.Series[float], allocation: Allocation | None
) -> None:
    """Chance that the coming peak passes each limit."""
    table[name] = np.nan
    if allocation is not None:
        table[name] = allocation.peaks.exceedance(np.asarray(limits, np.float64))


def _add_evidence(
    table: pd.DataFrame, usage: pd.DataFrame, resource: Resource, curve: Floats, context: Context
) -> None:
    """What limits did and will do."""
    after = table["limit"].fillna(table["current"])
    for each in (
        add_replay(usage, table["limit"], table["p95"]),
        add_replay(usage, table["current"], table["p95"], "_now"),
    ):
        table[list(each.columns)] = each
    table["slack_after"], table["slack"] = table["slack"], table["slack_now"]
    table["days_to_limit"] = ((after - table["observed_peak"]) / table["growth"]).clip(lower=0.0)
    table["throttled_after"] = np.nan
    if resource is Resource.CPU:
        table["throttled_after"] = predicted_share(
            usage.to_numpy(np.float64), np.asarray(after, np.float64), curve
        )
    kills = context.oom_kills if resource is Resource.MEMORY else None
    rivals = add_baselines(usage, resource, np.asarray(table["current"], np.float64), kills=kills)
    table[list(rivals.columns)] = rivals


def _quantile(peaks: pd.DataFrame, level: float) -> pd.Series[float]:
    """The quantile `level` of each row, read between the given ones; outside them the nearest."""
    levels = peaks.columns.to_numpy(dtype=float)
    position = np.interp(level, levels, np.arange(len(levels)))
    below, above = int(np.floor(position)), int(np.ceil(position))
    values = peaks.to_numpy()
    mixed = values[:, below] + (position - below) * (values[:, above] - values[:, below])
    return pd.Series(mixed, index=peaks.index)
