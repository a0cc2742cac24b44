"""The parts of the monthly page, for a meeting of five people: what to do, and what if."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from capacity._common.text.counting import counted
from capacity._common.text.units import count_cores, format_memory
from capacity.model import Reason, Resource
from capacity.reporting._html.formatting import (
    AMOUNT,
    COUNTED,
    NAMES,
    PRINT,
    long_table,
    pairs,
    table_rows,
)
from capacity.reporting._html.html import Column, Html, badge, details, join, table, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacity.reporting.monthly._review import MonthlyReview
    from capacity.sizing import Placement

__all__ = ["header", "packing", "plan", "savings", "what_if"]

_SHOWN = 12  # lines of a column before the rest is folded
_IN_DECISIONS = "decisions by owner, below"
_TITLES = {"raise": "Raise or set now", "lower": "Lower safely", "decide": "Decide"}
_NOTES = {
    "raise": "More room, or a first limit, on at least most of two weeks of samples; in the plan.",
    "lower": "Given back without running more than the accepted risk; in the plan.",
    "decide": "Too new, leaking, restarting, capped by its host, or only a default: not in the "
    "plan until somebody says so.",
}


def header(month: MonthlyReview) -> Html:
    """The month in five lines."""
    history, columns = month.week.history, month.columns
    freed = {resource: _freed(month, resource) for resource in Resource}
    facts = [
        (
            "Fleet",
            f"{counted(len(history.services), 'service')}, {int(history.running().sum())} running",
        ),
        (
            "Window",
            f"{history.start:%d %b %Y} to {history.end:%d %b %Y} UTC, from {history.source}",
        ),
        (
            "Plan",
            (
                f"{len(columns['raise'])} to raise or set, {len(columns['lower'])} to lower, "
                f"{len(columns['decide'])} to decide"
            ),
        ),
        (
            "Gives back",
            (
                f"{count_cores(freed[Resource.CPU])} and "
                f"{format_memory(freed[Resource.MEMORY])}{_worth(month)}"
            ),
        ),
    ]
    level = {"good": "good", "fair": "warn", "poor": "bad"}[month.week.verdict.level]
    verdict = "; ".join(month.week.verdict.reasons) or "complete, fresh and long enough"
    return Html(
        f"<h1>Monthly optimization <span>{text(month.name)}</span></h1>"
        f"<p>{badge(f'Data {month.week.verdict.level}', level)} "
        f"{text(verdict[:1].upper() + verdict[1:])}.</p>"
        f'<dl class="facts">{pairs(facts)}</dl>'
    )


def plan(month: MonthlyReview) -> Html:
    """The month's plan in three columns."""
    parts = []
    for name, rows in month.columns.items():
        lines = [f"<li>{line}</li>" for line in _lines(rows)]
        shown, rest = "".join(lines[:_SHOWN]), "".join(lines[_SHOWN:])
        more = (
            details(f"{len(lines) - _SHOWN} more", Html(f"<ul>{rest}</ul>"), paper=_IN_DECISIONS)
            if rest
            else ""
        )
        body = f"<ul>{shown}</ul>{more}" if lines else "<p>Nothing.</p>"
        parts.append(
            f'<section class="column"><h3>{_TITLES[name]} <span '
            f'class="rank">{len(rows)}</span></h3>'
            f"<p>{_NOTES[name]}</p>{body}</section>"
        )
    return Html(f'<div class="columns">{"".join(parts)}</div>')


def _lines(rows: pd.DataFrame) -> list[str]:
    """One line a proposal, the surest effect first."""
    found = []
    for service, resource, row in table_rows(
        rows.sort_values("breach_now", ascending=False, na_position="last")
    ):
        show = COUNTED[resource]
        now = show(row["current"]) if math.isfinite(row["current"]) else "none"
        then = show(row["limit"]) if math.isfinite(row["limit"]) else "no proposal"
        why = (
            ""
            if row["reason"] in {Reason.UNLIMITED, Reason.OVERSIZED}
            else f"<br><small>{text(Reason(row['reason']).text)}</small>"
        )
        if math.isfinite(row["days_to_limit"]):
            why += (
                f"<br><small>At this rate it reaches its limit in {row['days_to_limit']:.0f} "
                "days.</small>"
            )
        found.append(f"<b>{text(str(service))}</b> {NAMES[resource]}: {now} → {then}{why}")
    return found


