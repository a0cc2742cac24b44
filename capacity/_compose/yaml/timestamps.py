"""Dates and times without quotes, which go-yaml takes for times and Compose then prints as Go
does.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

__all__ = ["Timestamp", "timestamp"]

_FORM = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:(?P<sign>[Tt ])(\d{1,2}):(\d{1,2}):(\d{1,2})(?:[.,](?P<part>\d{1,9}))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)


class Timestamp(str):
    """A time as Go prints it, `2024-01-01 00:00:00 +0000 UTC`; no text to Compose."""

    __slots__ = ()


def timestamp(text: str) -> Timestamp | None:
    """The time that go-yaml reads in a scalar without quotes, None where it reads none."""
    found = _FORM.fullmatch(text)
    if found is None or not _is_zoned_rightly(found["sign"], found["zone"]):
        return None
    year, month, day, _, *times, part, zone = found.groups()
    clock = [int(number or 0) for number in times]
    try:
        when = datetime(
            int(year), int(month), int(day), clock[0], clock[1], clock[2], tzinfo=_zone(zone)
        )
    except ValueError:
        return None
    fraction = f".{part}".rstrip("0").rstrip(".") if part else ""
    offset = when.strftime("%z")
    name = "UTC" if offset == "+0000" else offset
    second = when.isoformat(sep=" ", timespec="seconds")[:19]
    return Timestamp(f"{second}{fraction} {offset} {name}")


def _is_zoned_rightly(sign: str | None, zone: str | None) -> bool:
    """Behind a T a zone must stand, behind a space none may."""
    return sign is None or (zone is None) == (sign == " ")


def _zone(text: str | None) -> timezone:
    if text in {None, "Z"}:
        return UTC
    assert text is not None
    hours, minutes = text[1:].split(":")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if text[0] == "-" else offset)
