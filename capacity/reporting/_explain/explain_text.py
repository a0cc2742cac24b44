"""The evidence of one service's limit in words, for a terminal and for a notebook."""

from __future__ import annotations

import math
from typing import Any

from capacity.model import Reason, Resource, Signal
from capacity.reporting._explain.explain import Explanation, chart
from capacity.reporting._html.formatting import COUNTED, NAMES, PRINT
from capacity.reporting.weekly._sections.evidence import beside_samples

__all__ = ["explanation_lines", "policy_rows"]

_SHOWN = (0.5, 0.9, 0.95, 0.99)
_WEEK = "7D"
_BELOW = (
    "below          what the rule alone of each policy would set: it knows no limit in force, "
    "events or settings, as the proposal above does"
)


def explanation_lines(each: Explanation) -> list[str]:
    """What is proposed, why, and what was seen; one thought a line."""
    row = each.row
    said = [
        f"{Reason(row['reason']).text} ({row['reason']})",
        *_use(each),
        *_life(each),
        *_chances(each),
        *_budget(each),
        *_events(each),
        _BELOW,
    ]
    return [_headline(each), *(f"  {line}" for line in said)]


def _headline(each: Explanation) -> str:
    show, row = PRINT[each.resource], each.row
    now = show(row["current"]) if math.isfinite(row["current"]) else "no limit"
    then = f" -> {show(row['limit'])}" if math.isfinite(row["limit"]) else ""
    uneven = f", {row['uneven']:.1f} times the mean one" if math.isfinite(row["uneven"]) else ""
    worst = f" (the worst of {each.replicas} replicas{uneven})" if each.replicas > 1 else ""
    return f"{each.service}, {NAMES[each.resource]}{worst}: {row['action']} {now}{then}"


def _use(each: Explanation) -> list[str]:
    """The past days and the coming peak."""
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
    lines = [f"chance that it passes the limit  {known or 'unknown'}{_accepted(each)}"]
    if math.isfinite(row["days_to_limit"]):
        which = "that" if math.isfinite(row["limit"]) else "its"
        lines.append(f"it leaks, and reaches {which} limit in {row['days_to_limit']:.0f} days")
    return lines


def _accepted(each: Explanation) -> str:
    """What chance is accepted, and from which one the limit in force is raised."""
    row = each.row
    if not math.isfinite(row["breach_now"]):
        return ""
    above = row["raised_above"]
    raised = (
        f"a limit in force is raised above {above:.0%}"
        if math.isfinite(above)
        else "a chance alone raises no limit with so little history"
    )
    return f"; accepted {each.accepted * 100:.2g}%{f'; {raised}' if above != 0 else ''}"


def _budget(each: Explanation) -> list[str]:
    """What it got of a budget, and why no less and no more."""
    if each.budget is None:
        return []
    row, show = each.row, COUNTED[each.resource]
    told, alone, least = each.budget.totals, each.budget.alone, float(row["least"])
    mine = float(row["limit"] if math.isfinite(row["limit"]) else row["current"])
    if not math.isfinite(mine):
        return [f"budget         {show(told.budget)} for all limits, and none for this service"]
    copies = f" ({each.replicas} x {show(mine)})" if each.replicas > 1 else ""
    more = (
        f"the {show(mine - least)} beyond prevent more breaches here than elsewhere"
        if mine > least
        else "what is left prevents more breaches elsewhere"
    )
    takes = f"of which this takes {show(each.replicas * mine)}{copies}; {show(told.left)} left"
    return [
        f"budget         {show(told.budget)} for the limits of all services, {takes}",
        f"at least       {show(least)}: {row['least_because']}; {more}",
        f"without budget {show(alone)}, passed with a chance of {each.budget.breach_alone:.1%}",
    ]


def _events(each: Explanation) -> list[str]:
    """What happened in the window, what was dropped, and how often limits were passed."""
    events, row = each.events, each.row
    happened = (
        f"{events['oom_kills']:.0f} OOM kills, {events['restarts']:.0f} restarts, "
        f"throttled in {events['throttled']:.0%} of the periods at busy times"
    )
    lines = [f"in the window  {happened}", *_pressure(each)]
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


def _pressure(each: Explanation) -> list[str]:
    """How long it waited at the worst, which the kernel tells before it throttles or kills."""
    kinds = (
        {Signal.MEMORY_STALLED: "stalled for memory", Signal.MEMORY_WAITING: "waited for memory"}
        if each.resource is Resource.MEMORY
        else {Signal.CPU_WAITING: "waited for CPU"}
    )
    known = [
        f"{text} {each.events[signal]:.0%} of the time"
        for signal, text in kinds.items()
        if signal in each.events
    ]
    return [f"pressure       {', '.join(known)}, in its worst five minutes"] if known else []


def policy_rows(each: Explanation) -> list[dict[str, str]]:
    """What each policy would set, and what it did to the past."""
    judged = f"{each.weeks} weeks" if each.horizon == _WEEK else f"{each.weeks} x {each.horizon}"
    rows = []
    for name, limit in each.policies.items():
        past = each.replay.loc[name] if name in each.replay.index else None
        rows.append(
            {
                "policy": name,
                "would set": COUNTED[each.resource](limit),
                f"breached in {judged}": "-" if past is None else _breached(past, each.resource),
                "minutes": "-" if past is None else f"{past['breach_minutes']:.0f}",
                "slack": "-" if past is None else f"{past['slack']:.0%}",
            }
        )
    return rows


def _breached(past: Any, resource: Resource) -> str:
    return beside_samples(
        f"{past['breached']:.0f} x" if past["breached"] else "never",
        (past["kills"], past["held_minutes"]),
        resource,
    )
