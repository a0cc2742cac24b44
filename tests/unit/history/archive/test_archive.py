"""`capacity.history._archive.archive` and `capacity.history._archive.parquet`, on real disks:
full, read-only, damaged, shared, interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.errors import InputError, StorageError
from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.parquet import read_block, write_block
from capacity.history._archive.records import SourceRecord
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal
from tests.fixtures.running.servers import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = date(2026, 3, 4)
QUERY = "rate(x[5m])"
KEY: tuple[str, Signal, str, int, date] = ("source", Signal.CPU, QUERY, 300, DAY)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def block(seed: int = 0, names: int = 5) -> SeriesBlock:
    """Some rows of random numbers with gaps."""
    values = np.random.default_rng(seed).random((names, 288))
    values[values < 0.1] = np.nan
    return SeriesBlock(
        [f"shop/service{index}" for index in range(names)], ["dock1"] * names, [1] * names, values
    )


def stored(seed: int = 0, *, final: bool = True) -> StoredDay:
    """A day to write."""
    return StoredDay(block(seed), final, ("slow store",))


def same(stored_day: StoredDay | None, other: StoredDay) -> bool:
    """Whether both days hold the same, to the bit."""
    return (
        stored_day is not None
        and (stored_day.final, stored_day.warnings, stored_day.block.names)
        == (other.final, other.warnings, other.block.names)
        and stored_day.block.values.tobytes() == other.block.values.tobytes()
    )


def only_file(archive: Archive) -> Path:
    """The one Parquet file in the archive."""
    (file,) = archive.path.rglob("*.parquet")
    return file


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of its own at `folder`."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@given(
    st.lists(st.tuples(st.text(), st.text(), st.integers(0, 99)), unique_by=lambda row: row[0]),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_a_day_reads_back_to_the_bit(
    tmp_path: Path, rows: list[tuple[str, str, int]], seed: int, final: bool
) -> None:
    """Any names, any values, NaN and warnings included."""
    bits = np.random.default_rng(seed).integers(0, 2**63, (len(rows), 288)).view(np.float64)
    names, hosts, replicas = ([row[index] for row in rows] for index in range(3))
    day = StoredDay(SeriesBlock(names, hosts, replicas, bits), final, ("w",))  # type: ignore[arg-type]  # hypothesis draws the right shape
    archive = Archive(tmp_path)
    archive.write(*KEY, day)
    assert same(archive.read(*KEY), day)


@given(st.data())
def test_a_damaged_file_is_set_aside_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    """Flipped bits anywhere, footer included, and a cut at any place never give other values."""
    archive = Archive(tmp_path)
    archive.write(*KEY, stored())
    file = only_file(archive)
    content = bytearray(file.read_bytes())
    if data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    file.write_bytes(content)
    found = archive.read(*KEY)
    if found is None:
        assert not file.exists()
        assert file.with_name(file.name + ".damaged").exists()
    else:
        assert same(found, stored())


def test_a_file_of_another_day_is_damaged(tmp_path: Path) -> None:
    """A file that somebody copied over another is not taken for it."""
    archive = Archive(tmp_path)
    archive.write(*KEY, stored())
    file = only_file(archive)
    file.rename(file.with_name("2026-03-05.parquet"))
    assert archive.read(*KEY[:4], date(2026, 3, 5)) is None


def test_an_error_of_the_disk_is_not_taken_for_damage(tmp_path: Path) -> None:
    """Too many open files must not set good history aside."""
    archive = Archive(tmp_path)
    archive.write(*KEY, stored())
    code = f"""
        import resource
        from datetime import date
        from pathlib import Path
        import pyarrow.parquet
        from capacity.errors import StorageError
        from capacity.history._archive.archive import Archive
        from capacity.model import Signal
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            archive = Archive(Path({str(tmp_path)!r}))
            archive.read("source", Signal.CPU, {QUERY!r}, 300, date(2026, 3, 4))
        except StorageError as error:
            print(error)
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert "Too many open files" in done.stdout
    assert same(archive.read(*KEY), stored())


@needs_root
def test_a_full_disk_keeps_what_was_finished(tmp_path: Path) -> None:
    """One clear error, no temporary file, and the days before are good."""
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=200k", "tmpfs") as folder:
        archive = Archive(folder)
        written = []

        def fill() -> None:
            for number in range(1, 32):
                archive.write(
                    *KEY[:4],
                    date(2026, 3, number),
                    StoredDay(block(number, 40), final=True, warnings=()),
                )
                written.append(number)

        with pytest.raises(StorageError, match="No space left on device") as caught:
            fill()
        assert "Free some space" in caught.value.hint
        assert written
        assert not list(folder.rglob("*.tmp"))
        for number in written:
            assert same(
                archive.read(*KEY[:4], date(2026, 3, number)),
                StoredDay(block(number, 40), final=True, warnings=()),
            )


