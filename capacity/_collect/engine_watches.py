"""A watch on every Engine; one that is lost is asked for again while the others are looked at."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

from capacity._collect.cgroups import Mounts
from capacity._collect.engine_watch import EngineWatch
from capacity._collect.readings import Look
from capacity._docker.addresses import addresses
from capacity._docker.engine import connect
from capacity.errors import CapacityError, EngineError
from capacity.settings import EngineSettings

__all__ = ["EngineWatches"]

_log = logging.getLogger("capacity")
_PAUSE = 60.0  # seconds between two attempts at an Engine that does not answer

_Opened = tuple[EngineWatch, ExitStack]


class EngineWatches:
    """Watches by Engine, each with a connection of its own.

    Raises:
        EngineUnreachable: no Engine answers.
        InputError: a docker context that does not exist.
    """

    def __init__(self, settings: EngineSettings, mounts: Mounts) -> None:
        self._settings, self._mounts = settings, mounts
        self._addresses = addresses(settings)
        self._pool = ThreadPoolExecutor(max(len(self._addresses), 1))
        self._open: dict[str, _Opened] = {}
        self._attempts: dict[str, Future[_Opened]] = {}
        self._due: dict[str, float] = {}
        self._attempt()
        wait(self._attempts.values())
        errors = [attempt.exception() for attempt in self._attempts.values()]
        failed = [error for error in errors if error is not None]
        if failed and len(failed) == len(errors):
            self._pool.shutdown()
            raise failed[0]
        self._collect_attempts()

    def looks(self, at: float) -> list[Look]:
        """Looks at all Engines that answer; see `EngineWatch.look`."""
        self._collect_attempts()
        self._attempt()
        found = []
        for name, (watch, connection) in list(self._open.items()):
            try:
                found.append(watch.look(at))
            except EngineError as error:
                _log.warning("%s; it is collected again when it answers", error.message)
                del self._open[name]
                connection.close()
        return found

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown()
        self._collect_attempts()
        for _, connection in self._open.values():
            connection.close()

    def _attempt(self) -> None:
        """Begin to connect to what is missing, not more often than once in a pause."""
        now = time.monotonic()
        for name in self._addresses.keys() - self._open.keys() - self._attempts.keys():
            if now >= self._due.get(name, now):
                self._due[name] = now + _PAUSE
                self._attempts[name] = self._pool.submit(self._connect, name)

    def _collect_attempts(self) -> None:
        for name, attempt in list(self._attempts.items()):
            if not attempt.done():
                continue
            del self._attempts[name]
            try:
                self._open[name] = attempt.result()
            except CapacityError as error:
                _log.warning("%s; it is collected when it answers", error.message)

    def _connect(self, name: str) -> _Opened:
        with ExitStack() as stack:
            engine = stack.enter_context(connect(name, self._addresses[name], self._settings))
            return EngineWatch(engine, self._mounts), stack.pop_all()
