"""What each step costs by number of services: seconds, peak memory, how both grow, bytes on disk.

    python -m benchmarks.scale [--services 100,300,1000,3000] [--whole-up-to 10000]
                               [--write benchmarks/results/scale.txt]

The archive holds 28 days of CPU and memory every five minutes (simulated), and hourly limits and
sizes of hosts. A fleet is sized from its whole history at once, and in blocks. Each way and size
runs in a process of its own; the peak is of the resident memory of that process while the step
runs, with what the steps before it hold. The exponent is that of the two largest sizes: 1 is
linear.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import DAYS, END, STEP, fleet_sizes, make_archive
from capacity._api import (
    forecast,
    open_history,
    prepare_window,
    recommend,
    recommend_in_blocks,
)
from capacity.history import archive_status, verify_archive
from capacity.history._archive.archive import Archive, StoredDay
from capacity.model import Resource, Signal
from capacity.settings import Settings, override

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
MOST_MEMORY = 4e9  # bytes, however many services
MOST_EXPONENT = 1.05
MILLION = 1_000_000
WAYS = {"whole": "the whole history at once", "blocks": "in blocks of 500, two at once"}


@dataclass(frozen=True)
class Disk:
    """Bytes on disk of one service and day of a signal."""

    signal: str
    services: int
    size: float


@dataclass(frozen=True)
class Cost:
    """Of one step for one size: seconds, and bytes resident at most."""

    step: str
    services: int
    wall: float
    peak: float


class TimedArchive(Archive):
    """Counts the seconds of writing, without those in which the days are made up."""

    seconds = 0.0

    def write(
        self, source: str, signal: Signal, query: str, step: int, day: date, stored: StoredDay
    ) -> None:
        """Store a day."""
        began = time.perf_counter()
        super().write(source, signal, query, step, day, stored)
        self.seconds += time.perf_counter() - began


def run_steps(services: int, way: str) -> tuple[list[Cost], list[Disk]]:
    """Every step of a way in this process, one after the other."""
    costs: list[Cost] = []

    @contextmanager
    def step(name: str, seconds: Callable[[], float] | None = None) -> Iterator[None]:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the step before
        began = time.perf_counter()
        yield
        wall = seconds() if seconds else time.perf_counter() - began
        costs.append(Cost(name, services, wall, _peak()))

    with tempfile.TemporaryDirectory(prefix="capacity-bench-") as scratch:
        folder = Path(scratch) / "archive"
        archive = TimedArchive(folder)
        settings = override(Settings(), "archive__path", folder)
        with step("archive: write", lambda: archive.seconds):
            make_archive(archive, services)
        with step("archive: status"):
            held = archive_status(folder)
        with step("archive: verify"):
            assert not any(verify_archive(folder))
        if way == "blocks":
            settings = override(settings, "compute__block", 500)
            window = prepare_window(settings, source="bench", as_of=END, offline=True)
        else:
            with step("archive: read"):
                history = open_history("bench", as_of=END, offline=True, settings=settings)
        for resource in Resource:
            if way == "blocks":
                with step(f"limits {resource}"):
                    advice = recommend_in_blocks(window, resource, settings=settings)
            else:
                with step(f"forecast {resource}"):
                    made = forecast(history, resource, settings=settings)
                with step(f"size {resource}"):
                    advice = recommend(history, resource, settings=settings, forecaster=made.model)
            with step(f"plan {resource}"):
                advice.to_plan(Path(scratch) / "plan.yaml")
    usage = {str(resource.usage) for resource in Resource}
    return costs, [
        Disk(found.signal, services, found.bytes_per_service_day or math.nan)
        for found in held
        if found.signal in usage
    ]


def _peak() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024.0


def table(way: str, costs: list[Cost], disks: list[Disk]) -> str:
    """Seconds and peaks of every step and size, growth, and the cost of a service."""
    sizes = sorted({cost.services for cost in costs})
    known = {(cost.step, cost.services): cost for cost in costs}
    steps = list(dict.fromkeys(cost.step for cost in costs))
    lines = [
        (
            f"{WAYS[way]}: {DAYS} days, CPU and memory every {STEP} s, {os.cpu_count()} cores; "
            "seconds (peak MB)"
        ),
        "",
        f"{'step':<18}{''.join(f'{size:>16,}' for size in sizes)}{'exponent':>10}{'ms each':>9}",
    ]
    for name in steps:
        row = [known[name, size] for size in sizes]
        cells = [f"{cost.wall:.2f} ({cost.peak / 1e6:.0f})" for cost in row]
        lines.append(_row(name, cells, [cost.wall for cost in row], sizes))
    totals = [sum(known[name, size].wall for name in steps) for size in sizes]
    peaks = [max(known[name, size].peak for name in steps) for size in sizes]
    cells = [f"{wall:.2f} ({peak / 1e6:.0f})" for wall, peak in zip(totals, peaks, strict=True)]
    lines += [_row("all", cells, totals, sizes), ""]
    for signal in sorted({disk.signal for disk in disks}):
        shown = [f"{disk.size:,.0f}" for disk in disks if disk.signal == signal]
        lines.append(f"bytes a service-day, {signal}: {', '.join(shown)}")
    return "\n".join([*lines, *(_growth(totals, peaks, sizes) if len(sizes) > 1 else ())])


def _row(name: str, cells: list[str], walls: list[float], sizes: list[int]) -> str:
    grown = _exponent(walls, sizes) if len(sizes) > 1 else math.nan
    shown = "".join(f"{cell:>16}" for cell in cells)
    return f"{name:<18}{shown}{grown:>10.2f}{walls[-1] / sizes[-1] * 1000:>9.2f}"


def _exponent(costs: list[float], sizes: list[int]) -> float:
    """The power of the size that a cost grows with, from the two largest sizes."""
    return math.log(costs[-1] / costs[-2]) / math.log(sizes[-1] / sizes[-2])


def _growth(totals: list[float], peaks: list[float], sizes: list[int]) -> list[str]:
    """What was wanted, what was reached, and a million services on paper."""
    each = totals[-1] / sizes[-1]
    memory = (peaks[-1] - peaks[-2]) / (sizes[-1] - sizes[-2])
    most, largest = MOST_MEMORY / 1e9, f"{sizes[-1]:,} services"
    return [
        "",
        _verdict(f"exponent of all, {largest}", _exponent(totals, sizes), MOST_EXPONENT, ""),
        _verdict(f"peak memory, {largest}", peaks[-1] / 1e9, most, " GB"),
        (
            f"one more service: {memory / 1e3:.0f} kB, so {most:g} GB hold about "
            f"{sizes[-1] + (MOST_MEMORY - peaks[-1]) / memory:,.0f} services at once"
        ),
        (
            f"{MILLION:,} services on paper, linear: {MILLION * each / 3600:.1f} h on one "
            f"machine, {MILLION * memory / 1e9:,.0f} GB at once"
        ),
    ]


def _verdict(name: str, reached: float, most: float, unit: str) -> str:
    told = "met" if reached <= most else "MISSED"
    return f"{name}: {reached:.2f}{unit}, at most {most:g}: {told}"


def _measured(way: str, sizes: list[int]) -> tuple[list[Cost], list[Disk]]:
    """The costs of each size, in a process of its own."""
    costs: list[Cost] = []
    disks: list[Disk] = []
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.scale", "--measure", str(size), "--way", way]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        spent, held = json.loads(done.stdout.splitlines()[-1])
        costs += [Cost(**fields) for fields in spent]
        disks += [Disk(**fields) for fields in held]
    return costs, disks


def main() -> None:
    """Measure each size in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--services", type=fleet_sizes, default="100,300,1000,3000")
    parser.add_argument(
        "--whole-up-to", type=int, default=10_000, help="services whose whole history is held"
    )
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=sorted(WAYS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measured = run_steps(asked.measure, asked.way)
        print(json.dumps([[asdict(each) for each in part] for part in measured]))
        return
    sizes: list[int] = asked.services
    chosen = {"whole": [size for size in sizes if size <= asked.whole_up_to], "blocks": sizes}
    text = "\n\n".join(table(way, *_measured(way, those)) for way, those in chosen.items() if those)
    print(text)
    if asked.write:
        asked.write.write_text(text + "\n")


if __name__ == "__main__":
    main()
