"""The collector as a part of the monitor: one process that samples, archives and shows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from capacity.errors import CapacityError
from capacity.settings import Settings

if TYPE_CHECKING:
    from capacity._collect.collector import Collector

__all__ = ["Collecting"]

_log = logging.getLogger("capacity")
_STORING = 30.0  # seconds that the last step may take to be stored
_MISSED = 3  # looks that may be late


class Collecting:
    """Collects as `capacity collect` does, with the same lock, archive and page of metrics."""

    def __init__(self, settings: Settings) -> None:
        self.trouble = ""
        self._settings = settings

    def work(self, stopping: threading.Event, came_round: Callable[[], object]) -> None:
        """Collect until `stopping` is set or it fails; `came_round` is called while it looks."""
        from capacity._collect.collector import Collector

        try:
            collector = Collector(self._settings)
        except CapacityError as error:
            self.trouble = error.message
            return
        thread = threading.Thread(target=self._run, args=(collector, stopping), daemon=True)
        thread.start()
        while thread.is_alive() and not stopping.wait(1.0):
            if time.time() - collector.latest.at <= _MISSED * collector.interval:
                self.trouble = ""
                came_round()
        thread.join(_STORING)

    def problems(self) -> list[str]:
        """Why nothing is collected, if nothing is, as sentences without their full stop."""
        return [f"the collector does not collect: {self.trouble}"] if self.trouble else []

    def _run(self, collector: Collector, stopping: threading.Event) -> None:
        from capacity._collect.serve import collect

        try:
            collect(self._settings, stopping, lambda _: None, collector)
        except CapacityError as error:
            _log.warning("The collector ended, and is begun again: %s", error)
            self.trouble = error.message
        except Exception as error:  # noqa: BLE001 - a collector that dies in silence is worse than one that is begun anew
            _log.exception("The collector failed, and is begun again")
            self.trouble = f"{type(error).__name__}: {error}"
