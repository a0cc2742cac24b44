"""What one look at an Engine found: every running container with its sample."""

from __future__ import annotations

from dataclasses import dataclass

from capacity._collect.host import HostSample
from capacity._collect.sample import Sample
from capacity._docker.containers import Container, Host

__all__ = ["HostReading", "Look", "Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A container at one moment.

    Attributes:
        container: as the Engine describes it; its limits are those in force.
        sample: its counters; None where it ended meanwhile.
        oom_kills, restarts: since the look before; restarts are re-creations of its name too.
        all_oom_kills, all_restarts: since the collector began.
    """

    container: Container
    sample: Sample | None
    oom_kills: int = 0
    restarts: int = 0
    all_oom_kills: int = 0
    all_restarts: int = 0


@dataclass(frozen=True, slots=True)
class HostReading:
    """An Engine's machine; `sample` is None where it is another than the collector's."""

    host: Host
    sample: HostSample | None = None


@dataclass(frozen=True)
class Look:
    """All containers and machines at one moment, Unix seconds."""

    at: float
    containers: tuple[Reading, ...] = ()
    hosts: tuple[HostReading, ...] = ()