def what_if(month: MonthlyReview) -> Html:
    """Growth, a lost host, a smaller budget."""
    cells = []
    for row in month.scenarios.to_dict("records"):
        show = PRINT[Resource(row["resource"])]
        known = math.isfinite(row["room"])
        cells.append(
            (
                str(row["scenario"]),
                NAMES[Resource(row["resource"])],
                show(row["limits"]),
                (show(row["room"]) if row["room"] else "none left") if known else "-",
                _fits(row),
                f"{row['breaches']:.1f}",
            )
        )
    columns = [
        Column("If"),
        Column("Resource"),
        Column("Limits would add up to", number=True, unit=AMOUNT),
        Column("Hosts have", number=True, unit=AMOUNT),
        Column("Verdict"),
        Column(
            "Expected breaches",
            number=True,
            unit="services",
            help="Services whose peak of the coming week passes its limit",
        ),
    ]
    return table(
        "What if: limits of every running service under the plan's own rules, proposed or kept",
        columns,
        cells,
    )


def _fits(row: Mapping[Any, Any]) -> str:
    """Whether a scenario's limits fit into its hosts, and into its budget."""
    show = COUNTED[Resource(row["resource"])]
    limits, room, budget = (float(row[name]) for name in ("limits", "room", "budget"))
    said = "-" if math.isnan(room) else "fits" if limits <= room else f"{show(limits - room)} short"
    if room == 0:
        said = "no host is left for it"
    return (
        f"{said}; the rules for limits do not let the budget of {show(budget)} be kept"
        if limits > budget
        else said
    )


def packing(month: MonthlyReview) -> Html:
    """Hosts against planned peaks, and cores before and after packing."""
    if month.hosts.empty:
        return Html("<p>No host metrics, so no packing.</p>")
    cores = (_packed_cores(host, placement) for host, placement in month.placements.items())
    return join([_packed_hosts(month.hosts), *cores])


def _packed_hosts(hosts: pd.DataFrame) -> Html:
    cells = []
    for row in hosts.to_dict("records"):
        show = PRINT[Resource(row["resource"])]
        shares = (f"{row[name] / row['size']:.0%}" for name in ("expected", "limits"))
        sizes = (show(row[name]) for name in ("size", "expected", "in_force", "limits"))
        cells.append(
            (
                str(row["host"]),
                NAMES[Resource(row["resource"])],
                str(row["services"]),
                *sizes,
                *shares,
            )
        )
    columns = [
        Column("Host"),
        Column("Resource"),
        Column("Services", number=True),
        *(
            Column(name, number=True, unit=AMOUNT)
            for name in ("Size", "Sum of peaks, p95", "Limits in force", "Limits proposed")
        ),
        Column("Peaks/size", number=True),
        Column("Proposed/size", number=True, help="Over 100 % is overcommitted"),
    ]
    return table("Hosts: size against what is forecast and what the plan allows", columns, cells)


def _packed_cores(host: str, placement: Placement) -> Html:
    said = (
        f"Cores of {text(host)}: predicted imbalance {placement.imbalance:.2f} packed by load,"
        f" {placement.round_robin:.2f} dealt out one after the other (standard deviation over "
        "mean; 0 is even)"
    )
    if not placement.even:
        return Html(f'<p class="note">{said}. {text(placement.advice)}</p>')
    heads = [
        Column("Service"),
        Column("Category"),
        Column("Load", number=True, unit="cores"),
        Column("Cores"),
    ]
    rows = [
        (str(service), str(row["category"]), f"{row['load']:.2f}", str(row["cpuset"]))
        for service, row in placement.table.sort_values("load", ascending=False).iterrows()
    ]
    return long_table(said, heads, rows)


def savings(month: MonthlyReview) -> Html:
    """What the limits in force add up to since the first run."""
    cells = []
    for row in month.savings.to_dict("records"):
        resource = Resource(row["resource"])
        show, freed = PRINT[resource], float(row["first"] - row["now"])
        worth = month.prices.of(resource, freed)
        money = "-" if worth is None else f"{worth:,.2f} {month.prices.currency} a month"
        cells.append(
            (
                NAMES[resource],
                f"{row['since']:%d %b %Y}",
                show(row["first"]),
                show(row["now"]),
                _signed(freed, resource),
                money,
            )
        )
    columns = [
        Column("Resource"),
        Column("Since"),
        *(
            Column(name, number=True, unit=AMOUNT)
            for name in ("Limits then", "Limits now", "Given back")
        ),
        Column("Worth", number=True),
    ]
    return table("Limits of the services that had one then and have one now", columns, cells)


def _signed(value: float, resource: Resource) -> str:
    show = PRINT[resource]
    return show(value) if value >= 0 else f"-{show(-value)}"


def _freed(month: MonthlyReview, resource: Resource) -> float:
    part = month.waste[month.waste["resource"] == str(resource)]
    return float(part["reclaimable"].sum())


def _worth(month: MonthlyReview) -> str:
    worth = month.waste["worth"].dropna()
    return f", worth {worth.sum():,.2f} {month.prices.currency} a month" if len(worth) else ""
