"""The section on how many days limits and hosts have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capacity.reporting._analysis.runway import FULL
from capacity.reporting._html.formatting import AMOUNT, NAMES, PRINT, long_table
from capacity.reporting._html.html import Column, Html, join
from capacity.reporting._render.files import DAYS_REMAINING
from capacity.reporting.weekly._days_left import WITHIN_DAYS, say_days

if TYPE_CHECKING:
    from capacity.reporting.weekly._days_left import DaysLeft
    from capacity.reporting.weekly._review import WeeklyReview

__all__ = ["days_remaining"]


def days_remaining(week: WeeklyReview) -> Html:
    """Hosts, then services whose limit may be reached within a quarter, the soonest first."""
    if not week.days_left:
        return Html("<p>Four weeks of samples are needed to say how many days remain.</p>")
    hosts = [row for row in week.days_left if row.host]
    threatened = [row for row in week.days_left if not row.host and np.isfinite(row.soonest)]
    others = sum(not row.host for row in week.days_left) - len(threatened)
    parts = [
        long_table(
            f"Hosts, until their weekly peaks are at {FULL:.0%} of their size",
            _columns("Host"),
            [_cells(row) for row in hosts],
            file=DAYS_REMAINING,
        )
        if hosts
        else Html("<p>No host metrics over four weeks.</p>"),
        long_table(
            "Services, until their weekly peaks, or the upper band of the forecast, are at the "
            "limit in force",
            _columns("Service"),
            [_cells(row) for row in threatened],
            file=DAYS_REMAINING,
        )
        if threatened
        else Html(""),
        join([f"{others} other limits are not reached within {WITHIN_DAYS} days."], "p", "more"),
    ]
    return join(parts)


def _columns(first: str) -> list[Column]:
    return [
        Column(first),
        Column("Resource"),
        Column("Bound", number=True, unit=AMOUNT),
        Column(
            "Days left",
            number=True,
            unit="days",
            help="In one course out of twenty, or by the upper band of the forecast, it is full "
            "by then: what to plan for. Within the forecast's horizon the chance to pass the limit "
            "decides, beyond it lines through the weekly peaks",
        ),
        Column(
            "Interval",
            number=True,
            unit="days",
            help="Nine courses out of ten: from the days left to what nineteen out of twenty do "
            "not outlast; courses are lines that the past weeks could as well have come from",
        ),
    ]


def _cells(row: DaysLeft) -> tuple[str, ...]:
    return (
        row.name,
        NAMES[row.resource],
        PRINT[row.resource](row.bound),
        say_days(row.soonest),
        f"{say_days(row.soonest)} to {say_days(row.latest)}"
        if np.isfinite(row.soonest)
        else f"> {WITHIN_DAYS}",
    )
