"""Times that come back, in the time of a place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.errors import InputError
from capacity.operations._schedule.recurrence import parse_recurrence, parse_zone

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
CLOCKS = st.times().map(lambda at: f"{at:%H:%M}")
HEADS = st.one_of(
    st.just("daily"),
    st.sampled_from(["Mon", "Wed", "Sun"]),
    st.integers(1, 28).map(str),
    st.integers(1, 28).map(lambda day: f"quarterly {day}"),
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)).map(  # noqa: DTZ001 - made UTC below
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0)
)


@given(HEADS, CLOCKS, ZONES, MOMENTS)
def test_the_times_before_and_after_a_moment_are_neighbours(
    head: str, clock: str, zone: str, moment: datetime
) -> None:
    """Nothing is due between them, across changes of the clocks too."""
    when, place = parse_recurrence(f"{head} {clock}"), ZoneInfo(zone)
    before, after = when.before(moment, place), when.after(moment, place)
    assert before <= moment < after
    assert when.after(before, place) == after
    assert when.before(after - timedelta(seconds=1), place) == before


@given(HEADS, CLOCKS, ZONES, MOMENTS)
def test_a_time_is_that_of_the_local_clock(
    head: str, clock: str, zone: str, moment: datetime
) -> None:
    """Except where the clocks skip it: then it comes once, by at most an hour later."""
    when, place = parse_recurrence(f"{head} {clock}"), ZoneInfo(zone)
    local = when.after(moment, place).astimezone(place)
    asked = datetime.combine(local.date(), when.at, place)
    assert (
        timedelta(0)
        <= local.replace(tzinfo=None) - asked.replace(tzinfo=None)
        <= timedelta(hours=1)
    )


@pytest.mark.parametrize(
    ("text", "calendar"),
    [
        ("daily 01:59", ["*-*-* 01:59:00 Europe/Berlin"]),
        ("daily 02:30", ["*-*-* 02:30:00 Europe/Berlin", "*-*-* 03:30:00 Europe/Berlin"]),
        ("Mon 02:30", ["Mon *-*-* 02:30:00 Europe/Berlin"]),
        ("Mon 06:00", ["Mon *-*-* 06:00:00 Europe/Berlin"]),
        ("Sun 02:00", ["Sun *-*-* 02:00:00 Europe/Berlin", "Sun *-*-* 03:00:00 Europe/Berlin"]),
        ("1 07:00", ["*-*-01 07:00:00 Europe/Berlin"]),
        ("quarterly 2 07:30", ["*-01,04,07,10-02 07:30:00 Europe/Berlin"]),
    ],
)
def test_systemd_is_told_the_same(text: str, calendar: list[str]) -> None:
    """And a second time, where the clocks skip the first on some day."""
    assert parse_recurrence(text).on_calendar(parse_zone("Europe/Berlin")) == calendar


@pytest.mark.parametrize(
    "text", ["", "daily", "daily 25:00", "Mo 06:00", "31 07:00", "0 07:00", "1 7", "daily 02:30 x"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """With the forms that there are."""
    with pytest.raises(InputError, match="comes back"):
        parse_recurrence(text)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "", "Europe"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    """Nor does a path lead anywhere."""
    with pytest.raises(InputError, match="no time zone"):
        parse_zone(name)
