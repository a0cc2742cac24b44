"""Each core before and after an applied balance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._docker.containers import Inventory
from capacity.changes._journal.adjustments import AppliedChange
from capacity.operations._affinity import applied, balance
from capacity.sizing import TYPES
from tests.fixtures.fleets.containers import HOST, container

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


LOADS = st.lists(st.floats(0, 1.5), min_size=4, max_size=12)
SHARES = st.lists(st.floats(0, 1), min_size=HOST.cores, max_size=HOST.cores)


def cores_busy(shares: list[float]) -> pd.DataFrame:
    """Two hours of the host's cores."""
    times = pd.date_range("2026-11-20", periods=2, freq="1h", tz="UTC")
    names = [f"machine/{core}" for core in range(len(shares))]
    return pd.DataFrame([shares, shares], times, names)


def running(loads: list[float]) -> tuple[Inventory, pd.Series[float]]:
    """A database, a gateway, and services of no special kind, with their load in cores."""
    names = ["postgres", "kong", *(f"web{number}" for number in range(len(loads) - 2))]
    containers = tuple(container(name, "shop") for name in names)
    return Inventory((HOST,), containers), pd.Series(loads, [f"shop/{name}" for name in names])


@given(LOADS, SHARES)
def test_no_change_without_a_gain(loads: list[float], shares: list[float]) -> None:
    """Services get other cores only where the cores are then used more evenly than now."""
    inventory, load = running(loads)
    (found,) = balance(inventory, load, TYPES, busy=cores_busy(shares))
    assert found.measured_imbalance is not None
    if found.changes:
        assert found.worthwhile
        assert found.measured_imbalance > found.placement.imbalance
    if max(shares) - min(shares) < 0.01 and min(shares) > 0.2:
        assert not found.changes
    apart = balance(inventory, load, TYPES, ranges={"standard": "0-1"}, busy=cores_busy(shares))
    assert apart[0].worthwhile


def test_even_cores_stay_as_they_are() -> None:
    """Busy and even is nothing to change; one core that does it all is."""
    inventory, load = running([0.8, 0.8, *[0.8 / 3] * 6])
    (even,) = balance(inventory, load, TYPES, busy=cores_busy([0.8, 0.8, 0.7, 0.8]))
    (uneven,) = balance(inventory, load, TYPES, busy=cores_busy([0.95, 0.1, 0.1, 0.1]))
    assert (even.changes, even.worthwhile) == ((), False)
    assert len(uneven.changes) == 8


def test_a_core_that_was_not_measured_hides_no_imbalance() -> None:
    """The others tell how uneven the cores are."""
    inventory, load = running([0.8, 0.8, *[0.8 / 3] * 6])
    busy_cores = cores_busy([0.95, 0.1, 0.1, float("nan")])
    (found,) = balance(inventory, load, TYPES, busy=busy_cores)
    assert len(found.changes) == 8
