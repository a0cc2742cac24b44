"""Each exporter's metrics become the same history: samples of each, scraped by a real server."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from capacity.history._archive.archive import Archive
from capacity.history._doctor import examine
from capacity.history._fetch.fetch import fetch
from capacity.history._fetch.instant_query import ask_containers
from capacity.history._fetch.label_query import ask_label
from capacity.history._load import load_history
from capacity.history._prometheus.client import PrometheusSource
from capacity.model import Signal
from capacity.settings import Settings
from tests.fixtures.paths import ROOT
from tests.fixtures.running.servers import Server, backfill, openmetrics_blocks, prometheus, require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAMPLES = ROOT / "tests" / "fixtures" / "exporters"
SCRAPE, MIB = 60, 2**20
SPAN = 3 * 3600
OWNED = r'\1\2,\1com_example_team="Team Shop"'
PROFILES = ["cadvisor", "alloy", "kubernetes", "telegraf", "opentelemetry", "podman"]
UTF8 = "opentelemetry-utf8"
HAS_LIMITS = {"cadvisor", "alloy", "kubernetes", "telegraf", "podman"}
HAS_THROTTLING = {"cadvisor", "alloy", "telegraf"}


def series(exporter: str, end: int) -> dict[str, list[tuple[float, float]]]:
    """The two scrapes of a sample, continued at the same pace for three hours."""
    first, second = (
        dict(re.findall(r"^([a-z].*\}) ([-\d.e+]+)$", part, re.MULTILINE))
        for part in (SAMPLES / f"{exporter}.txt").read_text().split("# the next scrape, 60 s later")
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for name, text in first.items():
        pace = float(second[name]) - float(text)
        port = 9100 if name.startswith("node_") else 8080
        here = name.replace("{", f'{{instance="dock1:{port}",', 1).replace(",}", "}")
        here = re.sub(r'(\w*)(com_docker_compose_service="web")', OWNED, here)
        scrapes = range(SPAN // SCRAPE + 1)
        found[here] = [(end - SPAN + k * SCRAPE, float(text) + k * pace) for k in scrapes]
    return found


def with_dots(name: str) -> str:
    """A series as OpenTelemetry names it, and Prometheus 3 writes it."""
    metric, _, labels = name.rstrip("}").partition("{")
    renamed = {
        "container_cpu_usage_nanoseconds_total": "container.cpu.usage.total",
        "container_memory_usage_total_bytes": "container.memory.usage.total",
    }
    dotted = re.sub(
        r"\b(com_docker_compose_\w+|com_example_team|container_\w+)=",
        lambda match: '"{}"='.format(match[1].replace("_", ".")),
        labels,
    )
    return f'{{"{renamed.get(metric, metric)}",{dotted}}}'


def needs_prometheus(release: int) -> None:
    """Skip on an older server: its release is that of this machine, or of the newer root."""
    said = subprocess.run(
        [require("prometheus"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"version (\d+)", said)
    if found is None or int(found[1]) < release:
        pytest.skip(f"needs Prometheus {release}: {said.splitlines()[0]}")


@pytest.fixture(scope="module", params=[*PROFILES, UTF8])
def measured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Server, int]]:
    """An exporter's name, Prometheus with three hours of its metrics, and their end."""
    exporter, end = request.param, int(time.time()) // SCRAPE * SCRAPE
    folder = tmp_path_factory.mktemp(exporter)
    found = series(exporter.removesuffix("-utf8"), end)
    if exporter == UTF8:
        needs_prometheus(3)
        found = {with_dots(name): samples for name, samples in found.items()}
    database = backfill(folder, openmetrics_blocks(found))
    with prometheus(folder, tsdb=database) as server:
        yield exporter, server, end


def settings_for(server: Server, archive: Path) -> Settings:
    """Settings that name the server and nothing of its metrics."""
    return Settings(prometheus={"url": server.url}, archive={"path": archive})


