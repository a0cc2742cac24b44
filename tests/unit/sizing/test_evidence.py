"""What samples hide: kills and throttling under the limit of the time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capacity.sizing import find_limit_hits, frontier

MIB = float(1 << 20)
INDEX = pd.date_range("2026-11-01", periods=2 * 24 * 12, freq="5min", tz="UTC", unit="s")
HOURS = INDEX[::12]


def frame(index: pd.DatetimeIndex, value: float) -> pd.DataFrame:
    """The same value all the time for one service."""
    return pd.DataFrame({"a/x": np.full(len(index), value)}, index=index)


def test_a_limit_at_or_below_the_one_that_killed_meets_the_same_kills() -> None:
    """Two kills at 256 MiB count against 256 MiB and less, against more or no limit they do not."""
    kills = frame(HOURS, 0.0)
    kills.iloc[[3, 30], 0] = 1.0
    found = find_limit_hits(frame(INDEX, 100 * MIB), frame(HOURS, 256 * MIB), kills=kills)
    assert found.under("a/x", 256 * MIB) == (2.0, 0.0)
    assert found.under("a/x", 100 * MIB) == (2.0, 0.0)
    assert found.under("a/x", 257 * MIB) == (0.0, 0.0)
    assert found.under("a/x", np.nan) == (0.0, 0.0)
    assert found.under("b/y", 100 * MIB) == (0.0, 0.0)
    assert found.under("a/x", 256 * MIB, HOURS[4], HOURS[31]) == (1.0, 0.0)


def test_samples_at_a_memory_limit_and_throttled_periods_are_held() -> None:
    """Six samples at the limit are half an hour; an hour of throttling counts where the CPU limit
    was no higher.
    """
    usage = frame(INDEX, 100 * MIB)
    usage.iloc[10:16, 0] = 255.9 * MIB
    assert find_limit_hits(usage, frame(HOURS, 256 * MIB), kills=frame(HOURS, 0.0)).under(
        "a/x", 256 * MIB
    ) == (0.0, 30.0)
    throttled = frame(HOURS, 0.0)
    throttled.iloc[5, 0] = 0.4
    found = find_limit_hits(frame(INDEX, 0.3), frame(HOURS, 0.5), throttled=throttled)
    assert found.under("a/x", 0.5) == (0.0, 60.0)
    assert found.under("a/x", 0.51) == (0.0, 0.0)


def test_a_limit_that_was_lifted_does_not_linger() -> None:
    """A kill half a day after the limit was lifted was not that limit's; one in a short gap of the
    metric was.
    """
    limits = frame(HOURS, 256 * MIB)
    limits.iloc[10:, 0] = np.nan
    kills = frame(HOURS, 0.0)
    kills.iloc[[11, 22], 0] = 1.0
    assert (
        find_limit_hits(frame(INDEX, 100 * MIB), limits, kills=kills).under("a/x", 256 * MIB)[0]
        == 1.0
    )


@pytest.mark.parametrize("columns", [["a/x"], []])
def test_a_window_without_limits_or_events_has_no_strikes(columns: list[str]) -> None:
    """Neither a service that never had a limit nor a source without these metrics is accused."""
    usage = frame(INDEX, 100 * MIB)
    nothing = pd.DataFrame(index=HOURS, columns=pd.Index(columns, dtype=object), dtype=float)
    assert find_limit_hits(usage, nothing, kills=nothing).rows.empty
    assert find_limit_hits(usage, nothing, throttled=nothing).rows.empty


def test_changes_are_counted_from_the_tolerance_on() -> None:
    """A raise of 4 % and a cut of 14 % of the limit in force change nothing, a raise of 6 % does;
    steps add up until they do.
    """
    times = pd.date_range("2026-11-01", periods=5, freq="7D", tz="UTC", unit="s")
    usage = frame(pd.date_range("2026-10-01", "2026-12-10", freq="1h", tz="UTC", unit="s"), 50.0)

    def churn(limits: list[float], **more: float) -> float:
        rows = pd.DataFrame(
            {"policy": "capacity", "risk": 0.02, "time": times, "service": "a/x", "limit": limits}
        )
        rows = rows.assign(breached=False, breach_minutes=0.0, slack=0.5)
        return float(frontier(rows, usage, **more)["changes"].iloc[0])

    assert churn([100.0, 104.0, 100.0, 86.0, 100.0]) == 0.0
    assert churn([100.0, 106.0, 106.0, 106.0, 106.0]) == 0.25
    assert churn([100.0, 96.0, 92.0, 88.0, 84.0]) == 0.25
    assert churn([100.0, 104.0, 100.0, 86.0, 100.0], tolerance=0.0) == 1.0


def test_a_large_fleet_is_told_as_each_service_alone() -> None:
    """Kills, minutes at the limit and throttling of 300 services, looked at together."""
    rng = np.random.default_rng(5)
    names = [f"a/{number}" for number in range(300)]
    usage = pd.DataFrame(rng.choice([50.0, 99.5], (48, 300)) * MIB, HOURS, names)
    limits = pd.DataFrame(100 * MIB, HOURS, names)
    rare = pd.DataFrame(rng.random((48, 300)) < 0.2, HOURS, names).astype(float)
    for events in ({"kills": rare}, {"throttled": rare}):
        whole = find_limit_hits(usage, limits, **events)
        for name in names[::37]:
            alone = {kind: frame[[name]] for kind, frame in events.items()}
            each = find_limit_hits(usage[[name]], limits[[name]], **alone)
            assert whole.under(name, 90 * MIB) == each.under(name, 90 * MIB) != (0.0, 0.0)
