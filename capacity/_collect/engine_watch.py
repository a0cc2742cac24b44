"""Looks at one Engine: who runs, with which counters, and what happened since the look before.

A look asks the Engine twice, whatever it has: for its list of containers and for kills by the
kernel. Only what is new or began anew is inspected; counters come from the kernel's files where
this is the Engine's machine.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace

from capacity._collect.cgroups import Mounts, Reader, reader_of
from capacity._collect.host import read_host
from capacity._collect.readings import HostReading, Look, Reading
from capacity._collect.sample import Sample
from capacity._collect.stats_api import read_stats
from capacity._docker.containers import Container, read_container
from capacity._docker.engine import Engine, engine_errors, engine_time
from capacity._docker.events import memory_kills
from capacity._docker.responses import ContainerAnswer
from capacity.errors import ContainerGone

__all__ = ["EngineWatch"]

_REFRESH = 300.0  # seconds after which limits are read again: `docker update` tells no counter
_REMEMBERED = 3600.0  # seconds that a name's counts outlive its container


@dataclass(frozen=True, slots=True)
class _Known:
    """A container that was inspected; `reader` is None where its files are on another machine."""

    container: Container
    reader: Reader | None
    inspected: float
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class _Name:
    """What is counted of a container's name, over all that had it; `seen` is when it last had
    one.
    """

    id: str = ""
    started_at: str = ""
    restart_count: int = 0
    oom_kills: int = 0
    restarts: int = 0
    seen: float = 0.0

    def with_life(self, container: Container, kills: int, seen: float) -> _Name:
        """With the present container of the name, and what it adds."""
        return _Name(
            container.id,
            container.started_at,
            container.restart_count,
            self.oom_kills + kills,
            self.restarts + self._began_anew(container),
            seen,
        )

    def _began_anew(self, container: Container) -> int:
        """How often a container of the name was started since the look before."""
        if not self.id or (self.id, self.started_at) == (container.id, container.started_at):
            return 0
        return (
            max(container.restart_count - self.restart_count, 1) if self.id == container.id else 1
        )


class EngineWatch:
    """Remembers one Engine's containers from look to look, and for an hour those that have gone."""

    def __init__(self, engine: Engine, mounts: Mounts) -> None:
        self._engine, self._mounts = engine, mounts
        self._ahead = engine_time(engine) - time.time()
        self._asked = time.time() + self._ahead
        self._known: dict[str, _Known] = {}
        self._names: dict[str, _Name] = {}

    def look(self, at: float) -> Look:
        """All that runs at a moment.

        Args:
            at: what the look is filed under, Unix seconds; counters carry their own time.

        Raises:
            EngineError: the Engine does not answer.
        """
        with engine_errors(self._engine.host.name, "list its containers"):
            listed = self._engine.api.containers()  # what runs, is paused, or restarts
        now = time.time() + self._ahead
        kills = Counter(name for name, _ in memory_kills(self._engine, self._asked, now))
        self._asked = now
        alive = {row["Id"]: None for row in listed}
        gone = {name: self._known.pop(name) for name in self._known.keys() - alive.keys()}
        readings = [self._read(name, kills[name], at) for name in alive]
        # whom the kernel has ended for good is not listed any more
        readings += [
            self._counted(gone[name], None, kills[name], at) for name in kills.keys() & gone
        ]
        self._names = {
            name: known for name, known in self._names.items() if known.seen > at - _REMEMBERED
        }
        return Look(at, tuple(reading for reading in readings if reading), (self._host(),))

    def _read(self, name: str, told: int, at: float) -> Reading | None:
        """A container that is listed; None where it has gone meanwhile."""
        before = self._known.get(name)
        fresh = self._sample(before) if before is not None else None
        known = before
        if known is None or _is_due(known, fresh):
            known = self._inspect(name)
            if known is None:
                return None
            same_life = before is not None and _life(before) == _life(known)
            fresh = fresh if same_life and fresh is not None else self._sample(known)
            known = replace(known, sample=before.sample if before and same_life else None)
        self._known[name] = replace(known, sample=fresh)
        return self._counted(known, fresh, told, at)

    def _counted(self, known: _Known, fresh: Sample | None, told: int, at: float) -> Reading | None:
        """What has happened to a container since the look before; None for `compose run`."""
        container = known.container
        if container.oneoff:
            return None
        kills = max(told, _kills_between(known.sample, fresh))
        before = self._names.get(container.name, _Name())
        now = self._names[container.name] = before.with_life(container, kills, at)
        restarts = now.restarts - before.restarts
        return Reading(container, fresh, kills, restarts, now.oom_kills, now.restarts)

    def _inspect(self, name: str) -> _Known | None:
        try:
            with engine_errors(self._engine.host.name, f"inspect {name[:12]}"):
                attrs: ContainerAnswer = self._engine.api.inspect_container(name)
        except ContainerGone:
            return None
        pid = int((attrs.get("State") or {}).get("Pid") or 0)
        reader = reader_of(self._mounts, pid, name) if pid else None
        return _Known(read_container(self._engine.host.name, attrs), reader, time.time())

    def _sample(self, known: _Known) -> Sample | None:
        """Its counters; None where it has just ended."""
        try:
            if known.reader is not None:
                return known.reader(time.time())
            return read_stats(self._engine, known.container.id, time.time())
        except (OSError, ValueError, KeyError, ContainerGone):
            return None

    def _host(self) -> HostReading:
        """The Engine's machine; its own use is known where any of its containers is ours."""
        if not any(known.reader for known in self._known.values()):
            return HostReading(self._engine.host)
        try:
            return HostReading(self._engine.host, read_host(time.time(), self._mounts.proc))
        except (OSError, ValueError, KeyError):
            return HostReading(self._engine.host)


def _life(known: _Known) -> str:
    return known.container.started_at


def _is_due(known: _Known, fresh: Sample | None) -> bool:
    """Whether to inspect it: it ended or was started again, or its limits are old."""
    began_anew = known.sample is not None and fresh is not None and fresh.cpu < known.sample.cpu
    return fresh is None or began_anew or time.time() - known.inspected > _REFRESH


def _kills_between(before: Sample | None, now: Sample | None) -> int:
    """Kills that the kernel has counted between two samples of one life."""
    return max(now.oom_kills - before.oom_kills, 0) if before and now else 0
