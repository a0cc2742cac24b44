"""Leases on numbered slots that die with their holder: one lock file a slot, held by the kernel for whoever opened it."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from capacity.errors import PoolBusy, StorageError

__all__ = ["exclusive", "lease", "leased", "note", "noted"]

_PAUSE = 0.01  # seconds before all slots are tried again
_LONGEST = 128  # bytes of a note: a container's id


@contextmanager
def exclusive(file: Path, *, wait: bool = True) -> Iterator[int | None]:
    """Hold a lock file alone; yields its open descriptor, or None where somebody else has it and `wait` is off.

    A lock belongs to the open file: threads exclude each other, and the kernel frees it when its process dies, however it dies.
    """
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"Cannot use the lock {file}: {error.strerror}", "Choose another folder for the pool") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        yield handle
    finally:
        os.close(handle)


def noted(handle: int) -> str:
    """What the holder of a lock, or one before it, wrote into its file."""
    return os.pread(handle, _LONGEST, 0).decode("ascii", "replace")


def note(handle: int, text: str) -> None:
    """Leave a word for the next holder of a lock; on a full disk there is none."""
    os.ftruncate(handle, 0)
    with suppress(OSError):  # no word is the careful answer: whoever reads it asks the Engine
        os.pwrite(handle, text.encode("ascii"), 0)


@contextmanager
def lease(folder: Path, slots: int, timeout: float, use: Callable[[int, int], None]) -> Iterator[int]:
    """The number of a slot that nobody else has until the block ends.

    Args:
        folder: where the lock files are.
        slots: how many there are.
        timeout: seconds to wait for a free one.
        use: makes a slot ready; told its number and the descriptor of its lock, while that is held.

    Raises:
        PoolBusy: none was free in time.
    """
    end = time.monotonic() + timeout
    while True:
        order = list(range(slots))
        random.shuffle(order)  # or all would fight for the first
        for slot in order:
            with exclusive(folder / f"slot-{slot}.lock", wait=False) as mine:
                if mine is not None:
                    use(slot, mine)
                    yield slot
                    return
        if time.monotonic() >= end:
            raise PoolBusy(f"None of {slots} instances was free within {timeout:g} s", "Wait longer, or make the pool larger")
        time.sleep(_PAUSE)


def leased(folder: Path, slots: int) -> list[bool]:
    """Which slots are held at this moment."""
    found = []
    for slot in range(slots):
        with exclusive(folder / f"slot-{slot}.lock", wait=False) as free:
            found.append(free is None)
    return found
