"""Leases on numbered slots that die with their holder: one lock file a slot, held by the kernel for
whoever opened it.
"""

from __future__ import annotations

import fcntl
import os
import random
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from capacity.errors import (
    CapacityError,
    EngineUnreachable,
    InputError,
    PoolBusy,
    PoolUnhealthy,
    StorageError,
)

__all__ = [
    "exclusive",
    "is_private_folder",
    "lease",
    "leased",
    "make_private_folder",
    "member",
    "note",
    "noted",
    "retire",
]

_PAUSE = 0.01  # seconds before what somebody else has is tried again
# seconds before one that could not be made ready is tried again; twice that after each failure
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_OURS = 0o700
_LONGEST = 128  # bytes of a note: a container's id


def is_private_folder(folder: Path) -> bool:
    """Whether a folder is a real one that nobody else can write or read: in a place for all,
    another user may have made it.
    """
    try:
        found = folder.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and stat.S_IMODE(found.st_mode) == _OURS
    )


def make_private_folder(folder: Path, hint: str) -> None:
    """Make a folder for ourselves alone, or see that it is one.

    Args:
        folder: where.
        hint: what to do where it cannot be used.

    Raises:
        StorageError: it cannot be made, or it is somebody else's.
    """
    try:
        folder.mkdir(mode=_OURS, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot make the folder {folder}: {error.strerror}", hint) from error
    if not is_private_folder(folder):
        raise StorageError(f"{folder} is no folder that only you own and can use (mode 0700)", hint)


@contextmanager
def member(users: Path) -> Iterator[int]:
    """Be one of those who use a pool, whose `retire` removes the folder of the file: it is made
    again where that has happened.

    Yields the open file that all of them hold.

    Raises:
        StorageError: the folder cannot be written.
    """
    handle = _joined(users)
    try:
        yield handle
    finally:
        os.close(handle)


def _joined(users: Path) -> int:
    while True:
        try:
            users.parent.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(users, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # removed between these two
            continue
        except OSError as error:
            if isinstance(error, FileExistsError) and (
                users.parent.is_dir() or not os.path.lexists(users.parent)
            ):
                continue  # there when it was to be made, and removed before that was looked at
            raise StorageError(
                f"Cannot use the lock {users}: {error.strerror}", "Let this user write there"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
        except BaseException:
            os.close(handle)
            raise
        if _is_at(users, handle):
            return handle
        os.close(handle)  # the file was unlinked while we waited: its lock excludes nobody any more


def _is_at(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def retire(
    users: Path, work: Callable[[], bool | None] | None = None, *, patience: float = 0.0
) -> bool:
    """Remove the folder of a pool's locks where nobody uses the pool; whether nobody did.

    It is safe since all who lease are members first: with the members' lock held alone there is no
    holder of a slot's lock, and whoever waits for the members' lock meanwhile sees that its file is
    gone, and begins anew.

    Args:
        users: the members' lock.
        work: done first, with the pool to ourselves; where it answers False the folder stays.
        patience: seconds to try again while somebody seems to use it: a process that was killed
            keeps its locks for a moment.
    """
    end = time.monotonic() + patience
    try:
        handle = os.open(users, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        while not _alone(handle):
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)
        if not _is_at(users, handle):
            return False
        if work is not None and work() is False:
            return True
        with suppress(OSError):  # a file of somebody else is no harm: the folder stays then
            for lock in users.parent.glob("*.lock"):
                if lock != users:
                    lock.unlink()
            users.unlink()
            users.parent.rmdir()
    finally:
        os.close(handle)
    return True


def _alone(handle: int) -> bool:
    """Take the lock of an open file for ourselves alone; whether nobody else has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def exclusive(file: Path, *, wait: bool = True) -> Iterator[int | None]:
    """Hold a lock file alone; yields its open descriptor, or None where somebody else has it and
    `wait` is off.

    A lock belongs to the open file: threads exclude each other, and the kernel frees it when its
    process dies, however it dies.
    """
    handle = _locked(file, wait=wait)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def _locked(file: Path, *, wait: bool) -> int | None:
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"Cannot use the lock {file}: {error.strerror}", "Let this user write there"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            here = _is_at(file, handle)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        if here:
            return handle
        os.close(handle)  # somebody who clears old files away took it before we had its lock


def noted(handle: int) -> str:
    """What the holder of a lock, or one before it, wrote into its file."""
    return os.pread(handle, _LONGEST, 0).decode("ascii", "replace")


def note(handle: int, text: str) -> None:
    """Leave a word for the next holder of a lock; on a full disk there is none."""
    os.ftruncate(handle, 0)
    with suppress(OSError):  # no word is the careful answer: whoever reads it asks the Engine
        os.pwrite(handle, text.encode("ascii"), 0)


@contextmanager
def lease(
    folder: Path, slots: int, timeout: float, use: Callable[[int, int], None]
) -> Iterator[int]:
    """The number of a slot that nobody else has until the block ends; one that cannot be made ready
    is passed over for a while.

    Args:
        folder: where the lock files are.
        slots: how many there are.
        timeout: seconds to wait for a free one.
        use: makes a slot ready; told its number and the descriptor of its lock, while that is held.

    Raises:
        InputError: an impossible time.
        PoolBusy: none was free in time.
        PoolUnhealthy: those that were free could not be made ready in time; the message has the
            cause.
        EngineUnreachable, StorageError: as `use` raises them: no slot is better than another then.
    """
    if not timeout >= 0:
        raise InputError(
            f"A lease cannot wait {timeout:g} seconds", "Name a number of seconds, 0 or more"
        )
    end, bad = time.monotonic() + timeout, _Bad()
    while True:
        for slot in bad.order(slots):
            with exclusive(folder / f"slot-{slot}.lock", wait=False) as mine:
                if mine is not None and bad.ready(slot, mine, use):
                    yield slot
                    return
        if time.monotonic() >= end:
            raise bad.error(slots, timeout)
        time.sleep(_PAUSE)


class _Bad:
    """The slots that could not be made ready, and when each is worth another try."""

    def __init__(self) -> None:
        self._again: dict[int, tuple[float, float]] = {}  # slot -> when, and the pause before it
        self._last: CapacityError | None = None

    def order(self, slots: int) -> list[int]:
        """The slots to try now, in any order: or all would fight for the first."""
        now = time.monotonic()
        found = [
            slot for slot in range(slots) if slot not in self._again or self._again[slot][0] <= now
        ]
        random.shuffle(found)
        return found

    def ready(self, slot: int, lock: int, use: Callable[[int, int], None]) -> bool:
        try:
            use(slot, lock)
        except (EngineUnreachable, StorageError):
            raise
        except CapacityError as error:
            pause = (
                min(2 * self._again[slot][1], _LONGEST_PAUSE)
                if slot in self._again
                else _FIRST_PAUSE
            )
            self._again[slot], self._last = (time.monotonic() + pause, pause), error
            return False
        return True

    def error(self, slots: int, timeout: float) -> CapacityError:
        """What to say when the time is over."""
        if self._last is None:
            return PoolBusy(
                f"None of {slots} instances was free within {timeout:g} s",
                "Wait longer, or make the pool larger",
            )
        said = f"None of {slots} instances could be had within {timeout:g} s: {self._last.message}"
        found = PoolUnhealthy(said, self._last.hint or "Fix that, then try again")
        found.__cause__ = self._last
        return found


def leased(folder: Path, slots: int) -> list[bool]:
    """Which slots are held at this moment."""
    found = []
    for slot in range(slots):
        file = folder / f"slot-{slot}.lock"
        if not file.exists():  # nobody ever had it, and looking leaves no file behind
            found.append(False)
            continue
        with exclusive(file, wait=False) as free:
            found.append(free is None)
    return found
