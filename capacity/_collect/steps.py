"""From looks, fifteen seconds apart, to values a step: means of rates, maxima, counts of events.

The worst replica stands for its service, as in all history.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from capacity._collect.readings import Look, Reading
from capacity.model import Signal
from capacity.settings._load import COLLECTED

__all__ = ["COLLECTED", "StepValue", "Steps", "step_end"]


Place = tuple[str, str]  # host and container id

_PRESSURE = {
    Signal.CPU_WAITING: "cpu_waiting",
    Signal.MEMORY_WAITING: "memory_waiting",
    Signal.MEMORY_STALLED: "memory_stalled",
}


def step_end(at: float, step: int) -> int:
    """The end of the step that a moment is of; a moment on the grid ends its step."""
    return -int(-at // step) * step


@dataclass(frozen=True, slots=True)
class StepValue:
    """A signal's value of one service or host, and of how many replicas on which hosts."""

    value: float
    hosts: frozenset[str]
    replicas: int


@dataclass
class _Open:
    """What a container has done in the open step."""

    service: str
    host: str
    replica: int
    seconds: float = 0.0
    cpu: float = 0.0
    periods: int = 0
    throttled: int = 0
    oom_kills: int = 0
    restarts: int = 0
    waited: dict[Signal, float] = field(default_factory=dict)
    highest: dict[Signal, float] = field(default_factory=dict)

    def values(self) -> dict[Signal, float]:
        found: dict[Signal, float] = {
            **self.highest,
            Signal.OOM_KILLS: self.oom_kills,
            Signal.RESTARTS: self.restarts,
        }
        if self.seconds > 0:
            found[Signal.CPU] = self.cpu / self.seconds
            for signal, waited in self.waited.items():
                found[signal] = min(waited / self.seconds, 1.0)
        if self.periods > 0:
            found[Signal.THROTTLED] = self.throttled / self.periods
        return found


class Steps:
    """Adds looks to the open step; the caller says when it is over."""

    def __init__(self) -> None:
        self._before: dict[Place, Reading] = {}
        self._open: dict[Place, _Open] = {}
        self._hosts: dict[str, tuple[float, float]] = {}
        self._host_before: dict[str, tuple[float, float]] = {}
        self._host_values: dict[Signal, dict[str, float]] = {}

    def add(self, look: Look) -> None:
        """Add what was seen; looks come in the order of time."""
        seen = {}
        for reading in look.containers:
            place = (reading.container.host, reading.container.id)
            self._add_container(place, reading, self._before.get(place))
            seen[place] = reading
        self._before = seen
        for host in look.hosts:
            self._add_host(host.host.name, host.host.cores, host.host.memory)
            if host.sample is not None:
                sample = host.sample
                self._add_host_use(host.host.name, sample.at, sample.cpu, sample.memory)

    def take(self) -> dict[Signal, dict[str, StepValue]]:
        """The values of the open step, by service or host, and begin another."""
        found: dict[Signal, dict[str, StepValue]] = {}
        counted: set[tuple[Signal, str, str, int]] = set()
        for entry in self._open.values():
            for signal, value in entry.values().items():
                rows = found.setdefault(signal, {})
                replica = (signal, entry.service, entry.host, entry.replica)
                new = replica not in counted  # containers come and go, a replica stays itself
                counted.add(replica)
                rows[entry.service] = _merged(
                    signal, rows.get(entry.service), entry, value, new=new
                )
        for signal, values in self._host_values.items():
            found[signal] = {name: _of_host(name, value) for name, value in values.items()}
        for name, (seconds, cpu) in self._hosts.items():
            if seconds > 0:
                found.setdefault(Signal.HOST_CPU, {})[name] = _of_host(name, cpu / seconds)
        self._open, self._hosts, self._host_values = {}, {}, {}
        return found

    def _add_container(self, place: Place, reading: Reading, before: Reading | None) -> None:
        container, sample = reading.container, reading.sample
        entry = self._open.setdefault(
            place, _Open(container.key, container.host, container.replica)
        )
        entry.oom_kills += reading.oom_kills
        entry.restarts += reading.restarts
        for signal, limit in (
            (Signal.CPU_LIMIT, container.cpus),
            (Signal.MEMORY_LIMIT, container.memory),
        ):
            if limit is not None:
                entry.highest[signal] = max(entry.highest.get(signal, 0.0), float(limit))
        if sample is None:
            return
        for signal, value in (
            (Signal.MEMORY, sample.memory),
            (Signal.MEMORY_RSS, sample.rss),
            (Signal.MEMORY_CACHE, sample.cache),
            (Signal.MEMORY_SWAP, sample.swap),
        ):
            entry.highest[signal] = max(entry.highest.get(signal, 0.0), float(value))
        earlier = before.sample if before is not None else None
        if earlier is None or sample.cpu < earlier.cpu or sample.at <= earlier.at:
            return  # its counters began anew
        entry.seconds += sample.at - earlier.at
        entry.cpu += sample.cpu - earlier.cpu
        entry.periods += max(sample.periods - earlier.periods, 0)
        entry.throttled += max(sample.throttled - earlier.throttled, 0)
        for signal, kind in _PRESSURE.items():
            if kind in sample.pressure:
                waited = max(sample.pressure[kind] - earlier.pressure.get(kind, 0.0), 0.0)
                entry.waited[signal] = entry.waited.get(signal, 0.0) + waited

    def _add_host(self, name: str, cores: int, memory: int) -> None:
        for signal, value in ((Signal.HOST_CORES, cores), (Signal.HOST_MEMORY_TOTAL, memory)):
            if value > 0:
                self._host_values.setdefault(signal, {})[name] = float(value)

    def _add_host_use(self, name: str, at: float, cpu: float, memory: int) -> None:
        rows = self._host_values.setdefault(Signal.HOST_MEMORY, {})
        rows[name] = max(rows.get(name, 0.0), float(memory))
        before = self._host_before.get(name)
        self._host_before[name] = (at, cpu)
        if before is not None and before[0] < at and before[1] <= cpu:
            seconds, used = self._hosts.get(name, (0.0, 0.0))
            self._hosts[name] = (seconds + at - before[0], used + cpu - before[1])


_EVENTS = {Signal.OOM_KILLS, Signal.RESTARTS}


def _merged(
    signal: Signal, known: StepValue | None, entry: _Open, value: float, *, new: bool
) -> StepValue:
    if known is None:
        return StepValue(value, frozenset({entry.host}), 1)
    both = known.value + value if signal in _EVENTS else max(known.value, value)
    return StepValue(both, known.hosts | {entry.host}, known.replicas + new)


def _of_host(name: str, value: float) -> StepValue:
    return StepValue(value, frozenset({name}), 1)
