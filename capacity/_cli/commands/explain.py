"""`capacity recommend SERVICE --why`: the evidence on one screen."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import typer

from capacity._cli.printing import print_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capacity.history import History
    from capacity.model import Resource
    from capacity.reporting._explain import Explanation
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
    as_json: bool,
) -> None:
    """One service, resource by resource."""
    from capacity.reporting._explain import explain_service

    found = [
        explain_service(
            history, service, resource, settings, horizon=horizon, risk=risk, policy=policy
        )
        for resource in resources
    ]
    if as_json:
        typer.echo(json.dumps([_plain(each) for each in found], indent=1))
        return
    for each in found:
        _show(each)


def _show(each: Explanation) -> None:
    from capacity.model import Reason
    from capacity.reporting._explain import chart
    from capacity.reporting._html.formatting import NAMES, PRINT
    from capacity.reporting.weekly._evidence import beside_samples

    show, row = PRINT[each.resource], each.row
    now = show(row["current"]) if math.isfinite(row["current"]) else "no limit"
    then = f" -> {show(row['limit'])}" if math.isfinite(row["limit"]) else ""
    uneven = f", {row['uneven']:.1f} times the mean one" if math.isfinite(row["uneven"]) else ""
    worst = f" (the worst of {each.replicas} replicas{uneven})" if each.replicas > 1 else ""
    typer.echo(f"\n{each.service}, {NAMES[each.resource]}{worst}: {row['action']} {now}{then}")
    typer.echo(f"  {Reason(row['reason']).text} ({row['reason']})")
    typer.echo(
        f"  daily peaks  {chart(each.days)}  highest {show(float(each.days.max()))}, type "
        f"{row['type']}"
    )
    quantiles = "  ".join(
        f"p{level * 100:g} {show(value)}" for level, value in each.peaks.items() if level in _SHOWN
    )
    week = each.horizon == _WEEK
    coming = "next week's peak" if week else f"peak over {each.horizon}"
    typer.echo(f"  {coming}  {quantiles or 'too little history'}")
    chances = [("now", row["breach_now"]), ("after", row["breach_after"])]
    known = ", ".join(f"{value:.1%} {name}" for name, value in chances if math.isfinite(value))
    typer.echo(f"  chance that it passes the limit  {known or 'unknown'}")
    if math.isfinite(row["days_to_limit"]):
        typer.echo(
            f"  it leaks, and reaches {'that' if then else 'its'} limit in "
            f"{row['days_to_limit']:.0f} days"
        )
    events = each.events
    typer.echo(
        f"  in the window  {events['oom_kills']:.0f} OOM kills, {events['restarts']:.0f} restarts,"
        f" throttled in {events['throttled']:.0%} of the periods at busy times"
    )
    if each.dropped:
        known = ", ".join(f"{count} {reason.text}" for reason, count in each.dropped.items())
        typer.echo(f"  dropped        samples that cannot be true: {known}")
    passed = [
        ("now", row["current"], row["breaches_now"], "current"),
        ("after", row["limit"], row["breaches"], "limit"),
    ]
    known = ", ".join(
        beside_samples(
            "never" if count == 0 else f"{count:.0f} x", each.struck[which], each.resource
        )
        + f" {name}"
        for name, limit, count, which in passed
        if math.isfinite(limit)
    )
    if known:
        typer.echo(f"  the window passed the limit  {known}")
    judged = f"{each.weeks} weeks" if week else f"{each.weeks} x {each.horizon}"
    rows = []
    for name, limit in each.policies.items():
        past = each.replay.loc[name] if name in each.replay.index else None
        rows.append(
            {
                "policy": name,
                "would set": show(limit),
                f"breached in {judged}": "-" if past is None else _breached(past, each.resource),
                "minutes": "-" if past is None else f"{past['breach_minutes']:.0f}",
                "slack": "-" if past is None else f"{past['slack']:.0%}",
            }
        )
    print_rows(rows, as_json=False, title="")


_SHOWN = (0.5, 0.9, 0.95, 0.99)
_WEEK = "7D"


def _breached(past: Any, resource: Resource) -> str:
    from capacity.reporting.weekly._evidence import beside_samples

    return beside_samples(
        f"{past['breached']:.0f}", (past["kills"], past["held_minutes"]), resource
    )


def _plain(each: Explanation) -> dict[str, Any]:
    return {
        "service": each.service,
        "resource": str(each.resource),
        "recommendation": {name: _number(value) for name, value in each.row.items()},
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
    }


def _number(value: Any) -> Any:
    if isinstance(value, str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
