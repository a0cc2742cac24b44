"""`capacity recommend SERVICE --why`: the evidence on one screen."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from capacity._cli.printing import print_rows, say, show_text

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
        show_text(json.dumps([_plain(each) for each in found], indent=1))
        return
    for each in found:
        _show(each)


def _show(each: Explanation) -> None:
    from capacity.model import Reason

    row = each.row
    say("")
    say(_headline(each))
    say(f"  {Reason(row['reason']).text} ({row['reason']})")
    for line in (*_use(each), *_life(each), *_chances(each), *_events(each)):
        say(f"  {line}")
    print_rows(_policies(each), as_json=False, title="")


def _headline(each: Explanation) -> str:
    from capacity.reporting._html.formatting import NAMES, PRINT

    show, row = PRINT[each.resource], each.row
    now = show(row["current"]) if math.isfinite(row["current"]) else "no limit"
    then = f" -> {show(row['limit'])}" if math.isfinite(row["limit"]) else ""
    uneven = f", {row['uneven']:.1f} times the mean one" if math.isfinite(row["uneven"]) else ""
    worst = f" (the worst of {each.replicas} replicas{uneven})" if each.replicas > 1 else ""
    return f"{each.service}, {NAMES[each.resource]}{worst}: {row['action']} {now}{then}"


def _use(each: Explanation) -> list[str]:
    """The past days and the coming peak."""
    from capacity.reporting._explain import chart
    from capacity.reporting._html.formatting import PRINT

    show, row = PRINT[each.resource], each.row
    quantiles = "  ".join(
        f"p{level * 100:g} {show(value)}" for level, value in each.peaks.items() if level in _SHOWN
    )
    coming = "next week's peak" if each.horizon == _WEEK else f"peak over {each.horizon}"
    return [
        f"daily peaks  {chart(each.days)}  highest {show(each.days.max())}, type {row['type']}",
        f"{coming}  {quantiles or 'too little history'}",
    ]


def _life(each: Explanation) -> list[str]:
    """Rhythm, what the archive remembers, and what of its memory is page cache."""
    from capacity.reporting._html.formatting import PRINT

    show, row = PRINT[each.resource], each.row
    lines = []
    if row["rhythm"]:
        lines.append(f"rhythm         {row['rhythm']}")
    if math.isfinite(row["past_peak"]):
        lines.append(
            f"before         highest in the archive {show(row['past_peak'])}, on "
            f"{row['past_peak_at']}"
        )
    if math.isfinite(row["rss_peak"]):
        rest = max(0.0, row["observed_peak"] - row["rss_peak"])
        lines.append(
            f"of its memory  up to {show(row['rss_peak'])} cannot be reclaimed; page cache fills "
            f"some {show(rest)}"
        )
    return lines


def _chances(each: Explanation) -> list[str]:
    row = each.row
    chances = [("now", row["breach_now"]), ("after", row["breach_after"])]
    known = ", ".join(f"{value:.1%} {name}" for name, value in chances if math.isfinite(value))
    lines = [f"chance that it passes the limit  {known or 'unknown'}"]
    if math.isfinite(row["days_to_limit"]):
        which = "that" if math.isfinite(row["limit"]) else "its"
        lines.append(f"it leaks, and reaches {which} limit in {row['days_to_limit']:.0f} days")
    return lines


def _events(each: Explanation) -> list[str]:
    """What happened in the window, what was dropped, and how often limits were passed."""
    from capacity.reporting.weekly._evidence import beside_samples

    events, row = each.events, each.row
    happened = (
        f"{events['oom_kills']:.0f} OOM kills, {events['restarts']:.0f} restarts, "
        f"throttled in {events['throttled']:.0%} of the periods at busy times"
    )
    lines = [f"in the window  {happened}"]
    if each.dropped:
        known = ", ".join(f"{count} {reason.text}" for reason, count in each.dropped.items())
        lines.append(f"dropped        samples that cannot be true: {known}")
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
        lines.append(f"the window passed the limit  {known}")
    return lines


def _policies(each: Explanation) -> list[dict[str, str]]:
    """What each policy would set, and what it did to the past."""
    from capacity.reporting._html.formatting import PRINT

    judged = f"{each.weeks} weeks" if each.horizon == _WEEK else f"{each.weeks} x {each.horizon}"
    rows = []
    for name, limit in each.policies.items():
        past = each.replay.loc[name] if name in each.replay.index else None
        rows.append(
            {
                "policy": name,
                "would set": PRINT[each.resource](limit),
                f"breached in {judged}": "-" if past is None else _breached(past, each.resource),
                "minutes": "-" if past is None else f"{past['breach_minutes']:.0f}",
                "slack": "-" if past is None else f"{past['slack']:.0%}",
            }
        )
    return rows


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
