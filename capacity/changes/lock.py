"""One apply at a time: a lock that ends with its process, and says whose it is."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capacity.changes.journal import Kind, list_runs, owner
from capacity.errors import Locked, StorageError

__all__ = ["apply_lock"]


@contextmanager
def apply_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a journal folder.

    Raises:
        Locked: somebody else holds it; the message names the owner.
        StorageError: the folder cannot be written.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"Cannot write {path}: {error.strerror}", "Set apply.journal to another folder") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            raise _refusal(folder, handle.read().strip()) from error
        handle.truncate(0)
        try:
            handle.write(owner())
            handle.flush()
        except OSError as error:
            raise StorageError(f"Cannot write {path}: {error.strerror}", "Free the disk and try again") from error
        yield
        handle.truncate(0)


def _refusal(folder: Path, held: str) -> Locked:
    """Who holds it, which run that is, how to end it, and what to do with that run then."""
    runs = [(run, entries) for run, entries in list_runs(folder, skip_damaged=True) if entries[-1].kind is not Kind.FINISHED]
    mine = [run for run, entries in runs if any(one.detail.get("who") == held for one in entries)]
    number = held.rpartition("(process ")[2].rstrip(")")
    ended = f"end it with `kill -INT {number}`" if number.isdigit() else "end that process"
    back = f", then `capacity rollback {mine[-1]} --yes`" if mine else ""
    run = f" (run {mine[-1]})" if mine else ""
    return Locked(f"A plan is being applied by {held or 'an unknown process'}{run}", f"Wait for it, or {ended}{back}")
