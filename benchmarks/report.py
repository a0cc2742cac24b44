"""From a warm archive to a finished page: wall time and memory of the whole process tree, and size
of the page, by number of services.

Run it with `python benchmarks/report.py [weekly|monthly|quarterly] [--services 100,300,1000,3000]`.
The archive is made first, day by day, and not counted. Targets for 1,000 services on 2 cores are in
`TARGETS`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal

DAYS = 28
STEP = 300
START = pd.Timestamp("2026-10-26", tz="UTC")
END = START + pd.Timedelta(days=DAYS)
TARGETS = {"weekly": (20.0, 1e9), "monthly": (60.0, 1.5e9), "quarterly": (60.0, 2e9)}
"""Seconds and bytes of memory for 1,000 services."""
LARGEST_PAGE = 1.5e6
SIGNALS = (
    Signal.CPU,
    Signal.MEMORY,
    Signal.CPU_LIMIT,
    Signal.MEMORY_LIMIT,
    Signal.HOST_CORES,
    Signal.HOST_MEMORY_TOTAL,
)


def make_archive(archive: Archive, services: int) -> None:
    """Simulated usage of `services` services on hosts of 100, as a fetch would have left it."""
    archive.record(
        SourceRecord("bench", "", "import", 60, {str(signal): "benchmark" for signal in SIGNALS})
    )
    rng = np.random.default_rng(1)
    names = [f"project{index // 10:03d}/service{index:05d}" for index in range(services)]
    hosts = [f"host{index // 100:02d}" for index in range(services)]
    host_names = sorted(set(hosts))
    base = rng.lognormal(-2, 1, services)
    size = rng.lognormal(19.5, 1, services)
    limited = rng.random(services) < 0.5  # the others have no limit
    for day in range(DAYS):
        hours = np.arange(0, 24, STEP / 3600)
        rhythm = 1 + 0.6 * np.sin((hours - 9) / 24 * 2 * np.pi)
        cpu = base[:, None] * rhythm * rng.lognormal(0, 0.25, (services, len(hours)))
        memory = size[:, None] * (1 + 0.1 * rhythm) * rng.lognormal(0, 0.03, (services, len(hours)))
        flat = np.ones((services, 24))
        values = {
            Signal.CPU: cpu,
            Signal.MEMORY: memory,
            Signal.CPU_LIMIT: np.where(limited, base * 4, np.nan)[:, None] * flat,
            Signal.MEMORY_LIMIT: np.where(limited, size * 1.5, np.nan)[:, None] * flat,
            Signal.HOST_CORES: np.full((len(host_names), 24), 64.0),
            Signal.HOST_MEMORY_TOTAL: np.full((len(host_names), 24), 256 * 1024.0**3),
        }
        date = (START + pd.Timedelta(days=day)).date()
        for signal, rows in values.items():
            whose = host_names if len(rows) == len(host_names) and "host" in signal else names
            block = SeriesBlock(whose, whose if "host" in signal else hosts, [1] * len(whose), rows)
            archive.write(
                "bench",
                signal,
                "benchmark",
                CATALOGUE[signal].step(STEP),
                date,
                StoredDay(block, True, ()),
            )


def measure(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall and processor seconds of a command, and the largest size of its process tree, bytes."""
    began, busy = time.monotonic(), processor_seconds()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, tree_size(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    wall = time.monotonic() - began
    done.set()
    watcher.join()
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}")
    return wall, processor_seconds() - busy, peak


def processor_seconds() -> float:
    """Of all processes that this one has waited for: other load on the machine adds little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tree_size(pid: int) -> float:
    """Bytes of memory that a process and its children take, what they share counted once (their
    proportional set sizes); 0 once it has ended.
    """
    try:
        root = psutil.Process(pid)
        processes = (root, *root.children(recursive=True))
        return float(sum(each.memory_full_info().pss for each in processes))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def fleet_sizes(text: str) -> list[int]:
    """Numbers of services as `--services` has them, such as `100,300`, the smallest first."""
    return sorted(int(part) for part in text.split(","))


def main() -> None:
    """Print one row a fleet size, with the growth from the row before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", nargs="?", default="weekly", choices=sorted(TARGETS))
    parser.add_argument("--services", type=fleet_sizes, default="100,300,1000,3000")
    asked = parser.parse_args()
    sizes: list[int] = asked.services
    print(
        f"{asked.report} report from a warm archive: {DAYS} days, CPU and memory every {STEP} s, "
        f"{os.cpu_count()} cores"
    )
    print(
        f"{'services':>9} {'wall s':>8} {'CPU s':>8} {'peak MB':>8} {'page MB':>8} "
        f"{'x services':>11} {'x wall':>7} {'x memory':>9}  target"
    )
    last: tuple[int, float, float] | None = None
    for services in sizes:
        with tempfile.TemporaryDirectory(prefix="capacity-bench-") as folder:
            make_archive(Archive(Path(folder) / "archive"), services)
            environment = {**os.environ, "CAPACITY_ARCHIVE__PATH": str(Path(folder) / "archive")}
            command = [
                sys.executable,
                "-m",
                "capacity",
                "report",
                asked.report,
                "--offline",
                "--source",
                "bench",
                "--quiet",
            ]
            command += ["--as-of", END.isoformat(), "--out", str(Path(folder) / "reports")]
            wall, busy, peak = measure(command, environment)
            page = max(each.stat().st_size for each in Path(folder).glob("reports/*/*.html"))
        growth = (
            f"{services / last[0]:>11.1f} {wall / last[1]:>7.1f} {peak / last[2]:>9.1f}"
            if last
            else " " * 29
        )
        target = ""
        if services == 1000:
            most_wall, most_peak = TARGETS[asked.report]
            met = wall <= most_wall and peak <= most_peak and page <= LARGEST_PAGE
            asked_for = f"{most_wall:.0f} s, {most_peak / 1e6:.0f} MB, {LARGEST_PAGE / 1e6} MB"
            target = f"{asked_for}: {'met' if met else 'MISSED'}"
        print(
            f"{services:>9} {wall:>8.1f} {busy:>8.1f} {peak / 1e6:>8.0f} {page / 1e6:>8.2f} "
            f"{growth}  {target}",
            flush=True,
        )
        last = (services, wall, peak)


if __name__ == "__main__":
    main()
