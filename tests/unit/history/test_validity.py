"""Impossible samples are dropped and counted, possible ones stay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.units import MIB
from capacity.history._history import History
from capacity.history._validity import DropReason, drop_impossible, dropped_notes
from capacity.model import Resource, Signal

START = pd.Timestamp("2026-11-01", tz="UTC")
HOURS = 48
GIB = 1024.0 * MIB
INDEX = pd.date_range(START, periods=HOURS, freq="1h")
CORES, MEMORY = 8.0, 16.0 * GIB
HOSTS = {"shop/web": "alpha", "shop/db": "alpha", "shop/far": "elsewhere"}
IMPOSSIBLE = {
    Signal.CPU: {
        -0.1: DropReason.NEGATIVE,
        np.inf: DropReason.NOT_FINITE,
        9.0: DropReason.ABOVE_HOST,
        1.7e9 / 300: DropReason.ABOVE_HOST,
    },
    Signal.MEMORY: {
        -1.0: DropReason.NEGATIVE,
        np.inf: DropReason.NOT_FINITE,
        0.0: DropReason.ZERO_MEMORY,
        20.0 * GIB: DropReason.ABOVE_HOST,
        2.0**63 - 1: DropReason.ABOVE_HOST,
    },
}


CASES = [(signal, value) for signal, found in IMPOSSIBLE.items() for value in found]


def frame(level: float, columns: list[str]) -> pd.DataFrame:
    """A steady frame."""
    return pd.DataFrame(level, index=INDEX, columns=pd.Index(columns, dtype=object))


def fleet() -> dict[Signal, pd.DataFrame]:
    """Three services, one on a host of unknown size."""
    return {
        Signal.CPU: frame(0.5, list(HOSTS)),
        Signal.MEMORY: frame(1.0 * GIB, list(HOSTS)),
        Signal.HOST_CORES: frame(CORES, ["alpha"]),
        Signal.HOST_MEMORY_TOTAL: frame(MEMORY, ["alpha"]),
    }


def test_a_possible_fleet_stays_as_it_is() -> None:
    """Nothing is dropped, and no frame is copied."""
    frames = fleet()
    kept, dropped = drop_impossible(frames, HOSTS)
    assert dropped == ()
    assert all(kept[signal] is frames[signal] for signal in frames)
    assert dropped_notes(dropped) == ()


@given(
    case=st.sampled_from(
        [(signal, value) for signal in IMPOSSIBLE for value in IMPOSSIBLE[signal]]
    ),
    rows=st.sets(st.integers(0, HOURS - 1), min_size=1, max_size=10),
    service=st.sampled_from(["shop/web", "shop/db"]),
)
def test_impossible_samples_become_gaps_of_that_service_alone(
    case: tuple[Signal, float], rows: set[int], service: str
) -> None:
    """Each is counted once with its reason, and every other sample is as before."""
    signal, value = case
    frames = fleet()
    times = INDEX[sorted(rows)]
    frames[signal].loc[times, service] = value
    kept, dropped = drop_impossible(frames, HOSTS)
    assert [(entry.signal, entry.name, entry.reason, entry.count) for entry in dropped] == [
        (signal, service, IMPOSSIBLE[signal][value], len(rows))
    ]
    expected = fleet()[signal]
    expected.loc[times, service] = np.nan
    pd.testing.assert_frame_equal(kept[signal], expected)
    (note,) = dropped_notes(dropped)
    assert f"{service} ({len(rows)})" in note


@pytest.mark.parametrize(("signal", "value"), [(Signal.CPU, 5000.0), (Signal.MEMORY, 2.0**62)])
def test_where_the_host_is_unknown_no_host_has_so_much(signal: Signal, value: float) -> None:
    """The bound is what no machine has; what a large one has stays."""
    frames = fleet()
    frames[signal].loc[INDEX[3], "shop/far"] = value
    frames[signal].loc[INDEX[4], "shop/far"] = 100.0
    kept, dropped = drop_impossible(frames, HOSTS)
    assert [entry.count for entry in dropped] == [1]
    assert kept[signal]["shop/far"].isna().tolist().index(True) == 3
    assert kept[signal].loc[INDEX[4], "shop/far"] == 100.0


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("value", [-1e18, -1.0, np.inf, 1e18])
def test_no_signal_keeps_a_sample_that_cannot_be(signal: Signal, value: float) -> None:
    """A share, a count, a size or a limit beyond all bounds is a gap, and what is beside it stays;
    an absurd limit is how some exporters spell unlimited, so it is counted nowhere.
    """
    good = frame(0.5, ["shop/web", "shop/db"])
    bad = good.copy()
    bad.iloc[7, 0] = value
    kept, dropped = drop_impossible({signal: bad}, HOSTS)
    pd.testing.assert_frame_equal(kept[signal], bad.where(bad == 0.5))
    limits = {resource.limit for resource in Resource}
    counted = [] if signal in limits else [("shop/web", 1)]
    assert [(entry.name, entry.count) for entry in dropped] == counted


def test_cache_may_be_the_hosts_memory_twice() -> None:
    """The most of its active part and of its inactive one may be the same pages in turn."""
    cache = frame(1.9 * MEMORY, ["shop/web"])
    cache.iloc[5, 0] = 2.3 * MEMORY
    sizes = fleet()[Signal.HOST_MEMORY_TOTAL]
    frames = {Signal.MEMORY_CACHE: cache, Signal.HOST_MEMORY_TOTAL: sizes}
    kept, dropped = drop_impossible(frames, HOSTS)
    assert kept[Signal.MEMORY_CACHE]["shop/web"].isna().sum() == 1
    assert [entry.count for entry in dropped] == [1]


def test_only_impossible_use_counts_against_a_service() -> None:
    """A share that cannot be is told, and says nothing of CPU and memory."""
    frames = {**fleet(), Signal.THROTTLED: frame(7.0, ["shop/web"])}
    kept, dropped = drop_impossible(frames, HOSTS)
    seen = History(kept, START, INDEX[-1], pd.Timedelta("1h"), "test", hosts=HOSTS, dropped=dropped)
    assert [(entry.signal, entry.count) for entry in dropped] == [(Signal.THROTTLED, HOURS)]
    assert seen.coverage()["dropped"].sum() == 0


def test_rates_may_be_a_bit_off() -> None:
    """They are extrapolated to the ends of their window: a core is idle for 101 % of the time."""
    busy = frame(0.5, ["alpha/0"])
    busy.iloc[3, 0], busy.iloc[4, 0] = -0.01, 1.02
    kept, dropped = drop_impossible({Signal.CORE_BUSY: busy}, {})
    assert kept[Signal.CORE_BUSY].equals(busy)
    assert dropped == ()


def test_a_size_of_a_host_that_cannot_be_is_not_believed() -> None:
    """A sentinel in place of the memory of a host does not let a service's sentinel pass."""
    frames = fleet()
    frames[Signal.HOST_MEMORY_TOTAL].iloc[5, 0] = 2.0**63 - 1
    frames[Signal.MEMORY].iloc[5, 0] = 2.0**63 - 1
    _, dropped = drop_impossible(frames, HOSTS)
    assert {entry.signal for entry in dropped} == {Signal.HOST_MEMORY_TOTAL, Signal.MEMORY}


