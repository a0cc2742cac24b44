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
from typing import Any

from capacity._common.file_lock import owner
from capacity.changes._journal.journal import Journal, open_journal
from capacity.changes._journal.models import Kind, RunStart
from capacity.changes._journal.runs import new_run
from capacity.errors import CapacityError
from capacity.settings import load_settings

__all__ = ["AnyJournal", "ProgramJournal", "journal_folder", "program_journal"]

_log = logging.getLogger(__name__)


class ProgramJournal:
    """A run that begins with its first line; where the journal takes nothing it says so once, and
    the pool goes on.

    Attributes:
        folder: of the journal; None = there is none, or it takes nothing.
    """

    def __init__(self, folder: Path | None, what: str, pool: str) -> None:
        self.folder, self._what, self._pool = folder, what, pool
        self._run: Journal | None = None
        self._lock = threading.Lock()

    def write(self, kind: Kind, *, service: str = "", host: str = "", **detail: Any) -> None:
        """Take a line."""
        with self._lock:
            if self.folder is None:
                return
            try:
                if self._run is None:
                    self._run = self._begin(self.folder)
                self._run.write(kind, service=service, host=host, **detail)
            except (CapacityError, OSError) as error:
                self.folder = None
                _log.warning(
                    "what the pool %s does is in no journal from here on: %s", self._pool, error
                )

    def close(self, state: str) -> None:
        """End the run, if it has begun."""
        if self._run is not None:
            self.write(Kind.FINISHED, state=state)
            self._run.handle.close()

    def _begin(self, folder: Path) -> Journal:
        # with the process, for one user may begin several in a second
        run = new_run(folder, f"{self._what}-{os.getpid()}", datetime.now(UTC))
        journal = open_journal(folder, run)
        try:
            journal.begin(RunStart(who=owner(), why=self._what, pool=self._pool))
        except CapacityError:
            journal.handle.close()
            raise
        return journal


AnyJournal = Journal | ProgramJournal
"""What takes a line before anything is done, and after it."""


@contextmanager
def program_journal(folder: Path | None, what: str, pool: str) -> Iterator[ProgramJournal]:
    """A run of a pool's own, written from its first line on.

    Args:
        folder: of the journal; None = there is none.
        what: the name of the run.
        pool: whose.
    """
    journal = ProgramJournal(folder, what, pool)
    state = "finished"
    try:
        yield journal
    except CapacityError:
        state = "failed"
        raise
    finally:
        journal.close(state)


def journal_folder(journal: Journal | Path | None) -> Path | None:
    """The folder of a journal, by default that of the settings; None where these cannot be read,
    which is a warning.
    """
    if journal is not None:
        return (journal.folder.parent if isinstance(journal, Journal) else journal).absolute()
    try:
        return load_settings().apply.journal.absolute()
    except CapacityError as error:
        _log.warning("what pools do is in no journal: %s", error)
        return None
