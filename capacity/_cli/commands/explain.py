"""`capacity recommend SERVICE --why`: the evidence on one screen."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from capacity._cli.printing import print_rows, say, show_text
from capacity._common.plain_data import Plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capacity.history import History
    from capacity.model import Resource
    from capacity.reporting._explain.explain import Explanation
    from capacity.settings import Settings

__all__ = ["print_why"]


def print_why(
    history: History,
    service: str,
    settings: Settings,
    resources: Sequence[Resource],
    *,
    horizon: str = "7D",
    risk: float | None = None,
    policy: str = "capacity",
    budget: float | None = None,
    as_json: bool,
) -> None:
    """One service, resource by resource."""
    from capacity.reporting._explain.explain import explain_service

    found = [
        explain_service(
            history,
            service,
            resource,
            settings,
            horizon=horizon,
            risk=risk,
            policy=policy,
            budget=budget,
        )
        for resource in resources
    ]
    if as_json:
        show_text(json.dumps([_plain(each) for each in found], indent=1))
        return
    for each in found:
        _show(each)


def _show(each: Explanation) -> None:
    from capacity.reporting._explain.explain_text import explanation_lines, policy_rows

    for line in ("", *explanation_lines(each)):
        say(line)
    print_rows(policy_rows(each), as_json=False, title="")


def _plain(each: Explanation) -> dict[str, Plain]:
    return {
        "service": each.service,
        "resource": str(each.resource),
        "recommendation": {str(name): _number(value) for name, value in each.row.items()},
        "daily_peaks": {f"{day:%Y-%m-%d}": _number(value) for day, value in each.days.items()},
        "peak_quantiles": {f"{level:g}": _number(value) for level, value in each.peaks.items()},
        "events": each.events,
        "policies": {name: _number(value) for name, value in each.policies.items()},
        "replay": {
            str(name): {str(column): _number(value) for column, value in row.items()}
            for name, row in each.replay.iterrows()
        },
        "weeks": each.weeks,
        "horizon": each.horizon,
        "struck": {
            name: {"kills": kills, "held_minutes": minutes}
            for name, (kills, minutes) in each.struck.items()
        },
        "replicas": each.replicas,
        "dropped": {str(reason): count for reason, count in each.dropped.items()},
        "budget": _budget(each),
    }


def _budget(each: Explanation) -> dict[str, Plain] | None:
    if each.budget is None:
        return None
    told = each.budget.totals
    return {
        "budget": told.budget,
        "total_before": told.before,
        "total_proposed": told.proposed,
        "budget_left": told.left,
        "least": _number(each.row["least"]),
        "least_because": str(each.row["least_because"]),
        "limit_without_budget": _number(each.budget.alone),
        "breach_without_budget": _number(each.budget.breach_alone),
    }


def _number(value: Any) -> Any:
    if isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
