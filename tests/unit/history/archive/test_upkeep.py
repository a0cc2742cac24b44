"""`capacity.history._archive.upkeep` on generated archives: with gaps, several queries, damage of
every kind.
"""

from __future__ import annotations

import os
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.errors import InputError, StorageError
from capacity.history import (
    ArchiveStatus,
    DamagedFile,
    archive_status,
    prune_archive,
    verify_archive,
)
from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal
from tests.fixtures.commands import capacity_here

FIRST = date(2026, 3, 1)
QUERY, FORMER = "rate(x[5m])", "rate(x[1m])"
DAYS = st.sets(st.integers(0, 40), min_size=1, max_size=8)


def made(path: Path, days: set[int], *, rows: int = 3, query: str = QUERY) -> Archive:
    """An archive of one source with CPU of those days after the first."""
    archive = Archive(path)
    archive.record(SourceRecord("prod", "http://p", "prometheus", 60, {"cpu": QUERY}))
    for number in days:
        values = np.random.default_rng(number).random((rows, 288))
        names = [f"shop/service{index}" for index in range(rows)]
        block = SeriesBlock(names, ["dock1"] * rows, [1] * rows, values)
        archive.write("prod", Signal.CPU, query, 300, day(number), StoredDay(block, True, ()))
    return archive


def day(number: int) -> date:
    """A day after the first."""
    return FIRST + timedelta(days=number)


def files_of(path: Path) -> list[Path]:
    """Days' files."""
    return sorted(path.rglob("????-??-??.parquet"))


def faults(path: Path) -> list[DamagedFile]:
    """What is damaged."""
    return [fault for fault in verify_archive(path) if fault is not None]


