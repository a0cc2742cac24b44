"""Maintenance windows: when plans may be applied, such as `Mon-Fri 22:00-04:00` in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from capacity.errors import ChangeRefused, SettingsError

__all__ = ["check_window"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? )?(?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


def check_window(windows: Iterable[str], now: datetime) -> None:
    """Refuse when there are windows and none is open.

    Raises:
        ChangeRefused: outside all of them.
        SettingsError: one cannot be read.
    """
    windows = list(windows)
    if windows and True not in [_open(window, now.astimezone(UTC)) for window in windows]:
        raise ChangeRefused(
            f"No maintenance window is open at {now.astimezone(UTC):%a %H:%M} UTC: {', '.join(windows)}", "Wait for the next one"
        )


def _open(window: str, now: datetime) -> bool:
    found = _WINDOW.fullmatch(window.strip().lower())
    if found is None or {found["first"], found["last"]} - {None, *_DAYS}:
        raise SettingsError(f"apply.windows: {window!r} is no window", "Write it as Mon-Fri 22:00-04:00")
    start, end = (_minutes(found[name], window) for name in ("start", "end"))
    first = _DAYS.index(found["first"]) if found["first"] else 0
    last = _DAYS.index(found["last"]) if found["last"] else first if found["first"] else len(_DAYS) - 1
    days = {(first + offset) % 7 for offset in range((last - first) % 7 + 1)}
    minute = now.hour * 60 + now.minute
    if start < end:
        return now.weekday() in days and start <= minute < end
    yesterday = (now - timedelta(days=1)).weekday()  # a window over midnight belongs to the day it begins on
    return (now.weekday() in days and minute >= start) or (yesterday in days and minute < end)


def _minutes(text: str, window: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    if hours > 24 or minutes > 59 or (hours == 24 and minutes):  # noqa: PLR2004 - a day
        raise SettingsError(f"apply.windows: {text} in {window!r} is no time of day", "Write it as 22:00-04:00")
    return hours * 60 + minutes
