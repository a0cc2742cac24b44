"""Decisions whose limits add up to a budget, whatever house rules take of it."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from capacity._common.text.units import count_cores, format_memory
from capacity.errors import InputError
from capacity.model import Resource
from capacity.sizing._decisions.fleet import Fleet

__all__ = ["amount", "kept_within", "spent_unseen"]

_LEAST = 0.001  # of a budget: what can be shared out at least
_EXACT = 1e-9  # share of a budget that sums of many limits may be off by
_ROUNDS = 12  # halvings, to a four-thousandth of the budget


def amount(size: float, resource: Resource) -> str:
    return count_cores(size) if resource is Resource.CPU else format_memory(size)


def spent_unseen(table: pd.DataFrame, fleet: Fleet, budget: float) -> float:
    """What services without history take of a budget: it is no longer there for the others.

    Raises:
        InputError: they take all of it.
    """
    limits = table["current"].fillna(table["default"]).where(table["peak_high"].isna())
    unseen = float((limits * fleet.copies).sum())
    if unseen >= budget:
        said = (
            f"A budget of {amount(budget, fleet.resource)} is spent by what services without "
            "history have, or get by default"
        )
        raise InputError(
            said, f"They take {amount(unseen, fleet.resource)}: raise it, or leave them out"
        )
    return unseen


def kept_within(
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
