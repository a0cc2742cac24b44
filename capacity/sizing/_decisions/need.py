"""What each service needs, before it is compared with the limit in force."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.sizing._context import (
    STALLED_TOO_MUCH,
    THROTTLED_TOO_MUCH,
    Context,
    raised_above,
)
from capacity.sizing._decisions.fleet import Fleet
from capacity.sizing._policies.base import Floats
from capacity.sizing._policies.capacity import Allocation
from capacity.sizing._rounding import round_down, round_up
from capacity.sizing._usage.nan_math import at_least, at_most

__all__ = [
    "AFTER_A_LOOP",
    "chosen_limits",
    "held_share",
    "judge_limits",
    "needed_limits",
]

_AFTER_A_KILL = 1.5  # the need is hidden by the kill: go up by half and look again
AFTER_A_LOOP = 2.0
"""Times the limit after a loop of kills: it never ran long enough to show what it needs."""
_FULL = 0.9  # share of its limit from which a stall for memory is the limit's doing, and needs room
# a week of samples, or use near the limit: without either a chance alone raises nothing
_SURE, _NEAR = 0.5, 0.8
_SAFE = 1.25  # times the risk: no limit is lowered to run more
# a leak gets this much above its recent peak, or its limit this much more, and no more
_LEAK_ROOM = 1.25


def held_share(table: pd.DataFrame) -> pd.Series[float]:
    """Share of its memory that a service cannot give back: below 1 where the rest is page cache."""
    return (table["rss_peak"] / table["observed_peak"]).where(table["cached"], 1.0)


def judge_limits(table: pd.DataFrame, fleet: Fleet, policy: str) -> None:
    """How likely the limits in force are passed, and how far a limit may move for that alone."""
    table["breach_now"] = fleet.chances(table["current"] / held_share(table))
    table["urgent"], table["safe"], table["raised_above"] = True, 0.0, 0.0
    if policy == "capacity":
        sure = (table["confidence"] >= _SURE) | (table["observed_peak"] > _NEAR * table["current"])
        # what is dear is accepted a higher chance, so that its limit moves no sooner than others
        chosen = pd.Series(chosen_limits(policy, fleet, None))
        accepted = np.fmax(fleet.risks, fleet.chances(chosen))
        bound = pd.Series([raised_above(float(each)) for each in accepted], index=table.index)
        table["raised_above"] = bound.where(sure & table["breach_now"].notna())
        table["urgent"] = table["breach_now"] > table["raised_above"]
        if fleet.allocation is not None:
            table["safe"] = _safe(fleet.allocation, fleet.risks)


def chosen_limits(policy: str, fleet: Fleet, budget: float | None) -> Floats:
    """The policy's limit of each service at its own risk."""
    allocation, risks = fleet.allocation, fleet.risks
    if allocation is None:
        return np.full(len(risks), np.nan)
    if budget is not None:
        copies = np.asarray(fleet.copies, dtype=np.float64)
        return allocation.within(max(budget, allocation.least(copies)), copies)
    if policy == "capacity":
        limits = np.maximum(allocation.limits, allocation.floors())
    else:
        assert fleet.rival is not None
        limits = fleet.rival
    rows = [fleet.asked.index(risk) for risk in risks]
    return np.asarray(limits[rows, np.arange(len(risks))])


def needed_limits(
    table: pd.DataFrame, chosen: Floats, fleet: Fleet, *, within_budget: bool
) -> pd.Series[float]:
    """The limit before it is compared with the one in force: the policy's, and what events ask for;
    whole units.
    """
    context, resource = fleet.context, fleet.resource
    need = pd.Series(chosen, index=table.index) * (1 + context.headroom)
    if within_budget:  # a budget is not exceeded by rounding, a steady peak not fallen short of
        need = at_least(round_down(need, resource), table["steady"])
    hard = _startup_need(table, fleet)
    if fleet.throttling is not None:
        least = fleet.throttling.smallest_limits
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
    return round_up(need.clip(lower=context.floors[resource]), resource).where(known)


def _startup_need(table: pd.DataFrame, fleet: Fleet) -> pd.Series[float]:
    """What startups take. For want of CPU a start is slow, for want of memory it fails: of CPU a
    start buys no more than any spike does until another shows it again.
    """
    if fleet.resource is Resource.MEMORY or fleet.allocation is None:
        return table["startup_peak"]
    bound = pd.Series(fleet.allocation.spikes, index=table.index)
    return at_most(table["startup_peak"], bound).where(table["startup_peak"].notna())


def _hidden_need(table: pd.DataFrame, context: Context) -> pd.Series[float]:
    """What to go up to where kills, stalls, throttling or a limit full of resident memory hide the
    need; NaN where nothing does.
    """
    killed = table["oom_kills"] > 0
    looping = pd.Series([str(name) in context.unstable for name in table.index], table.index)
    factor = pd.Series(_AFTER_A_KILL, index=table.index).mask(killed & looping, AFTER_A_LOOP)
    # far below its limit it is the host that is short of memory
    full = table["observed_peak"] >= _FULL * table["current"]
    held_back = (table["throttled"] > THROTTLED_TOO_MUCH) | (
        full & (table["stalled"] > STALLED_TOO_MUCH)
    )
    raised = (table["current"] * factor).where(killed | held_back)
    # so much that the limit is no longer full of it: a share of the limit would never end
    resident = table["rss_peak"] / _FULL
    return at_least(raised, resident.where(resident >= table["current"]))


def _safe(allocation: Allocation, risks: pd.Series[float]) -> pd.Series[float]:
    """The lowest limit of each service that runs no more than the risk itself, whatever others run;
    what lowering stops at.
    """
    order = sorted({*risks})
    levels = allocation.peaks.quantile([1 - min(_SAFE * risk, 1.0) for risk in order])
    columns = [order.index(risk) for risk in risks]
    return pd.Series(levels[np.arange(len(risks)), columns], index=risks.index)
