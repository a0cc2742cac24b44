"""An archive that others can write to: pipes, devices, links, locks, records and leftovers."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import chdir, suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.errors import InputError, Locked, StorageError
from capacity.history._archive import archive as _archive
from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal

DAY = date(2026, 3, 2)
KEY = ("src", Signal.CPU, "up", 300, DAY)
RECORD = SourceRecord("src", "http://x", "prometheus", 60, {"cpu": "up"})


def stored() -> StoredDay:
    """A day of one service."""
    return StoredDay(SeriesBlock(["a/b"], ["h"], [1], np.ones((1, 288))), True, ())


def archive_in(folder: Path) -> tuple[Archive, Path]:
    """An archive with one day, and the day's file."""
    archive = Archive(folder)
    archive.record(RECORD)
    archive.write(*KEY, stored())
    (file,) = folder.rglob("*.parquet")
    return archive, file


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
@pytest.mark.timeout(20)
def test_a_day_that_is_no_file_is_set_aside(tmp_path: Path, kind: str) -> None:
    """It neither hangs nor ends in a traceback, and the day can be written again."""
    archive, file = archive_in(tmp_path)
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made, chdir(file.parent):
            made.bind(file.name)
    assert archive.read(*KEY) is None
    assert [*file.parent.glob("*.damaged")]
    archive.write(*KEY, stored())
    assert archive.read(*KEY) is not None


@pytest.mark.parametrize("name", [".lock", "source.json"])
@pytest.mark.timeout(20)
def test_a_pipe_for_a_lock_or_a_record_does_not_hang(tmp_path: Path, name: str) -> None:
    """Neither does one that nobody writes to."""
    archive, _ = archive_in(tmp_path)
    (tmp_path / "src" / name).unlink()
    os.mkfifo(tmp_path / "src" / name)
    archive.record(RECORD)
    assert archive.source("src") == RECORD


def test_who_holds_a_lock_is_said_and_waiting_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A word after a second, and an error with the holder's name in the end; what it wrote there is
    shown, not obeyed.
    """
    monkeypatch.setattr(_archive, "_LONGEST_WAIT", 1.3)
    archive, _ = archive_in(tmp_path)
    with (tmp_path / "src" / ".lock").open("w") as handle:
        handle.write("process 7 on moon\x1b[2K")
        handle.flush()
        fcntl.flock(handle, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(Locked, match=r"process 7 on moon\\x1b"):
            archive.record(RECORD)
        assert time.monotonic() - began < 5
    assert "waiting for" in caplog.text
    archive.record(RECORD)


def test_leftovers_beside_final_days_are_swept(tmp_path: Path) -> None:
    """Also where no day of that signal is written any more; fresh ones and other files stay."""
    archive, file = archive_in(tmp_path)
    names = {".2020-01-01.parquet.aa.tmp": 7200, ".2020-01-02.parquet.bb.tmp": 10, "x.tmp": 7200}
    for name, age in names.items():
        (file.parent / name).write_bytes(b"half")
        os.utime(file.parent / name, (time.time() - age,) * 2)
    archive.record(RECORD)
    assert sorted(path.name for path in file.parent.iterdir() if path != file) == [
        ".2020-01-02.parquet.bb.tmp",
        "x.tmp",
    ]


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "a/\0"])
def test_a_path_that_is_none_is_a_storage_error(tmp_path: Path, path: str) -> None:
    """A NUL or too long a name is no traceback."""
    archive = Archive(tmp_path / path)
    for act in (
        lambda: archive.record(RECORD),
        lambda: archive.write(*KEY, stored()),
        lambda: archive.read(*KEY),
    ):
        with suppress(StorageError):
            assert act() is None


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({"a": 1})


@given(
    st.dictionaries(
        st.sampled_from(["format", "name", "url", "kind", "scrape_interval", "queries", "more"]),
        VALUES | st.just("../../x") | st.just("src") | st.just({"cpu": "up"}),
    )
)
def test_any_record_is_read_or_counts_as_none(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]
) -> None:
    """A record never leads to another folder than its own, and its fields are what they must be."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "src").mkdir()
    (folder / "src" / "source.json").write_text(json.dumps(fields))
    archive = Archive(folder)
    found = archive.source("src")
    assert found is None or (found.name == "src" and isinstance(found.queries, dict))
    try:
        assert archive.find("src").name == "src"
    except InputError:
        assert found is None
