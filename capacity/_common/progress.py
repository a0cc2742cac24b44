"""The one way long work says how far it is.

The library calls `Progress.start`, `advance` and `finish`; a program chooses what they do. The
default says nothing, `LogProgress` writes log lines (for schedulers), the command line shows a bar
on a terminal.
"""

from __future__ import annotations

import logging
import time
from typing import Protocol

__all__ = ["LogProgress", "Progress", "Silent", "note_rollback"]

_log = logging.getLogger("capacity")


class Progress(Protocol):
    """What long work talks to."""

    def start(self, what: str, total: int) -> None:
        """Begin `what`, which takes `total` steps."""

    def advance(self, note: str = "") -> None:
        """One step is done."""

    def finish(self) -> None:
        """The work ended, well or not."""


class Silent:
    """Says nothing."""

    def start(self, what: str, total: int) -> None:
        """Ignore."""

    def advance(self, note: str = "") -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""


class LogProgress:
    """Writes a log line at the start, at most every ten seconds, and at the end."""

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self._what, self._total, self._done = "", 0, 0
        self._began = self._said = 0.0

    def start(self, what: str, total: int) -> None:
        """Log the beginning."""
        self._what, self._total, self._done = what, total, 0
        self._began = self._said = time.monotonic()
        _log.info("%s: %d steps", what, total)

    def advance(self, note: str = "") -> None:
        """Log when the last line is old enough."""
        self._done += 1
        now = time.monotonic()
        if now - self._said >= self.every:
            self._said = now
            _log.info("%s: %d of %d %s", self._what, self._done, self._total, note)

    def finish(self) -> None:
        """Log the end."""
        _log.info(
            "%s: %d of %d in %.1f s",
            self._what,
            self._done,
            self._total,
            time.monotonic() - self._began,
        )


def note_rollback(error: BaseException, *, whole: bool) -> None:
    """Note on an interruption what became of the work; the command line says that where it would
    say that work is kept.

    Args:
        error: that is raised again.
        whole: whether everything is as it was before.
    """
    error.add_note(
        "everything was rolled back, all is as it was before"
        if whole
        else "not everything could be rolled back; `capacity journal` lists what was done, "
        "`capacity emergency undo --yes` goes on"
    )
