"""A lock on a file excludes others, says whose it is, and ends with its process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from capacity._common.file_lock import file_lock, owner
from capacity.errors import Locked, StorageError

HOLD = """
import sys, time
from pathlib import Path
from capacity._common.file_lock import file_lock
with file_lock(Path(sys.argv[1]), lambda holder: AssertionError(holder)):
    print("held", flush=True)
    time.sleep(60)
"""


def busy(holder: str) -> Locked:
    """An error that says who holds it."""
    return Locked(f"held by {holder}", "Wait")


def test_a_second_one_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """Also within one process; once it is let go, the lock is had again and names nobody."""
    lock = tmp_path / "made" / "lock"
    with (
        file_lock(lock, busy),
        pytest.raises(Locked) as refused,
        file_lock(lock, busy),
    ):
        raise AssertionError("two hold the lock")
    assert owner() in str(refused.value)
    assert lock.read_text() == ""
    with file_lock(lock, busy):
        assert lock.read_text() == owner()


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    """A process that is killed holds nothing, though its name still stands there."""
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Locked, match=rf"process {process.pid}"), file_lock(lock, busy):
            raise AssertionError("two hold the lock")
        process.kill()
    assert f"process {process.pid}" in lock.read_text()
    with file_lock(lock, busy):
        assert f"process {os.getpid()}" in lock.read_text()


def test_waiting_is_rewarded_or_ends(tmp_path: Path) -> None:
    """A lock that is let go in time is had; one that is not is an error after that time."""
    lock, held, ended = tmp_path / "lock", threading.Event(), threading.Event()

    def hold() -> None:
        with file_lock(lock, busy):
            held.set()
            ended.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    began = time.monotonic()
    with pytest.raises(Locked), file_lock(lock, busy, wait=0.2):
        raise AssertionError("two hold the lock")
    assert time.monotonic() - began >= 0.2
    threading.Timer(0.2, ended.set).start()
    with file_lock(lock, busy, wait=30):
        thread.join(30)
        assert lock.read_text() == owner()
    assert not thread.is_alive()


def test_a_pipe_and_a_failure(tmp_path: Path) -> None:
    """A pipe that is held names nobody; a body that fails leaves no name."""
    pipe, lock = tmp_path / "pipe", tmp_path / "lock"
    os.mkfifo(pipe)
    with file_lock(pipe, busy), pytest.raises(Locked, match="held by"), file_lock(pipe, busy):
        raise AssertionError("two hold the lock")
    with pytest.raises(ZeroDivisionError), file_lock(lock, busy):
        raise ZeroDivisionError
    assert lock.read_text() == ""


@pytest.mark.parametrize("anonymous", [True, False])
def test_a_disk_that_takes_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, anonymous: bool
) -> None:
    """The lock is held all the same, unless it must say whose it is."""

    def full() -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("capacity._common.file_lock.owner", full)
    entered = False
    with suppress(StorageError), file_lock(tmp_path / "lock", busy, anonymous=anonymous):
        entered = True
    assert entered is anonymous


@pytest.mark.parametrize("make", [os.mkdir, lambda path: Path(path).symlink_to("/nowhere/at/all")])
def test_what_can_be_no_lock_is_named(tmp_path: Path, make: object) -> None:
    """A folder, or a way into one that is not there."""
    assert callable(make)
    make(str(tmp_path / "lock"))
    with pytest.raises(StorageError, match="lock"), file_lock(tmp_path / "lock", busy):
        raise AssertionError("held")
