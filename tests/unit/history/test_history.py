"""`capacity.history._history`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from capacity.history import History
from capacity.history._history import usage_frame
from capacity.model import Signal

START = pd.Timestamp("2026-03-02", tz="UTC")
POINTS = 24
rows = arrays(np.float64, (POINTS, 3), elements=st.sampled_from([np.nan, 1.0, 2.0]))


def history(values: np.ndarray, names: list[str], **more: np.ndarray) -> History:
    """A day of hourly memory, and of other signals by name."""
    frames = {
        Signal(name): usage_frame(data, names, int(START.timestamp()), 3600)
        for name, data in more.items()
    }
    frames[Signal.MEMORY] = usage_frame(values, names, int(START.timestamp()), 3600)
    return History(frames, START, START + pd.Timedelta("1D"), pd.Timedelta("1h"), "test")


@given(rows)
def test_quality_is_what_counting_by_hand_gives(values: np.ndarray) -> None:
    """Coverage, life, first, last and the longest gap inside it, of each service."""
    quality = history(values, ["a", "b", "c"]).coverage()
    for name, column in zip("abc", values.T, strict=True):
        known = np.flatnonzero(~np.isnan(column))
        row = quality.loc[name]
        assert row["coverage"] == len(known) / POINTS
        if not len(known):
            assert pd.isna(row["first"])
            assert pd.isna(row["last"])
            continue
        assert row["first"] == START + pd.Timedelta(hours=int(known[0]))
        assert row["last"] == START + pd.Timedelta(hours=int(known[-1]))
        assert row["alive"] == len(known) / (known[-1] - known[0] + 1)
        assert row["longest_gap"] == pd.Timedelta(hours=int(np.diff(known).max(initial=1)) - 1)


@given(rows, rows)
def test_a_limit_counts_when_it_was_seen_shortly_before_the_last_sample(
    usage: np.ndarray, limits: np.ndarray
) -> None:
    """What was lifted earlier or set after the service's end is not in force."""
    found = history(usage, ["a", "b", "c"], memory_limit=limits).limits("memory")
    for name, used, limit in zip("abc", usage.T, limits.T, strict=True):
        known = np.flatnonzero(~np.isnan(used))
        last = known[-1] if len(known) else -99
        recent = [
            value for value in limit[max(last - 2, 0) : max(last + 1, 0)] if not np.isnan(value)
        ]
        assert found[name] == recent[-1] if recent else np.isnan(found[name])


def test_a_signal_without_samples_is_a_frame_without_columns() -> None:
    """Callers need not ask whether it is there; hourly signals have an hourly grid."""
    made = history(np.ones((POINTS, 1)), ["a"])
    assert made["throttled"].shape == (POINTS, 0)
    assert made["oom_kills"].shape == (24, 0)
    assert made.limits("cpu").isna().all()
    with pytest.raises(ValueError, match="nonsense"):
        made["nonsense"]


def test_who_runs_is_told_by_the_newest_sample_of_all() -> None:
    """A fleet that stopped being measured has not stopped running; a service that ended before the
    others has.
    """
    values = np.ones((POINTS, 2))
    values[20:] = np.nan
    values[10:, 1] = np.nan
    assert history(values, ["a", "b"]).running().to_dict() == {"a": True, "b": False}


def test_names_are_escaped_in_html() -> None:
    """A service may be called `<script>`."""
    made = history(np.ones((POINTS, 1)), ["shop/<script>alert(1)</script>"])
    assert "<script>" not in made._repr_html_()


@given(rows, st.integers(0, POINTS * 3 - 1))
def test_the_fingerprint_changes_with_any_sample(values: np.ndarray, at: int) -> None:
    """Equal histories have equal fingerprints, and one other sample gives another."""
    names = ["a", "b", "c"]
    other = values.copy()
    other.flat[at] = 7.0
    assert history(values, names).fingerprint() == history(values.copy(), names).fingerprint()
    assert history(values, names).fingerprint() != history(other, names).fingerprint()


def test_a_first_limit_is_a_change_of_the_limit() -> None:
    """A service that ran without a limit has had its present one since then; while nothing was told
    of any limit, that says nothing.
    """
    usage = np.ones((POINTS, 3))
    limits = np.full((POINTS, 3), np.nan)
    limits[12:, 0] = limits[:, 1] = 2.0
    limits[:12, 2] = 3.0
    found = history(usage, ["a", "b", "c"], memory_limit=limits).limit_since("memory")
    assert found["a"] == START + pd.Timedelta("11h")
    assert found["b"] == START
    limits[:6] = np.nan
    found = history(usage, ["a", "b", "c"], memory_limit=limits).limit_since("memory")
    assert found["b"] == START


@given(st.permutations(["big", "small", "unknown"]))
def test_the_smallest_known_host_counts_in_any_order(hosts: list[str]) -> None:
    """Of a service on several hosts; one of unknown size bounds nothing."""
    sizes = pd.DataFrame({"big": [64.0], "small": [32.0], "unknown": [np.nan]}, index=[START])
    whole = history(np.ones((POINTS, 1)), ["a"])
    frames = {**whole.frames, Signal.HOST_MEMORY_TOTAL: sizes}
    found = replace(whole, frames=frames, hosts={"a": ",".join(hosts)})
    assert found.host_size("memory")["a"] == 32.0
    assert found.host_sizes("memory").to_dict() == {"big": 64.0, "small": 32.0}
