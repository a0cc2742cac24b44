"""The outlook of the weekly page: limits in danger, forecasts with bands, and whether the last
forecast held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from capacity._common.plotting import plot_bands
from capacity.model import Resource
from capacity.reporting._html.figures import figure
from capacity.reporting._html.formatting import (
    AMOUNT,
    NAMES,
    OF_USE,
    PRINT,
    days,
    long_table,
    table_rows,
)
from capacity.reporting._html.html import Column, Html, details, join, sparkline, table, text
from capacity.reporting._render.files import SCORECARD
from capacity.reporting.weekly._limit_crossings import UPPER

if TYPE_CHECKING:
    from capacity.reporting.weekly._limit_crossings import LimitCrossing
    from capacity.reporting.weekly._review import WeeklyReview
    from capacity.reporting.weekly._scorecard import Scorecard

__all__ = ["forecasts", "risks", "scorecards"]

_MOST_FIGURES = 8
_MOST_RISKS = 15


def risks(week: WeeklyReview) -> Html:
    """Limits that the forecast reaches, soonest first."""
    rest = " and ".join(
        f"{count} {NAMES[resource]} limits" for resource, count in week.unthreatened.items()
    )
    no_crossing = (
        f"The hourly band does not reach the other limits within {days(week.horizon)}: {rest}, no "
        "crossing."
    )
    if not week.risks:
        return Html(f"<p>{text(no_crossing)}</p>")
    columns = [
        Column("Service"),
        Column("Resource"),
        Column("Limit", number=True, unit=AMOUNT),
        Column("Expected peak", number=True, unit=AMOUNT),
        Column(
            "Upper band reaches it",
            help=f"First time the {UPPER:.0%} quantile is at the limit, UTC",
        ),
        Column("Median reaches it"),
        Column("Pattern"),
        Column("Window"),
    ]
    rows = [_risk_row(week, risk) for risk in week.risks[:_MOST_RISKS]]
    return table(
        "Limits that the forecast reaches, soonest first (UTC)", columns, rows, more=no_crossing
    )


def _risk_row(week: WeeklyReview, risk: LimitCrossing) -> tuple[str | Html, ...]:
    usage = week.history[risk.resource.usage][risk.service]
    limit, peak = (PRINT[risk.resource](size) for size in (risk.limit, risk.peak))
    name = NAMES[risk.resource]
    label = f"{name} of {risk.service} over the window, limit {limit}"
    return (
        risk.service,
        name,
        limit,
        peak,
        f"{risk.upper:%a %d %b %H:%M}",
        f"{risk.median:%a %d %b %H:%M}" if risk.median else "no crossing",
        _pattern(week, risk),
        sparkline(usage, limit=risk.limit, label=label),
    )


def _pattern(week: WeeklyReview, risk: LimitCrossing) -> str:
    """Leak, trend or neither, from the forecaster's own account of the service."""
    known = week.forecasts[risk.resource].model.explain(risk.service)
    leak, trend = known["leak"], known["trend"]
    if leak["verdict"] != "none":
        return f"{leak['verdict']}, {_rate(risk.resource, leak['growth'])}"
    if abs(trend["per_day"]) > 2 * trend["error"]:
        return f"trend {_rate(risk.resource, trend['per_day'])}"
    return "no trend"


def _rate(resource: Resource, per_day: float) -> str:
    return f"{'+' if per_day > 0 else '-'}{PRINT[resource](abs(per_day))} a day"


def scorecards(week: WeeklyReview) -> Html:
    """Whether last week's forecast held."""
    rows = [
        _score_row(resource, card) for resource, card in week.scorecards.items() if card.samples
    ]
    shown = (
        table(
            "Share of samples under each line, and the error (WQL) beside that of repeating the "
            "week before",
            _SCORE_COLUMNS,
            rows,
        )
        if rows
        else Html("")
    )
    notes = {_compared(week, resource, card) for resource, card in week.scorecards.items()}
    return join([shown, *(join([note], "p") for note in sorted(notes)), _every_service(week)])


_LINES = (0.5, 0.9, 0.95)
_SCORE_COLUMNS = [
    Column("Resource"),
    Column("Samples", number=True, unit="count"),
    *(Column(f"Under {level:.0%} line", number=True) for level in _LINES),
    Column(
        "Error", number=True, unit=OF_USE, help="Mean weighted quantile loss; smaller is better"
    ),
    Column(
        "Naive error",
        number=True,
        unit=OF_USE,
        help="The same loss of a forecast that repeats the week before",
    ),
    Column("Largest miss"),
]