@needs_root
def test_a_read_only_archive_is_readable_and_says_why_it_cannot_be_written(tmp_path: Path) -> None:
    """Reading works from a read-only file system; writing names the cause and the next step."""
    writable = Archive(tmp_path / "there")
    writable.write(*KEY, stored())
    writable.record(SourceRecord("source", "http://x", "prometheus", 15, {}))
    with mounted(tmp_path / "there", "--bind", str(tmp_path / "there")) as folder:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        archive = Archive(folder)
        assert same(archive.read(*KEY), stored())
        for write in (
            lambda: archive.write(*KEY, stored(1)),
            lambda: archive.record(SourceRecord("source", "http://x", "prometheus", 30, {})),
        ):
            with pytest.raises(StorageError, match="Read-only file system"):
                write()


def test_a_folder_under_a_file_is_one_clear_error(tmp_path: Path) -> None:
    """A path that cannot be a folder fails alike for reading and for writing."""
    (tmp_path / "file").write_text("")
    archive = Archive(tmp_path / "file" / "archive")
    with pytest.raises(StorageError, match="Not a directory"):
        archive.write(*KEY, stored())
    with pytest.raises(StorageError, match="Not a directory"):
        archive.read(*KEY)


def test_two_processes_at_once_leave_whole_files(tmp_path: Path) -> None:
    """Writers and readers of the same days in several processes never see half a file or an
    error.
    """
    code = """
        import sys
        from pathlib import Path
        from tests.unit.history.archive.test_archive import KEY, Archive, SourceRecord, same, stored
        archive, seed = Archive(Path(sys.argv[1])), int(sys.argv[2])
        for turn in range(40):
            archive.write(*KEY, stored(seed))
            found = archive.read(*KEY)
            assert any(same(found, stored(other)) for other in (1, 2))
            queries = {f"{seed}-{turn}": "q"}
            archive.record(SourceRecord("source", "http://x", "prometheus", 15, queries))
        """
    command: Command = [sys.executable, "-c", textwrap.dedent(code), tmp_path]
    processes = [subprocess.Popen([*command, str(seed)], stderr=subprocess.PIPE) for seed in (1, 2)]
    assert [process.communicate()[1] for process in processes] == [b"", b""]
    record = Archive(tmp_path).source("source")
    assert record is not None
    assert len(record.queries) == 80  # neither lost what the other recorded


def test_a_write_interrupted_at_any_moment_leaves_the_old_day_or_the_new(tmp_path: Path) -> None:
    """SIGINT at random moments: every file is whole, no temporary file stays, the process ends at
    once.
    """
    code = """
        import itertools, sys
        from pathlib import Path
        from tests.unit.history.archive.test_archive import KEY, Archive, stored
        archive = Archive(Path(sys.argv[1]))
        archive.write(*KEY, stored(0))
        print("ready", flush=True)
        for seed in itertools.count(1):
            archive.write(*KEY, stored(seed % 3))
        """
    dice = random.Random(7)
    for _ in range(4):
        command: Command = [sys.executable, "-c", textwrap.dedent(code), tmp_path]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(dice.uniform(0, 0.1))
            _interrupt(process)
        found = Archive(tmp_path).read(*KEY)
        assert any(same(found, stored(seed)) for seed in range(3))
        assert not list(tmp_path.rglob("*.tmp"))


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C as people press it: again after a second, since Python drops one that arrives while it
    tears an object down.
    """
    try:
        for _ in range(10):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
                return
        pytest.fail("it did not end")
    finally:
        process.kill()


def test_what_a_killed_writer_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    """A kill -9 leaves a temporary file; an hour later the next write of the same day takes it
    away, a fresh one stays.
    """
    archive = Archive(tmp_path)
    archive.write(*KEY, stored(0))
    (day,) = tmp_path.rglob("*.parquet")
    old, fresh = (day.with_name(f".{day.name}.{name}.tmp") for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    archive.write(*KEY, stored(1))
    assert (old.exists(), fresh.exists()) == (False, True)


def test_sources_are_found_by_name_and_address(tmp_path: Path) -> None:
    """One source needs no name; several do; the message lists them and never shows a password."""
    archive = Archive(tmp_path)
    with pytest.raises(InputError, match="holds nothing"):
        archive.find(None)
    first = archive.record(SourceRecord("one", "http://one:9090", "prometheus", 15, {"cpu": "q"}))
    assert (
        archive.find(None)
        == archive.find("one")
        == archive.find("http://me:secret@one:9090/")
        == first
    )
    archive.record(SourceRecord("two", "http://two:9090", "prometheus", 15, {}))
    with pytest.raises(InputError, match="holds one, two"):
        archive.find(None)
    with pytest.raises(InputError) as caught:
        archive.find("http://me:secret@three:9090")
    assert "secret" not in str(caught.value)


def test_an_unreadable_record_counts_as_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged source.json is said and replaced, not fatal."""
    archive = Archive(tmp_path)
    record = archive.record(SourceRecord("one", "http://one", "prometheus", 15, {"cpu": "q"}))
    (tmp_path / "one" / "source.json").write_text('{"format": 1, "na')
    assert archive.sources() == []
    assert "unreadable" in caplog.text
    assert archive.record(dataclasses.replace(record, queries={"memory": "m"})).queries == {
        "memory": "m"
    }


