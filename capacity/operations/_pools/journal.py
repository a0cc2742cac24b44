"""The journal of a program's pool: a run of its own, begun with its first action, beside any plan
that is being applied.

It takes no lock: a pool lives as long as its program, and must not keep others from applying plans
for that time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from capacity.changes._journal.journal import Journal, open_journal, owner
from capacity.changes._journal.models import Kind, RunStart
from capacity.changes._journal.runs import new_run
from capacity.errors import CapacityError
from capacity.settings import load_settings

__all__ = ["Book", "ProgramJournal", "journal_folder", "journal_of"]

_log = logging.getLogger(__name__)


class ProgramJournal:
    """A run that begins with its first line; where the journal takes nothing it says so once, and
    the pool goes on.
    """

    def __init__(self, folder: Path | None, what: str, pool: str) -> None:
        """Write nothing yet.

        Args:
            folder: of the journal; None = there is none.
            what: the name of the run.
            pool: whose.
        """
        self._folder, self._what, self._pool = folder, what, pool
        self._run: Journal | None = None
        self._lock = threading.Lock()

    def write(self, kind: Kind, *, service: str = "", host: str = "", **detail: Any) -> None:
        """Take a line."""
        with self._lock:
            if self._folder is None:
                return
            try:
                self._run = self._run or self._begin(self._folder)
                self._run.write(kind, service=service, host=host, **detail)
            except (CapacityError, OSError) as error:
                self._folder = None
                _log.warning(
                    "what the pool %s does is in no journal from here on: %s", self._pool, error
                )

    def __enter__(self) -> Self:
        """Nothing is written before there is something to say."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the run, if it has begun."""
        if self._run is not None:
            self.write(
                Kind.FINISHED, state="failed" if isinstance(error, CapacityError) else "finished"
            )
            self._run.handle.close()

    def _begin(self, folder: Path) -> Journal:
        # a process may begin several in a second
        run = new_run(folder, f"{self._what}-{os.getpid()}", datetime.now(UTC))
        journal = open_journal(folder, run)
        try:
            journal.begin(RunStart(who=owner(), why=self._what, pool=self._pool))
        except CapacityError:
            journal.handle.close()
            raise
        return journal


Book = Journal | ProgramJournal
"""What takes a line before anything is done, and after it."""


@contextmanager
def journal_of(journal: Journal | Path | None, pool: str) -> Iterator[Book]:
    """The open run that was given, or one of the pool's own.

    Args:
        journal: an open run, the folder of a journal, or None for that of the settings.
        pool: its name.
    """
    if isinstance(journal, Journal):
        yield journal
        return
    with ProgramJournal(journal_folder(journal), "pool-use", pool) as book:
        yield book


def journal_folder(journal: Journal | Path | None) -> Path | None:
    """Where the journal is; None where the settings cannot be read, which is a warning."""
    if journal is not None:
        return (journal.folder.parent if isinstance(journal, Journal) else journal).absolute()
    try:
        return load_settings().apply.journal.absolute()
    except CapacityError as error:
        _log.warning("what pools do is in no journal: %s", error)
        return None
