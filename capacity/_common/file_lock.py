"""A lock on a file: it says who holds it, and ends with its process at the latest."""

from __future__ import annotations

import fcntl
import getpass
import logging
import os
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from capacity._common.files import storage_error
from capacity._common.text.printable import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import FileIO
    from pathlib import Path

    from capacity.errors import Locked

__all__ = ["file_lock", "owner"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe keeps nobody waiting
_MOST_OF_A_NAME = 200  # bytes
_ASK_AGAIN = 0.05  # seconds
_QUIET = 1.0  # seconds of waiting before a word is said

_log = logging.getLogger("capacity")


@contextmanager
def file_lock(
    path: Path,
    refusal: Callable[[str], Locked],
    *,
    wait: float = 0.0,
    folder_mode: int = 0o777,
    anonymous: bool = True,
) -> Iterator[None]:
    """Hold the lock of a file alone.

    Args:
        path: of the lock; it is made where it is not there, and its folder.
        refusal: the error that says who holds it, from what stands in the file; empty = nothing.
        wait: seconds to wait for it.
        folder_mode: of a folder that is made.
        anonymous: whether it may be held where the disk takes no word on who holds it.

    Raises:
        Locked: somebody else holds it and did not let go.
        StorageError: there can be no such lock, or it says nothing and must not be anonymous.
    """
    try:
        path.parent.mkdir(mode=folder_mode, parents=True, exist_ok=True)
        # without a buffer: closing it must have nothing to write, the disk may be full
        handle = os.fdopen(os.open(path, _FLAGS, 0o666), "r+b", buffering=0)
    except (OSError, ValueError) as error:
        raise storage_error(path, error) from error
    with handle:
        _take(handle, path, refusal, wait)
        try:
            handle.truncate(0)
            os.pwrite(handle.fileno(), owner().encode(), 0)  # who waited has read, and moved on
        except OSError as error:
            if not anonymous:
                raise storage_error(path, error) from error
        try:
            yield
        finally:
            with suppress(OSError):
                handle.truncate(0)


def owner() -> str:
    """Who is at work: user, machine and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getpid()})"


def _named(handle: FileIO) -> str:
    """What stands in a lock; nothing in a pipe."""
    with suppress(OSError):
        said = os.pread(handle.fileno(), _MOST_OF_A_NAME, 0)
        return visible(said.decode("utf-8", "replace")).strip()
    return ""


def _take(handle: FileIO, path: Path, refusal: Callable[[str], Locked], wait: float) -> None:
    began, told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _named(handle)
            waited = time.monotonic() - began
            if waited >= wait:
                raise refusal(holder) from error
            if waited > _QUIET and not told:
                _log.warning("waiting for %s, which is held by %s", path, holder or "another")
                told = True
            time.sleep(_ASK_AGAIN)
        except OSError as error:
            raise storage_error(path, error) from error
        else:
            return
