"""`capacity collect` on a real Engine, beside cAdvisor, and read by Prometheus and by history."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from capacity._collect.cgroups import Mounts
from capacity._collect.engine_watch import EngineWatch
from capacity._collect.stats_api import read_stats
from capacity._docker.engine import connect_all
from capacity.history._archive.archive import Archive
from capacity.history._load import load_history
from capacity.settings import Settings
from tests.fixtures.running.docker_engine import cadvisor
from tests.fixtures.running.fleet import Fleet
from tests.fixtures.running.servers import Server, fetch, free_port, prometheus, wait_for

MIB = 2**20
STEP = 8
SHOP = """
services:
  web:
    image: stack:latest
    network_mode: none
    mem_limit: 128m
    cpus: 0.2
    command: ["sh", "-c", "while :; do :; done"]
  db:
    image: stack:latest
    network_mode: none
    command: ["sh", "-c", "head -c 60000000 /dev/zero | tail & sleep 1; wait; sleep 600"]
  cache:
    image: stack:latest
    network_mode: none
    tmpfs: /data
    command: ["sh", "-c", "head -c 40000000 /dev/zero > /data/fill; sleep 600"]
"""
SHOP_CONTAINERS = {"shop-web-1", "shop-db-1", "shop-cache-1"}
LOOP = """
services:
  loop:
    image: stack:latest
    network_mode: none
    mem_limit: 16m
    memswap_limit: 16m
    restart: always
    command: ["sh", "-c", "sleep 2; head -c 100000000 /dev/zero | tail"]
"""


@contextmanager
def collecting(
    shop: Fleet, *words: str, interval: int = 1, **more: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The collector's process, and where its metrics are."""
    port = free_port()
    command = [sys.executable, "-m", "capacity", "collect", "--port", str(port), *words]
    environment = {
        **os.environ,
        **shop.environment(),
        "CAPACITY_ARCHIVE__PATH": str(shop.folder / "archive"),
        "CAPACITY_COLLECT__INTERVAL": str(interval),
        "CAPACITY_REPORT__STEP": str(STEP),
        **more,
    }
    url = f"http://127.0.0.1:{port}/metrics"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: process.poll() is not None or _page(url).count("name="), "a first look")
        yield process, url
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def _page(url: str) -> str:
    try:
        return fetch(url).decode()
    except OSError:
        return ""


def values(page: str, metric: str) -> dict[str, float]:
    """Container -> value of a metric on a page, those of cpus added up."""
    found: dict[str, float] = {}
    for labels, value in re.findall(rf"^{metric}\{{(.*)\}} (\S+)", page, re.MULTILINE):
        name = re.search(r'\bname="([^"]+)"', labels)
        if name:
            found[name[1]] = found.get(name[1], 0.0) + float(value)
    return found


def archived(shop: Fleet) -> Archive:
    """What was collected."""
    return Archive(shop.folder / "archive")


def test_values_are_those_of_cadvisor(shop: Fleet) -> None:
    """CPU and memory within 2 %, under the same names and Compose's labels."""
    shop.up(SHOP)
    memory = [f"container_memory_{name}" for name in ("working_set_bytes", "usage_bytes", "rss")]
    with (
        cadvisor(shop.folder / "cadvisor", shop.engine) as other,
        collecting(shop) as (_, url),
    ):
        theirs = f"{other.url}/metrics"
        wait_for(lambda: _full(url) and _full(theirs), "40 MB in the cache")
        time.sleep(2)  # and what has filled it is gone
        mine, other_page = (_whole_page(place) for place in (url, theirs))
    (ours, at), (expected_cpu, later) = (_cpu(page)["shop-web-1"] for page in (mine, other_page))
    meanwhile = 0.2 * abs(later - at) + 0.05  # two looks at one counter: its quota, and a period
    assert ours == pytest.approx(expected_cpu, rel=0.02, abs=meanwhile)
    for metric in memory:
        found, expected = values(mine, metric), values(other_page, metric)
        for name in ("shop-web-1", "shop-cache-1"):
            assert found[name] == pytest.approx(expected[name], rel=0.02, abs=64 * 1024), metric
    limits = values(mine, "container_spec_memory_limit_bytes")
    assert (
        limits["shop-web-1"]
        == values(other_page, "container_spec_memory_limit_bytes")["shop-web-1"]
    )
    labels = 'container_label_com_docker_compose_service="web"'
    assert labels in mine
    assert labels in other_page


def _whole_page(url: str) -> str:
    """The first page that has every container of the shop; a busy cAdvisor leaves some out."""
    measures = ("container_cpu_usage_seconds_total", "container_memory_rss")

    def whole() -> str | None:
        page = _page(url)
        found = (set(_cpu(page)), *(set(values(page, measure)) for measure in measures))
        return page if all(names >= SHOP_CONTAINERS for names in found) else None

    return wait_for(whole, f"the whole shop on {url}")


def _full(url: str) -> bool:
    """Whether the cache holds what it is filled with."""
    return values(_page(url), "container_memory_usage_bytes").get("shop-cache-1", 0) >= 40_000_000


def _cpu(page: str) -> dict[str, tuple[float, float]]:
    """Container -> seconds of CPU, and the time of that sample."""
    found: dict[str, tuple[float, float]] = {}
    pattern = r"^container_cpu_usage_seconds_total\{(.*)\} (\S+) (\d+)$"
    for labels, value, at in re.findall(pattern, page, re.MULTILINE):
        name = re.search(r'\bname="([^"]+)"', labels)
        if name:
            known = found.get(name[1], (0.0, 0.0))[0]
            found[name[1]] = (known + float(value), int(at) / 1000)
    return found


