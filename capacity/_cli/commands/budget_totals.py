"""What a budget became, in one line for people and as columns for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from capacity._cli.printing import say

if TYPE_CHECKING:
    from capacity.model import Resource
    from capacity.sizing._decisions.budget import Totals

__all__ = ["say_too_small", "totals_line", "with_totals"]


def with_totals(table: pd.DataFrame, replicas: Mapping[str, int], told: Totals) -> pd.DataFrame:
    """The same rows, each with the replicas of its service and the totals of the fleet."""
    return table.assign(
        replicas=[replicas.get(str(name), 1) for name in table.index],
        total_before=told.before,
        total_proposed=told.proposed,
        budget=told.budget,
        budget_left=told.left,
    )


def totals_line(told: Totals, resource: Resource) -> str:
    """Before, after, the budget, and what is left of it."""
    from capacity.reporting._html.formatting import COUNTED

    show = COUNTED[resource]
    before = f"before {show(told.before)}"
    if told.unlimited_before:
        before += f" ({told.unlimited_before} services have no limit, and are not in it)"
    proposed = f"proposed {show(told.proposed)}"
    if told.unlimited_after:
        proposed += f" ({told.unlimited_after} services without a limit)"
    return f"{before}, {proposed}, budget {show(told.budget)}, left {show(told.left)}"


def say_too_small(
    table: pd.DataFrame, replicas: Mapping[str, int], budget: float, resource: Resource
) -> None:
    """A budget that gives less than what was seen is kept, and may break services: nobody should
    find out later.
    """
    from capacity.reporting._html.formatting import PRINT

    seen = sum(
        peak * replicas.get(str(name), 1) for name, peak in table["observed_peak"].dropna().items()
    )
    below = int((table["limit"].fillna(table["current"]) < table["observed_peak"]).sum())
    if seen > budget or below:
        show = PRINT[resource]
        said = (
            f"capacity: peaks of the last 14 days add up to {show(seen)}, the budget is "
            f"{show(budget)}"
        )
        say(f"{said}; {below} services get less than they have already used", err=True)
