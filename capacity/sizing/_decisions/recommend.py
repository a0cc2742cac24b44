"""From usage and its forecast to a limit, an action and a typed reason for every service."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from capacity._common.text.lengths_of_time import in_days
from capacity.errors import InputError
from capacity.forecasting._peak_forecast import PeakForecast
from capacity.model import Resource
from capacity.sizing._context import Context
from capacity.sizing._decisions.action_and_reason import decide_actions
from capacity.sizing._decisions.budget import amount, kept_within
from capacity.sizing._decisions.fleet import Fleet, asked_risks, hours_that_count, make_fleet
from capacity.sizing._decisions.need import chosen_limits, held_share, judge_limits, needed_limits
from capacity.sizing._decisions.observed import Observed, join, observe
from capacity.sizing._policies.base import Floats, Past
from capacity.sizing._policies.capacity import recent_samples
from capacity.sizing._policies.registry import POLICIES
from capacity.sizing._replay.evidence import add_replay
from capacity.sizing._usage.diagnostics import step_of
from capacity.sizing._usage.frames import checked
from capacity.sizing._usage.nan_math import at_most, by_service
from capacity.sizing._usage.stats import read_quantile
from capacity.sizing._usage.throttling import counted_services, thinned_by

__all__ = ["check_asked", "decide", "recommend", "replay_limits", "with_replay"]
_BLOCK = 256  # services
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
    "stalled",
]
_EVIDENCE += ["days_to_limit", "uneven", "type", "krr", "vpa"]
_EVIDENCE += ["rhythm", "past_peak", "past_peak_at", "rss_peak", "raised_above"]
_BUDGET = ["least", "least_because"]


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
    of any policy: a limit is at least the startup peak (of CPU, once shown again), a CPU limit
    keeps throttling under its target, a
    kill or throttling raises, a leak is not chased, and nothing is lowered from a window
    in which usage was held back by its limit, within a cooldown, or shortly after the level moved.
    No proposal of the policy `capacity` is below the steady peak (the 98th percentile of the last
    14 days) or, without a budget, likelier to be passed than not, whatever the risk, as far as what
    is known, a leak, own bounds and the ceiling bear that.

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
            be, and `risk` only judges. All other rules hold as they do without one. Only for the
            policy `capacity`.
        context: events, the forecaster, house rules.

    Returns:
        One row a service: `limit` (NaN = no proposal), `reservation`, `current`, `action`,
        `reason`, `breach_now`, `breach_after` (chance that the horizon's peak passes the limit in
        force, and the proposed one; NaN = unknown), `confidence` (0 to 1). The evidence: `peak`
        (median forecast peak), `peak_high` (its 1 - risk quantile), `observed_peak` (last 14 days),
        `startup_peak`, `mean`, `p95`, `p99`, `slack` (share of the limit in force that the 95th
        percentile leaves free) and `slack_after`, `breaches` and `breach_minutes` (of the proposed
        limit in the window; `_now`: of the limit in force), `throttled` (share of periods at the
        95th percentile) and `throttled_after` (predicted), `oom_kills`, `stalled` (share of time in
        which all its tasks waited for memory, at the 99th percentile), `days_to_limit` (of a leak),
        `uneven` (worst replica over the mean one), `type` (of the service), `krr` and `vpa` (what
        these would set), `rhythm` (of a job's runs, or of peaks that return by the calendar; empty
        = none), `past_peak` and `past_peak_at` (highest before the last four weeks, and its
        UTC day), `rss_peak` (of memory that is no page cache, last 14 days), `raised_above` (the
        `breach_now` from which the limit in force is raised for that alone; NaN = a chance alone
        does not raise it, for want of history). With a budget also
        `least` (the lowest limit that the rules allow; NaN = none) and `least_because`.

    Raises:
        InputError: impossible `risk`, `signal`, `policy` or `budget`, also one that is less than
            what the rules demand.
    """
    resource = _resource(signal)
    check_asked(risk, policy, budget, resource)
    life, context = checked(usage), context or Context()
    usage, forecaster, context = hours_that_count(life, resource, context)
    services = pd.Index(usage.columns, name="service", dtype=object)
    most = by_service(ceiling, services)
    forecast = forecaster.peak_forecast(horizon)
    in_force = by_service(current, services)
    seen = _observed(usage, life, resource, context, in_force, forecast, horizon, budget)
    rival = _rival(policy, usage, resource, seen, forecast, most, context, horizon, risk)
    table = decide(seen, forecast, resource, context, most, risk, policy, budget, rival)
    replayed = [
        replay_limits(usage.iloc[:, block], table.iloc[block]) for block in _blocks(len(services))
    ]
    return with_replay(table, pd.concat(replayed))


def _blocks(services: int) -> list[slice]:
    """What is looked at together: what is worked on is no copy of all samples."""
    return [slice(at, at + _BLOCK) for at in range(0, max(services, 1), _BLOCK)]


def _observed(
    usage: pd.DataFrame,
    life: pd.DataFrame,
    resource: Resource,
    context: Context,
    current: pd.Series[float],
    forecast: PeakForecast,
    horizon: str,
    budget: float | None,
) -> Observed:
    """What was seen of each service, block by block."""
    days = forecast.days_of(current.index)
    counted = counted_services(usage.columns, current, context.throttled)
    step = max(1, round(step_of(usage).total_seconds()))
    return join(
        [
            observe(
                usage.iloc[:, block],
                life.iloc[:, block],
                resource,
                context,
                current,
                days[:, block],
                horizon=in_days(horizon),
                thinned=thinned_by(recent_samples(len(usage), step), len(counted)),
                keep_recent=budget is not None,
            )
            for block in _blocks(len(current))
        ]
    )


