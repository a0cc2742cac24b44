"""A container's counters as the kernel keeps them in its cgroup, version 1 and 2."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from capacity._collect.sample import Sample

__all__ = ["Mounts", "Reader", "find_mounts", "reader_of"]

Reader: TypeAlias = Callable[[float], Sample]
"""Reads a sample as of a time; OSError or ValueError once the cgroup is gone."""

_UNIFIED = ""  # the controller's name of version 2 in /proc
_V1 = ("memory", "cpu", "cpuacct")
_LARGEST = 65_536  # bytes of a file; memory.stat has about 2,000


@dataclass(frozen=True)
class Mounts:
    """Where this machine has its cgroups.

    Attributes:
        proc: the folder of processes, `/proc`.
        places: controller -> mount point and the cgroup that is mounted there; the name of
            version 2 is empty.
    """

    proc: Path
    places: Mapping[str, tuple[str, str]]

    @property
    def version(self) -> int:
        """1 where the memory controller is one of version 1."""
        return 1 if "memory" in self.places else 2


def find_mounts(proc: Path = Path("/proc")) -> Mounts:
    """The mounts of cgroups that this process sees; none where there is no /proc."""
    places: dict[str, tuple[str, str]] = {}
    try:
        lines = (proc / "self" / "mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        front, _, back = line.partition(" - ")
        _, _, _, root, point, *_ = front.split(" ")
        kind, _, options = ([*back.split(" "), "", ""])[:3]
        if kind == "cgroup2":
            places.setdefault(_UNIFIED, (point, root))
        elif kind == "cgroup":
            for controller in set(options.split(",")) & set(_V1):
                places.setdefault(controller, (point, root))
    return Mounts(proc, places)


def reader_of(mounts: Mounts, pid: int, container: str) -> Reader | None:
    """What reads a running container's cgroup; None where this machine does not have it.

    Args:
        mounts: of this machine.
        pid: of the container's first process, as its Engine says.
        container: the whole id.
    """
    try:
        text = (mounts.proc / str(pid) / "cgroup").read_text(encoding="utf-8")
    except OSError:
        return None
    folders: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        for controller in controllers.split(","):
            place = mounts.places.get(controller)
            # the process of that number may be of another machine, or in a cgroup of its own below
            head, found, _ = path.partition(container)
            if place is not None and found:
                tail = path[len(head) + len(found) :].partition("/")[0]
                folders[controller] = _below(*place, f"{head}{found}{tail}")
    if mounts.version == 1:
        return _v1(folders) if folders.keys() >= set(_V1) else None
    return _v2(folders[_UNIFIED]) if _UNIFIED in folders else None


def _below(point: str, root: str, path: str) -> str:
    """The folder of a cgroup under a mount that may show only a part of the tree."""
    return point + (path.removeprefix(root) if root != "/" else path)


def _v1(folders: Mapping[str, str]) -> Reader:
    memory, cpu, cpuacct = (folders[name] for name in _V1)

    def read(at: float) -> Sample:
        stat = _table(f"{memory}/memory.stat")
        times = _table(f"{cpu}/cpu.stat")
        return Sample(
            at,
            cpu=int(_text(f"{cpuacct}/cpuacct.usage")) / 1e9,
            usage=int(_text(f"{memory}/memory.usage_in_bytes")),
            rss=stat.get("total_rss", 0),
            cache=stat.get("total_cache", 0),
            active_file=stat.get("total_active_file", 0),
            inactive_file=stat.get("total_inactive_file", 0),
            swap=stat.get("total_swap", 0),
            periods=times.get("nr_periods", 0),
            throttled=times.get("nr_throttled", 0),
            oom_kills=_table(f"{memory}/memory.oom_control").get("oom_kill", 0),
        )

    return read


def _v2(folder: str) -> Reader:
    def read(at: float) -> Sample:
        stat = _table(f"{folder}/memory.stat")
        times = _table(f"{folder}/cpu.stat")
        return Sample(
            at,
            cpu=times["usage_usec"] / 1e6,
            usage=int(_text(f"{folder}/memory.current")),
            rss=stat.get("anon", 0),
            cache=stat.get("file", 0),
            active_file=stat.get("active_file", 0),
            inactive_file=stat.get("inactive_file", 0),
            swap=int(_optional(f"{folder}/memory.swap.current") or 0),
            periods=times.get("nr_periods", 0),
            throttled=times.get("nr_throttled", 0),
            oom_kills=_table(f"{folder}/memory.events").get("oom_kill", 0),
            pressure=_pressures(folder),
        )

    return read


def _pressures(folder: str) -> dict[str, float]:
    """Seconds of pressure stall, of the resources that this kernel accounts it for."""
    found: dict[str, float] = {}
    for resource in ("cpu", "memory", "io"):
        for line in _optional(f"{folder}/{resource}.pressure").splitlines():
            kind, _, rest = line.partition(" ")
            total = rest.rpartition("total=")[2]
            if kind == "some":
                found[f"{resource}_waiting"] = int(total) / 1e6
            elif kind == "full":
                found[f"{resource}_stalled"] = int(total) / 1e6
    return found


def _optional(path: str) -> str:
    try:
        return _text(path)
    except OSError:  # a kernel without swap or pressure accounting
        return ""


def _text(path: str) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, _LARGEST).decode("ascii")
    finally:
        os.close(handle)


def _table(path: str) -> dict[str, int]:
    """Lines of a name and a number."""
    words = _text(path).split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))