def test_the_archive_is_a_history(shop: Fleet) -> None:
    """After two steps there is use, limits, host and throttling, by service; a kill by force loses
    no step that was over, and the next collector goes on.
    """
    shop.up(SHOP)
    folder = shop.folder / "archive" / "collected"
    with collecting(shop) as (process, _):
        wait_for(lambda: list(folder.glob("cpu-*/*.parquet")), "a step", 60)
        time.sleep(STEP + 3)
        process.kill()
    with collecting(shop):
        time.sleep(STEP + 3)
    end = (pd.Timestamp.now(tz="UTC") + pd.Timedelta("1h")).ceil("D")  # the open hour's end too
    settings = Settings(archive={"path": shop.folder / "archive"}, report={"step": STEP})
    archive = archived(shop)
    history = load_history(
        archive, [archive.find(None)], settings, start=end - pd.Timedelta("2D"), end=end
    )
    assert set(history.services) == {"shop/web", "shop/db", "shop/cache"}
    cpu = history["cpu"]["shop/web"].dropna()
    assert len(cpu) >= 3
    assert cpu.median() == pytest.approx(0.2, rel=0.15)
    assert history["memory"]["shop/cache"].max() == pytest.approx(40e6, rel=0.1)
    assert history["memory_limit"]["shop/web"].max() == 128 * MIB
    assert history["cpu_limit"]["shop/web"].max() == pytest.approx(0.2)
    assert history["throttled"]["shop/web"].max() > 0.5
    assert history["host_cores"].max().max() == os.cpu_count()
    assert (history["host_cpu"].max() > 0).all()


def test_kills_and_restarts_are_counted(shop: Fleet) -> None:
    """A container that the kernel ends again and again, in place, has both; its neighbour none."""
    shop.up(SHOP)
    with collecting(shop) as (_, url):
        shop.up(LOOP, name="again")

        def seen() -> bool:
            page = _page(url)
            kills = values(page, "container_oom_events_total").get("again-loop-1", 0)
            restarts = values(page, "capacity_container_restarts_total").get("again-loop-1", 0)
            return kills >= 2 and restarts >= 2

        wait_for(seen, "kills and restarts", 60)
        page = _page(url)
    assert values(page, "container_oom_events_total")["shop-web-1"] == 0
    assert values(page, "capacity_container_restarts_total")["shop-web-1"] == 0
    rows = {}
    for name in ("oom_kills", "restarts"):
        (file,) = (shop.folder / "archive" / "collected").glob(f"{name}-*/*.parquet")
        rows[name] = pd.read_parquet(file)
    text = {name: str(frame.to_dict()) for name, frame in rows.items()}
    assert all("again/loop" in found for found in text.values())


def test_prometheus_scrapes_it_in_place_of_cadvisor(shop: Fleet) -> None:
    """A real server takes the page as it is."""
    shop.up(SHOP)
    with collecting(shop) as (_, url):
        target = url.removeprefix("http://").removesuffix("/metrics")
        scrape = f"- {{job_name: capacity, static_configs: [{{targets: ['{target}']}}]}}"
        with prometheus(shop.folder / "prometheus", scrape_config=scrape) as server:
            found = wait_for(lambda: _rate(server), "a rate", 180)
    assert 0.0 < found < 0.3  # a fifth of a core where the machine is idle


def _rate(server: Server) -> float | None:
    import json
    from urllib.parse import quote

    query = 'sum(rate(container_cpu_usage_seconds_total{name="shop-web-1"}[10s]))'
    answer = json.loads(fetch(f"{server.url}/api/v1/query?query={quote(query)}"))
    rows = answer["data"]["result"]
    up = json.loads(fetch(f"{server.url}/api/v1/query?query=count_over_time(up[10s])"))
    scraped = up["data"]["result"] and float(up["data"]["result"][0]["value"][1]) > 4
    return float(rows[0]["value"][1]) if rows and scraped else None


def test_an_engine_elsewhere_is_asked_for_its_statistics(shop: Fleet) -> None:
    """Where its cgroups are not this machine's, the Engine's own words say the same."""
    shop.up(SHOP)
    time.sleep(2)
    with connect_all(shop.settings().engine) as (engines, _):
        (engine,) = engines.values()
        watch = EngineWatch(engine, Mounts(Path("/proc"), {}))
        found = {reading.container.name: reading.sample for reading in watch.look(0.0).containers}
        again = read_stats(engine, "shop-cache-1", 0.0)
    assert set(found) == {"shop-web-1", "shop-db-1", "shop-cache-1"}
    sample = found["shop-cache-1"]
    assert sample is not None
    assert sample.memory == pytest.approx(again.memory, rel=0.02)
    assert sample.memory > 39e6
    web = found["shop-web-1"]
    assert web is not None
    assert web.cpu > 0.1
    assert web.periods > 0


def test_there_is_one_collector_of_an_archive(shop: Fleet) -> None:
    """A second one says so and leaves."""
    shop.run("alone")
    with collecting(shop), collecting(shop) as (second, _):
        assert second.wait(30) == 1
        assert second.stderr is not None
        assert b" collects into " in second.stderr.read()
