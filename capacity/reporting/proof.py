"""Evidence for proposals: what each limit would have done to the past weeks, and how all policies fare on this very fleet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from capacity import sizing
from capacity.model import Action, Resource
from capacity.plotting import plot_frontier
from capacity.reporting.figures import figure
from capacity.reporting.html import Column, Html, join, table
from capacity.reporting.words import NAMES, PRINT, long_table, rows_of

if TYPE_CHECKING:
    from capacity.history import History
    from capacity.reporting.weekly import Weekly

__all__ = ["COMPARED", "evidence", "fleet_frontier", "frontiers"]

COMPARED = ("capacity", "krr", "vpa", "autopilot", "seed")
_MOST = 150  # services that are replayed: a frontier of a part of a large fleet is as telling
_FIRST = "14D"
_NEEDED = pd.Timedelta("21D")
_SHIPPED = "as it ships"


def fleet_frontier(history: History, resource: Resource) -> pd.DataFrame:
    """`capacity.sizing.frontier` of the fleet's own past, on some services of a large one; empty with under three weeks."""
    usage = history[resource.usage]
    step = max(1, -(-len(usage.columns) // _MOST))
    part = usage.iloc[:, ::step]
    if not len(part.columns) or history.end - history.start < _NEEDED:
        return sizing.frontier(pd.DataFrame(), part)
    limits = history.limits(resource).reindex(part.columns)
    return sizing.frontier(sizing.replay(part, signal=resource, policies=COMPARED, current=limits, first=_FIRST), part)


def evidence(week: Weekly) -> Html:
    """For every proposed change: the past weeks under it and under today's limit, and what other policies say."""
    rows = week.proposals(Action.SET, Action.RAISE, Action.LOWER)
    weeks = round((week.history.end - week.history.start) / pd.Timedelta("7D"))
    if rows.empty:
        return Html("<p>Nothing is proposed, so there is nothing to prove.</p>")
    cells = []
    for service, resource, row in rows_of(rows.sort_values("breaches_now", ascending=False, na_position="last")):
        show = PRINT[resource]
        cells.append(
            (
                str(service),
                NAMES[resource],
                show(row["current"]) if math.isfinite(row["current"]) else "none",
                _past(row["breaches_now"], row["breach_minutes_now"]),
                _share(row["slack"]),
                show(row["limit"]),
                _past(row["breaches"], row["breach_minutes"]),
                _share(row["slack_after"]),
                *(show(row[name]) if math.isfinite(row[name]) else "-" for name in ("krr", "vpa")),
            )
        )
    columns = [
        Column("Service"),
        Column("Resource"),
        Column("Limit today", number=True),
        Column("Breached", number=True, help="How often usage was above it, and for how many minutes together"),
        Column("Slack", number=True, help="Share of the limit that the 95th percentile of use leaves free"),
        Column("Proposed", number=True),
        Column("Would have been breached", number=True),
        Column("Slack then", number=True),
        Column("KRR", number=True, help="What Robusta KRR would set"),
        Column("VPA", number=True, help="What the Vertical Pod Autoscaler's recommender would set"),
    ]
    return long_table(f"What today's and the proposed limit did, or would have done, over the last {weeks} weeks", columns, cells)


def frontiers(found: dict[Resource, pd.DataFrame]) -> Html:
    """Breach share against cost of every policy, for both resources."""
    return join([_frontier(resource, points) for resource, points in found.items()])


def _frontier(resource: Resource, points: pd.DataFrame) -> Html:
    if points.empty:
        return Html(f"<p>Fewer than three weeks of {NAMES[resource]}: no replay yet.</p>")
    weeks = int(points["weeks"].max())
    ours, others = pd.DataFrame(points.xs("capacity", level="policy")), points.drop(index="capacity", level="policy")
    said = "; ".join(
        f"{name} {row['breached']:.1%} at {row['total']:.2f} times the peaks"
        for name, row in others.groupby(level="policy", sort=False).first().iterrows()
    )
    mine = "; ".join(f"{row['breached']:.1%} at {row['total']:.2f}" for _, row in ours.iterrows())
    picture = figure(
        lambda axes: plot_frontier(points, axes=axes),
        alt=f"Breaches against cost for {NAMES[resource]}. capacity, by risk: {mine}. {said}.",
        caption=f"{NAMES[resource][:1].upper()}{NAMES[resource][1:]}: share of {weeks} past service-weeks breached, against the"
        " sum of limits over that of trailing 14-day peaks. Lower and further left is better; the line is capacity at its risks.",
        size=(9, 3),
    )
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
    columns = [
        Column("Policy"),
        Column("Risk asked"),
        Column("Breached", number=True, help="Share of past service-weeks"),
        Column("Minutes", number=True, help="Breached minutes of a service-week, on average"),
        Column("Cost", number=True, help="Sum of limits over sum of trailing peaks"),
        Column("Slack", number=True),
        Column("Changes", number=True, help="Share of limits that change from week to week if nothing damps them"),
    ]
    return join([picture, table(f"{NAMES[resource]}: policies on this fleet's past", columns, cells)])


def _past(times: float, minutes: float) -> str:
    return "-" if math.isnan(times) else "never" if times == 0 else f"{times:.0f} x, {minutes:.0f} min"


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "-"
