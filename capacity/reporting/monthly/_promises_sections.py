"""Sections of what earlier reports promised, and what came true of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity._common.plotting import plot_bands
from capacity.model import Resource
from capacity.reporting._html.figures import figure
from capacity.reporting._html.formatting import (
    AMOUNT,
    MOST_ROWS,
    NAMES,
    OF_USE,
    PRINT,
    long_table,
)
from capacity.reporting._html.html import Column, Html, join, table, text
from capacity.reporting._runs import read_forecast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacity.reporting._runs import ReportRun
    from capacity.reporting.monthly._review import MonthlyReview

__all__ = ["misses", "promised_table", "promises", "scorecards"]

_WORST = 3


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
    ordered = _worst_first(rows)
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
    most = max(MOST_ROWS, int(ordered["harmed"].sum()))
    shown = long_table(
        f"{since}: promised and delivered, kills and breaches first",
        _PROMISED_COLUMNS,
        cells,
        most=most,
    )
    return join([Html(f"<p>{_in_numbers(rows)}</p>"), shown])


_PROMISED_COLUMNS = [
    *(Column(name) for name in ("Service", "Resource", "Action")),
    *(Column(name, number=True, unit=AMOUNT) for name in ("Then", "Promised", "Now")),
    Column("State"),
    Column(
        "Breached", number=True, unit="min", help="Minutes above the limit in force since that run"
    ),
    Column("OOM kills", number=True),
]


def _in_numbers(rows: pd.DataFrame) -> str:
    """How many were applied, and what came of those."""
    counts = rows["state"].value_counts()
    applied = rows[rows["state"] == "applied"]
    held = applied[(applied["breach_minutes"] == 0) & (applied["oom_kills"] == 0)]
    return (
        f"{counts.get('applied', 0)} of {len(rows)} were applied, {counts.get('open', 0)} are "
        f"open, {counts.get('other', 0)} got another limit. Of the applied, {len(held)} held "
        "without a breach or a kill."
    )


def _worst_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Kills and breaches first: `harmed` marks them, and `missed` what was not applied."""
    keys = {
        "missed": rows["state"] != "applied",
        "harmed": (rows["oom_kills"] > 0) | (rows["breach_minutes"] > 0),
    }
    order = ["harmed", "oom_kills", "breach_minutes", "missed"]
    return rows.assign(**keys).sort_values(order, ascending=False, kind="stable")


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


def _coverage(coverage: dict[float, float], level: float) -> float:
    return coverage[min(coverage, key=lambda each: abs(each - level))]


def _amount(row: Mapping[Any, Any], name: str) -> str:
    value = float(str(row[name]))
    return PRINT[Resource(str(row["resource"]))](value) if math.isfinite(value) else "none"
