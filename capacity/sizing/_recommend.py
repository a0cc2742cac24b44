"""From usage and its forecast to a limit, an action and a typed reason for every service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capacity._common.text.units import count_cores, format_memory
from capacity.errors import InputError
from capacity.forecasting import Forecaster
from capacity.forecasting._models.daily_summaries import STATS
from capacity.model import Resource
from capacity.sizing._actions import decide_actions, type_defaults
from capacity.sizing._context import GRAIN, RISK_CLASSES, THROTTLED_TOO_MUCH, Context
from capacity.sizing._policies.base import Floats
from capacity.sizing._policies.capacity import EVEN_ODDS, PEAK_LEVELS, Allocation, Capacity
from capacity.sizing._policies.registry import POLICIES, Past
from capacity.sizing._replay.evidence import add_baselines, add_replay
from capacity.sizing._throttling import Throttling, learn_throttling
from capacity.sizing._usage.diagnostics import (
    in_business_hours,
    regime_since,
    step_of,
)
from capacity.sizing._usage.frames import checked
from capacity.sizing._usage.nan_math import (
    at_least,
    at_most,
    by_service,
    in_days,
    round_down,
    round_up,
)
from capacity.sizing._usage.stats import (
    describe,
    describe_cache,
    describe_past,
    read_quantile,
)

__all__ = ["PEAK_QUANTILES", "recommend"]

PEAK_QUANTILES = PEAK_LEVELS
_AFTER_A_KILL = 1.5  # the need is hidden by the kill: go up by half and look again
_AFTER_A_LOOP = 2.0  # of kills: it never ran long enough to show what it needs
_URGENT = 2.0  # times the chance that would be chosen now: below it a limit in force stays
_SURE, _NEAR = (
    0.5,
    0.8,
)  # a week of samples, or use near the limit: without either a chance alone raises nothing
_SAFE = 1.25  # times the risk: no limit is lowered to run more
_LEAK_ROOM = (
    1.25  # a leak gets this much above its recent peak, or its limit this much more, and no more
)
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
_EVIDENCE += ["rhythm", "past_peak", "past_peak_at", "rss_peak"]


@dataclass(frozen=True)
class _Fleet:
    """What one call decides on.

    Attributes:
        usage: UTC grid x services, in the hours that count.
        resource: what is limited.
        context: events and house rules.
        skipped: services without a forecast -> why.
        past: what policies see.
        allocation: limits at the risks asked, and the distribution of the peak; None = no usage.
        risks: accepted by each service.
        asked: the different risks, falling.
        copies: replicas that a limit is set on, by service.
        throttling: how use and limit lead to throttled periods; None for memory.
        moved: when the level of each service last moved for good; NaT = not.
    """

    usage: pd.DataFrame
    resource: Resource
    context: Context
    skipped: dict[str, str]
    past: Past
    allocation: Allocation | None
    risks: pd.Series[float]
    asked: list[float]
    copies: pd.Series[float]
    throttling: Throttling | None
    moved: pd.Series[pd.Timestamp]

    def chances(self, limits: pd.Series[float]) -> Floats | float:
        """Chance that the coming peak passes each limit; NaN = unknown."""
        if self.allocation is None:
            return np.nan
        return self.allocation.peaks.exceedance(np.asarray(limits, np.float64))


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
            replicas; then the expected breaches, and the hours above limits, are the least they can
            be, and `risk` only judges. Only for the policy `capacity`.
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
        (what these would set), `rhythm` (of a job's runs, or of peaks that return by the calendar;
        empty = none), `past_peak` and `past_peak_at` (highest before the last four weeks, and its
        UTC day), `rss_peak` (of memory that is no page cache, last 14 days).

    Raises:
        InputError: impossible `risk`, `signal`, `policy` or `budget`, also one that house rules
            leave nothing of.
    """
    resource = _resource(signal)
    _check(risk, policy, budget, resource)
    usage, context = checked(usage), context or Context()
    usage, forecaster = _hours_that_count(usage, resource, context)
    services = pd.Index(usage.columns, name="service", dtype=object)
    table = pd.DataFrame(index=services)
    table["current"] = by_service(current, services)
    most = by_service(ceiling, services)
    fleet = _fleet(usage, resource, context, forecaster, table["current"], most, horizon, risk)
    describe(table, usage, resource, context)
    _describe_peaks(table, fleet, forecaster.predict_peak(horizon), most, risk)
    describe_past(table, usage, context, in_days(horizon))
    describe_cache(table, usage, resource, context)
    table["default"] = type_defaults(table, usage, resource, context)
    _judge_limits(table, fleet, policy)
    if budget is None:
        table = _decided(table, fleet, policy, ceiling, None)
    else:
        left = budget - _spent_unseen(table, fleet, budget)
        table = _kept_within(
            left, lambda share: _decided(table, fleet, policy, ceiling, share), fleet.copies
        )
    after = table["limit"].fillna(table["current"])
    table["breach_after"] = fleet.chances(after / _held_share(table))
    _add_evidence(table, fleet)
    return table[_FIRST + _EVIDENCE]


