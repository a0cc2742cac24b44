"""Decisions whose limits add up to a budget: risk is traded between services, the rules that keep
each of them safe are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capacity._common.text.units import count_cores, format_memory
from capacity.errors import InputError
from capacity.model import Action, Reason, Resource
from capacity.sizing._decisions.fleet import Fleet
from capacity.sizing._rounding import grains

__all__ = ["Totals", "amount", "kept_within", "totals"]

_EXACT = 1e-9  # share of a budget that sums of many limits may be off by
_ROUNDS = 12  # halvings, to a four-thousandth of the budget
_DOUBLINGS = 5  # of what is shared out, where services that take nothing of it leave much
_LEFT = 0.01  # share of the budget that may be left
_PRINTED = 1.01  # three digits of it are no less than what is meant
_NAMED = 5  # services that a refusal names
_STEP = "largest step down"


@dataclass(frozen=True)
class Totals:
    """What the limits of a fleet add up to, each as often as its service has replicas; cores or
    bytes.

    Attributes:
        before: of the limits in force.
        unlimited_before: services without one, which `before` therefore lacks.
        proposed: of the limits as they would be, changed or kept.
        unlimited_after: services that would still have none.
        budget: what they may add up to.
    """

    before: float
    unlimited_before: int
    proposed: float
    unlimited_after: int
    budget: float

    @property
    def left(self) -> float:
        """What the proposal leaves of the budget."""
        return self.budget - self.proposed


def totals(table: pd.DataFrame, replicas: Mapping[str, int], budget: float) -> Totals:
    """What a budget became.

    Args:
        table: what `recommend` returned for it.
        replicas: service -> containers that its limit is set on; what is not named has one.
        budget: what was given to it.
    """
    copies = pd.Series(
        [max(1.0, float(replicas.get(str(name), 1))) for name in table.index], table.index
    )
    after = _in_force(table)
    return Totals(
        float((table["current"] * copies).sum()),
        int(table["current"].isna().sum()),
        float((after * copies).sum()),
        int(after.isna().sum()),
        budget,
    )


def amount(size: float, resource: Resource) -> str:
    return count_cores(size) if resource is Resource.CPU else format_memory(size)


def kept_within(
    budget: float, decided: Callable[[float], pd.DataFrame], fleet: Fleet
) -> pd.DataFrame:
    """Decisions whose limits in force add up to the budget at most: what rules demand of it, others
    give. Gets columns `least` (the lowest limit that the rules allow; NaN = none) and
    `least_because`.

    Args:
        budget: for all.
        decided: decisions where so much is shared out; with nothing, what the rules demand.
        fleet: with the replicas.

    Raises:
        InputError: the rules demand more than the budget.
    """
    least = decided(0.0)
    demanded, because = _in_force(least), _because(least, fleet)
    if _over(least, budget, fleet):
        raise _too_small(budget, demanded * fleet.copies, because, fleet)
    table = _shared(budget, decided, least, fleet)
    return table.assign(least=demanded, least_because=because)


def _shared(
    budget: float,
    decided: Callable[[float], pd.DataFrame],
    least: pd.DataFrame,
    fleet: Fleet,
) -> pd.DataFrame:
    """As much shared out as still fits beside what rules demand; more than the budget where some
    services do not take their share, such as pinned or stopped ones.
    """
    low, high, fits = 0.0, budget, least
    table = decided(high)
    for _ in range(_DOUBLINGS):
        if not _unspent(table, budget, fleet):
            break
        low, high, fits = high, 2 * high, table
        table = decided(high)
    if not _over(table, budget, fleet):
        return table
    for _ in range(_ROUNDS):
        share = (low + high) / 2
        table = decided(share)
        if _over(table, budget, fleet):
            high = share
        else:
            low, fits = share, table
    return fits


def _in_force(table: pd.DataFrame) -> pd.Series[float]:
    return table["limit"].fillna(table["current"])


def _unspent(table: pd.DataFrame, budget: float, fleet: Fleet) -> bool:
    return float((_in_force(table) * fleet.copies).sum()) < budget * (1 - _LEFT)


def _over(table: pd.DataFrame, budget: float, fleet: Fleet) -> bool:
    return float((_in_force(table) * fleet.copies).sum()) > budget * (1 + _EXACT)


def _because(least: pd.DataFrame, fleet: Fleet) -> pd.Series[str]:
    """What sets the lowest limit of each service, in a few words."""
    resource, context = fleet.resource, fleet.context
    limit, grain = least["limit"], grains(least["limit"], resource)
    own = pd.Series(
        [context.rule(name).least.get(resource, np.nan) for name in least.index], least.index
    )
    told = least["reason"].astype(str).str.replace("-", " ")
    kept = ~least["action"].isin([Action.SET, Action.RAISE, Action.LOWER])
    step = (least["current"] * (1 - context.largest_step_down)).where(limit < least["current"])
    throttled = np.nan if fleet.throttling is None else fleet.throttling.smallest_limits
    causes = [
        (kept & (least["reason"] == Reason.WITHIN_TOLERANCE), "limit in force"),
        (kept, told),
        (own > limit - grain, "minimum in the settings"),
        (step > limit - grain, _STEP),
        (~least["reason"].isin([Reason.BUDGET, Reason.UNLIMITED]), told),
        (least["calendar_need"] > limit - grain, "peak that returns by the calendar"),
        (least["startup_peak"] > limit - grain, "peak at a start"),
        (throttled > limit - grain, "throttling"),
        (least["past_need"].where(limit < least["current"]) > limit - grain, "past peak"),
    ]
    chosen = np.select(
        [np.asarray(applies, dtype=bool) for applies, _ in causes],
        [np.broadcast_to(np.asarray(said, dtype=object), len(least)) for _, said in causes],
        "steady peak",
    )
    return pd.Series(chosen, index=least.index)


def _too_small(
    budget: float, demanded: pd.Series[float], because: pd.Series[str], fleet: Fleet
) -> InputError:
    """Which services take how much, what is missing, and what to do."""
    whole = float(demanded.sum())
    taken = demanded[demanded > 0].sort_values(ascending=False, kind="stable")
    named = ", ".join(
        f"{name} {amount(size, fleet.resource)} ({because[str(name)]})"
        for name, size in taken.iloc[:_NAMED].items()
    )
    more = f", {len(taken) - _NAMED} others" if len(taken) > _NAMED else ""
    share = fleet.context.largest_step_down
    again = (
        f", or apply what `capacity recommend` lowers and ask again after the cooldown: one "
        f"decision takes at most {share:.0%} off a limit"
        if (because[taken.index] == _STEP).any()
        else ""
    )
    enough = amount(whole * _PRINTED, fleet.resource)
    return InputError(
        f"The budget of {amount(budget, fleet.resource)} cannot be kept: the rules demand "
        f"{amount(whole, fleet.resource)} at least, {amount(whole - budget, fleet.resource)} too "
        f"much. Most take {named}{more}",
        f"Raise the budget to {enough}{again}, or change [services] in capacity.toml",
    )
