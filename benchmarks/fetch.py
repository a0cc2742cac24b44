"""Fetching four weeks of 200 containers from a real Prometheus, against the library's own way and
the server's bound.

    python -m benchmarks.fetch [--cache DIR] [--rounds 5] [--write benchmarks/results/fetch.txt]

The server is real and holds 29 days at 60 s that promtool backfilled; the values are simulated
(labels and cadence follow cAdvisor, with re-created containers, restarts and holes). CPU (rate over
5 minutes) and memory (maximum within 5 minutes) are asked at a 5-minute step over 28 days. Each way
runs in a process of its own; the rounds are interleaved.

    a        prometheus-api-client: custom_query_range, MetricRangeDataFrame, a request a signal
    b        capacity: fetch into an empty archive, then load
    c        the queries of b streamed to nowhere, one after the other: what the server itself needs
    c2       the same with two in flight, as b asks
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pandas as pd

from capacity.history._archive.archive import Archive
from capacity.history._fetch.fetch import fetch
from capacity.history._load import load_history
from capacity.history._metrics.query_rendering import render_query
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._prometheus.client import PrometheusSource
from capacity.model import Signal
from capacity.settings import IdentitySettings, Settings, override
from tests.fixtures.running.servers import BLOCK_SECONDS, Server, prometheus, require
from tests.fixtures.running.servers import fetch as get

ROOT = Path(__file__).resolve().parent.parent
START = int(pd.Timestamp("2026-01-05", tz="UTC").timestamp())
DAY, DAYS, STEP, SCRAPE = 86_400, 28, 300, 60
PROJECTS, SERVICES, HOSTS = 20, 10, 4
SIGNALS = (Signal.CPU, Signal.MEMORY)
WAYS = ("a", "b", "c", "c2")
SEED = 2026


# ---------------------------------------------------------------- the server and its data


class Fleet:
    """Containers that run for some days and one more; 77 are re-created, 75 restarted in place, 10
    have a hole of 6 to 24 hours.
    """

    def __init__(self, projects: int = PROJECTS, days: int = DAYS) -> None:
        random = np.random.default_rng(SEED)
        self.size = projects * SERVICES
        self.points = (days + 1) * DAY // SCRAPE
        self.random = random
        self.cores = random.lognormal(-1.5, 1.0, self.size)
        self.memory = random.lognormal(19.5, 1.0, self.size)
        self.phase = random.uniform(0, 2 * np.pi, self.size)
        self.jitter = random.integers(0, SCRAPE * 1000, self.size)
        self.recreated = self._moments(77)
        self.restarted = self._moments(75)
        self.holes = {
            int(slot): (begin, begin + int(random.integers(360, 1440)))
            for slot, begin in self._moments(10)
        }
        self.counter = np.zeros(self.size)

    def _moments(self, count: int) -> list[tuple[int, int]]:
        slots = self.random.choice(self.size, count, replace=count > self.size)
        return [
            (int(slot), int(at))
            for slot, at in zip(
                slots, self.random.integers(1000, self.points - 1000, count), strict=True
            )
        ]

    def labels(self, slot: int, generation: int) -> str:
        """Labels of one container as cAdvisor gives them."""
        project, service = f"project{slot // SERVICES:02d}", f"service{slot % SERVICES}"
        label = "container_label_com_docker_compose_"
        identifier = f"{slot * 7919 + generation * 104_729:064x}"
        return (
            f'{{instance="dock{slot % HOSTS}:8080",job="cadvisor",id="/docker/{identifier}",'
            f'name="{project}-{service}-1",'
            f'image="registry/{project}/{service}:1",{label}project="{project}",{label}service="{service}",'
            f'{label}container_number="1",{label}oneoff="False"}}'
        )

    def block(self, first: int, points: int) -> str:
        """OpenMetrics text of `points` scrapes from scrape `first`."""
        scrapes = np.arange(first, first + points)
        lines: list[str] = []
        for slot in range(self.size):
            rhythm = 1 + 0.6 * np.sin(2 * np.pi * scrapes * SCRAPE / DAY + self.phase[slot])
            used = self.cores[slot] * rhythm * self.random.lognormal(0, 0.2, points)
            memory = (
                self.memory[slot] * (0.7 + 0.2 * rhythm + 0.05 * self.random.random(points))
            ).astype(np.int64)
            counter = self.counter[slot] + np.cumsum(used) * SCRAPE
            generation = np.zeros(points, np.int64)
            for _, at in [item for item in self.recreated if item[0] == slot]:
                generation += scrapes >= at
            for _, at in [item for item in (*self.recreated, *self.restarted) if item[0] == slot]:
                if first <= at < first + points:
                    counter[at - first :] -= counter[at - first]
            self.counter[slot] = counter[-1]
            begin, end = self.holes.get(slot, (0, 0))
            keep = (scrapes < begin) | (scrapes >= end)
            times = (START * 1000 + scrapes * SCRAPE * 1000 + self.jitter[slot]) / 1000
            for number in np.unique(generation[keep]):
                chosen = keep & (generation == number)
                name = self.labels(slot, int(number))
                columns = (
                    np.round(counter[chosen], 6).tolist(),
                    memory[chosen].tolist(),
                    times[chosen].tolist(),
                )
                for cpu, held, at in zip(*columns, strict=True):
                    lines.append(
                        f'container_cpu_usage_seconds_total{name[:-1]},cpu="total"}} {cpu} {at}'
                    )
                    lines.append(f"container_memory_working_set_bytes{name} {held} {at}")
        return "\n".join([*lines, "# EOF\n"])


def build(database: Path, fleet: Fleet) -> None:
    """Backfill the TSDB, one file per two hours: promtool reads a whole file again for every two
    hours in it.
    """
    promtool = require("promtool")
    points = BLOCK_SECONDS // SCRAPE
    unfinished = database.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:  # promtool works on one block while the next is written
        waiting = None
        for index, first in enumerate(range(0, fleet.points, points)):
            text = unfinished / f"block{index % 2}.om"
            text.write_text(fleet.block(first, points))
            if waiting:
                waiting.result()
            command = [
                str(promtool),
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "--quiet",
                str(text),
                str(unfinished / "tsdb"),
            ]
            waiting = pool.submit(subprocess.run, command, check=True, capture_output=True)
        assert waiting
        waiting.result()
    with prometheus(unfinished / "server", tsdb=unfinished / "tsdb") as server:
        settle(server, unfinished / "tsdb")
    (unfinished / "tsdb").rename(database)
    shutil.rmtree(unfinished)
    print(
        f"built {fleet.points * fleet.size * 2 / 1e6:.0f} million samples in "
        f"{time.monotonic() - began:.0f} s"
    )


def settle(server: Server, database: Path) -> None:
    """Wait until Prometheus has compacted the small blocks."""
    quiet, before = 0.0, -1
    while quiet < 75:
        blocks = len([path for path in database.iterdir() if len(path.name) == 26])
        quiet = quiet + 5 if blocks == before else 0.0
        before = blocks
        assert get(f"{server.url}/-/ready")
        time.sleep(5)


# ----- one measured run, in a process of its own


def queries() -> list[str]:
    """The PromQL that b asks."""
    return [
        render_query(CATALOGUE[signal].queries[0], IdentitySettings(), {}, STEP)
        for signal in SIGNALS
    ]


def way_a(url: str, days: int) -> None:
    """As the README of prometheus-api-client shows."""
    from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect

    start, end = (
        pd.Timestamp(START + seconds, unit="s", tz="UTC") for seconds in (0, days * DAY - STEP)
    )
    client = PrometheusConnect(url=url)
    for query in queries():
        frame = MetricRangeDataFrame(client.custom_query_range(query, start, end, str(STEP)))
        print(len(frame), file=sys.stderr)


def way_b(url: str, folder: str, first: int, days: int) -> dict[str, Any]:
    """Fetch into the archive in `folder`, then load the window."""
    settings = override(Settings(), "prometheus__url", url)
    archive, source = Archive(Path(folder)), PrometheusSource(settings.prometheus)
    start, end = (
        pd.Timestamp(START + day * DAY, unit="s", tz="UTC") for day in (first, first + days)
    )
    moment = end.timestamp() + 7200
    done = fetch(
        source, archive, settings, start=start, end=end, signals=SIGNALS, now=lambda: moment
    )
    fetched = time.perf_counter()
    history = load_history(archive, [done.source], settings, start=start, end=end, signals=SIGNALS)
    shape = [int(history[signal].notna().sum().sum()) for signal in SIGNALS]
    return {
        "asked": done.asked,
        "kept": done.kept,
        "samples": shape,
        "load": time.perf_counter() - fetched,
    }


def way_c(url: str, days: int, at_once: int) -> None:
    """Day by day, every byte thrown away as it comes."""
    address = urlsplit(url)

    def stream(query: str, day: int) -> int:
        start = START + day * DAY
        text = urlencode({"query": query, "start": start, "end": start + DAY - STEP, "step": STEP})
        buffer, size = bytearray(1 << 20), 0
        with socket.create_connection((address.hostname or "", address.port or 80)) as connection:
            head = (
                f"GET /api/v1/query_range?{text} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: "
                "close\r\n\r\n"
            )
            connection.sendall(head.encode())
            while count := connection.recv_into(buffer):
                size += count
        return size

    with ThreadPoolExecutor(at_once) as pool:
        sizes = list(
            pool.map(
                lambda task: stream(*task),
                [(query, day) for query in queries() for day in range(days)],
            )
        )
    print(sum(sizes) / 1e6, file=sys.stderr)


def measure(way: str, url: str, folder: str, first: int, days: int) -> None:
    """Run one way and print wall, CPU and added peak memory as JSON."""
    import prometheus_api_client  # noqa: F401 - imports belong to the baseline
    import pyarrow.parquet  # noqa: F401 - the same

    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    baseline = _memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    result: dict[str, Any] = {}
    if way == "a":
        way_a(url, days)
    elif way == "b":
        result = way_b(url, folder, first, days)
    else:
        way_c(url, days, 2 if way == "c2" else 1)
    result |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps(result | {"memory": (_memory("VmHWM") - baseline) / 1e6}))


def _memory(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


# ---------------------------------------------------------------- the comparison


def run(way: str, server: Server, folder: Path, first: int = 0, days: int = DAYS) -> dict[str, Any]:
    """One measured process, with the CPU that the server spent on it and the range queries that it
    saw.
    """
    arguments = [
        "--measure",
        way,
        "--url",
        server.url,
        "--folder",
        str(folder),
        "--first",
        str(first),
        "--days",
        str(days),
    ]
    cpu, seen = server_cpu(server), _range_queries(server)
    command = [sys.executable, "-m", "benchmarks.fetch", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result | {"server": server_cpu(server) - cpu, "ranges": _range_queries(server) - seen}


def server_cpu(server: Server) -> float:
    """Processor seconds that the server has used."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _range_queries(server: Server) -> int:
    pattern = rb'prometheus_http_requests_total\{code="200",handler="/api/v1/query_range"\} (\d+)'
    found = re.search(pattern, get(f"{server.url}/metrics"))
    return int(found[1]) if found else 0