def _hours_that_count(
    usage: pd.DataFrame, resource: Resource, context: Context
) -> tuple[pd.DataFrame, Forecaster]:
    """Usage in the hours that limits are sized for, and a forecaster of just these."""
    forecaster = context.forecaster
    if resource is Resource.CPU:
        open_hours = in_business_hours(usage, context)
        if open_hours is not usage and forecaster is not None:  # it has learned from all hours
            forecaster = Forecaster(**forecaster.get_params()).fit(open_hours)
        usage = open_hours
    return usage, forecaster or Forecaster(quantiles=PEAK_QUANTILES).fit(usage)


def _fleet(
    usage: pd.DataFrame,
    resource: Resource,
    context: Context,
    forecaster: Forecaster,
    current: pd.Series[float],
    most: pd.Series[float],
    horizon: str,
    risk: float,
) -> _Fleet:
    services = current.index
    risks = pd.Series(
        [min(0.5, risk * RISK_CLASSES[context.rule(name).risk_class]) for name in services],
        index=services,
        dtype=np.float64,
    )
    copies = pd.Series(
        [max(1.0, float(context.replicas.get(str(name), 1))) for name in services],
        index=services,
        dtype=np.float64,
    )
    past = _past(usage, resource, current, most, forecaster, horizon)
    asked = sorted({risk, *risks}, reverse=True)
    allocation = Capacity().allocate(past, asked) if usage.size else None
    throttling = None
    if resource is Resource.CPU:
        throttling = learn_throttling(
            usage, current, context.throttled, step=past.step, target=context.throttle_target
        )
    return _Fleet(
        usage,
        resource,
        context,
        forecaster.skipped_,
        past,
        allocation,
        risks,
        asked,
        copies,
        throttling,
        regime_since(usage),
    )


def _describe_peaks(
    table: pd.DataFrame,
    fleet: _Fleet,
    predicted: pd.DataFrame,
    most: pd.Series[float],
    risk: float,
) -> None:
    """Median and high quantile of the coming peak, from the distribution that limits are chosen by.

    Args:
        table: one row a service; gets `peak` and `peak_high`.
        fleet: with the distribution.
        predicted: service x quantile, for services at zero or not seen lately.
        most: what there is on the host, by service; NaN = unknown.
        risk: the high quantile is its complement.
    """
    bands = predicted.reindex(table.index)
    levels = {"peak": 0.5, "peak_high": 1 - risk}
    for name, level in levels.items():
        table[name] = read_quantile(bands, level)
        if fleet.allocation is not None:
            peaks = fleet.allocation.peaks
            told = pd.Series(peaks.quantile((level,))[:, 0], index=table.index)
            table[name] = told.where(peaks.base > 0, table[name])
        table[name] = at_most(table[name], most).where(table[name].notna())


def _spent_unseen(table: pd.DataFrame, fleet: _Fleet, budget: float) -> float:
    """What services without history take of a budget: it is no longer there for the others.

    Raises:
        InputError: they take all of it.
    """
    limits = table["current"].fillna(table["default"]).where(table["peak_high"].isna())
    unseen = float((limits * fleet.copies).sum())
    if unseen >= budget:
        said = (
            f"A budget of {_amount(budget, fleet.resource)} is spent by what services without "
            "history have, or get by default"
        )
        raise InputError(
            said, f"They take {_amount(unseen, fleet.resource)}: raise it, or leave them out"
        )
    return unseen


def _judge_limits(table: pd.DataFrame, fleet: _Fleet, policy: str) -> None:
    """How likely the limits in force are passed, and how far a limit may move for that alone."""
    table["breach_now"] = fleet.chances(table["current"] / _held_share(table))
    table["urgent"], table["safe"] = True, 0.0
    if policy == "capacity":
        sure = (table["confidence"] >= _SURE) | (table["observed_peak"] > _NEAR * table["current"])
        # what is dear is accepted a higher chance, so that its limit moves no sooner than others
        accepted = np.fmax(fleet.risks, fleet.chances(pd.Series(_chosen(policy, fleet, None))))
        table["urgent"] = (table["breach_now"] > np.minimum(_URGENT * accepted, EVEN_ODDS)) & sure
        if fleet.allocation is not None:
            table["safe"] = _safe(fleet.allocation, fleet.risks)


def _held_share(table: pd.DataFrame) -> pd.Series[float]:
    """Share of its memory that a service cannot give back: below 1 where the rest is page cache."""
    return (table["rss_peak"] / table["observed_peak"]).where(table["cached"], 1.0)


