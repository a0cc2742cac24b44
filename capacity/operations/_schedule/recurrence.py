"""Times that come back, in the time of a place: `daily 02:30`, `Mon 06:00`, `1 07:00`,
`quarterly 1 07:30`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from capacity.errors import InputError

__all__ = ["Recurrence", "parse_recurrence", "parse_zone"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_QUARTERS = (1, 4, 7, 10)
_LAST_SAFE_DAY = 28  # every month has it
_LONGEST = 93  # days from one time to the next at most
_FIRST_DAY, _LOOKED_AT = date(2024, 1, 1), 15 * 366  # in which clocks may skip a time
_FORM = re.compile(
    r"(?P<daily>daily)|(?P<weekday>Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
    r"|(?P<quarterly>quarterly )?(?P<day>[0-9]{1,2})"
)


@dataclass(frozen=True)
class Recurrence:
    """When something is due, in local time.

    Attributes:
        at: time of the day.
        weekday: 0 = Monday; None = any.
        day: of the month; None = any.
        months: empty = every one.
    """

    at: time
    weekday: int | None = None
    day: int | None = None
    months: tuple[int, ...] = ()

    def before(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The last time up to and with a moment, UTC."""
        today = moment.astimezone(zone).date() + timedelta(days=1)
        for back in range(_LONGEST + 2):
            day = today - timedelta(days=back)
            if self._falls_on(day) and (found := self._on(day, zone)) <= moment:
                return found
        raise AssertionError(f"{self} never comes")  # every form comes within a quarter

    def after(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The first time after a moment, UTC."""
        today = moment.astimezone(zone).date() - timedelta(days=1)
        for ahead in range(_LONGEST + 2):
            day = today + timedelta(days=ahead)
            if self._falls_on(day) and (found := self._on(day, zone)) > moment:
                return found
        raise AssertionError(f"{self} never comes")  # every form comes within a quarter

    def on_calendar(self, zone: ZoneInfo) -> list[str]:
        """As systemd's `OnCalendar=` lines have it; a time that the clocks skip on some day, which
        systemd passes over, has a second one: when it comes on that day.
        """
        found = {self.at: None} | dict.fromkeys(self._moved(zone))
        return [self._line(at, zone) for at in found]

    def _line(self, at: time, zone: ZoneInfo) -> str:
        week = f"{_DAYS[self.weekday]} " if self.weekday is not None else ""
        month = ",".join(f"{month:02d}" for month in self.months) or "*"
        day = f"{self.day:02d}" if self.day is not None else "*"
        return f"{week}*-{month}-{day} {at:%H:%M}:00 {zone.key}"

    def _moved(self, zone: ZoneInfo) -> list[time]:
        """Local times at which it comes on days whose clocks skip its own."""
        days = [_FIRST_DAY + timedelta(days=many) for many in range(_LOOKED_AT)]
        comes = {self._on(day, zone).astimezone(zone).time() for day in days if self._falls_on(day)}
        return sorted(comes - {self.at})

    def _falls_on(self, day: date) -> bool:
        return (
            (self.weekday is None or day.weekday() == self.weekday)
            and (self.day is None or day.day == self.day)
            and (not self.months or day.month in self.months)
        )

    def _on(self, day: date, zone: ZoneInfo) -> datetime:
        """The moment on a day; one that the clocks skip comes an hour later."""
        return datetime.combine(day, self.at, zone).astimezone(UTC)


def parse_recurrence(text: str) -> Recurrence:
    """A recurrence from its text.

    Raises:
        InputError: it is none.
    """
    head, _, clock = text.strip().rpartition(" ")
    found = _FORM.fullmatch(head)
    try:
        at = datetime.strptime(clock, "%H:%M").time()  # noqa: DTZ007 - a time of the day
    except ValueError:
        found = None
    day = int(found["day"]) if found and found["day"] else None
    if found is None or (day is not None and not 1 <= day <= _LAST_SAFE_DAY):
        raise InputError(
            f"{text!r} is no time that comes back",
            "Write it as `daily 02:30`, `Mon 06:00`, `1 07:00` (a day of the month up to 28) or "
            "`quarterly 1 07:30`",
        )
    weekday = _DAYS.index(found["weekday"]) if found["weekday"] else None
    return Recurrence(at, weekday, day, _QUARTERS if found["quarterly"] else ())


def parse_zone(name: str) -> ZoneInfo:
    """A time zone by its name, such as `Europe/Berlin`.

    Raises:
        InputError: this machine knows none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(
            f"{name!r} is no time zone that this machine knows",
            "Write it as Europe/Berlin or UTC; the package tzdata brings them",
        ) from error