def test_every_exporter_gives_the_same_use(
    measured: tuple[str, Server, int], tmp_path: Path
) -> None:
    """Half a core and 300 MiB are that, by service, whoever measured; limits where they are known,
    and none where the exporter gives the host's memory instead.
    """
    exporter, server, last = measured
    settings, archive = settings_for(server, tmp_path), Archive(tmp_path)
    start, end = (pd.Timestamp(moment, unit="s", tz="UTC") for moment in (last - SPAN, last))
    source = PrometheusSource(settings.prometheus)
    fetched = fetch(source, archive, settings, start=start, end=end)
    history = load_history(archive, [fetched.source], settings, start=start, end=end)
    extra = {"edge/cache"} if exporter == "kubernetes" else set()
    assert set(history.services) == {"shop/web", "shop/db", *extra}
    cpu, memory = history["cpu"].iloc[3:-1], history["memory"].iloc[3:-1]
    assert cpu["shop/web"].to_numpy() == pytest.approx(0.5, rel=1e-6)
    assert cpu["shop/db"].to_numpy() == pytest.approx(0.1, rel=1e-6)
    assert (memory["shop/web"] == 300 * MIB).all()
    limits = history["memory_limit"]
    assert list(limits.columns) == (["shop/web"] if exporter in HAS_LIMITS else [])
    assert set(limits.to_numpy().ravel()) <= {512.0 * MIB}
    throttled = history["throttled"]
    assert ("shop/web" in throttled) == (exporter in HAS_THROTTLING)
    if exporter in HAS_THROTTLING:
        assert throttled["shop/web"].dropna().iloc[3:-1].to_numpy() == pytest.approx(0.1)
    assert not history["restarts"].iloc[1:].to_numpy(na_value=0).any()


def test_the_doctor_names_who_measures(measured: tuple[str, Server, int], tmp_path: Path) -> None:
    """Profile and what it gives and lacks, and containers of the services, without a failure."""
    exporter, server, _ = measured
    checks = {check.what: check for check in examine(settings_for(server, tmp_path))}
    words = {
        "cadvisor": "cAdvisor v0.53.0",
        "alloy": "cAdvisor in Grafana Alloy v1.10.0",
        "kubernetes": "kubelet",
        "telegraf": "Telegraf",
        "opentelemetry": "docker_stats",
        "podman": "podman-exporter",
        UTF8: "names as OpenTelemetry writes them",
    }
    assert words[exporter] in checks["profile"].seen
    assert "gives cpu, memory" in checks["profile"].seen
    assert ("lacks" in checks["profile"].seen) == (exporter not in {"cadvisor", "alloy"})
    assert checks["containers"].status == "ok"
    failed = {name for name, check in checks.items() if check.status == "fail"}
    assert not failed


def test_the_guard_of_a_lowering_asks_in_the_exporters_names(
    measured: tuple[str, Server, int], tmp_path: Path
) -> None:
    """The recent peak is found under any exporter's names."""
    _, server, _ = measured
    settings = settings_for(server, tmp_path)
    source = PrometheusSource(settings.prometheus)
    peaks, _ = ask_containers(source, settings, Signal.MEMORY, 3600)
    assert peaks["shop/web"] == 300 * MIB
    assert peaks["shop/db"] == 900 * MIB


def test_an_owner_is_read_from_a_label(measured: tuple[str, Server, int], tmp_path: Path) -> None:
    """Under any exporter's name of the label; in a pod the labels are not the containers'."""
    exporter, server, _ = measured
    settings = settings_for(server, tmp_path)
    found = ask_label(PrometheusSource(settings.prometheus), settings, "com.example.team")
    assert found == ({} if exporter == "kubernetes" else {"shop/web": "Team Shop"})


def test_the_doctor_tells_old_samples_from_nameless_ones(tmp_path: Path) -> None:
    """A scrape that ended an hour ago, and one whose containers have no name."""
    end = int(time.time()) // SCRAPE * SCRAPE
    for late, words in ((3000, "no container has a sample of the last minutes"), (0, "names")):
        found = series("cadvisor", end - late)
        if not late:
            found = {re.sub(r',name="[^"]*"', "", name): rows for name, rows in found.items()}
        folder = tmp_path / f"late-{late}"
        folder.mkdir()
        with prometheus(folder, tsdb=backfill(folder, openmetrics_blocks(found))) as server:
            checks = {each.what: each for each in examine(settings_for(server, folder))}
        assert words in checks["containers"].seen
        assert checks["containers"].status == "fail"
