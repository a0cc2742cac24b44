"""The remediation timeline: what is to be fixed on day 1, on days 2 and 3 and within the week, by
whom, and how far it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from capacity.compliance import Report, Severity, Status
from capacity.model import Reason, Resource
from capacity.operations._restarts.loops import RestartLoop

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Deadline",
    "ItemState",
    "TimelineItem",
    "evaluated_rules",
    "from_loops",
    "from_recommendations",
    "from_report",
    "item",
    "merge_items",
]


class Deadline(StrEnum):
    """Until when something is to be fixed."""

    DAY_1 = "Day 1"
    DAY_2_3 = "Day 2-3"
    WEEK_1 = "Week 1"


class ItemState(StrEnum):
    """How far it is."""

    OPEN = "open"
    DOING = "doing"
    DONE = "done"


_BY_SEVERITY = {
    Severity.CRITICAL: Deadline.DAY_1,
    Severity.HIGH: Deadline.DAY_2_3,
    Severity.MEDIUM: Deadline.WEEK_1,
    Severity.LOW: Deadline.WEEK_1,
}


_RISKS = {
    Reason.OOM_KILLED: Deadline.DAY_1,
    Reason.BREACH_EXPECTED: Deadline.DAY_2_3,
    Reason.THROTTLED: Deadline.DAY_2_3,
    Reason.LEAK: Deadline.DAY_2_3,
}


@dataclass(frozen=True)
class TimelineItem:
    """One thing to fix.

    Attributes:
        id: the same at every run for the same thing.
        kind: what found it: a rule's id, `restart-loop`, `memory-risk` or `cpu-risk`.
        when: until when.
        subject: `project/service`, a host or a target.
        what: in one line, with the rule or the cause.
        code: of its runbook: a rule's id, a cause or a reason.
        sources: where it was seen last; it is gone once all of them were looked at without it.
            Empty = nobody wrote that down.
        owner: who sees to it; people write that.
        state: how far it is.
        since: the day it was first seen, or returned.
        until: the day it was gone; None while it is there.
        note: what people wrote.
        extra: whatever else people wrote beside it.
    """

    id: str
    kind: str
    when: Deadline
    subject: str
    what: str
    owner: str = ""
    state: ItemState = ItemState.OPEN
    since: date | None = None
    until: date | None = None
    note: str = ""
    extra: Mapping[str, object] | None = None
    code: str = ""
    sources: tuple[str, ...] = ()


def item(
    when: Deadline, subject: str, kind: str, what: str, code: str = "", sources: Iterable[str] = ()
) -> TimelineItem:
    """A thing to fix; `kind` and subject make its id, the text does not: numbers in it change from
    run to run.
    """
    name = hashlib.sha256(f"{kind}\0{subject}".encode()).hexdigest()[:10]
    return TimelineItem(
        name, kind, when, subject, " ".join(what.split()), code=code, sources=tuple(sources)
    )


def from_report(report: Report) -> list[TimelineItem]:
    """The broken rules of a compliance report, one item a rule and subject."""
    found = {
        (finding.rule.id, finding.subject): item(
            _BY_SEVERITY[finding.rule.severity],
            finding.subject,
            finding.rule.id,
            f"{finding.rule.id} {finding.rule.title}: {finding.rule.remediation}",
            finding.rule.id,
        )
        for finding in report.failing()
    }
    return list(found.values())


def evaluated_rules(report: Report) -> set[str]:
    """The rules that could be evaluated; what the others found before is neither there nor gone."""
    return {
        finding.rule.id for finding in report.findings if finding.status is not Status.NOT_EVALUATED
    }


def from_recommendations(table: pd.DataFrame, resource: Resource) -> list[TimelineItem]:
    """The limits that are in danger, from a table of `capacity.sizing.recommend`."""
    found = []
    for service, row in table.iterrows():
        reason = Reason(row["reason"])
        if reason in _RISKS:
            what = (
                f"{str(resource).capitalize()} limit, {reason}: {reason.text} `capacity recommend` "
                "proposes one."
            )
            found.append(item(_RISKS[reason], str(service), f"{resource}-risk", what, str(reason)))
    return found


def from_loops(loops: Iterable[RestartLoop]) -> list[TimelineItem]:
    """Restart loops; they are for day 1."""
    known = list(loops)
    hosts: dict[str, set[str]] = {}
    for loop in known:
        hosts.setdefault(loop.service, set()).add(f"engine {loop.host}")
    found = {
        loop.service: item(
            Deadline.DAY_1,
            loop.service,
            "restart-loop",
            f"{'Cannot start' if loop.cannot_start else 'Restart loop'}, {loop.diagnosis.cause}: "
            f"{loop.advice or 'by hand'}",
            loop.diagnosis.cause,
            sorted(hosts[loop.service]),
        )
        for loop in known
    }
    return list(found.values())


def merge_items(
    kept: Sequence[TimelineItem],
    seen: Iterable[TimelineItem],
    today: date | None = None,
    *,
    looked: Collection[str] | None = None,
    sources: Collection[str] | None = None,
) -> list[TimelineItem]:
    """What was kept, brought up to what is seen now: the new is open, the gone is done, what
    returns is open again.

    Args:
        kept: from `read_timeline`; owners, states and notes of people stay.
        seen: what is there now.
        today: the day that is written down; default today, UTC.
        looked: kinds that were looked for; items of others stay as they are. None = all.
        sources: what was looked at; what was seen elsewhere may be there still. None = everything.
    """
    today = today or datetime.now(UTC).date()
    now = {item.id: item for item in seen}
    found = [
        _updated(item, now.get(item.id), today, sources)
        if looked is None or item.kind in looked or item.id in now
        else item
        for item in kept
    ]
    known = {item.id for item in kept}
    found += [replace(item, since=today) for name, item in now.items() if name not in known]
    order = list(Deadline)
    return sorted(
        found,
        key=lambda item: (
            order.index(item.when),
            item.state is ItemState.DONE,
            item.subject,
            item.what,
            item.id,
        ),
    )


def _updated(
    before: TimelineItem, now: TimelineItem | None, today: date, looked: Collection[str] | None
) -> TimelineItem:
    elsewhere = (
        () if looked is None else tuple(source for source in before.sources if source not in looked)
    )
    if now is None and elsewhere:
        return replace(before, sources=elsewhere)
    if now is None:
        return (
            before
            if before.state is ItemState.DONE and before.until
            else replace(before, state=ItemState.DONE, until=today, sources=())
        )
    seen = tuple(sorted({*elsewhere, *now.sources}))
    current = replace(before, when=now.when, what=now.what, code=now.code, sources=seen)
    if (
        before.until is not None or before.state is ItemState.DONE
    ):  # fixed once, or said to be, and there all the same
        return replace(current, state=ItemState.OPEN, since=today, until=None)
    return current