@given(days=DAYS, rows=st.integers(1, 9))
def test_status_counts_what_is_there(
    days: set[int], rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Days stored and missing are all days between the ends, and bytes those of the files."""
    path = tmp_path_factory.mktemp("archive")
    made(path, days, rows=rows)
    (found,) = archive_status(path)
    assert (found.oldest, found.newest) == (day(min(days)), day(max(days)))
    assert found.days == len(days)
    assert {*found.gaps} == {day(number) for number in range(min(days), max(days))} - {
        day(number) for number in days
    }
    assert found.size == sum(file.stat().st_size for file in files_of(path))
    assert (found.services, found.service_days) == (rows, rows * len(days))
    assert found.bytes_per_service_day == found.size / (rows * len(days))
    assert found.current
    assert not found.damaged


def test_a_query_that_is_asked_no_more_stands_apart(tmp_path: Path) -> None:
    """Its days are held, and reports do not read them; labels of an identity change nothing."""
    made(tmp_path, {0, 1})
    made(tmp_path, {2}, query=FORMER)
    made(tmp_path, {3}, query=f'{QUERY} # {{"service": ["app"]}}')
    told = {found.oldest: found.current for found in archive_status(tmp_path)}
    assert told == {day(0): True, day(2): False, day(3): True}


@given(data=st.data())
def test_verify_names_every_damaged_file_and_no_other(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A flipped byte anywhere that changes what is read, a cut, or a file of another place."""
    path = tmp_path_factory.mktemp("archive")
    archive = made(path, {0, 1, 2})
    files = files_of(path)
    hurt = data.draw(st.sampled_from(files))
    content = bytearray(hurt.read_bytes())
    how = data.draw(st.sampled_from(["flip", "cut", "other day", "empty"]))
    if how == "flip":
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    elif how == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    elif how == "other day":
        content[:] = files[(files.index(hurt) + 1) % 3].read_bytes()
    else:
        content.clear()
    hurt.write_bytes(content)
    found = [fault.path for fault in faults(path)]
    assert hurt.exists()  # verify changes nothing
    read_back = archive.read("prod", Signal.CPU, QUERY, 300, date.fromisoformat(hurt.stem))
    assert found == ([hurt] if read_back is None else [])


def test_verify_knows_files_of_other_places(tmp_path: Path) -> None:
    """A day under another query, a pipe, one that was set aside, a lost record, a torn summary."""
    archive = made(tmp_path, {0, 1, 2})
    made(tmp_path, {0}, query=FORMER)
    archive.daily_peaks("prod", Signal.CPU, QUERY, 300, start=day(0), end=day(9))
    assert not faults(tmp_path)
    here = archive._folder("prod", Signal.CPU, QUERY, 300)
    there = archive._folder("prod", Signal.CPU, FORMER, 300)
    shutil.copy(there / f"{day(0)}.parquet", here)
    (here / f"{day(1)}.parquet").unlink()
    os.mkfifo(here / f"{day(1)}.parquet")
    (here / f"{day(2)}.parquet").rename(here / f"{day(2)}.parquet.damaged")
    (here / "peaks.parquet").write_bytes(b"PAR1")
    (tmp_path / "prod" / "source.json").write_text("{")
    assert {fault.path.name for fault in faults(tmp_path)} == {
        "source.json",
        "peaks.parquet",
        f"{day(0)}.parquet",
        f"{day(1)}.parquet",
        f"{day(2)}.parquet.damaged",
    }
    assert sum(found.damaged for found in archive_status(tmp_path)) == 2


@given(days=DAYS, cut=st.integers(-1, 42))
def test_prune_removes_what_is_older_and_nothing_else(
    days: set[int], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A dry run removes nothing and names the same files; what stays reads back, peaks too."""
    path = tmp_path_factory.mktemp("archive")
    archive = made(path, days)
    foreign = files_of(path)[0].with_name("notes.txt")
    foreign.write_text("mine")
    archive.daily_peaks("prod", Signal.CPU, QUERY, 300, start=day(0), end=day(50))
    before = files_of(path)
    shown = prune_archive(path, day(cut))
    assert files_of(path) == before
    done = prune_archive(path, day(cut), dry_run=False)
    assert done == shown
    gone = {file for part in done for file in part.files}
    assert gone == {file for file in before if file.stem < day(cut).isoformat()}
    assert {*files_of(path)} == {*before} - gone
    assert foreign.read_text() == "mine"
    assert not faults(path)
    peaks = archive.daily_peaks("prod", Signal.CPU, QUERY, 300, start=day(0), end=day(50))
    assert [at.date() for at in peaks.index] == sorted(day(each) for each in days if each >= cut)
    assert prune_archive(path, day(cut), dry_run=False) == ()


def test_an_unknown_archive_or_source_is_named(tmp_path: Path) -> None:
    """The message says what there is."""
    made(tmp_path / "here", {0})
    with pytest.raises(InputError, match="no archive"):
        archive_status(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="name too long"):
        archive_status(tmp_path / ("a" * 300))
    with pytest.raises(InputError, match="holds prod"):
        prune_archive(tmp_path / "here", day(9), "dev", dry_run=False)


def test_the_commands_show_verify_and_prune(tmp_path: Path) -> None:
    """Pruning needs --yes, and never takes days of a report's window."""
    made(tmp_path / "archive", {0, 2})

    def run(*words: str) -> tuple[int, str]:
        done = capacity_here("archive", *words, folder=tmp_path)
        return done.returncode, done.stdout + done.stderr

    code, told = run("status")
    assert (code, str(day(1)) in told, "cpu" in told) == (0, True, True)
    assert run("verify") == (0, "3 files read, 0 damaged\n")
    file = files_of(tmp_path)[0]
    file.write_bytes(file.read_bytes()[:-9])
    code, told = run("verify")
    assert (code, file.name in told) == (1, True)
    code, told = run("prune", "--older-than", "3D", "--yes")
    assert (code, "report.window_days" in told, len(files_of(tmp_path))) == (2, True, 2)
    code, told = run("prune", "--older-than", "60D")
    assert (code, "--yes does it" in told, len(files_of(tmp_path))) == (0, True, 2)
    assert run("prune", "--older-than", "60D", "--yes")[0] == 0
    assert not files_of(tmp_path)


def test_nothing_stored_has_no_cost(tmp_path: Path) -> None:
    """A folder of damaged days alone has neither ends nor bytes a service-day."""
    made(tmp_path, {0})
    files_of(tmp_path)[0].write_bytes(b"")
    (found,) = archive_status(tmp_path)
    assert isinstance(found, ArchiveStatus)
    assert (found.days, found.oldest, found.gaps, found.damaged) == (0, None, (), 1)
    assert found.bytes_per_service_day is None
