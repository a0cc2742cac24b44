"""What must hold however often something dies: the journal, locks, limits, memory and handles."""

from __future__ import annotations

import fcntl
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from capacity._compose import drift, load_project
from capacity._docker import snapshot
from capacity.changes import applied_changes
from capacity.changes._journal.runs import journal_runs, way_out
from tests.fixtures.running.fleet import MIB
from tests.soak.world import SERVICES, START_MIB, World

SHORTEST = 120.0  # seconds without a restart that say something about growth
_WARM_UP = 45.0
_MOST_BYTES, _MOST_SHARE, _MOST_HANDLES = 12e6, 0.1, 6


@dataclass
class JournalWatch:
    """The whole lines of every run as they were: lines are added, none is changed or lost."""

    seen: dict[Path, bytes] = field(default_factory=dict)

    def faults(self, folder: Path) -> Iterator[str]:
        """Lines that were there and are not, and runs that are damaged."""
        for place, before in self.seen.items():
            if not place.exists():
                yield f"the journal {place} is gone"
            elif not place.read_bytes().startswith(before):
                yield f"the journal {place} has lost or changed lines"
        for place in folder.glob("*/*.jsonl"):
            text = place.read_bytes()
            self.seen[place] = text[: text.rfind(b"\n") + 1]
        for _ in journal_runs(folder):  # raises for a damaged one
            pass


def locks_held(disk: Path) -> Iterator[str]:
    """Locks that nobody lets go although no command runs; the collector's are held for moments."""
    for lock in [*disk.glob("journal/lock"), *disk.glob("archive/*/.lock")]:
        deadline = time.monotonic() + 10
        while not _is_free(lock):
            if time.monotonic() > deadline:
                yield f"{lock} is held although no command runs"
                break
            time.sleep(0.1)


def _is_free(lock: Path) -> bool:
    with lock.open("a+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def limits_in_force(journal: Path) -> dict[str, int]:
    """Service -> its memory limit in bytes as the journal has it."""
    found = {f"shop/{name}": START_MIB * MIB for name in SERVICES}
    for change in applied_changes(journal):
        if change.outcome in {"verified", "done"} and isinstance(change.after, (int, float)):
            found[change.service] = int(change.after)
    return found


def limits_differ(world: World) -> Iterator[str]:
    """Services whose limit is not the same in journal, compose file and all containers."""
    expected = limits_in_force(world.disk / "journal")
    declared = load_project(world.disk / "shop", environment={}).services
    found = snapshot(world.fleet.settings().engine)
    for key, limit in expected.items():
        name = key.partition("/")[2]
        if declared[name].resources.memory != limit:
            yield f"{key}: the journal says {limit}, the file {declared[name].resources.memory}"
        containers = [container.memory for container in found.of(key)]
        if set(containers) != {limit}:
            yield f"{key}: the journal says {limit}, the containers {containers}"
    yield from (f"drift: {each}" for each in drift(found))


def open_runs(journal: Path) -> list[str]:
    """Runs that have begun something and not come to their end, the newest last."""
    return [run for run, entries in journal_runs(journal) if way_out(run, entries)]


@dataclass
class Growth:
    """Memory and open handles of long-lived processes, sampled over their lives."""

    samples: dict[tuple[str, int], list[tuple[float, int, int]]] = field(default_factory=dict)

    def look(self, world: World) -> None:
        """Take one sample of each process that lives."""
        for name in ("collector", "monitor"):
            pid = world.parts[name].pid
            try:
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                size = sum(each.memory_info().rss for each in family)
                handles = sum(each.num_fds() for each in family)
            except psutil.Error:
                continue
            taken = self.samples.setdefault((name, pid), [])
            taken.append((time.monotonic(), size, handles))

    def table(self) -> Iterator[tuple[str, bool]]:
        """A line on each life that was long enough, and whether it stayed flat."""
        for (name, pid), taken in self.samples.items():
            settled = [each for each in taken if each[0] > taken[0][0] + _WARM_UP]
            if not settled or taken[-1][0] - taken[0][0] < SHORTEST:
                continue
            third = max(1, len(settled) // 3)
            first, last = settled[:third], settled[-third:]
            size, more = (statistics.median(each[1] for each in part) for part in (first, last))
            few, many = (statistics.median(each[2] for each in part) for part in (first, last))
            hours = (statistics.median(each[0] for each in last) - settled[0][0]) / 3600
            flat = more - size <= max(_MOST_BYTES, _MOST_SHARE * size)
            flat = flat and many - few <= _MOST_HANDLES
            told = (
                f"{name} {pid}: {taken[-1][0] - taken[0][0]:.0f} s, {size / 1e6:.0f} to "
                f"{more / 1e6:.0f} MB ({(more - size) / 1e6 / hours:+.1f} MB an hour), "
                f"{few:.0f} to {many:.0f} handles"
            )
            yield told, flat
