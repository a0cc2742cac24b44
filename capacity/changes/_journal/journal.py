"""The journal: one folder a run, with the plan, the files as they were, and lines that are only
ever added and always on disk.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from capacity._common.files import digest, sync_folder, write_atomically
from capacity.changes._journal.models import (
    SCHEMA,
    Entry,
    IntentEntry,
    Kind,
    RunStart,
    StartedEntry,
    StepIntent,
    read_entry,
)
from capacity.errors import InputError, JournalLost, StorageError

__all__ = ["LINES", "Journal", "open_journal", "owner", "read_journal"]

LINES = "journal.jsonl"
_BACKUPS = "files"
_log = logging.getLogger(__name__)


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
        **detail: object,
    ) -> Entry:
        """Add a line and wait until the disk has it.

        Args:
            kind: what the line says.
            step: number of the step in the run.
            service: `project/service`.
            host: name of the engine.
            **detail: fields of the detail that such a line has, see `models`.

        Raises:
            JournalLost: the line is not safe; nothing that it announces may be done.
        """
        place = {"step": step, "service": service, "host": host}
        line = {"time": datetime.now(UTC), "run": self.run, "kind": kind, **place}
        return self.append(read_entry({**line, "detail": detail}))

    def begin(self, start: RunStart, service: str = "", host: str = "") -> None:
        """Add the first line.

        Raises:
            JournalLost: as of `write`.
        """
        self.append(
            StartedEntry(
                time=datetime.now(UTC),
                run=self.run,
                kind=Kind.STARTED,
                service=service,
                host=host,
                detail=start.model_copy(update={"schema_version": SCHEMA}),
            )
        )

    def announce(self, step: int, service: str, host: str, intent: StepIntent) -> IntentEntry:
        """Add the line of a step before anything of it is touched.

        Raises:
            JournalLost: as of `write`.
        """
        entry = IntentEntry(
            time=datetime.now(UTC),
            run=self.run,
            kind=Kind.INTENT,
            step=step,
            service=service,
            host=host,
            detail=intent,
        )
        self.append(entry)
        return entry

    def append(self, entry: Entry) -> Entry:
        """Add a line as it is; the others come through here.

        Raises:
            JournalLost: the line is not safe; nothing that it announces may be done.
        """
        brief = not isinstance(entry, IntentEntry)
        line = entry.model_dump_json(by_alias=True, exclude_unset=brief)
        try:
            self.handle.write(line.encode() + b"\n")
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
        if not path.exists():
            write_atomically(path, content)
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
        handle = (place / LINES).open("ab")
        text = (place / LINES).read_bytes()
        if text and not text.endswith(b"\n"):
            handle.truncate(text.rfind(b"\n") + 1)
        for directory in (place, folder):
            sync_folder(directory)
    except OSError as error:
        raise StorageError(
            f"Cannot write the journal {place}: {error.strerror}",
            "Set apply.journal to another folder",
        ) from error
    return Journal(run, place, handle)


def read_journal(place: Path) -> list[Entry]:
    """The lines of a run; half a line at the end, which a crash leaves, is left out.

    Raises:
        InputError: no journal, or a damaged one.
    """
    try:
        text = (place / LINES).read_bytes()
    except OSError as error:
        raise InputError(
            f"There is no journal in {place}: {error.strerror}", "`capacity journal` lists the runs"
        ) from error
    entries = []
    for number, line in enumerate(text.split(b"\n")[:-1], start=1):
        try:
            entries.append(read_entry(json.loads(line)))
        except (ValueError, ValidationError) as error:
            raise InputError(
                f"{place / LINES}:{number} is no line of a journal",
                "Restore that file from a backup",
            ) from error
    return entries
