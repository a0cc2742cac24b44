"""How many queries a server has to work on at once: fewer once it is overloaded, again more when it
answers well. Additive increase and multiplicative decrease, as of TCP (Chiu and Jain, 1989).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InFlight"]

_LOOK = 0.2  # seconds between two looks whether the caller has gone


class InFlight:
    """A bound that threads share.

    Attributes:
        most: queries at once that are never passed.
        allowed: how many it may be now, from 1 to `most`.
    """

    def __init__(self, most: int) -> None:
        self.most = self.allowed = most
        self._working = self._good = 0
        self._changed = threading.Condition()

    @contextmanager
    def place(self, stopped: threading.Event) -> Iterator[bool]:
        """Wait for a place and keep it until the block ends; yields False, without a place, once
        `stopped` is set.
        """
        with self._changed:
            while self._working >= self.allowed and not stopped.is_set():
                self._changed.wait(_LOOK)
            placed = self._working < self.allowed
            self._working += placed
        try:
            yield placed
        finally:
            with self._changed:
                self._working -= placed
                self._changed.notify_all()

    def went_well(self) -> None:
        """An answer came in time: one more at once after as many of them as may be under way."""
        with self._changed:
            self._good += 1
            if self._good >= self.allowed:
                self._good, self.allowed = 0, min(self.allowed + 1, self.most)
                self._changed.notify_all()

    def overloaded(self) -> None:
        """The server could not answer, or only just: half as many at once."""
        with self._changed:
            self._good, self.allowed = 0, max(self.allowed // 2, 1)
