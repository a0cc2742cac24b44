"""The journal of what is stopped and started: on disk as all else, in memory (`/dev/shm`) where the
disk takes nothing more.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from capacity._common.file_lock import owner
from capacity.changes._journal.journal import Journal, open_journal
from capacity.changes._journal.lock import apply_lock
from capacity.changes._journal.models import ContainerEntry, Entry, Kind, RunStart, run_start
from capacity.changes._journal.runs import (
    REVISION_RUN,
    StoredRun,
    all_runs,
    new_run,
    standing_steps,
    still_stopped,
)
from capacity.errors import InputError, StorageError
from capacity.operations._pools.leases import is_private_folder, make_private_folder
from capacity.settings import Settings

__all__ = [
    "folder_of",
    "journal_folders",
    "journalled_run",
    "last_revision",
    "last_run",
    "open_stops",
    "writable_folder",
]

_SPARE = Path("/dev/shm")  # noqa: S108 - survives a full disk; the folder there is used only where it is ours alone
_log = logging.getLogger(__name__)
_ROOM = 1 << 18  # bytes that must be free: a run's lines with something to spare


class _Start(NamedTuple):
    what: str
    about: RunStart
    service: str


@contextmanager
def journalled_run(
    settings: Settings,
    what: str,
    *,
    lock: bool = True,
    ends: bool = True,
    about: RunStart | None = None,
    service: str = "",
) -> Iterator[Journal]:
    """An open run named after what is done; it ends `failed` where its block does.

    Args:
        settings: where the journal is.
        what: the name.
        lock: nothing is applied meanwhile; what only stops and starts containers must not wait for
            an observation to end.
        ends: write the last line; a block that can be rolled back writes its own, and has none
            where that fails.
        about: what the first line says besides who and why.
        service: which one the run is about.

    Raises:
        Locked: a plan is being applied.
        StorageError: neither the disk nor the memory takes a journal.
    """
    about = (about or RunStart()).model_copy(update={"who": owner(), "why": what})
    start = _Start(what, about, service)
    with ExitStack() as stack:
        journal = _open(settings, start, stack, lock=lock)
        try:
            yield journal
        except BaseException:
            if ends:
                journal.write(Kind.FINISHED, state="failed")
            raise
        if ends:
            journal.write(Kind.FINISHED, state="finished")


def _open(settings: Settings, start: _Start, stack: ExitStack, *, lock: bool) -> Journal:
    last: StorageError | None = None
    for folder in (settings.apply.journal, _spare()):
        try:
            journal = _try(folder, start, stack, lock=lock)
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


def _try(folder: Path, start: _Start, stack: ExitStack, *, lock: bool) -> Journal:
    """A run in a folder; what was opened for it is closed again when it cannot be used."""
    with ExitStack() as mine:
        _make(folder)
        if shutil.disk_usage(folder).free < _ROOM:
            raise StorageError(f"The disk of {folder} is full", "Free it")
        if lock:
            mine.enter_context(apply_lock(folder))
        journal = open_journal(folder, new_run(folder, start.what, datetime.now(UTC)))
        mine.enter_context(closing(journal.handle))
        journal.begin(start.about, start.service)
        stack.push(mine.pop_all())
    return journal


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


def open_stops(settings: Settings) -> list[tuple[Path, str, list[ContainerEntry]]]:
    """Folder, run and stops of all runs whose containers have not all been started again, the
    oldest first.
    """
    found = [(run.folder, run.name, still_stopped(run.entries)) for run in _runs(settings)]
    return [stop for stop in found if stop[2]]


def last_revision(settings: Settings) -> tuple[datetime, Path, str, list[str]] | None:
    """Time, folder, name and services of the last run that brought a project back to a revision and
    still stands.
    """
    for run in reversed(_runs(settings)):
        services = _standing(run.entries)
        if services and run_start(run.entries).why == REVISION_RUN:
            return run.entries[0].time, run.folder, run.name, services
    return None


def _runs(settings: Settings) -> list[StoredRun]:
    return all_runs(journal_folders(settings))


def _standing(entries: Iterable[Entry]) -> list[str]:
    """The services that a run changed and that have not been rolled back."""
    return list(dict.fromkeys(step.service for step in standing_steps(entries)))


def last_run(settings: Settings, run: str | None = None) -> tuple[Path, str, list[str]]:
    """Folder, name and services of a run, by the beginning of its name, or of the last one that
    changed something.

    Raises:
        InputError: there is none, it does not stand any more, or several begin so.
    """
    standing = [(each.folder, each.name, _standing(each.entries)) for each in _runs(settings)]
    standing = [
        candidate
        for candidate in standing
        if candidate[2] and (run is None or candidate[1].startswith(run))
    ]
    if not standing:
        said = (
            "There is no run to roll back"
            if run is None
            else f"There is no run {run!r} to roll back"
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
    found = {each.name: each.folder for each in _runs(settings) if each.name.startswith(run)}
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
