"""The journal: one folder a run, with the plan, the files as they were, and lines that are only
ever added and always on disk.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from capacity.errors import InputError, JournalLost, StorageError

__all__ = [
    "Entry",
    "Journal",
    "Kind",
    "digest",
    "find_run",
    "journal_runs",
    "open_journal",
    "owner",
]
__all__ += ["read_journal", "still_stopped", "way_out"]

_LINES = "journal.jsonl"
_BACKUPS = "files"
_log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What a line says: an intent before anything is touched, or what came of it."""

    STARTED = "started"
    REFUSED = "refused"
    INTENT = "intent"
    FILE_WRITTEN = "file-written"
    UPDATED = "updated"
    RECREATED = "recreated"
    DONE = "done"
    FAILED = "failed"
    VERIFIED = "verified"
    BAD = "verification-failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    RESUMED = "resumed"
    ROLLBACK = "rollback"
    FINISHED = "finished"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING = "starting"
    STARTED_AGAIN = "started-again"
    START_FAILED = "start-failed"
    GIVEN_UP = "given-up"
    CREATING = "creating"
    CREATED = "created"
    REMOVING = "removing"
    REMOVED = "removed"


class Entry(BaseModel):
    """One line of the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: datetime
    run: str
    kind: Kind
    step: int | None = None
    service: str = ""
    host: str = ""
    detail: dict[str, Any] = {}


@dataclass(frozen=True)
class Journal:
    """An open run."""

    run: str
    folder: Path
    handle: IO[bytes]

    def write(
        self,
        kind: Kind,
        *,
        step: int | None = None,
        service: str = "",
        host: str = "",
        **detail: Any,
    ) -> Entry:
        """Add a line and wait until the disk has it.

        Raises:
            JournalLost: the line is not safe; nothing that it announces may be done.
        """
        entry = Entry(
            time=datetime.now(UTC),
            run=self.run,
            kind=kind,
            step=step,
            service=service,
            host=host,
            detail=detail,
        )
        try:
            self.handle.write(entry.model_dump_json().encode() + b"\n")
            self.handle.flush()
            os.fsync(self.handle.fileno())
        except OSError as error:
            hint = (
                "Free the disk, then `capacity apply --resume --yes` or `capacity rollback "
                f"{self.run} --yes`"
            )
            raise JournalLost(
                f"Cannot write the journal {self.folder}: {error.strerror}", hint
            ) from error
        return entry

    def keep(self, content: bytes) -> str:
        """Put the bytes of a file beside the journal; returns the name to find them by, which is
        their hash.

        Raises:
            StorageError: they are not safe.
        """
        name = digest(content)
        path = self.folder / _BACKUPS / name
        try:
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                new = path.with_suffix(".new")
                with new.open("wb") as handle:
                    handle.write(content)
                    handle.flush()
                    os.fsync(handle.fileno())
                new.replace(path)
        except OSError as error:
            raise StorageError(
                f"Cannot keep a backup in {path.parent}: {error.strerror}",
                "Free the disk and try again",
            ) from error
        return name

    def kept(self, name: str) -> bytes:
        """The bytes kept under that name.

        Raises:
            StorageError: they are gone.
        """
        try:
            return (self.folder / _BACKUPS / name).read_bytes()
        except OSError as error:
            raise StorageError(
                f"The backup {name} of run {self.run} cannot be read: {error.strerror}"
            ) from error

    def entries(self) -> list[Entry]:
        """All lines so far."""
        return read_journal(self.folder)


def digest(content: bytes) -> str:
    """The name of a content: its SHA-256."""
    return hashlib.sha256(content).hexdigest()


def owner() -> str:
    """Who is at work: user, machine and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()} (process {os.getpid()})"


def open_journal(folder: Path, run: str) -> Journal:
    """Open a run for adding lines, a new one or one to go on with; half a line that a crash left is
    cut off.

    Raises:
        StorageError: the folder cannot be written.
    """
    place = folder / run
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = (place / _LINES).open("ab")
        text = (place / _LINES).read_bytes()
        if text and not text.endswith(b"\n"):
            handle.truncate(text.rfind(b"\n") + 1)
        for directory in (place, folder):
            _sync(directory)
    except OSError as error:
        raise StorageError(
            f"Cannot write the journal {place}: {error.strerror}",
            "Set apply.journal to another folder",
        ) from error
    return Journal(run, place, handle)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_journal(place: Path) -> list[Entry]:
    """The lines of a run; half a line at the end, which a crash leaves, is left out.

    Raises:
        InputError: no journal, or a damaged one.
    """
    try:
        text = (place / _LINES).read_bytes()
    except OSError as error:
        raise InputError(
            f"There is no journal in {place}: {error.strerror}", "`capacity journal` lists the runs"
        ) from error
    entries = []
    for number, line in enumerate(text.split(b"\n")[:-1], start=1):
        try:
            entries.append(Entry.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as error:
            raise InputError(
                f"{place / _LINES}:{number} is no line of a journal",
                "Restore that file from a backup",
            ) from error
    return entries


def journal_runs(folder: Path, *, skip_damaged: bool = False) -> Iterator[tuple[str, list[Entry]]]:
    """Runs with their lines, the oldest first.

    Args:
        folder: of the journal.
        skip_damaged: leave a damaged one out with a warning, where the others must stay usable
            whatever has become of it.

    Raises:
        InputError: a damaged one.
    """
    for place in sorted(folder.glob(f"*/{_LINES}")):
        try:
            entries = read_journal(place.parent)
        except InputError as error:
            if not skip_damaged:
                raise
            _left_out(place.parent, str(error))
            continue
        if entries:
            yield place.parent.name, entries


@cache
def _left_out(place: Path, why: str) -> None:
    """Say so once: one command looks over all runs several times."""
    _log.warning("the run %s is left out: %s", place.name, why)


def still_stopped(entries: Iterable[Entry]) -> list[Entry]:
    """What a run of an emergency stopped, or was about to stop, and has neither started again nor
    given up.
    """
    stopping: dict[int | None, Entry] = {}
    for entry in entries:
        if entry.kind is Kind.STOPPING:
            stopping[entry.step] = entry
        elif entry.kind in {Kind.STARTED_AGAIN, Kind.FAILED, Kind.GIVEN_UP}:
            stopping.pop(entry.step, None)
    return list(stopping.values())


def way_out(run: str, entries: list[Entry]) -> str:
    """How people go on with a run that was interrupted; empty where it came to its end, or there is
    nothing to go on with.
    """
    if entries[-1].kind is Kind.FINISHED:
        return ""
    if "plan" in entries[0].detail:
        return (
            f"`capacity apply --resume --yes` goes on with it, `capacity rollback {run} --yes` "
            "takes it back"
        )
    if any(entry.kind is Kind.INTENT for entry in entries):
        return f"`capacity rollback {run} --yes` takes it back"
    return (
        "`capacity emergency undo --yes` starts again what it stopped"
        if still_stopped(entries)
        else ""
    )


def find_run(folder: Path, name: str) -> str:
    """The full name of a run from its beginning.

    Raises:
        InputError: none, or several.
    """
    found = [
        place.parent.name
        for place in sorted(folder.glob(f"*/{_LINES}"))
        if place.parent.name.startswith(name)
    ]
    if name in found:
        return name
    if len(found) != 1:
        said = "There is no run" if not found else f"{len(found)} runs begin with"
        raise InputError(f"{said} {name!r} in {folder}", "`capacity journal` lists the runs")
    return found[0]
