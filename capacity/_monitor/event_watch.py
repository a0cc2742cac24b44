"""The events of every Engine, each heard by a thread of its own that comes back after a failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from capacity.errors import CapacityError

if TYPE_CHECKING:
    from capacity._docker.addresses import Address
    from capacity.settings import EngineSettings

__all__ = ["EventWatch"]

_log = logging.getLogger("capacity")
_PAUSE = 5.0  # seconds before an Engine that went away is asked for events again
_LONGEST_PAUSE = 300.0  # seconds; each failure doubles the pause
_MATTER = {"start", "die", "oom", "kill", "destroy", "create", "update", "rename", "restart"}


class EventWatch:
    """Hears the events of Engines; `trouble` says by name which of them are not heard, and why."""

    def __init__(self, settings: EngineSettings, happened: Callable[[], object]) -> None:
        """Hear nothing yet.

        Args:
            settings: the Engines.
            happened: is called after each event that can change a finding.
        """
        self.trouble: dict[str, str] = {}
        self._settings = settings
        self._happened = happened
        self._streams: dict[str, Any] = {}

    def work(self, stopping: threading.Event, came_round: Callable[[], object]) -> None:
        """Listen until `stopping` is set; `came_round` is called every second."""
        from capacity._docker.addresses import addresses

        try:
            wanted = addresses(self._settings)
        except CapacityError as error:
            _log.info("No engine events: %s", error)
            return
        threads = [
            threading.Thread(target=self._listen, args=(name, where, stopping), daemon=True)
            for name, where in wanted.items()
        ]
        for thread in threads:
            thread.start()
        while not stopping.wait(1.0) and all(thread.is_alive() for thread in threads):
            came_round()
        for stream in list(self._streams.values()):
            with suppress(Exception):  # it ends at this moment by itself
                stream.close()
        for thread in threads:
            thread.join(1.0)

    def problems(self) -> list[str]:
        """Which Engines are not heard, as sentences without their full stop."""
        return [
            f"the events of the Engine {name} are not heard: {cause}"
            for name, cause in sorted(self.trouble.items())
        ]

    def _listen(self, name: str, where: Address, stopping: threading.Event) -> None:
        pause = _PAUSE
        while not stopping.is_set():
            try:
                for _ in self._windows(name, where):
                    self.trouble.pop(name, None)
                    pause = _PAUSE
                    if stopping.is_set():
                        return
            except CapacityError as error:
                _log.info("No engine events: %s", error)
                self.trouble[name] = error.message
            except Exception as error:  # noqa: BLE001 - what a closed stream raises is docker-py's secret
                _log.info("An engine's events ended: %s", error)
                self.trouble[name] = f"{type(error).__name__}: {error}"
            stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _windows(self, name: str, where: Address) -> Any:
        from capacity._docker.engine import connect
        from capacity._docker.event_stream import follow_events

        def tell(action: str) -> None:
            if action.partition(":")[0] in _MATTER:  # Podman tells all
                self._happened()

        with connect(name, where, self._settings) as engine:
            if name in self.trouble:
                self._happened()  # nobody knows what was not heard
            yield from follow_events(
                engine, _MATTER, tell, lambda stream: self._streams.update({name: stream})
            )
