"""The journal of what is stopped and started: on disk as all else, in memory (`/dev/shm`) where the
disk takes nothing more.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from capacity.changes._journal.journal import (
    Entry,
    Journal,
    Kind,
    journal_runs,
    open_journal,
    owner,
    still_stopped,
)
from capacity.changes._journal.lock import apply_lock
from capacity.errors import InputError, StorageError
from capacity.operations._pools.leases import is_private_folder, make_private_folder
from capacity.settings import Settings

__all__ = [
    "REVISION",
    "folder_of",
    "journal_folders",
    "journalled_run",
    "last_revision",
    "last_run",
    "open_stops",
    "writable_folder",
]

REVISION = "emergency-revision"
"""What a run is called that brings a project back to a revision."""

_SPARE = Path("/dev/shm")  # noqa: S108 - survives a full disk; the folder there is used only where it is ours alone
_log = logging.getLogger(__name__)
_ROOM = 1 << 18  # bytes that must be free: a run's lines with something to spare


@contextmanager
def journalled_run(
    settings: Settings, what: str, *, lock: bool = True, ends: bool = True, **detail: Any
) -> Iterator[Journal]:
    """An open run named after what is done; it ends `failed` where its block does.

    Args:
        settings: where the journal is.
        what: the name.
        lock: nothing is applied meanwhile; what only stops and starts containers must not wait for
            an observation to end.
        ends: write the last line; a block that can be taken back writes its own, and has none where
            that fails.
        **detail: what the first line says besides.

    Raises:
        Locked: a plan is being applied.
        StorageError: neither the disk nor the memory takes a journal.
    """
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{what}"
    with ExitStack() as stack:
        journal = _open(settings, run, {"why": what, **detail}, stack, lock=lock)
        try:
            yield journal
        except BaseException:
            if ends:
                journal.write(Kind.FINISHED, state="failed")
            raise
        if ends:
            journal.write(Kind.FINISHED, state="finished")


def _open(
    settings: Settings, run: str, detail: dict[str, Any], stack: ExitStack, *, lock: bool
) -> Journal:
    last: StorageError | None = None
    for folder in (settings.apply.journal, _spare()):
        try:
            journal = _try(folder, run, detail, stack, lock=lock)
        except (StorageError, OSError) as error:
            last = (
                error
                if isinstance(error, StorageError)
                else StorageError(f"Cannot use {folder}: {error.strerror}")
            )
            continue
        if last is not None:
            _log.warning(
                "the journal of this run is in %s, which a restart of the machine empties: %s",
                folder,
                last,
            )
        return journal
    raise last or StorageError("There is no folder for a journal", "Set apply.journal")


def _try(
    folder: Path, run: str, detail: dict[str, Any], stack: ExitStack, *, lock: bool
) -> Journal:
    """A run in a folder; what was opened for it is closed again when it cannot be used."""
    with ExitStack() as mine:
        _make(folder)
        if shutil.disk_usage(folder).free < _ROOM:
            raise StorageError(f"The disk of {folder} is full", "Free it")
        if lock:
            mine.enter_context(apply_lock(folder))
        journal = open_journal(folder, _own(folder, run))
        mine.enter_context(closing(journal.handle))
        journal.write(Kind.STARTED, who=owner(), **detail)
        stack.push(mine.pop_all())
    return journal


def _own(folder: Path, run: str) -> str:
    """A name for the run that nobody else has; its folder is made at once, since others may begin
    in the same second.
    """
    for name in (run, *(f"{run}-{number}" for number in range(2, 1000))):
        with suppress(FileExistsError):
            (folder / name).mkdir()
            return name
    raise StorageError(f"{folder} has a thousand runs {run}", "Wait a second")


def _spare() -> Path:
    return _SPARE / f"capacity-journal-{os.getuid()}"


def _make(folder: Path) -> None:
    if folder == _spare():
        make_private_folder(folder, "Remove it, or have its owner do that, and look into it first")
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def journal_folders(settings: Settings) -> list[Path]:
    """The journal's folder, and the spare one for a full disk where it exists.

    Everybody can make a folder where the spare one is: what others could have written there is
    never read.
    """
    spare = _spare()
    if is_private_folder(spare):
        return [settings.apply.journal, spare]
    if os.path.lexists(spare):
        _left_out(spare)
    return [settings.apply.journal]


@cache
def _left_out(spare: Path) -> None:
    """Say so once: one command asks for the folders several times."""
    _log.warning("%s is left out: it is no folder that only you own and can use (mode 0700)", spare)


def open_stops(settings: Settings) -> list[tuple[Path, str, list[Entry]]]:
    """Folder, run and stops of all runs whose containers have not all been started again, the
    oldest first.
    """
    found = [(folder, run, still_stopped(entries)) for folder, run, entries in _runs(settings)]
    return [stop for stop in found if stop[2]]


def last_revision(settings: Settings) -> tuple[datetime, Path, str, list[str]] | None:
    """Time, folder, name and services of the last run that brought a project back to a revision and
    still stands.
    """
    for folder, name, entries in reversed(_runs(settings)):
        services = _standing(entries)
        if services and entries[0].detail.get("why") == REVISION:
            return entries[0].time, folder, name, services
    return None


def _runs(settings: Settings) -> list[tuple[Path, str, list[Entry]]]:
    """Folder, name and lines of every run, the oldest first; one that went on in memory is read
    there.
    """
    found: dict[str, tuple[Path, str, list[Entry]]] = {}
    for folder in journal_folders(settings):
        for run, entries in journal_runs(folder, skip_damaged=True):
            if run not in found or len(entries) > len(found[run][2]):
                found[run] = (folder, run, entries)
    return sorted(found.values(), key=lambda item: item[2][0].time)


def _standing(entries: Iterable[Entry]) -> list[str]:
    """The services that a run changed and that have not been taken back."""
    entries = list(entries)
    undone = {
        entry.step
        for entry in entries
        if entry.kind is Kind.UNDONE and not entry.detail.get("left")
    }
    return list(
        dict.fromkeys(
            entry.service
            for entry in entries
            if entry.kind is Kind.INTENT and entry.step not in undone
        )
    )


def last_run(settings: Settings, run: str | None = None) -> tuple[Path, str, list[str]]:
    """Folder, name and services of a run, by the beginning of its name, or of the last one that
    changed something.

    Raises:
        InputError: there is none, it does not stand any more, or several begin so.
    """
    standing = [(folder, name, _standing(entries)) for folder, name, entries in _runs(settings)]
    standing = [
        candidate
        for candidate in standing
        if candidate[2] and (run is None or candidate[1].startswith(run))
    ]
    if not standing:
        said = (
            "There is no run to take back"
            if run is None
            else f"There is no run {run!r} to take back"
        )
        raise InputError(said, "`capacity journal` lists what was changed")
    exact = [candidate for candidate in standing if candidate[1] == run]
    if run is not None and not exact and len(standing) > 1:
        raise InputError(
            f"{len(standing)} runs begin with {run!r}", "`capacity journal` lists the runs"
        )
    return (exact or standing)[-1]


def folder_of(settings: Settings, run: str) -> Path:
    """The folder with the fuller copy of a run, by the beginning of its name.

    Where none or several begin so it is that of the settings, where `find_run` says that.
    """
    found = {name: folder for folder, name, _ in _runs(settings) if name.startswith(run)}
    if run in found:
        return found[run]
    return next(iter(found.values())) if len(found) == 1 else settings.apply.journal


def writable_folder(settings: Settings, folder: Path, run: str) -> Path:
    """The folder to go on with a run in: its own, or the spare one with a copy of it where its disk
    takes nothing more.

    Raises:
        StorageError: that takes nothing either.
    """
    try:
        if shutil.disk_usage(folder).free >= _ROOM and os.access(folder, os.W_OK):
            return folder
        spare = _spare()
        if folder == settings.apply.journal:
            _make(spare)
            shutil.copytree(folder / run, spare / run, dirs_exist_ok=True)
            _log.warning(
                "the run %s goes on in %s, which a restart of the machine empties: %s is full",
                run,
                spare,
                folder,
            )
    except OSError as error:
        raise StorageError(
            f"Cannot go on with the run {run} of {folder}: {error.strerror}", "Free the disk"
        ) from error
    return spare