def _decided(
    table: pd.DataFrame,
    fleet: _Fleet,
    policy: str,
    ceiling: pd.Series[float] | Mapping[str, float] | float | None,
    share: float | None,
) -> pd.DataFrame:
    """The table with limits, actions and reasons; within a share of a budget where one is given."""
    known = table["peak_high"].notna()  # where the forecaster has too little, so have we
    chosen = np.where(known, _chosen(policy, fleet, share), np.nan)
    answer = table.copy()
    answer["limit"] = _needed(answer, chosen, fleet, within_budget=share is not None)
    decide_actions(
        answer,
        fleet.usage,
        ceiling,
        fleet.resource,
        fleet.context,
        fleet.skipped,
        fleet.moved,
        within_budget=share is not None,
    )
    return answer


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
    most: pd.Series[float],
    forecaster: Forecaster,
    horizon: str,
) -> Past:
    step = max(1, round(step_of(usage).total_seconds()))
    where = pd.Index(forecaster.services_).get_indexer(usage.columns)
    peaks = forecaster.peak_distribution(horizon).of(where).within(np.asarray(most, np.float64))
    days = np.full((len(forecaster.daily_summaries()), len(where), len(STATS)), np.nan)
    days[:, where >= 0] = forecaster.daily_summaries()[:, where[where >= 0]]
    return Past(
        usage.to_numpy(np.float64),
        step,
        resource,
        np.asarray(current, np.float64),
        days=days,
        peaks=peaks,
        horizon=in_days(horizon),
    )


def _chosen(policy: str, fleet: _Fleet, budget: float | None) -> Floats:
    """The policy's limit of each service at its own risk."""
    allocation, risks = fleet.allocation, fleet.risks
    if allocation is None:
        return np.full(len(risks), np.nan)
    if budget is not None:
        return allocation.within(budget, np.asarray(fleet.copies, dtype=np.float64))
    if policy == "capacity":
        limits = np.maximum(allocation.limits, allocation.floors())
    else:
        limits = POLICIES[policy]().limits(fleet.past, fleet.asked)
    rows = [fleet.asked.index(risk) for risk in risks]
    return np.asarray(limits[rows, np.arange(len(risks))])


def _needed(
    table: pd.DataFrame, chosen: Floats, fleet: _Fleet, *, within_budget: bool
) -> pd.Series[float]:
    """The limit before it is compared with the one in force: the policy's, and what events ask for;
    whole units.
    """
    usage, context, resource = fleet.usage, fleet.context, fleet.resource
    grain = GRAIN[resource]
    need = pd.Series(chosen, index=table.index) * (1 + context.headroom)
    table["hard"] = np.nan
    if within_budget:  # a budget is not exceeded by rounding
        return round_down(need, grain).clip(lower=context.floors[resource])
    hard = table["startup_peak"]
    if fleet.throttling is not None:
        least = fleet.throttling.smallest_limits(usage, context.throttled)
        hard = at_least(hard, pd.Series(least, index=table.index))
    hard = at_least(hard, _hidden_need(table, context))
    hard = at_least(hard, table["calendar_need"])
    table["hard"] = hard
    need = at_least(need, hard)
    full_of_cache = at_least(table["cache_need"], table["current"])
    need = need.where(~table["cached"], at_most(need, full_of_cache))
    room = at_least(table["current"], table["observed_peak"]) * _LEAK_ROOM
    need = need.where(table["growth"].isna(), at_most(need, room))
    known = np.isfinite(chosen) | (table["oom_kills"] > 0) & table["current"].notna()
    return round_up(need.clip(lower=context.floors[resource]), grain).where(known)


def _hidden_need(table: pd.DataFrame, context: Context) -> pd.Series[float]:
    """What to go up to where kills or throttling hide the need; NaN where nothing does."""
    killed = table["oom_kills"] > 0
    looping = pd.Series([str(name) in context.unstable for name in table.index], table.index)
    factor = pd.Series(_AFTER_A_KILL, index=table.index).mask(killed & looping, _AFTER_A_LOOP)
    return (table["current"] * factor).where(killed | (table["throttled"] > THROTTLED_TOO_MUCH))


def _safe(allocation: Allocation, risks: pd.Series[float]) -> pd.Series[float]:
    """The lowest limit of each service that runs no more than the risk itself, whatever others run;
    what lowering stops at.
    """
    order = sorted({*risks})
    levels = allocation.peaks.quantile([1 - min(_SAFE * risk, 1.0) for risk in order])
    columns = [order.index(risk) for risk in risks]
    return pd.Series(levels[np.arange(len(risks)), columns], index=risks.index)


def _add_evidence(table: pd.DataFrame, fleet: _Fleet) -> None:
    """What limits did and will do."""
    usage, context, resource = fleet.usage, fleet.context, fleet.resource
    after = table["limit"].fillna(table["current"])
    for each in (
        add_replay(usage, table["limit"], table["p95"]),
        add_replay(usage, table["current"], table["p95"], "_now"),
    ):
        table[list(each.columns)] = each
    table["slack_after"], table["slack"] = table["slack"], table["slack_now"]
    table["days_to_limit"] = ((after - table["observed_peak"]) / table["growth"]).clip(lower=0.0)
    table["throttled_after"] = np.nan
    if fleet.throttling is not None:
        table["throttled_after"] = fleet.throttling.share(
            usage.to_numpy(np.float64), np.asarray(after, np.float64)
        )
    kills = context.oom_kills if resource is Resource.MEMORY else None
    rivals = add_baselines(usage, resource, np.asarray(table["current"], np.float64), kills=kills)
    table[list(rivals.columns)] = rivals
