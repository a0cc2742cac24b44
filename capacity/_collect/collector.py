"""Look at every Engine on a grid of moments, store each step when it is over, serve the latest
look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from capacity._collect.cgroups import find_mounts
from capacity._collect.engine_watches import EngineWatches
from capacity._collect.readings import Look
from capacity._collect.step_transfer import ClosedStep, store_apart
from capacity._collect.steps import COLLECTED, Steps, step_end
from capacity._common.file_lock import file_lock
from capacity.errors import Locked, SettingsError
from capacity.settings import Settings

__all__ = ["Collector", "only_one"]

_LONGEST_WAIT = 4 * 3600  # seconds of steps that are kept while the disk is full
_log = logging.getLogger("capacity")


class Collector:
    """What one process collects, of all its Engines.

    Attributes:
        latest: the last look.
    """

    def __init__(self, settings: Settings) -> None:
        self.interval, self.step = settings.collect.interval, settings.report.step
        if self.step % self.interval:
            raise SettingsError(
                f"collect.interval {self.interval} s does not divide report.step {self.step} s",
                "Set it to 5, 10, 15, 20, 30 or 60",
            )
        self.latest = Look(0.0)
        self._settings = settings
        self._steps, self._end = Steps(), 0
        self._waiting: deque[ClosedStep] = deque()
        # an archive that was written before will be again; one that never was is set wrong. Only
        # looked at: reading it would load pandas, which this process does without
        self._wait = (settings.archive.path / COLLECTED / "source.json").is_file()

    def run(self, stop: threading.Event) -> None:
        """Collect until told to stop; an Engine that goes away is asked for again.

        Raises:
            EngineUnreachable: no Engine answers when it begins.
            StorageError: the archive cannot be written when it begins or ends, or for hours.
        """
        with closing(EngineWatches(self._settings.engine, find_mounts())) as watches:
            at = time.time() // self.interval * self.interval
            while not stop.is_set():
                self.take(watches.looks(at), at)
                # a look that took long skips moments, it does not make the next ones late
                at = max(at, time.time() // self.interval * self.interval) + self.interval
                stop.wait(max(at - time.time(), 0))
            self._wait = False  # there is no later try
            self.close()

    def take(self, looks: list[Look], at: float) -> None:
        """Add what was seen at a moment of the grid; a step that is over is stored first."""
        end = step_end(at, self.step)
        if end != self._end:
            self.close()
            self._end = end
        whole = Look(
            at,
            tuple(reading for look in looks for reading in look.containers),
            tuple(host for look in looks for host in look.hosts),
        )
        self._steps.add(whole)
        self.latest = whole

    def close(self) -> None:
        """Store the open step, after those that wait; what the disk has no room for waits too.

        Raises:
            StorageError: nothing was ever stored, or too much waits.
        """
        values = self._steps.take()
        if values:
            self._waiting.append(ClosedStep(self._end, self.step, self.interval, values))
        while self._waiting:
            left = store_apart(self._settings.archive.path, self._waiting[0])
            if left is None or not left.rest.values:
                self._waiting.popleft()
                self._wait = True
                continue
            self._waiting[0] = left.rest
            if not self._wait or len(self._waiting) * self.step > _LONGEST_WAIT:
                raise left.error
            _log.warning("%d steps wait to be stored: %s", len(self._waiting), left.error)
            return


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Be the one collector of an archive.

    Raises:
        Locked: another process collects into it.
        StorageError: it cannot be written.
    """
    # beside the source's folder: a first run that fails leaves no source without a day
    path = settings.archive.path / f".{COLLECTED}.lock"
    with file_lock(path, lambda holder: _collecting(settings.archive.path, holder)):
        yield


def _collecting(archive: Path, holder: str) -> Locked:
    return Locked(
        f"{holder or 'Another process'} collects into {archive}",
        "One is enough for all Engines of [engine.hosts]; or set archive.path to another",
    )
