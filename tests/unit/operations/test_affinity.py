"""Each core before and after an applied balance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capacity.changes._journal.adjustments import AppliedChange
from capacity.operations._affinity import applied

AT = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)


def made(run: str, at: datetime, what: str = "cpuset", outcome: str = "verified") -> AppliedChange:
    """A change of the journal."""
    rest: dict[str, Any] = {
        "who": "",
        "why": "",
        "before": None,
        "after": "0",
        "reason": "core-balance",
        "detail": "",
        "evidence": {},
    }
    return AppliedChange(
        run=run, time=at, service="a/b", host="h", what=what, outcome=outcome, containers=(), **rest
    )


def busy(first: datetime, hours: int, turn: datetime) -> pd.DataFrame:
    """Two cores by the hour, one busy until a moment, both half after it; a sample speaks of the
    hour before it.
    """
    times = pd.date_range(first, periods=hours, freq="1h")
    late = times > pd.Timestamp(turn)
    return pd.DataFrame(
        {"h/0": np.where(late, 0.5, 0.9), "h/1": np.where(late, 0.5, 0.1)}, index=times
    )


def test_the_hour_of_the_change_is_on_neither_side() -> None:
    """Only whole hours before and after count, as many of each."""
    frame = busy(AT.replace(minute=0) - timedelta(hours=50), 61, AT)
    found = applied(frame, [made("one", AT)])
    assert found is not None
    assert (found.run, found.hours) == ("one", 9)
    assert found.before.to_dict() == pytest.approx({"h/0": 0.9, "h/1": 0.1})
    assert found.after.to_dict() == pytest.approx({"h/0": 0.5, "h/1": 0.5})
    assert (found.imbalance_before, found.imbalance_after) == pytest.approx((0.8, 0.0))


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [made("one", AT, what="memory")],
        [made("one", AT, outcome="rolled back")],
        [made("one", AT, outcome="unfinished")],
    ],
    ids=["none", "memory", "undone", "unfinished"],
)
def test_without_a_standing_change_of_cores_there_is_nothing_to_show(
    changes: list[AppliedChange],
) -> None:
    """Another kind of change, or one that was rolled back."""
    assert applied(busy(AT - timedelta(hours=10), 20, AT), changes) is None


@pytest.mark.parametrize("shift", [-30, 30])
def test_without_samples_of_both_sides_there_is_nothing_to_compare(shift: int) -> None:
    """A change before or after all of the history."""
    assert (
        applied(busy(AT - timedelta(hours=10), 20, AT), [made("one", AT + timedelta(hours=shift))])
        is None
    )
    assert applied(pd.DataFrame(), [made("one", AT)]) is None


def test_the_last_run_counts_from_its_first_to_its_last_change() -> None:
    """An older run is not looked at; a run of three hours is on neither side."""
    runs = [
        made("old", AT - timedelta(hours=20)),
        made("new", AT),
        made("new", AT + timedelta(hours=3), outcome="done"),
    ]
    found = applied(busy(AT - timedelta(hours=400), 800, AT + timedelta(hours=3)), runs)
    assert found is not None
    assert (found.run, found.hours, found.at) == ("new", 168, AT + timedelta(hours=3))
    assert found.after.to_dict() == pytest.approx({"h/0": 0.5, "h/1": 0.5})