def compare(server: Server, rounds: int, scratch: Path) -> str:
    """The table: interleaved rounds, medians, ratios, then the later runs."""
    results: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    run("c", server, scratch)  # the server's caches are warm for all alike
    for number in range(rounds):
        for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
            results[way].append(run(way, server, scratch / f"archive{number}"))
    lines = [
        f"{PROJECTS * SERVICES} containers x {DAYS} days at {SCRAPE} s, CPU and memory at {STEP} s",
        (
            f"{rounds} interleaved rounds, medians (spread); {os.cpu_count()} cores shared by "
            "client "
            "and server"
        ),
        "",
        (
            f"{'way':<36}{'wall s':>20}{'client CPU s':>14}{'server CPU s':>14}"
            f"{'added peak MB':>15}{'range queries':>15}"
        ),
    ]
    names = {
        "a": "a  prometheus-api-client, DataFrame",
        "b": "b  capacity: fetch + load",
        "c": "c  streamed to nowhere",
        "c2": "c2 the same, two in flight",
    }
    middle = {
        way: {
            key: statistics.median(row[key] for row in results[way])
            for key in ("wall", "cpu", "server", "memory", "ranges")
        }
        for way in WAYS
    }
    for way in WAYS:
        walls, shown = [row["wall"] for row in results[way]], middle[way]
        wall = f"{shown['wall']:.2f} ({min(walls):.2f}-{max(walls):.2f})"
        lines.append(
            f"{names[way]:<36}{wall:>20}{shown['cpu']:>14.2f}{shown['server']:>14.2f}{shown['memory']:>15.0f}{shown['ranges']:>15.0f}"
        )
    loading = statistics.median(row["load"] for row in results["b"])
    lines += [
        "",
        f"of b, loading from the archive: {loading:.2f} s; samples {results['b'][0]['samples']}",
        "",
        f"{'target':<34}{'reached':>10}{'wanted':>10}",
        _verdict("b/c  wall", middle["b"]["wall"] / middle["c"]["wall"], 1.8, "at most"),
        _verdict("a/b  wall", middle["a"]["wall"] / middle["b"]["wall"], 6.0, "at least"),
        _verdict("b    added peak memory, MB", middle["b"]["memory"], 200, "at most"),
        f"{'b/c2 wall (for information)':<34}{middle['b']['wall'] / middle['c2']['wall']:>10.2f}",
    ]
    warm = scratch / "archive0"
    later = run("b", server, warm, first=1)
    again = run("b", server, warm, first=1)
    lines += [
        "",
        f"{'later runs':<34}{'wall s':>10}{'range queries':>16}{'wanted':>10}",
        f"{'one new day':<34}{later['wall']:>10.2f}{later['ranges']:>16}{2:>10}",
        f"{'unchanged window':<34}{again['wall']:>10.2f}{again['ranges']:>16}{0:>10}",
    ]
    return "\n".join(lines)


def _verdict(name: str, reached: float, wanted: float, sense: str) -> str:
    fine = reached <= wanted if sense == "at most" else reached >= wanted
    return f"{name:<34}{reached:>10.2f}{wanted:>10g}  {sense}{'' if fine else '  MISSED'}"


def main() -> None:
    """Build what is missing, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder that keeps the built server (about 150 MB) for another run",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    parser.add_argument("--build-only", action="store_true")
    for hidden in ("--measure", "--url", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    for hidden in ("--first", "--days"):
        parser.add_argument(hidden, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.url, options.folder, options.first, options.days)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.cache or Path(scratch)
        database = (folder / f"tsdb-{SEED}").resolve()
        if not database.is_dir():
            database.parent.mkdir(parents=True, exist_ok=True)
            build(database, Fleet())
        if options.build_only:
            return
        with prometheus(Path(scratch) / "server", tsdb=database) as server:
            table = compare(server, options.rounds, Path(scratch))
    print(table)
    if options.write:
        options.write.write_text(table + "\n")


if __name__ == "__main__":
    main()
