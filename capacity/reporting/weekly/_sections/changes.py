"""The section of what has changed since the run before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from capacity.model import Resource
from capacity.reporting._html.formatting import (
    NAMES,
    PRINT,
    pairs,
)
from capacity.reporting._html.html import Html, text
from capacity.reporting._runs import ServiceState, proposed

if TYPE_CHECKING:
    from capacity.reporting.weekly._review import WeeklyReview

__all__ = ["changes_since"]


def changes_since(week: WeeklyReview) -> Html:
    """What is different from the last run."""
    if week.previous is None:
        return Html(
            "<p>This is the first run of this source: the next one will be compared with it.</p>"
        )
    then, now = (state.get("services", {}) for state in (week.previous.state, week.state))
    items = [
        ("New services", sorted(set(now) - set(then))),
        ("No longer seen", sorted(set(then) - set(now))),
        (
            "Stopped",
            [
                name
                for name in sorted(set(now) & set(then))
                if then[name].get("running") and not now[name].get("running")
            ],
        ),
        ("Limits changed", _limit_changes(then, now)),
        ("Proposals closed", _proposals(then, now)),
        ("New proposals", _proposals(now, then)),
    ]
    return Html(
        f"<p>Since {text(week.previous.facts.get('name', ''))} "
        f"({week.previous.as_of:%d %b %Y}):</p>"
        f'<dl class="facts">{pairs([(name, _few(names)) for name, names in items])}</dl>'
    )


def _limit_changes(then: Mapping[str, ServiceState], now: Mapping[str, ServiceState]) -> list[str]:
    found = []
    for service in sorted(set(then) & set(now)):
        for resource in Resource:
            before, after = (proposed(each[service], resource)[0] for each in (then, now))
            if before != after:
                show = PRINT[resource]
                old, new = (
                    show(value) if value is not None else "unlimited" for value in (before, after)
                )
                found.append(f"{service} {NAMES[resource]} {old} → {new}")
    return found


def _proposals(here: Mapping[str, ServiceState], there: Mapping[str, ServiceState]) -> list[str]:
    """Proposals that stand in one state and not in the other."""
    return [
        f"{service} {NAMES[resource]}"
        for service in sorted(here)
        for resource in Resource
        if proposed(here[service], resource)[1] is not None
        and proposed(there.get(service, {}), resource)[1] is None
    ]


def _few(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
