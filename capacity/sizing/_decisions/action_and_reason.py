"""Action and reason of every service: a table of rules, the first that fits wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.model import Action, Reason, Resource
from capacity.sizing._context import RAISED_FROM, STALLED_TOO_MUCH, THROTTLED_TOO_MUCH, Context
from capacity.sizing._rounding import grains, round_down, round_up
from capacity.sizing._service_types import type_of
from capacity.sizing._usage.nan_math import at_least, at_most

__all__ = ["decide_actions", "type_defaults"]

_CENSORED_WITHIN = 0.05  # usage this near its limit may have wanted more
_THROTTLED_AT_ALL = 0.05  # above this a window says nothing about how much CPU was wanted
_OBSERVE = pd.Timedelta("7D")  # how long a new level is watched before anything is lowered

Flags = NDArray[np.bool_]
"""One answer a service."""


@dataclass(frozen=True)
class Conditions:
    """What is true of each service, when its limit is known; all but the last by service.

    Attributes:
        excluded, pinned, never_lower: people said so.
        stopped: not running at the end of the window, and no job between two runs.
        empty: no sample of this resource.
        unstable: in a restart loop.
        offered: the policy, or what events ask for, gave a limit.
        defaulted: its type has a default.
        unlimited: no limit in force.
        capped: the host, not the need, sets the limit.
        up, down: the limit rises or falls by more than the tolerance, with a reason to.
        killed: the kernel killed it for memory under the limit in force.
        at_bound: killed at the highest limit that people allow.
        at_ceiling: killed at all that its host has.
        throttled: held back by its CPU limit for a notable share of the time.
        stalled: all its tasks waited for memory for a notable share of the time.
        leaking: its use grows without end.
        cached: its memory fills any limit with page cache, and nothing was killed.
        calendar: a peak that returns by the calendar is due, and asks for this limit.
        startup: what it needs to start asks for this limit.
        past: only peaks from before the window keep the limit from falling.
        outside: the limit in force is outside the bounds that people gave.
        censored: usage touched its limit, so the need is not visible.
        moved: its level moved for good in the last days.
        cooling: its limit was changed a short while ago.
        limits_known: the source measures limits, and has had an hour to tell this one.
        budget: limits share a budget.
    """

    excluded: Flags
    pinned: Flags
    never_lower: Flags
    stopped: Flags
    empty: Flags
    unstable: Flags
    offered: Flags
    defaulted: Flags
    unlimited: Flags
    capped: Flags
    up: Flags
    down: Flags
    killed: Flags
    at_bound: Flags
    at_ceiling: Flags
    throttled: Flags
    stalled: Flags
    leaking: Flags
    cached: Flags
    calendar: Flags
    startup: Flags
    past: Flags
    outside: Flags
    censored: Flags
    moved: Flags
    cooling: Flags
    limits_known: Flags
    budget: bool


@dataclass(frozen=True)
class ActionRule:
    """What is done about services for which a condition holds, and the reason given for it."""

    applies: Callable[[Conditions], Flags]
    action: Action
    reason: Reason


ACTION_RULES: tuple[ActionRule, ...] = (
    ActionRule(lambda f: f.excluded, Action.NONE, Reason.EXCLUDED),
    ActionRule(lambda f: f.pinned, Action.NONE, Reason.PINNED),
    ActionRule(lambda f: f.stopped, Action.NONE, Reason.STOPPED),
    ActionRule(
        lambda f: ~f.offered & ~f.empty & f.unlimited & f.defaulted & f.limits_known,
        Action.SET,
        Reason.TYPE_DEFAULT,
    ),
    ActionRule(lambda f: f.empty, Action.NONE, Reason.NO_DATA),
    ActionRule(lambda f: f.at_ceiling, Action.KEEP, Reason.HOST_CEILING),
    ActionRule(lambda f: f.at_bound, Action.KEEP, Reason.OWN_BOUNDS),
    ActionRule(lambda f: f.unstable & ~f.killed, Action.NONE, Reason.UNSTABLE),
    ActionRule(lambda f: ~f.offered, Action.NONE, Reason.NOT_ENOUGH_HISTORY),
    ActionRule(lambda f: f.unlimited & ~f.limits_known, Action.SET, Reason.LIMIT_UNKNOWN),
    ActionRule(lambda f: f.capped & f.unlimited, Action.SET, Reason.HOST_CEILING),
    ActionRule(lambda f: f.capped & f.up, Action.RAISE, Reason.HOST_CEILING),
    ActionRule(lambda f: f.unlimited & f.leaking, Action.SET, Reason.LEAK),
    ActionRule(lambda f: f.unlimited & f.budget, Action.SET, Reason.BUDGET),
    ActionRule(lambda f: f.unlimited, Action.SET, Reason.UNLIMITED),
    ActionRule(lambda f: f.up & f.killed & ~f.leaking, Action.RAISE, Reason.OOM_KILLED),
    ActionRule(lambda f: f.up & f.leaking, Action.RAISE, Reason.LEAK),
    ActionRule(lambda f: f.up & f.stalled, Action.RAISE, Reason.MEMORY_STALLED),
    ActionRule(lambda f: f.up & f.throttled, Action.RAISE, Reason.THROTTLED),
    ActionRule(lambda f: f.up & f.outside, Action.RAISE, Reason.OWN_BOUNDS),
    ActionRule(lambda f: f.up & f.calendar, Action.RAISE, Reason.CALENDAR_PEAK),
    ActionRule(lambda f: f.up & f.startup, Action.RAISE, Reason.STARTUP_PEAK),
    ActionRule(lambda f: f.up & f.budget, Action.RAISE, Reason.BUDGET),
    ActionRule(lambda f: f.up, Action.RAISE, Reason.BREACH_EXPECTED),
    ActionRule(lambda f: f.down & f.outside, Action.LOWER, Reason.OWN_BOUNDS),
    ActionRule(lambda f: f.down & f.never_lower, Action.KEEP, Reason.NEVER_LOWER),
    ActionRule(lambda f: f.down & f.stalled, Action.KEEP, Reason.MEMORY_STALLED),
    ActionRule(lambda f: f.cached, Action.KEEP, Reason.PAGE_CACHE),
    ActionRule(lambda f: f.down & f.censored, Action.KEEP, Reason.CENSORED),
    ActionRule(lambda f: f.down & f.leaking, Action.KEEP, Reason.LEAK),
    ActionRule(lambda f: f.down & f.moved, Action.KEEP, Reason.REGIME_CHANGE),
    ActionRule(lambda f: f.down & f.cooling, Action.KEEP, Reason.COOLDOWN),
    ActionRule(lambda f: f.down & f.budget, Action.LOWER, Reason.BUDGET),
    ActionRule(lambda f: f.down, Action.LOWER, Reason.OVERSIZED),
    ActionRule(lambda f: f.past, Action.KEEP, Reason.PAST_PEAK),
)
"""In order; where none fits, the limit is kept within tolerance."""


def decide_actions(
    table: pd.DataFrame,
    span: tuple[pd.Timestamp, pd.Timestamp],
    ceiling: pd.Series[float],
    resource: Resource,
    context: Context,
    skipped: Mapping[str, str],
    *,
    within_budget: bool = False,
) -> None:
    """Fill `action`, `reason` and `reservation`, and settle `limit`, from what the other columns
    say.

    Args:
        table: one row a service with `limit` (what is needed), `current`, and the evidence.
        span: first and last moment of the usage; NaT without any.
        ceiling: the most a limit may be, by service; NaN = unknown.
        resource: what is limited.
        context: house rules, and what is known by service.
        skipped: services without a forecast -> why.
        within_budget: limits share a budget, so no change is too small for it.
    """
    room = 0.0 if within_budget else context.tolerance
    settled = _settled(table, ceiling, resource, context, room)
    table["limit"] = settled.limit
    conditions = _conditions(table, settled, span, context, skipped, within_budget=within_budget)
    applied = [np.asarray(rule.applies(conditions), dtype=bool) for rule in ACTION_RULES]
    table["action"] = np.select(
        applied, [str(rule.action) for rule in ACTION_RULES], str(Action.KEEP)
    )
    table["reason"] = np.select(
        applied, [str(rule.reason) for rule in ACTION_RULES], str(Reason.WITHIN_TOLERANCE)
    )
    changed = table["action"].isin([Action.SET, Action.RAISE, Action.LOWER])
    table["limit"] = table["limit"].where(changed)
    wanted = table["p95"].clip(lower=context.floors[resource]).fillna(context.floors[resource])
    table["reservation"] = at_most(round_up(wanted, resource), table["limit"]).where(
        table["limit"].notna()
    )


@dataclass(frozen=True)
class _Settled:
    """Limits within what people and hosts allow, all by service.

    Attributes:
        limit: what is proposed; NaN = nothing.
        grain: what it is rounded to.
        least, most: bounds that people gave; NaN = none.
        top: the most that the host can give; NaN = unknown.
        offered: the policy, or what events ask for, gave a limit.
        capped: the host sets the limit.
        risen: the limit passes the one in force by enough to be raised.
        falling: what is needed is below the limit in force by more than the tolerance.
        down: the same of the limit, which falls in steps.
    """

    limit: pd.Series[float]
    grain: pd.Series[float]
    least: pd.Series[float]
    most: pd.Series[float]
    top: pd.Series[float]
    offered: pd.Series[bool]
    capped: pd.Series[bool]
    risen: pd.Series[bool]
    falling: pd.Series[bool]
    down: pd.Series[bool]


def _settled(
    table: pd.DataFrame,
    ceiling: pd.Series[float],
    resource: Resource,
    context: Context,
    room: float,
) -> _Settled:
    """Bring what is needed within what people and hosts allow; a change within the share `room` of
    the limit in force is none.
    """
    offered, current = table["limit"].notna(), table["current"]
    least, most = (_bounds(table.index, resource, context, which) for which in ("least", "most"))
    limit = table["limit"].where(offered, table["default"])
    limit = at_most(at_least(limit, least), most).where(limit.notna())
    top = round_down(ceiling, resource)
    capped = limit >= top
    limit = limit.where(~capped, top)
    risen = limit > current * (1 + room * RAISED_FROM)
    falling = limit < current * (1 - room)
    slow = _slow_down(table, limit, resource, context)
    limit = limit.where(~(limit < current), at_most(at_most(slow, most), top))
    down = limit < current * (1 - room)
    grain = grains(limit, resource)
    return _Settled(limit, grain, least, most, top, offered, capped, risen, falling, down)


def _conditions(
    table: pd.DataFrame,
    settled: _Settled,
    span: tuple[pd.Timestamp, pd.Timestamp],
    context: Context,
    skipped: Mapping[str, str],
    *,
    within_budget: bool,
) -> Conditions:
    """What is true of each service, once its limit is settled."""
    limit, current, least, most = settled.limit, table["current"], settled.least, settled.most
    killed = (table["oom_kills"] > 0) & current.notna()
    full = killed & ~(limit > current)
    asked = table["urgent"] | (table["hard"] > current) | (current < least)
    here = limit - settled.grain
    told = [str(name) not in context.limits_unseen for name in limit.index]
    return Conditions(
        **_said(table, span, context, skipped),
        offered=_flags(settled.offered),
        defaulted=_flags(limit.notna()),
        unlimited=_flags(current.isna()),
        capped=_flags(settled.capped),
        up=_flags(settled.risen & asked),
        down=_flags(settled.down),
        killed=_flags(killed),
        at_bound=_flags(full & (current >= most)),
        at_ceiling=_flags(full & (current >= settled.top)),
        throttled=_flags(table["throttled"] > THROTTLED_TOO_MUCH),
        stalled=_flags(table["stalled"] > STALLED_TOO_MUCH),
        leaking=_flags(table["growth"].notna()),
        cached=_flags(table["cached"]),
        calendar=_flags(table["calendar_need"] >= here),
        startup=_flags(table["startup_peak"] >= here),
        past=_flags(settled.falling & ~settled.down & (table["past_need"] >= here)),
        outside=_flags((current < least) | (current > most)),
        censored=_flags(
            (table["observed_peak"] >= current * (1 - _CENSORED_WITHIN))
            | (table["throttled"] > _THROTTLED_AT_ALL)
            | (table["oom_kills"] > 0)
        ),
        moved=_flags(span[1] - table["moved"] < _OBSERVE),
        limits_known=_flags(told) & context.limits_known,
        budget=within_budget,
    )


def _slow_down(
    table: pd.DataFrame, limit: pd.Series[float], resource: Resource, context: Context
) -> pd.Series[float]:
    """Below what is in force a limit moves one bounded step, never to more than the service's own
    risk, and not below a peak from before the window.
    """
    slow = at_least(limit, round_up(table["safe"], resource))
    slow = at_least(slow, round_up(table["current"] * (1 - context.largest_step_down), resource))
    past = round_up(table["past_need"], resource)
    return at_least(slow, at_most(past, table["current"]).where(past.notna()))


def _said(
    table: pd.DataFrame,
    span: tuple[pd.Timestamp, pd.Timestamp],
    context: Context,
    skipped: Mapping[str, str],
) -> dict[str, Flags]:
    """What people, the Engine and the clock say of each service."""
    services = table.index
    running = (
        pd.Series(True, index=services)
        if context.running is None
        else context.running.reindex(services).fillna(False)
    )
    seen = table["seen"].astype(bool)
    waiting = _flags(table["waiting"])
    # a job that runs every hour starts as often as a loop does, and is none
    unstable = _flags([str(name) in context.unstable for name in services]) & ~waiting
    return {
        "excluded": _flags([skipped.get(str(name)) == "excluded" for name in services]),
        "pinned": _flags([context.rule(name).pinned for name in services]),
        "never_lower": _flags([context.rule(name).never_lower for name in services]),
        "unstable": unstable,
        "stopped": _flags(~running.astype(bool) & seen) & ~waiting & ~unstable,
        "empty": _flags(~seen),
        "cooling": _flags(_cooling(services, span, context)),
    }


def _cooling(
    services: pd.Index[Any], span: tuple[pd.Timestamp, pd.Timestamp], context: Context
) -> pd.Series[bool]:
    """Whether each service's limit was changed within the cooldown, as far as the window shows."""
    since = context.limit_since
    if since is None or not len(since):
        return pd.Series(False, index=services)
    changed = since.reindex(services) > span[0]
    return changed & (span[1] - since.reindex(services) < context.cooldown)


def _flags(values: Any) -> Flags:
    return np.asarray(values, dtype=bool)


def type_defaults(
    table: pd.DataFrame, usage: pd.DataFrame, resource: Resource, context: Context
) -> pd.Series[float]:
    """The default by type, and half more than was ever seen where that is more; NaN where the type
    has none.
    """
    found = pd.Series(
        [type_of(str(name), context.types).limit(resource) for name in table.index],
        index=table.index,
        dtype=float,
    )
    seen = round_up(usage.max().reindex(table.index) * 1.5, resource)
    return found.where(found.isna(), at_least(found, seen))


def _bounds(
    services: pd.Index[Any], resource: Resource, context: Context, which: str
) -> pd.Series[float]:
    values = [getattr(context.rule(name), which).get(resource, np.nan) for name in services]
    return pd.Series(values, index=services, dtype=float)