def _score_row(resource: Resource, card: Scorecard) -> tuple[str, ...]:
    errors = card.services["wql"].dropna()
    return (
        NAMES[resource],
        f"{card.samples:,}",
        *(_held(card, level) for level in _LINES),
        f"{card.wql:.3f}",
        f"{card.rival_wql:.3f}",
        str(errors.idxmax()) if len(errors) else "-",
    )


def _compared(week: WeeklyReview, resource: Resource, card: Scorecard) -> str:
    """With which forecast."""
    if not card.samples:
        return f"No {NAMES[resource]} forecast could be compared."
    if card.stored:
        return f"Compared with the forecast stored on {card.made:%d %b %Y}."
    return (
        f"{_why_again(week)}: the forecast was made again from the history before "
        f"{card.made:%d %b %Y}."
    )


def _why_again(week: WeeklyReview) -> str:
    return (
        "The forecast of the last run cannot be read"
        if week.previous
        else "There is no earlier run"
    )


def _every_service(week: WeeklyReview) -> Html:
    """The scorecard of each service, the largest error first."""
    rows = week.scores()
    if rows.empty:
        return Html("")
    rows = rows.assign(better=rows["wql"] <= rows["rival_wql"])
    cells = [
        (
            service,
            NAMES[resource],
            f"{row['samples']:.0f}",
            f"{row['coverage']:.0%}",
            *(
                f"{row[name]:.3f}" if np.isfinite(row[name]) else "-"
                for name in ("wql", "rival_wql")
            ),
        )
        for service, resource, row in table_rows(rows)
    ]
    columns = [Column("Service"), Column("Resource")]
    columns += [Column(name, number=True) for name in ("Samples", "Under 95% line")]
    columns += [Column(name, number=True, unit=OF_USE) for name in ("Error", "Naive error")]
    better, compared = int(rows["better"].sum()), int(rows["rival_wql"].notna().sum())
    shown = long_table(
        "Scorecard of each service, the largest error first", columns, cells, file=SCORECARD
    )
    return details(
        f"Each service: smaller error than repeating the week before in {better} of {compared} "
        "cases",
        shown,
        paper=SCORECARD,
    )


def forecasts(week: WeeklyReview) -> Html:
    """Forecasts with bands for the services that matter most."""
    chosen: list[tuple[str, Resource]] = [(risk.service, risk.resource) for risk in week.risks]
    chosen += [(decision.service, Resource.MEMORY) for decision in week.decisions]
    for resource in Resource:
        largest = week.tables[resource]["observed_peak"].sort_values(ascending=False)
        chosen += [(str(service), resource) for service in largest.index[:3]]
    unique = [
        pair for pair in dict.fromkeys(chosen) if pair[0] in week.forecasts[pair[1]].peaks.index
    ]
    return join([_forecast(week, *pair) for pair in unique[:_MOST_FIGURES]], "div", "grid")


def _forecast(week: WeeklyReview, service: str, resource: Resource) -> Html:
    forecast = week.forecasts[resource]
    limit = float(week.tables[resource].loc[service, "current"])  # type: ignore[arg-type]  # a number by construction
    bands: Any = forecast.bands.xs(service, axis=1, level="service")
    peak, high = (
        PRINT[resource](week.tables[resource][name][service]) for name in ("peak", "peak_high")
    )
    ends = f"limit {PRINT[resource](limit)}" if np.isfinite(limit) else "no limit"
    words = (
        f"{NAMES[resource]} of {service}, hour by hour; the week's peak: {peak} expected, {high} "
        f"in a bad week; {ends}"
    )
    past = week.history[resource.usage][service].iloc[-len(week.history.memory) // 2 :]
    return figure(
        lambda axes: plot_bands(
            past, bands, signal=resource.usage, limit=limit, top=UPPER, axes=axes
        ),
        alt=f"Forecast of {words}.",
        caption=words[:1].upper() + words[1:],
        size=(5.2, 2.3),
    )


def _held(card: Scorecard, level: float) -> str:
    value = card.coverage.get(level, np.nan)
    return f"{value:.1%}" if np.isfinite(value) else "-"