def _rival(
    policy: str,
    usage: pd.DataFrame,
    resource: Resource,
    seen: Observed,
    forecast: PeakForecast,
    most: pd.Series[float],
    context: Context,
    horizon: str,
    risk: float,
) -> Floats | None:
    """Limits of another policy than ours at the risks asked, risks x services."""
    if policy == "capacity" or not usage.size:
        return None
    services = seen.table.index
    past = Past(
        usage.to_numpy(np.float64),
        seen.step,
        resource,
        np.asarray(seen.table["current"], np.float64),
        days=seen.days,
        peaks=forecast.peaks_of(services).within(np.asarray(most, np.float64)),
        horizon=in_days(horizon),
    )
    return POLICIES[policy]().limits(past, asked_risks(services, context, risk)[1])


def decide(
    seen: Observed,
    forecast: PeakForecast,
    resource: Resource,
    context: Context,
    most: pd.Series[float],
    risk: float,
    policy: str = "capacity",
    budget: float | None = None,
    rival: Floats | None = None,
) -> pd.DataFrame:
    """Limits, actions and reasons of a fleet, from what was seen of each service.

    Args:
        seen: of all services.
        forecast: of their peaks.
        resource: what is limited.
        context: house rules, and what is known by service; no frames.
        most: the most a limit may be, by service; NaN = unknown.
        risk: accepted share of services whose peak passes the limit.
        policy: name in `POLICIES`.
        budget: what all limits may add up to.
        rival: limits of another policy than `capacity`, risks x services.

    Returns:
        What `recommend` returns, without what limits would have done to the window.
    """
    fleet = make_fleet(seen, resource, context, forecast, most, risk, rival)
    table = seen.table.copy()
    _describe_peaks(table, fleet, forecast.predicted, most, risk)
    judge_limits(table, fleet, policy)
    if budget is None:
        table = _decided(table, fleet, policy, most, None)
    else:
        undecided = table
        table = kept_within(
            budget, lambda share: _decided(undecided, fleet, policy, most, share), fleet
        )
    after = table["limit"].fillna(table["current"])
    table["breach_after"] = fleet.chances(after / held_share(table))
    table["days_to_limit"] = ((after - table["observed_peak"]) / table["growth"]).clip(lower=0.0)
    table["throttled_after"] = np.nan
    if fleet.throttling is not None:
        table["throttled_after"] = fleet.throttling.share(np.asarray(after, np.float64))
    return table


def replay_limits(usage: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """What limits would have done to the window, of some services.

    Args:
        usage: UTC grid x services, in the hours that count.
        table: one row a service with `limit`, `current` and `p95`.
    """
    return pd.concat(
        [
            add_replay(usage, table["limit"], table["p95"]),
            add_replay(usage, table["current"], table["p95"], "_now"),
        ],
        axis=1,
    )


def with_replay(table: pd.DataFrame, replayed: pd.DataFrame) -> pd.DataFrame:
    """The recommendation: what was decided, with what limits would have done to the window."""
    whole = table.copy()
    whole[list(replayed.columns)] = replayed
    whole["slack_after"], whole["slack"] = whole["slack"], whole["slack_now"]
    return whole[_FIRST + _EVIDENCE + [name for name in _BUDGET if name in whole]]


def _describe_peaks(
    table: pd.DataFrame,
    fleet: Fleet,
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


def _decided(
    table: pd.DataFrame,
    fleet: Fleet,
    policy: str,
    most: pd.Series[float],
    share: float | None,
) -> pd.DataFrame:
    """The table with limits, actions and reasons; within a share of a budget where one is given."""
    known = table["peak_high"].notna()  # where the forecaster has too little, so have we
    chosen = np.where(known, chosen_limits(policy, fleet, share), np.nan)
    answer = table.copy()
    if share is not None:
        answer["safe"] = 0.0  # a budget trades the risk
    answer["limit"] = needed_limits(answer, chosen, fleet, within_budget=share is not None)
    decide_actions(
        answer,
        (fleet.seen.begin, fleet.seen.end),
        most,
        fleet.resource,
        fleet.context,
        fleet.skipped,
        within_budget=share is not None,
    )
    return answer


def check_asked(risk: float, policy: str, budget: float | None, resource: Resource) -> None:
    """Refuse a risk, a policy or a budget that cannot be, with InputError."""
    if not 0 < risk < 1:
        raise InputError(f"risk {risk} is not between 0 and 1", "Use a share such as 0.02")
    if policy not in POLICIES:
        raise InputError(f"There is no policy {policy!r}", f"Known are {', '.join(POLICIES)}")
    if budget is not None and (policy != "capacity" or not budget > 0):
        said = f"A budget of {amount(budget, resource)} for the policy {policy}"
        raise InputError(said, "Give a size above zero, and the policy capacity")


def _resource(signal: Resource | str) -> Resource:
    try:
        return Resource(signal)
    except ValueError as error:
        raise InputError(f"{signal!r} has no limits", "Use cpu or memory") from error
