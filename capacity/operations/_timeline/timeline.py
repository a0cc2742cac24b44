"""The remediation timeline: what is to be fixed on day 1, on days 2 and 3 and within the week, by
whom, and how far it is.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from capacity._common.escape import markdown
from capacity._common.files import read_bounded
from capacity._common.runbooks import runbook_url
from capacity.compliance import Report, Severity, Status
from capacity.errors import InputError, StorageError
from capacity.model import Reason, Resource
from capacity.operations._restarts.loops import RestartLoop

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Deadline",
    "ItemState",
    "TimelineItem",
    "from_loops",
    "from_recommendations",
    "from_report",
    "item",
    "merge_items",
    "read_timeline",
    "to_markdown",
    "with_waivers",
    "write_timeline",
]

_HEADER = """\
# The remediation timeline; `capacity timeline` keeps it.
# Edit owner, state (open, doing, done) and note as you like: they stay.
# What is fixed becomes done by itself, and what returns is open again.
"""
_NEEDED = ("id", "kind", "when", "subject", "what")
_KEYS = (
    "id",
    "kind",
    "when",
    "subject",
    "what",
    "code",
    "from",
    "owner",
    "state",
    "since",
    "until",
    "note",
)


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


def with_waivers(report: Report) -> set[str]:
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


def read_timeline(file: Path) -> list[TimelineItem]:
    """The items of a file; none where there is no file yet.

    Raises:
        InputError: it is no timeline; the message names the item.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if not file.exists():
            return []
        said = YAML(typ="safe").load(read_bounded(file).decode())
        found = [_read(number, entry) for number, entry in enumerate(_entries(said), start=1)]
    except (OSError, UnicodeDecodeError, YAMLError, ValueError, RecursionError) as error:
        raise InputError(
            f"{file} is no timeline: {_cause(error)}", "Correct it, or move it away to begin anew"
        ) from error
    twice = next(
        (item.id for item in found if sum(item.id == other.id for other in found) > 1), None
    )
    if twice:
        raise InputError(f"{file}: the item {twice} stands twice", "Remove one of them")
    return found


def _cause(error: Exception) -> str:
    """What is wrong with a file, in words for who wrote it."""
    from ruamel.yaml.error import MarkedYAMLError

    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1} is no YAML: {error.problem}"
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not written in UTF-8"
    return (
        "it is nested too deep"
        if isinstance(error, RecursionError)
        else " ".join(str(error).split())
    )


def _entries(said: Any) -> list[Any]:
    """The items of a file that was read; an empty file has none."""
    if said is None:
        return []
    found = said.get("items", ()) if isinstance(said, dict) else ()
    if not isinstance(found, list) and found is not None:
        raise ValueError("it has no list `items:` at its top")
    return found or []


def _read(number: int, entry: Any) -> TimelineItem:
    if not isinstance(entry, dict):
        raise ValueError(  # noqa: TRY004 - one kind
            f"item {number} is {entry!r}, not a list of names with values such as `owner: Ada`"
        )
    name = f"item {number}" + (f" ({entry['subject']})" if entry.get("subject") else "")
    missing = next((key for key in _NEEDED if not entry.get(key)), None)
    if missing:
        raise ValueError(f"{name} has no `{missing}`")
    for key, known in (("when", Deadline), ("state", ItemState)):
        if entry.get(key) and str(entry[key]) not in {*known}:
            raise ValueError(f"{name} has `{key}: {entry[key]}`; write {', '.join(known)}")
    return TimelineItem(
        id=str(entry["id"]),
        kind=str(entry["kind"]),
        when=Deadline(entry["when"]),
        subject=str(entry["subject"]),
        what=str(entry["what"]),
        owner=str(entry.get("owner") or ""),
        state=ItemState(entry.get("state") or ItemState.OPEN),
        since=_day(name, "since", entry),
        until=_day(name, "until", entry),
        note=str(entry.get("note") or ""),
        code=str(entry.get("code") or ""),
        sources=_sources(name, entry),
        extra={name: value for name, value in entry.items() if name not in _KEYS} or None,
    )


def _sources(name: str, entry: dict[str, object]) -> tuple[str, ...]:
    said = entry.get("from") or []
    if not isinstance(said, (str, list)):
        raise ValueError(f"{name} has `from: {said}`; write a list, such as [compose shop]")  # noqa: TRY004 - one kind
    return (said,) if isinstance(said, str) else tuple(map(str, said))


def _day(name: str, key: str, entry: dict[str, object]) -> date | None:
    value = entry.get(key)
    if value is None or type(value) is date:
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{name} has `{key}: {value}`; write a day, such as 2026-11-23") from None


def write_timeline(file: Path, items: Iterable[TimelineItem]) -> None:
    """Replace the file whole, or leave it as it was.

    Raises:
        StorageError: it cannot be written.
    """
    from ruamel.yaml import YAML

    text = io.StringIO()
    writer = YAML()
    writer.width = 120
    writer.representer.ignore_aliases = lambda *_: (
        True
    )  # the same day stands in many items, and people read this
    writer.dump({"items": [_plain(item) for item in items]}, text)
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text(_HEADER + text.getvalue(), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        with suppress(OSError):  # on a dead disk nothing can be done
            new.unlink()
        raise StorageError(
            f"Cannot write {file}: {error.strerror}", "Name another file with --file"
        ) from error


def _plain(item: TimelineItem) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": item.id,
        "kind": item.kind,
        "when": str(item.when),
        "subject": item.subject,
        "what": item.what,
        "code": item.code or None,
        "from": list(item.sources) or None,
        "owner": item.owner,
        "state": str(item.state),
        "since": item.since,
        "until": item.until,
        "note": item.note,
    }
    return {name: value for name, value in entry.items() if value is not None} | dict(
        item.extra or {}
    )


def to_markdown(items: Sequence[TimelineItem], runbooks: str | None = None) -> str:
    """The list as people tick it off.

    Args:
        items: from `merge_items`.
        runbooks: address of the runbooks, see `capacity._common.runbooks.runbook_url`.
    """
    done = sum(item.state is ItemState.DONE for item in items)
    lines = ["# Remediation timeline", "", f"{done} of {len(items)} done."]
    for when in Deadline:
        mine = [item for item in items if item.when is when]
        lines += ["", f"## {when}", ""] + ([_line(item, runbooks) for item in mine] or ["Nothing."])
    return "\n".join(lines) + "\n"


def _line(item: TimelineItem, runbooks: str | None) -> str:
    box = "x" if item.state is ItemState.DONE else " "
    said = [
        f"- [{box}] **{markdown(item.subject)}** {markdown(item.what)}",
        f"owner: {markdown(item.owner) or 'nobody'}",
    ]
    said += ["in work"] if item.state is ItemState.DOING else []
    said += [f"done {item.until}"] if item.until else [f"since {item.since}"] if item.since else []
    page = runbook_url(item.code, runbooks) if item.code else None
    return " — ".join(
        [
            *said,
            *([markdown(item.note)] if item.note else []),
            *([f"[runbook]({quote(page, safe=':/#?&=%@,;+~')})"] if page else []),
        ]
    )
