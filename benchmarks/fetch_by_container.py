"""Asking one query a container and signal, as KRR does, beside one a day and signal of the fleet.

    python -m benchmarks.fetch_by_container [--services 1000] [--days 7] [--cache DIR]
                                            [--write benchmarks/results/fetch-by-container.txt]

The server is real and backfilled as in `benchmarks.fetch`. KRR (`simple` strategy) asks a subquery
of the whole window for each container: the 95th percentile of its CPU and the highest of its
memory, at a step of 75 s, ten at once; two more that only count samples are left out here. Its
labels are those of Kubernetes, ours those of Compose: the selectors name one container either way.
It gets two numbers a container; we get every sample at 300 s, and ask for a day only once.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.fetch import DAY, SERVICES, START, Fleet, build, server_cpu, way_b
from tests.fixtures.running.servers import Server, prometheus
from tests.fixtures.running.servers import fetch as get

AT_ONCE = 10  # KRR's `--max-workers`
RESOLUTION = 75  # seconds, KRR's `--timeframe_duration` of 1.25 minutes
_LABEL = "container_label_com_docker_compose_"


@dataclass(frozen=True)
class Cost:
    """Of one way: seconds, processor seconds of the server, bytes over the network, requests."""

    way: str
    wall: float
    server: float
    sent: int
    requests: int


def container_queries(services: int, days: int) -> Iterator[str]:
    """Both queries of every container."""
    window = f"[{days * 24}h:{RESOLUTION}s]"
    for slot in range(services):
        chosen = (
            f'{_LABEL}project="project{slot // SERVICES:02d}",'
            f'{_LABEL}service="service{slot % SERVICES}"'
        )
        use = f"rate(container_cpu_usage_seconds_total{{{chosen}}}[{2 * RESOLUTION}s])"
        yield f"quantile_over_time(0.95, max({use}) by ({_LABEL}service, job){window})"
        held = f"container_memory_working_set_bytes{{{chosen}}}"
        yield f"max_over_time(max({held}) by ({_LABEL}service, job){window})"


def by_container(server: Server, services: int, days: int) -> int:
    """Ask for every container; the number of requests."""
    queries = list(container_queries(services, days))

    def ask(query: str) -> int:
        text = urlencode({"query": query, "time": START + days * DAY})
        return len(get(f"{server.url}/api/v1/query?{text}"))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answered = list(pool.map(ask, queries))
    assert min(answered) > 100, "a container without an answer"
    return len(queries)


def measured(way: str, server: Server, work: Callable[[], int]) -> Cost:
    """What a way costs."""
    sent, cpu, began = _sent(server), server_cpu(server), time.perf_counter()
    requests = work()
    wall = time.perf_counter() - began
    return Cost(way, wall, server_cpu(server) - cpu, _sent(server) - sent, requests)


def _sent(server: Server) -> int:
    """Bytes of answers that the server has sent to queries."""
    total = 0.0
    for line in get(f"{server.url}/metrics").decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("prometheus_http_response_size_bytes_sum") and "/api/v1/query" in name:
            total += float(value)
    return int(total)


def table(costs: list[Cost], services: int, days: int) -> str:
    """Both ways, and how many times one costs the other."""
    theirs, ours = costs
    lines = [
        f"{services:,} containers x {days} days at 60 s on a real Prometheus, both ways in one run",
        "",
        f"{'way':<44}{'wall s':>9}{'server CPU s':>14}{'MB':>9}{'requests':>10}",
    ]
    lines += [
        f"{cost.way:<44}{cost.wall:>9.1f}{cost.server:>14.1f}{cost.sent / 1e6:>9.1f}"
        f"{cost.requests:>10,}"
        for cost in costs
    ]
    ratios = (theirs.wall / ours.wall, theirs.server / ours.server, theirs.sent / ours.sent)
    wall, cpu, size = (f"{ratio:.3g}x" for ratio in ratios)
    shown = f"{theirs.requests / ours.requests:.0f}x"
    return "\n".join([*lines, f"{'times ours':<44}{wall:>9}{cpu:>14}{size:>9}{shown:>10}"])


def main() -> None:
    """Build what is missing, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--cache", type=Path, help="folder that keeps the built server")
    parser.add_argument("--write", type=Path, help="also write the table to this file")
    asked = parser.parse_args()
    services, days = asked.services, asked.days
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.cache or Path(scratch)
        database = (folder / f"tsdb-{services}-{days}").resolve()
        if not database.is_dir():
            database.parent.mkdir(parents=True, exist_ok=True)
            build(database, Fleet(services // SERVICES, days))
        with prometheus(Path(scratch) / "server", tsdb=database) as server:
            archive = str(Path(scratch) / "archive")
            ours = "capacity: a query a day and signal"
            way_b(server.url, str(Path(scratch) / "warm"), 0, 1)  # caches and imports alike
            costs = [
                measured(
                    "a subquery a container and signal, as KRR",
                    server,
                    lambda: by_container(server, services, days),
                ),
                measured(ours, server, lambda: int(way_b(server.url, archive, 0, days)["asked"])),
            ]
    text = table(costs, services, days)
    print(text)
    if asked.write:
        asked.write.write_text(text + "\n")


if __name__ == "__main__":
    main()