def key(day: date) -> tuple[str, Signal, str, int, date]:
    """Of another day."""
    return (*KEY[:4], day)


def daily(archive: Archive) -> pd.DataFrame:
    """Peaks of all days of March."""
    source, which, query, step, _ = KEY
    return archive.daily_peaks(
        source, which, query, step, start=date(2026, 3, 1), end=date(2026, 4, 1)
    )


def expected(days: dict[date, StoredDay]) -> pd.DataFrame:
    """The same, from the days themselves."""
    rows = {
        pd.Timestamp(day, tz="UTC"): dict(
            zip(each.block.names, np.nanmax(each.block.values, axis=1), strict=True)
        )
        for day, each in sorted(days.items())
    }
    return pd.DataFrame.from_dict(rows, orient="index")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 31), st.integers(0, 1000), st.booleans()), min_size=1, max_size=12
    )
)
def test_peaks_of_days_follow_what_is_written(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]]
) -> None:
    """Whatever days are written, again or for the first time, and whenever they are asked for."""
    archive = Archive(tmp_path_factory.mktemp("archive"))
    days: dict[date, StoredDay] = {}
    for number, seed, asked in steps:
        day = date(2026, 3, number)
        days[day] = StoredDay(block(seed, 1 + seed % 7), True, ())
        archive.write(*key(day), days[day])
        if asked:
            pd.testing.assert_frame_equal(
                daily(archive).sort_index(axis=1),
                expected(days).sort_index(axis=1),
                check_freq=False,
                check_index_type=False,
            )
    assert daily(archive).max().max() == expected(days).max().max()


@pytest.mark.parametrize("damage", [b"", b"PAR1 and no more", os.urandom(4000)])
def test_a_damaged_summary_of_peaks_is_made_again(tmp_path: Path, damage: bytes) -> None:
    """It is a shortcut, not the truth."""
    archive = Archive(tmp_path)
    archive.write(*KEY, stored(3))
    before = daily(archive)
    summary = next(tmp_path.glob("*/*/peaks.parquet"))
    summary.write_bytes(damage)
    pd.testing.assert_frame_equal(daily(archive), before)
    assert summary.read_bytes() != damage
    assert archive.days(*KEY[:4]) == [DAY.isoformat()]


@pytest.mark.parametrize("statistics", [["name"], False])
@given(
    count=st.integers(1, 40),
    together=st.integers(1, 15),
    chosen=st.sets(st.integers(0, 45)),
)
def test_some_rows_are_those_of_the_whole_file(
    tmp_path: Path, count: int, together: int, chosen: set[int], statistics: bool | list[str]
) -> None:
    """Whatever rows lie together, and in files of earlier versions, which do not tell names."""
    import pyarrow.parquet as pq

    names = [f"shop/s{number:02d}" for number in range(count)]
    values = np.arange(count * 3, dtype=np.float64).reshape(count, 3)
    path, repacked = tmp_path / "day.parquet", tmp_path / "again.parquet"
    write_block(path, SeriesBlock(names, ["here"] * count, [1] * count, values), {"day": "x"})
    table = pq.read_table(path)
    pq.write_table(table, repacked, row_group_size=together, write_statistics=statistics)
    only = frozenset(f"shop/s{number:02d}" for number in chosen)
    found, meta = read_block(repacked, only)
    kept = [name in only for name in names]
    assert found.names == [name for name in names if name in only]
    assert np.array_equal(found.values, values[kept])
    assert meta == {"day": "x"}
