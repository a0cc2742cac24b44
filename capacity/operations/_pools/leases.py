"""Leases on numbered slots that die with their holder: one lock file a slot, held by the kernel for
whoever opened it.

They are `flock` locks and not those of `filelock`: the users of a pool share one lock, which that
library does through SQLite only, and a lock's open file carries a note for its next holder.
"""

from __future__ import annotations

import fcntl
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
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
    "slot_lock",
]

_PAUSE = 0.01  # seconds before what somebody else has is tried again
_MOST_PAUSES = 5  # or those who wait would lose to those who come
_RETRY = 1.0  # seconds before a slot that could not be made ready is tried again
_OURS = 0o700
_LONGEST = 128  # bytes of a note


def is_private_folder(folder: Path) -> bool:
    """Whether a folder is a real one that nobody else can write or read: in a place for all,
    another user may have made it.
    """
    try:
        found = folder.lstat()
    except OSError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return mine and stat.S_IMODE(found.st_mode) == _OURS


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


def _open_locked(file: Path, how: int) -> int | None:
    """An open lock file with its lock taken; None where somebody else has it and `how` does not
    wait.

    A file that was removed while we waited excludes nobody any more, and is made again.
    """
    while True:
        try:
            with suppress(FileExistsError):
                file.parent.mkdir(mode=_OURS)
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and file.parent.parent.is_dir():
                continue  # the folder was removed between the two
            hint = "Let this user write there"
            raise StorageError(f"Cannot use the lock {file}: {error.strerror}", hint) from error
        with ExitStack() as opened:
            opened.callback(os.close, handle)
            try:
                fcntl.flock(handle, how)
            except BlockingIOError:
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(file.stat(), os.fstat(handle)):
                    opened.pop_all()
                    return handle


@contextmanager
def exclusive(file: Path, *, wait: bool = True) -> Iterator[int | None]:
    """Hold a lock file alone; yields its open descriptor, or None where somebody else has it and
    `wait` is off.

    A lock belongs to the open file: threads exclude each other, and the kernel frees it when its
    process dies, however it dies.

    Raises:
        StorageError: the folder cannot be written.
    """
    handle = _open_locked(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def member(users: Path) -> Iterator[int]:
    """Be one of those who use a pool; yields the open file whose lock they share.

    Raises:
        StorageError: the folder cannot be written.
    """
    handle = _open_locked(users, fcntl.LOCK_SH)
    assert handle is not None  # it waits
    try:
        yield handle
    finally:
        os.close(handle)


def retire(
    users: Path, work: Callable[[], bool | None] | None = None, *, patience: float = 0.0
) -> bool:
    """Remove the folder of a pool's locks where nobody uses the pool; whether nobody did.

    All who lease are members first: with the members' lock held alone no slot is held, and whoever
    waits for it meanwhile sees that its file is gone, and begins anew.

    Args:
        users: the members' lock.
        work: done first, with the pool to ourselves; where it answers False the folder stays.
        patience: seconds to try again while somebody seems to use it: a process that was killed
            keeps its locks for a moment.
    """
    end = time.monotonic() + patience
    while users.exists():
        with exclusive(users, wait=False) as alone:
            if alone is not None:
                if work is None or work() is not False:
                    _remove_folder(users)
                return True
        if time.monotonic() >= end:
            break
        time.sleep(_PAUSE)
    return False


def _remove_folder(users: Path) -> None:
    with suppress(OSError):  # with a file of somebody else in it the folder stays
        for lock in users.parent.glob("*.lock"):
            if lock != users:
                lock.unlink()
        users.unlink()  # the last one: from here on others make the folder again
        users.parent.rmdir()


def noted(lock: int) -> str:
    """What the holder of a lock, or one before it, wrote into its file."""
    return os.pread(lock, _LONGEST, 0).decode("ascii", "replace")


def note(lock: int, text: str) -> None:
    """Leave a word for the next holder of a lock; on a full disk there is none."""
    os.ftruncate(lock, 0)
    with suppress(OSError):  # without one the next holder asks the Engine
        os.pwrite(lock, text.encode("ascii"), 0)


def slot_lock(folder: Path, slot: int) -> Path:
    """The lock file of a slot."""
    return folder / f"slot-{slot}.lock"


@contextmanager
def lease(
    folder: Path, slots: int, timeout: float, use: Callable[[int, int], str], waiting: set[int]
) -> Iterator[tuple[int, int, str]]:
    """A slot that nobody else has until the block ends: its number, the descriptor of its lock, and
    what `use` said; one that cannot be made ready is passed over for a second.

    Args:
        folder: where the lock files are.
        slots: how many there are.
        timeout: seconds to wait for a free one.
        use: makes a slot ready; told its number and the descriptor of its lock, while that is held.
        waiting: the threads of this process that wait for a slot; the more there are, the less
            often each looks, or those that have one would get no time to give it back.

    Raises:
        InputError: an impossible time.
        PoolBusy: none was free in time.
        PoolUnhealthy: those that were free could not be made ready in time; the message has the
            cause.
        EngineUnreachable, StorageError: as `use` raises them: no slot is better than another then.
    """
    if not timeout >= 0:
        hint = "Name a number of seconds, 0 or more"
        raise InputError(f"A lease cannot wait {timeout:g} seconds", hint)
    end = time.monotonic() + timeout
    retry: dict[int, float] = {}  # slot -> when it is worth another try
    cause: CapacityError | None = None
    while True:
        now = time.monotonic()
        free = [slot for slot in range(slots) if retry.get(slot, now) <= now]
        random.shuffle(free)  # or all would fight for the first
        for slot in free:
            with exclusive(slot_lock(folder, slot), wait=False) as lock:
                if lock is None:
                    continue
                try:
                    found = use(slot, lock)
                except (EngineUnreachable, StorageError):
                    raise
                except CapacityError as error:
                    retry[slot], cause = time.monotonic() + _RETRY, error
                    continue
                yield slot, lock, found
                return
        if (left := end - time.monotonic()) <= 0:
            raise _none_free(slots, timeout, cause) from cause
        with _counted(waiting) as others:
            time.sleep(min(_PAUSE * min(others, _MOST_PAUSES), left))


@contextmanager
def _counted(waiting: set[int]) -> Iterator[int]:
    """Be among those who wait; yields how many they are."""
    me = threading.get_ident()
    waiting.add(me)
    try:
        yield len(waiting)
    finally:
        waiting.discard(me)


def _none_free(slots: int, timeout: float, cause: CapacityError | None) -> CapacityError:
    if cause is None:
        said = f"None of {slots} instances was free within {timeout:g} s"
        return PoolBusy(said, "Wait longer, or make the pool larger")
    said = f"None of {slots} instances could be had within {timeout:g} s: {cause.message}"
    return PoolUnhealthy(said, cause.hint or "Fix that, then try again")


def leased(folder: Path, slots: int) -> list[bool]:
    """Which slots are held at this moment; looking leaves no file behind."""
    found = []
    for file in (slot_lock(folder, slot) for slot in range(slots)):
        held = False
        if file.exists():
            with exclusive(file, wait=False) as free:
                held = free is None
        found.append(held)
    return found
