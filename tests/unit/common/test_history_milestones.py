"""What a history that has just begun is enough for."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from capacity._common.history_milestones import history_milestones

DAY = 86_400
BEGUN = 1_795_903_500.0  # 2026-11-28 22:05 UTC


def test_every_milestone_has_its_moment() -> None:
    """After four minutes nothing is there yet; the first whole step opens the reports."""
    assert history_milestones(BEGUN, BEGUN + 240, 300, 28) == (
        "Samples begin at 2026-11-28 22:05 UTC: reports from 2026-11-28 22:10 UTC on, forecasts "
        "and limits from 2026-11-29 22:10 UTC on, all 28 days from 2026-12-26 22:10 UTC on"
    )


@given(
    st.floats(1e9, 4e9),
    st.floats(0, 60 * DAY),
    st.sampled_from([15, 60, 300, 3600]),
    st.integers(7, 60),
)
def test_what_is_reached_is_no_longer_promised(
    first: float, age: float, step: int, window: int
) -> None:
    """Promises only get fewer with time, none lies in the past, and the last ends the text."""
    told = history_milestones(first, first + age, step, window)
    later = history_milestones(first, first + age + DAY, step, window)
    assert len(re.findall(" on", later)) <= len(re.findall(" on", told))
    assert ("reports" in told) <= (age <= 2 * step)
    assert ("limits" in told) <= (age <= DAY + 2 * step)
    assert history_milestones(first, first + window * DAY + 2 * step, step, window) == ""
