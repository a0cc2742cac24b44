"""The loops behind the service: evaluate on a schedule and on engine events, probe alert delivery,
tell of changes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from capacity._monitor.alert_probe import Prober
from capacity._monitor.collecting import Collecting
from capacity._monitor.evaluate import MonitorTargets, evaluate_targets
from capacity._monitor.event_watch import EventWatch
from capacity._monitor.notify import Notifier
from capacity._monitor.state import Evaluation, now

if TYPE_CHECKING:
    from capacity.compliance._facts.monitoring import Delivery
    from capacity.settings import MonitorSettings

__all__ = ["Loop", "Monitor"]

_log = logging.getLogger("capacity")
_SETTLE = 2.0  # seconds after an event before looking: they come in bunches
_AGAIN = 30.0  # seconds before a collector that failed is begun again
_STORED = 35.0  # seconds that the collector may take to store its last step
_PAUSE = 5.0  # seconds before the events are followed again


class Loop:
    """A thread that does one thing again and again, and can be asked whether it still does."""

    def __init__(
        self, name: str, work: Callable[[], None], every: float, wake: threading.Event | None = None
    ) -> None:
        self.name, self.every = name, every
        self.last: datetime | None = None
        self._work, self._wake, self._stop = work, wake or threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"capacity-{name}", daemon=True)
        self._began = now()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is being done."""
        self._stop.set()
        self._wake.set()

    def join(self, seconds: float) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def healthy(self, at: datetime) -> bool:
        """Whether it runs and has come round in three of its periods (and at least two minutes)."""
        patience = timedelta(seconds=max(3 * self.every, 120))
        return self._thread.is_alive() and at - (self.last or self._began) <= patience

    @property
    def stopping(self) -> threading.Event:
        """Set when it is to end."""
        return self._stop

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._work()
            except Exception:  # noqa: BLE001 - a loop that dies in silence is worse than one that logs and goes on
                _log.exception("The monitor's loop %s failed; it goes on", self.name)
            self.last = now()
            self._wake.wait(self.every)
            self._wake.clear()


class Monitor:
    """The monitor without its web face."""

    def __init__(self, watched: MonitorTargets) -> None:
        self.watched = watched
        self.evaluation: Evaluation | None = None
        self.version = 0
        self.prober = Prober(watched.settings)
        self.notifier = Notifier(watched.settings.monitor, watched.runbooks)
        self.events = EventWatch(watched.settings.engine, self.look_soon)
        self._wake = threading.Event()
        self._soon: threading.Timer | None = None
        chosen: MonitorSettings = watched.settings.monitor
        self.loops = [Loop("evaluate", self.evaluate, chosen.interval, self._wake)]
        self.loops.append(Loop("notify", self.notifier.work, 1.0, self.notifier.wake))
        self.collecting = Collecting(watched.settings)
        if watched.collect:
            self.loops.append(Loop("collect", self._collect, _AGAIN))
        if watched.engine:
            self.loops.append(Loop("events", self._events, _PAUSE))
        if watched.settings.compliance.alertmanager is not None and chosen.probe:
            self.loops.append(Loop("probe", self._probe, chosen.probe_interval))

    def start(self) -> None:
        """Begin all loops."""
        for loop in self.loops:
            loop.start()

    def stop(self) -> None:
        """End all loops."""
        for loop in self.loops:
            loop.stop()
        for loop in self.loops:
            loop.join(_STORED if loop.name == "collect" else 2.0)

    def evaluate(self) -> None:
        """Look once, and tell of what has changed."""
        self.evaluation = evaluate_targets(self.watched, self.evaluation, self.prober.delivery)
        self.version += 1
        if self.evaluation.report is not None:
            self.notifier.tell(self.evaluation.report, self.evaluation.at)

    def look_soon(self) -> None:
        """Ask for another look once the bunch that an event belongs to is over; more events of the
        bunch change nothing.
        """
        if self._soon is None or not self._soon.is_alive():
            self._soon = threading.Timer(_SETTLE, self._wake.set)
            self._soon.daemon = True
            self._soon.start()

    def _probe(self) -> None:
        """One probe; what it changes is looked at now, not with the next look on schedule."""
        before = self.prober.delivery
        self.prober.work()
        after = self.prober.delivery
        if before is None or after is None or _arrived(before) != _arrived(after):
            self._wake.set()

    def problems(self, at: datetime) -> list[str]:
        """What is wrong with the monitor itself."""
        found = [
            f"the loop {loop.name} has not come round"
            for loop in self.loops
            if not loop.healthy(at)
        ]
        found += self.collecting.problems()
        if self.evaluation is None:
            found.append("nothing has been evaluated yet")
        elif self.evaluation.error:
            found.append(self.evaluation.error)
        return found

    def _events(self) -> None:
        """Follow the events of every Engine; what matters asks for another look."""
        self.events.work(*self._held("events"))

    def _collect(self) -> None:
        """Collect until it fails; the loop begins anew."""
        self.collecting.work(*self._held("collect"))

    def _held(self, name: str) -> tuple[threading.Event, Callable[[], None]]:
        """What ends a loop whose work does not end by itself, and what says that it still works."""
        loop = next(each for each in self.loops if each.name == name)

        def came_round() -> None:
            loop.last = now()

        return loop.stopping, came_round


def _arrived(delivery: Delivery) -> bool:
    return delivery.seconds is not None
