"""The strip at the top of the weekly page: risk, waste, days left, score, changes, next review."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from capacity._common.text.counting import counted
from capacity._common.text.units import count_cores, format_memory
from capacity.model import Action, Resource
from capacity.reporting._analysis.runway import FULL
from capacity.reporting._html.formatting import NAMES
from capacity.reporting._html.html import Html, join
from capacity.reporting._runs import proposed
from capacity.reporting.weekly._days_left import say_days

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capacity.reporting.weekly._review import WeeklyReview

__all__ = ["freed", "summary"]

_UPPER = 0.95
_PERIOD = pd.Timedelta("7D")


def summary(week: WeeklyReview) -> Html:
    """One tile a question, each with its answer and what it counts."""
    tiles = [
        _risk(week),
        _waste(week),
        _left(week),
        _score(week),
        _changed(week),
        ("Next review", f"{week.history.end + _PERIOD:%a %d %b %Y}", "a week after this one"),
    ]
    return join(
        (
            join([join([name], "dt"), join([value], "dd"), join([note], "dd", "note")], "div")
            for name, value, note in tiles
        ),
        "dl",
        "strip",
    )


def freed(rows: pd.DataFrame, resource: Resource, replicas: Mapping[str, int]) -> float:
    """What lower limits free, of all replicas; cores or bytes."""
    part = (rows["current"] - rows["limit"])[rows["resource"] == str(resource)]
    return float(sum(less * replicas.get(str(service), 1) for service, less in part.items()))


def _risk(week: WeeklyReview) -> tuple[str, str, str]:
    urgent = sum(decision.level == "bad" for decision in week.decisions)
    return (
        "Risk",
        (
            f"{urgent} of {counted(len(week.decisions), 'decision')} urgent, "
            f"{counted(len(week.risks), 'limit')} in reach"
        ),
        f"of {sum(week.unthreatened.values()) + len(week.risks)} limits in force",
    )


def _waste(week: WeeklyReview) -> tuple[str, str, str]:
    rows = week.proposals(Action.LOWER)
    cores, size = (freed(rows, resource, week.history.replicas) for resource in Resource)
    return ("Waste", f"{count_cores(cores)}, {format_memory(size)}", "that lower limits would free")


def _left(week: WeeklyReview) -> tuple[str, str, str]:
    hosts = [row for row in week.days_left if row.host]
    if not hosts:
        return ("Days left", "-", "no host metrics over four weeks")
    first = hosts[0]
    what = f"until {first.name} may be {FULL:.0%} full ({NAMES[first.resource]})"
    return ("Days left", say_days(first.soonest), what)


def _score(week: WeeklyReview) -> tuple[str, str, str]:
    held = [
        f"{NAMES[resource]} {card.coverage[_UPPER]:.0%}"
        for resource, card in week.scorecards.items()
        if card.samples and _UPPER in card.coverage
    ]
    note = f"of the last forecast's samples under its {_UPPER:.0%} line"
    return ("Forecast score", ", ".join(held) or "-", note)


def _changed(week: WeeklyReview) -> tuple[str, str, str]:
    if week.previous is None:
        return ("Changed", "-", "nothing to compare with yet")
    then, now = (state.get("services", {}) for state in (week.previous.state, week.state))
    both = set(then) & set(now)
    limits = sum(
        proposed(then[name], resource)[0] != proposed(now[name], resource)[0]
        for name in both
        for resource in Resource
    )
    came = len(set(now) - set(then))
    return (
        "Changed",
        f"{counted(limits, 'limit')}, {counted(came, 'new service')}",
        f"since {week.previous.folder.name}",
    )
