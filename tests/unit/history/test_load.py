"""`capacity.history._load`: days of the archive become one frame, without copies of the fleet."""

from __future__ import annotations

import tracemalloc
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._history import History
from capacity.history._load import _assemble, load_history
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal
from capacity.settings import Settings, override

FIRST = date(2026, 11, 2)
START = pd.Timestamp(FIRST, tz="UTC")
HOUR, POINTS = 3600, 24


def day_of(names: list[str], number: int, points: int = POINTS) -> SeriesBlock:
    """A day on which every service has values of its own; one named `never` has none."""
    values = np.arange(len(names) * points, dtype=np.float64).reshape(len(names), points)
    values = (values + 1 + 1000 * number) / 1000
    values[[index for index, name in enumerate(names) if name == "never"]] = np.nan
    return SeriesBlock(names, ["here"] * len(names), [1] * len(names), values)


@given(
    days=st.lists(
        st.lists(st.sampled_from(["never", "b", "a", "z", "m/1", "m/0"]), unique=True).map(sorted),
        min_size=1,
        max_size=5,
    ),
    begin=st.integers(0, 23),
    end=st.integers(1, 24),
)
def test_a_frame_is_its_days_one_after_the_other(
    days: list[list[str]], begin: int, end: int
) -> None:
    """Whatever services come and go: sorted columns, NaN where a day does not have one, no column
    without a sample.
    """
    blocks = [(FIRST + timedelta(days=k), day_of(names, k)) for k, names in enumerate(days)]
    start = START + pd.Timedelta(hours=begin)
    until = START + pd.Timedelta(days=len(days) - 1, hours=max(end, begin + 1))
    frame = _assemble(iter(blocks), HOUR, start, until)
    parts = [
        pd.DataFrame(
            block.values.T,
            index=pd.date_range(day, periods=POINTS, freq="1h", tz="UTC"),
            columns=block.names,
        )
        for day, block in blocks
    ]
    wanted = pd.concat(parts).loc[start : until - pd.Timedelta(seconds=1)]
    wanted = wanted[sorted(wanted.columns)].dropna(axis=1, how="all")
    if frame is None:
        assert not any(days)
        return
    pd.testing.assert_frame_equal(
        frame, wanted, check_freq=False, check_column_type=False, check_index_type=False
    )
    assert frame.index.equals(pd.date_range(start, until, freq="1h", inclusive="left"))


def loaded(folder: Path, services: int, days: int) -> tuple[History, int]:
    """The CPU and memory of a fleet from an archive, and the most bytes that took."""
    archive, names = Archive(folder), [f"shop/{number:04}" for number in range(services)]
    signals = (Signal.CPU, Signal.MEMORY)
    archive.record(SourceRecord("big", "", "import", 60, {str(signal): "q" for signal in signals}))
    for number in range(days):
        block = day_of(names, number, points=288)
        for signal in signals:
            day = FIRST + timedelta(days=number)
            archive.write("big", signal, "q", 300, day, StoredDay(block, True, ()))
    record = archive.source("big")
    assert record is not None
    settings = override(Settings(), "archive__path", folder)
    tracemalloc.start()
    try:
        end = START + pd.Timedelta(days=days)
        history = load_history(archive, [record], settings, start=START, end=end, signals=signals)
        return history, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_fleet_takes_little_more_memory_than_its_samples(tmp_path: Path) -> None:
    """One day at a time is held beside the frames: no second copy of a signal, however many."""
    history, peak = loaded(tmp_path, services=400, days=14)
    samples = sum(frame.to_numpy().nbytes for frame in history.frames.values())
    assert samples == 2 * 400 * 14 * 288 * 8
    assert peak < 1.35 * samples
