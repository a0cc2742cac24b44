"""The month's decisions by owner: an agenda, room for who and when, and the list for a tracker."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from capacity._common.text.escape import csv_cell, markdown
from capacity.model import Reason, Resource
from capacity.reporting._analysis.owners import NO_OWNER
from capacity.reporting._html.formatting import COUNTED, NAMES, table_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from capacity.reporting._analysis.owners import Owners

__all__ = [
    "TITLES",
    "Item",
    "as_csv",
    "as_markdown",
    "by_owner",
    "to_decide",
]

TITLES = {"decide": "Decide", "raise": "Raise or set", "lower": "Lower"}
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


def to_decide(columns: Mapping[str, pd.DataFrame], owners: Owners) -> list[Item]:
    """Everything on the month's list, by owner; what needs thought before what is in the plan."""
    found = [
        _item(kind, service, resource, row, owners.of(service))
        for kind in TITLES
        for service, resource, row in table_rows(columns[kind])
    ]
    order = list(TITLES.values())
    return sorted(
        found,
        key=lambda item: (
            item.owner == NO_OWNER,
            item.owner,
            order.index(item.kind),
            item.service,
            item.resource,
        ),
    )


def _item(kind: str, service: str, resource: Resource, row: Any, owner: str) -> Item:
    show = COUNTED[resource]
    return Item(
        id=f"{service}:{resource}",
        owner=owner,
        kind=TITLES[kind],
        service=service,
        resource=NAMES[resource],
        now=show(row["current"]) if math.isfinite(row["current"]) else "none",
        proposed=show(row["limit"]) if math.isfinite(row["limit"]) else "no proposal",
        why=Reason(row["reason"]).text,
    )


def as_markdown(items: Iterable[Item]) -> str:
    """A list of tasks for a tracker, by owner; the same items give the same text."""
    lines = ["# Decisions", ""]
    for owner, mine in by_owner(list(items)):
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


def by_owner(items: list[Item]) -> Iterable[tuple[str, Iterable[Item]]]:
    return groupby(items, lambda item: item.owner)
