"""The journal of what is stopped and started: on disk as all else, in memory (`/dev/shm`) where the disk takes nothing more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from capacity.changes.journal import Entry, Journal, Kind, find_run, list_runs, open_journal, owner
from capacity.changes.lock import apply_lock
from capacity.errors import InputError, StorageError
from capacity.settings import Settings

__all__ = ["folders", "journalled", "last_run", "open_stops"]

_SPARE = Path("/dev/shm")  # noqa: S108 - survives a full disk; the folder made there is ours alone
_ROOM = 1 << 18  # bytes that must be free: a run's lines with something to spare


@contextmanager
def journalled(settings: Settings, what: str, **detail: Any) -> Iterator[Journal]:
    """An open run named after what is done; it ends `failed` where its block does.

    Args:
        settings: where the journal is.
        what: the name.
        **detail: what the first line says besides.

    Raises:
        Locked: a plan is being applied.
        StorageError: neither the disk nor the memory takes a journal.
    """
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{what}"
    with ExitStack() as stack:
        journal = _open(settings, run, {"why": what, **detail}, stack)
        try:
            yield journal
        except BaseException:
            journal.write(Kind.FINISHED, state="failed")
            raise
        journal.write(Kind.FINISHED, state="finished")


def _open(settings: Settings, run: str, detail: dict[str, Any], stack: ExitStack) -> Journal:
    last = StorageError("There is no folder for a journal", "Set apply.journal")
    for folder in folders(settings):
        try:
            return _try(folder, run, detail, stack)
        except (StorageError, OSError) as error:
            last = error if isinstance(error, StorageError) else StorageError(f"Cannot use {folder}: {error.strerror}")
    raise last


def _try(folder: Path, run: str, detail: dict[str, Any], stack: ExitStack) -> Journal:
    """A run in a folder; what was opened for it is closed again when it cannot be used."""
    with ExitStack() as mine:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < _ROOM:
            raise StorageError(f"The disk of {folder} is full", "Free it")
        mine.enter_context(apply_lock(folder))
        name = next(one for one in (run, *(f"{run}-{number}" for number in range(2, 1000))) if not (folder / one).exists())
        journal = open_journal(folder, name)
        mine.enter_context(closing(journal.handle))
        journal.write(Kind.STARTED, who=owner(), **detail)
        stack.push(mine.pop_all())
    return journal


def folders(settings: Settings) -> list[Path]:
    """The journal's folder, and the spare one for a full disk."""
    return [settings.apply.journal, _SPARE / f"capacity-journal-{os.getuid()}"]


def open_stops(settings: Settings) -> list[tuple[Path, str, list[Entry]]]:
    """Folder, run and stops of all runs whose containers have not all been started again, the oldest first."""
    runs = [(folder, run, _left(entries)) for folder in folders(settings) for run, entries in list_runs(folder)]
    return sorted((one for one in runs if one[2]), key=lambda one: one[1])


def _left(entries: Iterable[Entry]) -> list[Entry]:
    """What a run stopped, or was about to stop, and has not started again."""
    stopping: dict[int | None, Entry] = {}
    for entry in entries:
        if entry.kind is Kind.STOPPING:
            stopping[entry.step] = entry
        elif entry.kind in {Kind.STARTED_AGAIN, Kind.FAILED}:
            stopping.pop(entry.step, None)
    return list(stopping.values())


def last_run(settings: Settings, run: str | None = None) -> tuple[str, list[str]]:
    """A run by the beginning of its name, or the last one that changed something and still stands; and its services.

    Raises:
        InputError: there is none.
    """
    folder = settings.apply.journal
    wanted = find_run(folder, run) if run is not None else None
    found = ""
    services: list[str] = []
    for name, entries in list_runs(folder):
        undone = {one.step for one in entries if one.kind is Kind.UNDONE and not one.detail.get("left")}
        standing = [one.service for one in entries if one.kind is Kind.INTENT and one.step not in undone]
        if standing and name == (wanted or name):
            found, services = name, list(dict.fromkeys(standing))
    if not found:
        raise InputError("There is no run to take back", "`capacity journal` lists what was changed")
    return found, services
