"""When a plan may be applied: in maintenance windows, and until it is no longer valid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from capacity.changes._apply.preflight import (
    check_plan,
)
from capacity.changes._apply.windows import check_window
from capacity.errors import ChangeRefused, SettingsError
from tests.fixtures.running.fleet import plan_of

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("window", "minutes", "is_open"),
    [
        ("Mon 10:00-14:00", 10 * 60 - 1, False),
        ("Mon 10:00-14:00", 10 * 60, True),
        ("Mon 10:00-14:00", 14 * 60 - 1, True),
        ("Mon 10:00-14:00", 14 * 60, False),
        ("Mon 22:00-04:00", 22 * 60 - 1, False),
        ("Mon 22:00-04:00", 22 * 60, True),
        ("Mon 22:00-04:00", 28 * 60 - 1, True),
        ("Mon 22:00-04:00", 28 * 60, False),
        ("Mon 22:00-04:00", 3 * 60, False),  # that night began on Sunday
        ("Mon 10:00-10:00", 11 * 60, True),  # the same minute again is a whole day
        ("Mon 10:00-10:00", 33 * 60, True),
        ("Tue 10:00-11:00", 10 * 60 + 30, False),
        ("Tue 10:00-11:00", 34 * 60 + 30, True),
        ("Sun-Mon 10:00-11:00", 10 * 60 + 30, True),
        ("Sun-Mon 10:00-11:00", 34 * 60 + 30, False),
        ("23:59-24:00", 24 * 60 - 1, True),
        ("10:59-11:00", 10 * 60 + 59, True),
    ],
)
def test_a_window_opens_and_closes_at_its_minute(window: str, minutes: int, is_open: bool) -> None:
    """The first minute is inside, the last is outside, and days are those on which it begins."""
    now = MONDAY + minutes * MINUTE
    if is_open:
        check_window([window], now)
        check_window(["Thu 00:00-00:01", window], now)  # one that is open is enough
        return
    with pytest.raises(ChangeRefused, match="No maintenance window"):
        check_window([window], now)


@pytest.mark.parametrize("window", ["10:00-24:01", "10:00-10:60", "25:00-01:00"])
def test_no_time_of_day_is_no_window(window: str) -> None:
    """24:00 is the last that there is."""
    with pytest.raises(SettingsError, match="no time of day"):
        check_window([window], MONDAY)


def test_without_windows_it_is_always_open() -> None:
    """Nothing to keep to."""
    assert check_window([], MONDAY) is None  # type: ignore[func-returns-value]  # it would raise


def test_a_plan_is_valid_to_its_last_moment() -> None:
    """And not a moment longer."""
    plan = plan_of()
    check_plan(plan, plan.valid_until)
    with pytest.raises(ChangeRefused, match="was valid until"):
        check_plan(plan, plan.valid_until + timedelta(microseconds=1))
