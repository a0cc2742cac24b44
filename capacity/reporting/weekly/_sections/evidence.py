"""Evidence for proposals: what each limit would have done to the past weeks, and how all policies
fare on this very fleet.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from capacity import sizing
from capacity._common.plotting import plot_frontier
from capacity._common.text.counting import counted
from capacity.model import Action, Resource, Signal
from capacity.reporting._html.figures import figure
from capacity.reporting._html.formatting import AMOUNT, NAMES, PRINT, long_table, table_rows
from capacity.reporting._html.html import Column, Html, join, table
from capacity.reporting._render.files import EVERY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacity.history import History
    from capacity.reporting.weekly._review import WeeklyReview

__all__ = ["beside_samples", "evidence", "frontiers", "limit_hits"]

_SHIPPED = "as it ships"
_BREACHED = (
    "How often samples were above it, and for how many minutes together; then the kills and "
    "throttling that samples hide"
)


def limit_hits(history: History, resource: Resource) -> sizing.LimitHits:
    """Where the services of a window ran into the limits then in force."""
    usage, limits = history[resource.usage], history[resource.limit]
    if resource is Resource.CPU:
        return sizing.find_limit_hits(usage, limits, throttled=history[Signal.THROTTLED])
    return sizing.find_limit_hits(usage, limits, kills=history[Signal.OOM_KILLS])


def beside_samples(said: str, struck: tuple[float, float], resource: Resource) -> str:
    """What samples say of a limit, and what they cannot: they stop at the limit that the service
    ran into.

    Args:
        said: how often the samples passed the limit; `never`, `0` and `-` are known.
        struck: kills, and minutes held, that the limit would have met as well.
        resource: whose limit.
    """
    kills, minutes = struck
    if said == "-" or not (kills or minutes):
        return said
    held = f"{minutes:,.0f} min {'throttled' if resource is Resource.CPU else 'at its limit'}"
    beside = counted(kills, "kill") if kills else held
    return f"{said} in samples, but {beside}" if said in {"never", "0"} else f"{said}, and {beside}"


_EVIDENCE = [
    Column("Service"),
    Column("Resource"),
    Column("Limit today", number=True, unit=AMOUNT),
    Column("Breached", help=_BREACHED),
    Column(
        "Slack",
        number=True,
        help="Share of the limit that the 95th percentile of use leaves free",
    ),
    Column("Proposed", number=True, unit=AMOUNT),
    Column("Would have been breached", help=_BREACHED),
    Column("Slack then", number=True),
    Column(
        "KRR",
        unit=AMOUNT,
        help="What Robusta KRR would set: for memory its limit and the kills it would have "
        "met, for CPU its request, since it sets no CPU limit",
    ),
    Column(
        "VPA",
        unit=AMOUNT,
        help="What the Vertical Pod Autoscaler's recommender would set; the kills it would "
        "have met as well",
    ),
]


def evidence(week: WeeklyReview) -> Html:
    """For every proposed change: the past weeks under it and under today's limit, and what other
    policies say.
    """
    rows = week.proposals(Action.SET, Action.RAISE, Action.LOWER)
    weeks = round((week.history.end - week.history.start) / pd.Timedelta("7D"))
    if rows.empty:
        return Html("<p>Nothing is proposed, so there is nothing to prove.</p>")
    struck = {resource: limit_hits(week.history, resource) for resource in Resource}
    killed = [
        struck[resource].under(service, row["current"])[0]
        for service, resource, row in table_rows(rows)
    ]
    worst_first = rows.assign(killed=killed).sort_values(
        ["killed", "breaches_now"], ascending=False, na_position="last"
    )
    cells = [
        _evidence_row(service, resource, row, struck[resource])
        for service, resource, row in table_rows(worst_first)
    ]
    note = (
        "Samples stop at the limit a service ran into: a limit at or below that one counts its "
        "kills and throttling as well."
    )
    more = note if any(len(each.rows) for each in struck.values()) else ""
    return long_table(
        f"What today's and the proposed limit did, or would have done, over the last {weeks} weeks",
        _EVIDENCE,
        cells,
        more=more,
        file=EVERY_LIMIT,
    )


def _evidence_row(
    service: str, resource: Resource, row: Mapping[str, Any], hit: sizing.LimitHits
) -> tuple[str, ...]:
    """One line of the table: the limit today, the proposed one, and what others would set."""
    show = PRINT[resource]
    today, proposed = (hit.under(service, row[name]) for name in ("current", "limit"))
    return (
        str(service),
        NAMES[resource],
        show(row["current"]) if math.isfinite(row["current"]) else "none",
        beside_samples(_past(row["breaches_now"], row["breach_minutes_now"]), today, resource),
        _share(row["slack"]),
        show(row["limit"]),
        beside_samples(_past(row["breaches"], row["breach_minutes"]), proposed, resource),
        _share(row["slack_after"]),
        *(_rival(row[name], hit.under(service, row[name]), resource) for name in ("krr", "vpa")),
    )


def frontiers(week: WeeklyReview) -> Html:
    """Breach share against cost of every policy, for both resources."""
    return join(
        [
            _frontier(resource, points, week.settings.sizing.tolerance)
            for resource, points in week.frontiers.items()
        ]
    )


_POLICIES = [
    Column("Policy"),
    Column("Risk asked"),
    Column("Breached", number=True, help="Share of past service-weeks"),
    Column(
        "Minutes",
        number=True,
        unit="min",
        help="Breached minutes of a service-week, on average",
    ),
    Column("Cost", number=True, unit="x peaks", help="Sum of limits over sum of trailing peaks"),
    Column("Slack", number=True),
    Column(
        "Changes",
        number=True,
        help="Share of weekly decisions that would change the limit in force",
    ),
]


def _frontier(resource: Resource, points: pd.DataFrame, tolerance: float) -> Html:
    if points.empty:
        return Html(f"<p>Fewer than three weeks of {NAMES[resource]}: no replay yet.</p>")
    flat = points.reset_index()
    cells = [
        (
            str(row["policy"]),
            f"{row['risk']:.0%}" if row["policy"] == "capacity" else _SHIPPED,
            f"{row['breached']:.1%}",
            f"{row['breach_minutes']:.1f}",
            f"{row['total']:.2f}",
            f"{row['slack']:.0%}",
            f"{row['changes']:.0%}" if math.isfinite(row["changes"]) else "-",
        )
        for row in flat.to_dict("records")
        if row["policy"] == "capacity" or row["risk"] == flat["risk"].iloc[0]
    ]
    counted = (
        f"Changes counts the weekly decisions more than {tolerance * sizing.RAISED_FROM:.0%} above "
        f"or {tolerance:.0%} below the"
        " limit in force, from where on a limit is changed; cooldowns and bounded steps come on "
        "top."
    )
    caption = f"{NAMES[resource]}: policies on this fleet's past"
    return join([_picture(resource, points), table(caption, _POLICIES, cells, more=counted)])


def _picture(resource: Resource, points: pd.DataFrame) -> Html:
    """The policies as points and lines, said in words for those who do not see them."""
    weeks = int(points["weeks"].max())
    ours, others = (
        pd.DataFrame(points.xs("capacity", level="policy")),
        points.drop(index="capacity", level="policy"),
    )
    said = "; ".join(
        f"{name} {row['breached']:.1%} at {row['total']:.2f} times the peaks"
        for name, row in others.groupby(level="policy", sort=False).first().iterrows()
    )
    mine = "; ".join(f"{row['breached']:.1%} at {row['total']:.2f}" for _, row in ours.iterrows())
    return figure(
        lambda axes: plot_frontier(points, axes=axes),
        alt=f"Breaches against cost for {NAMES[resource]}. capacity, by risk: {mine}. {said}.",
        caption=f"{NAMES[resource][:1].upper()}{NAMES[resource][1:]}: share of {weeks} past "
        "service-weeks breached, against the"
        " sum of limits over that of trailing 14-day peaks. Lower and further left is better; the "
        "line is capacity at its risks.",
        size=(9, 3),
    )


def _rival(limit: float, struck: tuple[float, float], resource: Resource) -> str:
    """What another policy would set, and how often that would have been run into."""
    return beside_samples(PRINT[resource](limit), struck, resource) if math.isfinite(limit) else "-"


def _past(times: float, minutes: float) -> str:
    return (
        "-"
        if math.isnan(times)
        else "never"
        if times == 0
        else f"{times:.0f} x, {minutes:,.0f} min"
    )


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "-"
