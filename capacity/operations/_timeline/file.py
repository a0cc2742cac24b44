"""The timeline as a file that people edit."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from capacity._common.files import read_bounded, write_text
from capacity.errors import ComposeError, InputError
from capacity.operations._timeline.timeline import Deadline, ItemState, TimelineItem

_MOST_EVENTS = 1_000_000  # of YAML: 38,000 items, more than a fleet ever has
__all__ = ["read_timeline", "write_timeline"]


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


def read_timeline(file: Path) -> list[TimelineItem]:
    """The items of a file; none where there is no file yet.

    Raises:
        InputError: it is no timeline; the message names the item.
    """
    from capacity._compose.yaml.written_out import read_written_out

    try:
        if not file.exists():
            return []
        said = read_written_out(read_bounded(file).decode(), str(file), _MOST_EVENTS)
        found = [_read(number, entry) for number, entry in enumerate(_entries(said), start=1)]
    except (OSError, UnicodeDecodeError, ComposeError, ValueError) as error:
        raise InputError(
            f"{file} is no timeline: {_cause(error)}", "Correct it, or move it away to begin anew"
        ) from error
    counts = Counter(item.id for item in found)
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice:
        raise InputError(f"{file}: the item {twice} stands twice", "Remove one of them")
    return found


def _cause(error: Exception) -> str:
    """What is wrong with a file, in words for who wrote it."""
    from capacity._compose.yaml.events import Origin

    if isinstance(error, ComposeError):
        place = f"{error.origin}: "
        line = f"line {error.origin.line}: " if isinstance(error.origin, Origin) else ""
        return line + str(error.message).removeprefix(place)
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not written in UTF-8"
    return " ".join(str(error).split())


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
    """Replace the file whole, or leave it as it was; its folder is made.

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
    write_text(file, _HEADER + text.getvalue())


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
