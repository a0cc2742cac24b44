"""One apply at a time: a lock that ends with its process, and says whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capacity._common.file_lock import file_lock
from capacity.changes._journal.models import Entry, Kind, run_start
from capacity.changes._journal.runs import REVISION_RUN, journal_runs
from capacity.errors import Locked

__all__ = ["apply_lock"]


@contextmanager
def apply_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a journal folder.

    Raises:
        Locked: somebody else holds it; the message names the owner.
        StorageError: the folder cannot be written.
    """
    with file_lock(
        folder / "lock",
        lambda held: _refusal(folder, held),
        folder_mode=0o700,
        anonymous=False,
    ):
        yield


def _refusal(folder: Path, held: str) -> Locked:
    """Who holds it, which run that is, how to end it, and what to do with that run then."""
    runs = [
        (run, entries)
        for run, entries in journal_runs(folder, skip_damaged=True)
        if entries[-1].kind is not Kind.FINISHED
    ]
    mine = [run for run in runs if any(_by(entry) == held for entry in run[1])]
    number = held.rpartition("(process ")[2].rstrip(")")
    ended = f"end it with `kill -INT {number}`" if number.isdigit() else "end that process"
    if not mine:
        return Locked(
            f"Something is being changed by {held or 'an unknown process'}",
            f"Wait for it, or {ended}",
        )
    run, entries = mine[-1]
    what, back = _told(entries, held)
    then = f", then `capacity rollback {run} --yes`" if back else ""
    return Locked(f"{what} by {held} (run {run})", f"Wait for it, or {ended}{then}")


def _by(entry: Entry) -> str:
    """Who wrote a line that says so."""
    return str(getattr(entry.detail, "who", ""))


def _told(entries: list[Entry], held: str) -> tuple[str, bool]:
    """What a run is about, and whether it can be rolled back; one of a pool ends as a whole, or
    takes itself back.
    """
    started = run_start(entries)
    why = started.why
    back = started.plan is not None or why == REVISION_RUN
    if any(entry.kind is Kind.ROLLBACK and _by(entry) == held for entry in entries):
        return "A run is being rolled back", back
    return (
        "A plan is being applied"
        if started.plan is not None
        else f"`{why or 'a change'}` is under way, begun"
    ), back
