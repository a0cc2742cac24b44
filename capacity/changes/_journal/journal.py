"""The journal: one folder a run, with the plan, the files as they were, and lines that are only
ever added and always on disk.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from capacity._common.files import digest, read_bounded, sync_folder, write_atomically
from capacity._common.text.printable import visible
from capacity.changes._journal.chain import Chain, verified
from capacity.changes._journal.models import (
    SCHEMA,
    Entry,
    IntentEntry,
    Kind,
    RunStart,
    StartedEntry,
    StepIntent,
    read_entry,
    run_start,
)
from capacity.errors import InputError, JournalLost, StorageError

__all__ = ["LINES", "EmptyJournal", "Journal", "open_journal", "read_journal"]

LINES = "journal.jsonl"
_BACKUPS = "files"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 2**28
_SHORTEST_LINE = 100  # bytes, of what a run writes
_SHORT_LINES = 1000  # that are read before they are too many
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Journal:
    """An open run. Its handle has no buffer, so that closing it writes nothing."""

    run: str
    folder: Path
    handle: FileIO
    _chain: list[Chain] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

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
            with self._lock:
                self._add(line.encode())
        except OSError as error:
            hint = (
                "Free the disk, then `capacity apply --resume --yes` or `capacity rollback "
                f"{self.run} --yes`"
            )
            raise JournalLost(
                f"Cannot write the journal {self.folder}: {error.strerror}", hint
            ) from error
        return entry

    def _add(self, line: bytes) -> None:
        """Write a line whole, or leave the file as it was."""
        size = os.fstat(self.handle.fileno()).st_size
        if not self._chain or self._chain[-1].size != size:  # somebody else has gone on with it
            found = verified((self.folder / LINES).read_bytes(), self.run)
            if found.broken:
                raise OSError(errno.EIO, f"line {found.broken} is not as it was written")
            self._chain[:] = [found.chain]
        sealed, after = self._chain[-1].sealed(line)
        try:
            left = memoryview(sealed)
            while left:
                left = left[self.handle.write(left) or 0 :]
            os.fsync(self.handle.fileno())
        except OSError:
            with suppress(OSError):  # on a dead disk half a line stays, which readers leave out
                self.handle.truncate(size)
            raise
        self._chain[:] = [after]

    def keep(self, content: bytes) -> str:
        """Put the bytes of a file beside the journal; returns the name to find them by, which is
        their hash.

        Raises:
            StorageError: they are not safe.
        """
        name = digest(content)
        path = self.folder / _BACKUPS / name
        try:
            there = path.exists() and self.kept(name) == content
        except StorageError:
            there = False
        if not there:
            write_atomically(path, content)
        return name

    def kept(self, name: str) -> bytes:
        """The bytes kept under that name, which are still those.

        Raises:
            StorageError: they are gone, or others.
        """
        if not _SHA256.fullmatch(name):
            raise StorageError(f"{visible(name)} is no name of a backup of run {self.run}")
        try:
            content = read_bounded(self.folder / _BACKUPS / name, _MOST_BYTES)
        except OSError as error:
            raise StorageError(
                f"The backup {name} of run {self.run} cannot be read: {error.strerror}",
                "Restore that file from a backup of your own",
            ) from error
        if digest(content) != name:
            raise StorageError(
                f"The backup {name} of run {self.run} has changed since it was made",
                f"Look into {self.folder / _BACKUPS}, and put the compose file back by hand",
            )
        return content

    def check_backups(self, steps: Iterable[IntentEntry]) -> None:
        """See that every backup of some steps is still what it was, before any of it is used.

        Raises:
            StorageError: one is gone, or changed.
        """
        for step in steps:
            for file in step.detail.files:
                for name in (file.before, file.after):
                    self.kept(name)

    def entries(self) -> list[Entry]:
        """All lines so far."""
        return read_journal(self.folder)


class EmptyJournal(InputError):
    """A run without a line: it was killed before its first one, or somebody emptied its journal."""


def open_journal(folder: Path, run: str) -> Journal:
    """Open a run for adding lines, a new one or one to go on with; half a line that a crash left is
    cut off.

    Raises:
        StorageError: the folder cannot be written.
    """
    place = folder / run
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = (place / LINES).open("ab", buffering=0)
        text = (place / LINES).read_bytes()
        if text and not text.endswith(b"\n") and not verified(text, run).broken:
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
        InputError: no journal, an empty one, or one with a line that is not as it was written.
    """
    try:
        text = read_bounded(place / LINES, _MOST_BYTES)
    except OSError as error:
        raise InputError(
            f"There is no journal in {place}: {error.strerror}", "`capacity journal` lists the runs"
        ) from error
    if text.count(b"\n") > _SHORT_LINES + len(text) // _SHORTEST_LINE:
        raise _not_believed(place, 1, "begins more lines than a run writes")
    found = verified(text, place.name)
    entries = []
    for number, line in enumerate(found.lines, start=1):
        try:
            entries.append(read_entry(json.loads(line)))
        except (ValueError, RecursionError, ValidationError) as error:
            raise _not_believed(place, number, "is no line of a journal") from error
    if found.broken:
        raise _not_believed(place, found.broken, "is not as it was written")
    if not entries:
        raise EmptyJournal(
            f"{place / LINES} has no whole line: nothing is known of the run",
            "Look at what runs; if nothing was changed, remove that folder",
        )
    if not found.chain.begun and run_start(entries).schema_version >= SCHEMA:
        raise _not_believed(place, 1, "has lost its checksum")
    return entries


def _not_believed(place: Path, number: int, cause: str) -> InputError:
    return InputError(
        f"{place / LINES}:{number} {cause}, so the run {visible(place.name)} cannot be believed",
        "Restore that file from a backup, or put its changes back by hand; other runs go on",
    )
