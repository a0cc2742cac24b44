"""What the whole machine uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HostSample", "read_host"]


@dataclass(frozen=True, slots=True)
class HostSample:
    """Seconds of CPU used since the machine started, and its memory now in bytes."""

    at: float
    cpu: float
    memory: int


def read_host(at: float, proc: Path = Path("/proc")) -> HostSample:
    """CPU but for idle, waiting for disks and what another guest took; memory that is not
    available.

    Raises:
        OSError, ValueError, KeyError: there is no such /proc.
    """
    line = (proc / "stat").read_text(encoding="ascii").partition("\n")[0]
    user, nice, system, _, _, irq, softirq, *_ = (int(word) for word in line.split()[1:])
    table = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (
            row.partition(":")
            for row in (proc / "meminfo").read_text(encoding="ascii").splitlines()
        )
        if name in {"MemTotal", "MemAvailable"}
    }
    busy = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return HostSample(at, busy, table["MemTotal"] - table["MemAvailable"])
