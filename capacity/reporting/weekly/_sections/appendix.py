"""The end of the weekly page: method, excluded services, data quality, queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from capacity._common.version import VERSION
from capacity.model import Reason
from capacity.reporting._html.formatting import NAMES, days, length, long_table, table_rows
from capacity.reporting._html.html import Column, Html, details, join, table, text
from capacity.reporting._render.files import EVERY_LIMIT, QUALITY

if TYPE_CHECKING:
    from capacity.reporting.weekly._review import WeeklyReview

__all__ = ["appendix"]


def appendix(week: WeeklyReview) -> Html:
    """Method, excluded services, data quality, queries."""
    return join([_method(week), _excluded(week), _quality(week), _queries(week)])


def _method(week: WeeklyReview) -> Html:
    rules = week.settings.sizing
    lines = (
        (
            f"Forecast: {days(week.horizon)} ahead for every service, quantiles corrected by what "
            "was "
            "missed on held-out days."
        ),
        (
            f"Limit: peak at a risk of {rules.risk:.0%}, CPU {rules.cpu_risk:.0%}, plus "
            f"{rules.headroom:.0%}."
        ),
        (
            "No proposal is below the 98th percentile of 14 days, or likelier to be passed than "
            "not, "
            "as far as the host bears it."
        ),
        (
            f"No change below {rules.tolerance:.0%}; never lowered when usage touched the limit, "
            "was "
            "throttled or killed."
        ),
        (
            "The worst replica stands for its service. Memory is the working set's maximum within "
            "each "
            "step."
        ),
    )
    return Html(
        f"<h3>Method</h3><ul>{''.join(f'<li>{text(line)}</li>' for line in lines)}</ul><p>capacity "
        f"{text(VERSION)}</p>"
    )


def _excluded(week: WeeklyReview) -> Html:
    rows = week.without(
        Reason.NO_DATA, Reason.NOT_ENOUGH_HISTORY, Reason.STOPPED, Reason.EXCLUDED, Reason.UNSTABLE
    )
    cells = [
        (str(service), NAMES[resource], Reason(row["reason"]).text)
        for service, resource, row in table_rows(rows)
    ]
    if not cells:
        return Html("<h3>Excluded services</h3><p>None.</p>")
    columns = [Column("Service"), Column("Resource"), Column("Why")]
    return join(
        [
            Html("<h3>Excluded services</h3>"),
            long_table("No proposal is made for these", columns, cells, file=EVERY_LIMIT),
        ]
    )


def _quality(week: WeeklyReview) -> Html:
    quality = week.history.coverage().sort_values(["alive", "coverage"])
    cells = [
        (
            str(service),
            f"{row['alive']:.1%}",
            f"{row['coverage']:.1%}",
            f"{row['first']:%d %b %H:%M}" if not pd.isna(row["first"]) else "-",
            f"{row['last']:%d %b %H:%M}" if not pd.isna(row["last"]) else "-",
            length(row["longest_gap"]) if row["longest_gap"] else "none",
            str(row["dropped"]),
            str(row["host"]),
            str(row["replicas"]),
        )
        for service, row in quality.to_dict("index").items()
    ]
    columns = [
        Column("Service"),
        Column("While alive", number=True),
        Column("Of the window", number=True),
        Column("First sample"),
        Column("Last sample"),
        Column("Longest gap"),
        Column("Dropped", number=True, unit="samples"),
        Column("Host"),
        Column("Replicas", number=True),
    ]
    return details(
        f"Data quality of {len(cells)} services",
        long_table(
            "Samples of each service, the poorest first (UTC)", columns, cells, file=QUALITY
        ),
        paper=QUALITY,
    )


def _queries(week: WeeklyReview) -> Html:
    rows = [
        (str(signal), Html(f"<code>{text(query)}</code>"))
        for signal, query in sorted(week.history.queries.items())
    ]
    return details(
        "PromQL used",
        table("How each signal was asked for", [Column("Signal"), Column("Query")], rows),
    )