def test_memory_that_is_always_zero_is_no_data() -> None:
    """The column goes, and the service stays by its CPU with the limit that is known."""
    frames = fleet()
    frames[Signal.MEMORY]["shop/web"] = 0.0
    frames[Signal.MEMORY_LIMIT] = frame(2.0 * GIB, ["shop/web"])
    kept, dropped = drop_impossible(frames, HOSTS)
    seen = History(kept, START, INDEX[-1], pd.Timedelta("1h"), "test", dropped=dropped)
    assert "shop/web" not in seen.memory
    assert "shop/web" in seen.services
    assert seen.limits(Resource.MEMORY)["shop/web"] == 2.0 * GIB
    assert seen.coverage().loc["shop/web", "dropped"] == HOURS


def test_a_limit_of_the_whole_host_is_no_limit() -> None:
    """Compared with what the host had at that time; a smaller one stays."""
    frames = fleet()
    frames[Signal.HOST_MEMORY_TOTAL].iloc[HOURS // 2 :, 0] = MEMORY / 2
    limits = frame(np.nan, ["shop/web", "shop/db"])
    limits["shop/web"] = frames[Signal.HOST_MEMORY_TOTAL]["alpha"]
    limits["shop/db"] = MEMORY / 4
    kept, _ = drop_impossible({**frames, Signal.MEMORY_LIMIT: limits}, HOSTS)
    assert kept[Signal.MEMORY_LIMIT]["shop/web"].isna().all()
    assert (kept[Signal.MEMORY_LIMIT]["shop/db"] == MEMORY / 4).all()


def test_a_fleet_without_any_limit_is_read() -> None:
    """A source that measures limits where no container has one gives a frame without columns."""
    frames = {**fleet(), Signal.MEMORY_LIMIT: frame(np.nan, [])}
    kept, _ = drop_impossible(frames, HOSTS)
    assert kept[Signal.MEMORY_LIMIT].shape == (HOURS, 0)
    assert set(kept) == set(frames)


def test_a_host_that_shrank_counts_as_it_is_now() -> None:
    """Use before is possible as long as the host was larger; the ceiling is its last size."""
    frames = fleet()
    frames[Signal.HOST_MEMORY_TOTAL].iloc[HOURS // 2 :, 0] = MEMORY / 4
    frames[Signal.MEMORY].iloc[: HOURS // 2, 0] = MEMORY / 2
    kept, dropped = drop_impossible(frames, HOSTS)
    assert dropped == ()
    seen = History(kept, START, INDEX[-1], pd.Timedelta("1h"), "test", hosts=HOSTS)
    assert seen.host_size(Resource.MEMORY)["shop/web"] == MEMORY / 4
