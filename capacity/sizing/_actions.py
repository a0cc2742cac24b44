"""Action and reason of every service: a table of rules, the first that fits wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from capacity.model import Action, Reason, Resource
from capacity.sizing._context import GRAIN, RAISED_FROM, THROTTLED_TOO_MUCH, Context
from capacity.sizing._nan_math import at_least, at_most, by_service, round_down, round_up
from capacity.sizing._service_types import type_of

__all__ = ["decide_actions", "type_defaults"]

_CENSORED_WITHIN = 0.05  # usage this near its limit may have wanted more
_THROTTLED_AT_ALL = 0.05  # above this a window says nothing about how much CPU was wanted
_OBSERVE = pd.Timedelta("7D")  # how long a new level is watched before anything is lowered

_Flags = pd.Series  # of booleans, one a service


def decide_actions(
    table: pd.DataFrame,
    usage: pd.DataFrame,
    ceiling: pd.Series[float] | Mapping[str, float] | float | None,
    resource: Resource,
    context: Context,
    skipped: dict[str, str],
    moved: pd.Series[pd.Timestamp],
    *,
    within_budget: bool = False,
) -> None:
    """Fill `action`, `reason` and `reservation`, and settle `limit`, from what the other columns
    say.

    Args:
        table: one row a service with `limit` (what is needed), `current`, and the evidence.
        usage: UTC grid x services.
        ceiling: the most a limit may be.
        resource: what is limited.
        context: events and house rules.
        skipped: services without a forecast -> why.
        moved: when each service's level last moved for good; NaT = not.
        within_budget: limits share a budget, so nothing is held back by cooldowns, steps or
            tolerance.
    """
    services = table.index
    grain = GRAIN[resource]
    offered = table["limit"].notna()
    table["limit"] = table["limit"].where(offered, table["default"])
    least, most = (_bounds(services, resource, context, which) for which in ("least", "most"))
    table["limit"] = at_most(at_least(table["limit"], least), most).where(table["limit"].notna())
    top = round_down(by_service(ceiling, services), grain)
    capped = table["limit"] > top
    table["limit"] = table["limit"].where(~capped, top)
    limit, current = table["limit"], table["current"]
    end = _end(usage)
    flags = _flags(table, usage, context, skipped, end - moved < _OBSERVE)
    room = 0.0 if within_budget else context.tolerance
    risen = limit > current * (1 + room * RAISED_FROM)
    up = risen & (table["urgent"] | (table["hard"] > current) | (current < least))
    if not within_budget:
        # below what is in force a limit moves one bounded step, and never to more than the
        # service's own risk
        slow = at_least(
            at_least(limit, round_up(table["safe"], grain)),
            round_up(current * (1 - context.largest_step_down), grain),
        )
        table["limit"] = limit = limit.where(~(limit < current), at_most(at_most(slow, most), top))
    down = limit < current * (1 - room)
    unlimited, leaking = current.isna(), table["growth"].notna()
    startup = table["startup_peak"] >= limit - grain
    outside = (current < least) | (current > most)
    rules: list[tuple[Any, Action, Reason]] = [
        (flags["excluded"], Action.NONE, Reason.EXCLUDED),
        (flags["pinned"], Action.NONE, Reason.PINNED),
        (flags["stopped"], Action.NONE, Reason.STOPPED),
        (
            ~offered & ~flags["empty"] & unlimited & context.limits_known & limit.notna(),
            Action.SET,
            Reason.TYPE_DEFAULT,
        ),
        (flags["empty"], Action.NONE, Reason.NO_DATA),
        (flags["unstable"], Action.NONE, Reason.UNSTABLE),
        (~offered, Action.NONE, Reason.NOT_ENOUGH_HISTORY),
        (unlimited & (not context.limits_known), Action.SET, Reason.LIMIT_UNKNOWN),
        (capped & unlimited, Action.SET, Reason.HOST_CEILING),
        (capped & up, Action.RAISE, Reason.HOST_CEILING),
        (unlimited & within_budget, Action.SET, Reason.BUDGET),
        (up & within_budget, Action.RAISE, Reason.BUDGET),
        (unlimited & leaking, Action.SET, Reason.LEAK),
        (unlimited, Action.SET, Reason.UNLIMITED),
        ((table["oom_kills"] > 0) & up & ~leaking, Action.RAISE, Reason.OOM_KILLED),
        (up & leaking, Action.RAISE, Reason.LEAK),
        ((table["throttled"] > THROTTLED_TOO_MUCH) & up, Action.RAISE, Reason.THROTTLED),
        (up & outside, Action.RAISE, Reason.OWN_BOUNDS),
        (up & startup, Action.RAISE, Reason.STARTUP_PEAK),
        (up, Action.RAISE, Reason.BREACH_EXPECTED),
        (down & outside, Action.LOWER, Reason.OWN_BOUNDS),
        (down & flags["never lower"], Action.KEEP, Reason.NEVER_LOWER),
        (down & flags["censored"], Action.KEEP, Reason.CENSORED),
        (down & leaking, Action.KEEP, Reason.LEAK),
        (down & within_budget, Action.LOWER, Reason.BUDGET),
        (down & flags["moved"], Action.KEEP, Reason.REGIME_CHANGE),
        (down & flags["cooling"], Action.KEEP, Reason.COOLDOWN),
        (down, Action.LOWER, Reason.OVERSIZED),
    ]
    conditions = [np.asarray(condition, dtype=bool) for condition, _, _ in rules]
    table["action"] = np.select(
        conditions, [str(action) for _, action, _ in rules], str(Action.KEEP)
    )
    table["reason"] = np.select(
        conditions, [str(reason) for _, _, reason in rules], str(Reason.WITHIN_TOLERANCE)
    )
    table["limit"] = limit.where(table["action"].isin([Action.SET, Action.RAISE, Action.LOWER]))
    wanted = table["p95"].clip(lower=context.floors[resource]).fillna(context.floors[resource])
    table["reservation"] = at_most(round_up(wanted, grain), table["limit"]).where(
        table["limit"].notna()
    )


def _flags(
    table: pd.DataFrame,
    usage: pd.DataFrame,
    context: Context,
    skipped: dict[str, str],
    moved: pd.Series[bool],
) -> dict[str, _Flags]:
    """What is true of each service."""
    services = table.index

    def of(values: Any) -> _Flags:
        return pd.Series(list(values), index=services, dtype=bool)

    running = (
        pd.Series(True, index=services)
        if context.running is None
        else context.running.reindex(services).fillna(False)
    )
    since = context.limit_since
    recent = pd.Series(False, index=services)
    if since is not None and len(since):
        changed = since.reindex(services) > (usage.index.min() if len(usage.index) else _end(usage))
        recent = changed & (_end(usage) - since.reindex(services) < context.cooldown)
    return {
        "excluded": of(skipped.get(str(name)) == "excluded" for name in services),
        "pinned": of(context.rule(name).pinned for name in services),
        "never lower": of(context.rule(name).never_lower for name in services),
        "unstable": of(str(name) in context.unstable for name in services),
        "stopped": ~running.astype(bool) & usage.notna().any().reindex(services, fill_value=False),
        "empty": ~usage.notna().any().reindex(services, fill_value=False),
        "censored": (table["observed_peak"] >= table["current"] * (1 - _CENSORED_WITHIN))
        | (table["throttled"] > _THROTTLED_AT_ALL)
        | (table["oom_kills"] > 0),
        "moved": moved.reindex(services, fill_value=False),
        "cooling": recent,
    }


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
    seen = round_up(usage.max().reindex(table.index) * 1.5, GRAIN[resource])
    return found.where(found.isna(), at_least(found, seen))


def _bounds(
    services: pd.Index[Any], resource: Resource, context: Context, which: str
) -> pd.Series[float]:
    values = [getattr(context.rule(name), which).get(resource, np.nan) for name in services]
    return pd.Series(values, index=services, dtype=float)


def _end(usage: pd.DataFrame) -> pd.Timestamp:
    return pd.Timestamp(usage.index.max()) if len(usage.index) else pd.Timestamp(0, tz="UTC")
