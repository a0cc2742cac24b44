"""The parts of the monthly page, for a meeting of five people: what was promised, what to do, what
if.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity._common.plotting import plot_bands
from capacity._common.text.units import count_cores, format_memory
from capacity.model import Reason, Resource
from capacity.reporting._html.figures import figure
from capacity.reporting._html.formatting import (
    AMOUNT,
    COUNTED,
    MOST_ROWS,
    NAMES,
    OF_USE,
    PRINT,
    long_table,
    pairs,
    table_rows,
)
from capacity.reporting._html.html import Column, Html, badge, details, join, table, text
from capacity.reporting._runs import read_forecast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacity.reporting._runs import ReportRun
    from capacity.reporting.monthly._review import MonthlyReview
    from capacity.sizing import Placement

__all__ = [
    "header",
    "misses",
    "packing",
    "plan",
    "promised_table",
    "promises",
    "savings",
    "scorecards",
    "what_if",
]

_WORST = 3
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
        ("Fleet", f"{len(history.services)} services, {int(history.running().sum())} running"),
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


def promises(month: MonthlyReview) -> Html:
    """What the proposals of a month ago became."""
    return promised_table(month.promised_in, month.promises, "month")


def promised_table(run: ReportRun | None, rows: pd.DataFrame, span: str) -> Html:
    """What the proposals of a run became; `span` is what it is the earliest run of."""
    if run is None:
        return Html(
            f"<p>No run of the last {text(span)} is in the reports folder: the next review can "
            "look back at this one.</p>"
        )
    since = f"Proposals of {text(run.facts.get('name', ''))} ({run.as_of:%d %b %Y})"
    if rows.empty:
        return Html(f"<p>{since}: there were none.</p>")
    counts = rows["state"].value_counts()
    applied = rows[rows["state"] == "applied"]
    held = applied[(applied["breach_minutes"] == 0) & (applied["oom_kills"] == 0)]
    said = (
        f"{counts.get('applied', 0)} of {len(rows)} were applied, {counts.get('open', 0)} are "
        f"open, {counts.get('other', 0)} got"
        f" another limit. Of the applied, {len(held)} held without a breach or a kill."
    )
    keys = {
        "missed": rows["state"] != "applied",
        "harmed": (rows["oom_kills"] > 0) | (rows["breach_minutes"] > 0),
    }
    worst_first = ["harmed", "oom_kills", "breach_minutes", "missed"]
    ordered = rows.assign(**keys).sort_values(worst_first, ascending=False, kind="stable")
    cells = [
        (
            str(row["service"]),
            NAMES[Resource(row["resource"])],
            str(row["action"]),
            *(_amount(row, name) for name in ("before", "promised", "now")),
            str(row["state"]),
            f"{row['breach_minutes']:.0f}",
            f"{row['oom_kills']:.0f}",
        )
        for row in ordered.to_dict("records")
    ]
    columns = [
        *(Column(name) for name in ("Service", "Resource", "Action")),
        *(Column(name, number=True, unit=AMOUNT) for name in ("Then", "Promised", "Now")),
        Column("State"),
        Column(
            "Breached",
            number=True,
            unit="min",
            help="Minutes above the limit in force since that run",
        ),
        Column("OOM kills", number=True),
    ]
    most = max(MOST_ROWS, int(ordered["harmed"].sum()))
    shown = long_table(
        f"{since}: promised and delivered, kills and breaches first", columns, cells, most=most
    )
    return join([Html(f"<p>{said}</p>"), shown])


def scorecards(month: MonthlyReview) -> Html:
    """How the month's stored forecasts held."""
    cards = month.scorecards
    if not cards:
        return Html(
            "<p>No stored forecast reaches into the window: run the weekly report every week and "
            "this table fills.</p>"
        )
    cells = [
        (
            f"{when:%d %b %Y}",
            NAMES[resource],
            f"{card.samples:,}",
            *(f"{_coverage(card.coverage, level):.1%}" for level in (0.5, 0.9, 0.95, 0.99)),
            f"{card.wql:.3f}",
            f"{card.rival_wql:.3f}" if math.isfinite(card.rival_wql) else "-",
        )
        for when, resource, card in cards
    ]
    columns = [
        Column("Forecast of"),
        Column("Resource"),
        Column("Samples", number=True),
        *(
            Column(f"Under p{level}", number=True, help="Share of what was measured")
            for level in (50, 90, 95, 99)
        ),
        Column("Error", number=True, unit=OF_USE, help="Mean weighted quantile loss"),
        Column(
            "Naive error",
            number=True,
            unit=OF_USE,
            help="The same for repeating the week before",
        ),
    ]
    return table("Stored forecasts against what was measured since", columns, cells)


def misses(month: MonthlyReview) -> Html:
    """The services whose forecasts were furthest off, in pictures."""
    if not month.scorecards or month.promised_in is None:
        return Html("<p>No stored forecast to hold against what happened.</p>")
    worst = [
        (float(row["wql"]), str(service), resource)
        for as_of, resource, card in month.scorecards
        if as_of == month.promised_in.as_of
        for service, row in card.services.nlargest(_WORST, "wql").iterrows()
        if np.isfinite(row["wql"])
    ]
    stored = read_forecast(month.promised_in)
    if stored is None or not worst:
        return Html("<p>Every stored forecast held well enough to need no picture.</p>")
    return join(
        [
            _miss(month, stored, service, resource, loss)
            for loss, service, resource in sorted(worst, reverse=True)[:_WORST]
        ]
    )


def _miss(
    month: MonthlyReview, stored: pd.DataFrame, service: str, resource: Resource, loss: float
) -> Html:
    rows = stored[(stored["service"] == service) & (stored["resource"] == str(resource))]
    levels = [name for name in rows.columns if name.startswith("q")]
    bands = rows.set_index(pd.DatetimeIndex(rows["time"]).tz_localize("UTC"))[levels].astype(float)
    bands.columns = [float(name[1:]) for name in levels]
    usage = month.week.history[resource.usage][service]
    limit = month.week.tables[resource]["current"].get(service, np.nan)
    return figure(
        lambda axes: plot_bands(
            usage,
            bands,
            signal=resource.usage,
            limit=None if np.isnan(limit) else float(limit),
            axes=axes,
        ),
        alt=f"{service}, {NAMES[resource]}: what was measured and the band that was forecast; "
        f"error {loss:.2f}.",
        caption=f"{service}, {NAMES[resource]}: error {loss:.2f} of its own use.",
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
        f"{said}; rules of the settings do not let the budget of {show(budget)} be kept"
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


def _amount(row: Mapping[Any, Any], name: str) -> str:
    value = float(str(row[name]))
    return PRINT[Resource(str(row["resource"]))](value) if math.isfinite(value) else "none"


def _freed(month: MonthlyReview, resource: Resource) -> float:
    part = month.waste[month.waste["resource"] == str(resource)]
    return float(part["reclaimable"].sum())


def _worth(month: MonthlyReview) -> str:
    worth = month.waste["worth"].dropna()
    return f", worth {worth.sum():,.2f} {month.prices.currency} a month" if len(worth) else ""


def _coverage(coverage: dict[float, float], level: float) -> float:
    return coverage[min(coverage, key=lambda each: abs(each - level))]
