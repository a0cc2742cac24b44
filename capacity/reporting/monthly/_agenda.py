"""The month's decisions by owner: an agenda, room for who and when, and the list for a tracker."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from typing import TYPE_CHECKING, Any

from capacity._common.escape import csv_cell, markdown
from capacity._common.units import count_cores, format_memory
from capacity.model import Reason, Resource
from capacity.reporting._html.formatting import NAMES, long_table, table_rows
from capacity.reporting._html.html import Column, Html, details, join, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from capacity.reporting.monthly._review import MonthlyReview
    from capacity.settings import Settings

__all__ = ["NOBODY", "Item", "agenda", "as_csv", "as_markdown", "owned", "owner_of", "to_decide"]

NOBODY = "nobody named"
_TITLES = {"decide": "Decide", "raise": "Raise or set", "lower": "Lower"}
_HEADS = ("Id", "Owner", "Kind", "Service", "Resource", "Now", "Proposed", "Why", "Who", "When")


@dataclass(frozen=True)
class Item:
    """One thing to decide: `id` stays the same from month to month, amounts are for people."""

    id: str
    owner: str
    kind: str
    service: str
    resource: str
    now: str
    proposed: str
    why: str


def owner_of(service: str, settings: Settings) -> str:
    """Who decides for a service; of several globs that fit the last one that names somebody."""
    named = [
        known.owner
        for glob, known in settings.services.items()
        if known.owner and fnmatchcase(service, glob)
    ]
    return named[-1] if named else NOBODY


def to_decide(columns: Mapping[str, pd.DataFrame], settings: Settings) -> list[Item]:
    """Everything on the month's list, by owner; what needs thought before what is in the plan."""
    found = [
        _item(kind, service, resource, row, owner_of(service, settings))
        for kind in _TITLES
        for service, resource, row in table_rows(columns[kind])
    ]
    order = list(_TITLES.values())
    return sorted(
        found,
        key=lambda item: (
            item.owner == NOBODY,
            item.owner,
            order.index(item.kind),
            item.service,
            item.resource,
        ),
    )


def _item(kind: str, service: str, resource: Resource, row: Any, owner: str) -> Item:
    show = count_cores if resource is Resource.CPU else format_memory
    return Item(
        id=f"{service}:{resource}",
        owner=owner,
        kind=_TITLES[kind],
        service=service,
        resource=NAMES[resource],
        now=show(row["current"]) if math.isfinite(row["current"]) else "none",
        proposed=show(row["limit"]) if math.isfinite(row["limit"]) else "no proposal",
        why=Reason(row["reason"]).text,
    )


def agenda(month: MonthlyReview) -> Html:
    """What to talk about, in the order of the page."""
    items = to_decide(month.columns, month.week.settings)
    open_promises = int((month.promises["state"] == "open").sum())
    undecided = sum(item.kind == _TITLES["decide"] for item in items)
    owners = len({item.owner for item in items} - {NOBODY})
    points = [
        f"Last month: {len(month.promises)} promises, {open_promises} still open",
        f"Decide: {undecided} limits that nobody but their owners can settle",
        f"Agree on the plan: {len(items) - undecided} limits to change, of {owners} named owners",
        "What if: growth, a lost host, a smaller budget",
        "Write down who does what until when: decisions.md and decisions.csv are for your tracker",
    ]
    return join([Html(f"<li>{text(point)}</li>") for point in points], "ol")


def owned(month: MonthlyReview) -> Html:
    """Decisions of each owner, with room for who and when."""
    items = to_decide(month.columns, month.week.settings)
    if not items:
        return Html("<p>Nothing needs a decision.</p>")
    parts = [_of_owner(owner, list(mine)) for owner, mine in _by_owner(items)]
    hint = (
        'Owners are in the settings: [services."shop/*"] owner = "Team Shop".'
        if all(item.owner == NOBODY for item in items)
        else ""
    )
    return join([*parts, *([join([hint], "p", "note")] if hint else [])])


def _by_owner(items: list[Item]) -> Iterable[tuple[str, Iterable[Item]]]:
    return groupby(items, lambda item: item.owner)


def _of_owner(owner: str, items: list[Item]) -> Html:
    cells = [
        (
            item.service,
            item.kind,
            f"{item.resource}: {item.now} → {item.proposed}",
            item.why,
            "________",
            "________",
        )
        for item in items
    ]
    names = ("Service", "Kind", "Limit", "Why", "Who", "When")
    shown = long_table(f"Decisions of {owner}", [Column(name) for name in names], cells)
    return details(f"{owner}: {len(items)} decisions", shown)


def as_markdown(items: Iterable[Item]) -> str:
    """A list of tasks for a tracker, by owner; the same items give the same text."""
    lines = ["# Decisions", ""]
    for owner, mine in _by_owner(list(items)):
        lines += [f"## {markdown(owner)}", ""]
        lines += [
            f"- [ ] {item.kind} {item.resource} of {markdown(item.service)}: {item.now} → "
            f"{item.proposed}. {markdown(item.why)} Who: ____ When: ____"
            for item in mine
        ]
        lines.append("")
    return "\n".join(lines)


def as_csv(items: Iterable[Item]) -> str:
    """One line an item, with empty columns `Who` and `When`."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(_HEADS)
    for item in items:
        cells = (item.id, item.owner, item.kind, item.service, item.resource)
        values = (item.now, item.proposed, item.why)
        writer.writerow([*(csv_cell(cell) for cell in (*cells, *values)), "", ""])
    return written.getvalue()
