"""Maintenance windows such as `Mon-Fri 22:00-04:00`, in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["MaintenanceWindow", "parse_maintenance_window"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TEXT = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? )?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)"
)


@dataclass(frozen=True)
class MaintenanceWindow:
    """Days of the week on which it begins (Monday is 0), and minutes of the day, UTC; an earlier
    end is the next day's.
    """

    days: frozenset[int]
    start: int
    end: int

    def is_open(self, now: datetime) -> bool:
        """Whether it is open; a window over midnight belongs to the day it begins on."""
        now = now.astimezone(UTC)
        minute = now.hour * 60 + now.minute
        if self.start < self.end:
            return now.weekday() in self.days and self.start <= minute < self.end
        yesterday = (now - timedelta(days=1)).weekday()
        return (now.weekday() in self.days and minute >= self.start) or (
            yesterday in self.days and minute < self.end
        )


def parse_maintenance_window(text: str) -> MaintenanceWindow:
    """A window from its text; every day where no day is named.

    Raises:
        ValueError: it is none.
    """
    found = _TEXT.fullmatch(text.strip().lower())
    if found is None or {found["first"], found["last"]} - {None, *_DAYS}:
        raise ValueError(f"{text!r} is no window; write it as Mon-Fri 22:00-04:00")
    first = _DAYS.index(found["first"]) if found["first"] else 0
    last = (
        _DAYS.index(found["last"]) if found["last"] else first if found["first"] else len(_DAYS) - 1
    )
    days = frozenset((first + offset) % 7 for offset in range((last - first) % 7 + 1))
    return MaintenanceWindow(days, _minutes(found["start"], text), _minutes(found["end"], text))


def _minutes(moment: str, text: str) -> int:
    hours, minutes = (int(part) for part in moment.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):
        raise ValueError(f"{moment} in {text!r} is no time of day; write it as 22:00-04:00")
    return hours * 60 + minutes
