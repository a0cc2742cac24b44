"""The servers of the stack tests work, each shown by what the other tests need of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.fixtures.running.docker_engine import busybox_image, cadvisor, client, dockerd
from tests.fixtures.running.servers import (
    Command,
    Server,
    ServerFailedError,
    alertmanager,
    answers,
    backfill,
    fetch,
    import_samples,
    node_exporter,
    openmetrics_blocks,
    prometheus,
    redis,
    require,
    scrape,
    victoria_metrics,
    wait_for,
)

HOUR = 3600
MIB = 2**20
COMPOSE = """\
name: shop
services:
  web:
    image: stack:latest
    network_mode: none
    mem_limit: 64m
    cpus: 0.5
"""


def query(server: Server, expression: str, at: float) -> list[Any]:
    """Ask for the values of an instant query, one a series."""
    answer = json.loads(
        fetch(f"{server.url}/api/v1/query?{urlencode({'query': expression, 'time': at})}")
    )
    return [float(series["value"][1]) for series in answer["data"]["result"]]


def test_prometheus_answers_over_backfilled_blocks(tmp_path: Path) -> None:
    """A counter over six past hours reads back as its rate and has every sample once."""
    end = int(time.time()) // (2 * HOUR) * 2 * HOUR
    samples = [(end - 6 * HOUR + step * 60, step * 30.0) for step in range(360)]
    database = backfill(tmp_path, openmetrics_blocks({'cpu_seconds_total{name="web"}': samples}))
    with prometheus(tmp_path / "prometheus", tsdb=database) as server:
        assert query(server, "rate(cpu_seconds_total[5m])", end - HOUR) == pytest.approx([0.5])
        assert query(server, "count_over_time(cpu_seconds_total[1d])", end) == [360]


def test_prometheus_scrapes_node_exporter_and_redis_answers(tmp_path: Path) -> None:
    """Prometheus stores what a real node_exporter shows, a textfile included, and Redis answers to
    PING.
    """
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "own.prom").write_text("own_metric 7\n")
    with (
        redis(tmp_path / "redis") as store,
        node_exporter(tmp_path / "node") as node,
        prometheus(tmp_path / "prometheus", scrape_config=scrape("node", node)) as server,
    ):
        assert store.url.startswith("redis://127.0.0.1:")
        assert b"node_memory_MemAvailable_bytes" in fetch(f"{node.url}/metrics")
        assert wait_for(
            lambda: query(server, 'own_metric{job="node"}', time.time()), "the first scrape"
        ) == [7]


@pytest.mark.parametrize("form", ["openmetrics", "prometheus", "json"])
def test_victoria_metrics_answers_for_imported_samples(tmp_path: Path, form: str) -> None:
    """Samples imported with timestamps in the past are visible at once, in each of the three
    forms.
    """
    at = int(time.time()) - 24 * HOUR
    text = {
        "openmetrics": f'memory_bytes{{name="web"}} 5 {at}\n# EOF\n',
        "prometheus": f'memory_bytes{{name="web"}} 5 {at}000\n',
        "json": json.dumps(
            {
                "metric": {"__name__": "memory_bytes", "name": "web"},
                "values": [5],
                "timestamps": [at * 1000],
            }
        ),
    }[form]
    with victoria_metrics(tmp_path) as server:
        import_samples(server, text)
        assert query(server, 'memory_bytes{name="web"}', at + 30) == [5]


def test_alertmanager_is_ready_and_gets_alerts(tmp_path: Path) -> None:
    """An alert that Prometheus fires from a rule file reaches Alertmanager."""
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: own, rules: [{alert: Always, expr: vector(1)}]}]\n")
    config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
    with alertmanager(tmp_path / "alerts", config) as alerts:
        assert answers(f"{alerts.url}/-/ready")
        with prometheus(tmp_path / "prometheus", rule_files=[rules], alertmanagers=[alerts]):
            firing = wait_for(
                lambda: json.loads(fetch(f"{alerts.url}/api/v2/alerts")), "an alert arrives"
            )
    assert [alert["labels"]["alertname"] for alert in firing] == ["Always"]


def test_cadvisor_shows_a_limited_container_of_the_private_engine(tmp_path: Path) -> None:
    """A container that spins under a quota shows its labels, limits and throttling in cAdvisor."""
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    with dockerd(tmp_path / "docker") as engine, closing(client(engine)) as api:
        container = api.containers.run(
            busybox_image(engine, "stack"),
            ["sh", "-c", "while :; do :; done"],
            detach=True,
            name="shop-web-1",
            network_mode="none",
            mem_limit=64 * MIB,
            memswap_limit=64 * MIB,
            cpu_period=100_000,
            cpu_quota=20_000,
            labels=labels,
        )
        with cadvisor(tmp_path / "cadvisor", engine) as advisor:

            def throttled() -> dict[str, float]:
                shown = metrics_of(advisor, "shop-web-1")
                return shown if shown.get("container_cpu_cfs_throttled_periods_total") else {}

            shown = wait_for(throttled, "the container is throttled in cAdvisor")
        container.reload()
        assert container.status == "running"
    assert shown["container_spec_memory_limit_bytes"] == 64 * MIB
    assert shown["container_spec_cpu_quota"] / shown["container_spec_cpu_period"] == 0.2
    assert 0 < shown["container_memory_working_set_bytes"] < 64 * MIB
    assert not Path(engine.url.removeprefix("unix://")).exists()
    assert not cmdline(engine.pid)


def test_no_container_outlives_a_killed_engine(tmp_path: Path) -> None:
    """A test may kill the daemon: the container lives on, and the end of the block ends it."""
    with dockerd(tmp_path / "docker") as engine, closing(client(engine)) as api:
        image = busybox_image(engine, "stack")
        container = api.containers.run(image, ["sleep", "600"], detach=True, network_mode="none")
        container.reload()
        pid = container.attrs["State"]["Pid"]
        os.kill(engine.pid, signal.SIGKILL)
        assert cmdline(pid) == "sleep 600"
    assert not cmdline(pid)


def cmdline(pid: int) -> str:
    """Return the command of a process, nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except FileNotFoundError:
        return ""


def metrics_of(advisor: Server, name: str) -> dict[str, float]:
    """Read the metrics of one container, told apart by its compose labels too."""
    pattern = re.compile(r"^(container_\w+)\{([^}]*)\} (\S+)", re.MULTILINE)
    wanted = {
        f'name="{name}"',
        'container_label_com_docker_compose_project="shop"',
        'container_label_com_docker_compose_service="web"',
    }
    found = pattern.findall(fetch(f"{advisor.url}/metrics").decode())
    return {
        metric: float(value) for metric, labels, value in found if wanted <= set(labels.split(","))
    }


def test_compose_v2_reads_a_compose_file_without_an_engine(tmp_path: Path) -> None:
    """`docker-compose config --format json` gives limits in bytes and cores."""
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    command: Command = [
        require("docker-compose"),
        "--project-directory",
        tmp_path,
        "config",
        "--format",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    web = json.loads(done.stdout)["services"]["web"]
    assert (web["mem_limit"], web["cpus"]) == (str(64 * MIB), 0.5)


def test_compose_v2_starts_a_project_on_the_private_engine(tmp_path: Path) -> None:
    """`docker-compose up` makes a container with the declared limits and compose's own labels."""
    (tmp_path / "compose.yaml").write_text(f'{COMPOSE}    command: ["sleep", "600"]\n')
    compose = require("docker-compose")
    with dockerd(tmp_path / "docker") as engine, closing(client(engine)) as api:
        busybox_image(engine, "stack")
        command: Command = [compose, "--project-directory", tmp_path, "up", "--detach"]
        subprocess.run(
            command,
            env={"DOCKER_HOST": engine.url, "HOME": str(tmp_path)},
            capture_output=True,
            check=True,
        )
        (container,) = api.containers.list()
        assert container.labels["com.docker.compose.service"] == "web"
        limits = container.attrs["HostConfig"]
    assert (limits["Memory"], limits["NanoCpus"]) == (64 * MIB, 500_000_000)


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    """A broken configuration ends in an error with the server's own words, not in a timeout."""
    with pytest.raises(ServerFailedError, match="yaml"), prometheus(tmp_path, scrape_config="- {"):
        pass


@pytest.mark.parametrize(
    ("ci", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_missing_program_fails_in_ci_only(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    """A missing program is a failure in CI and a skip that names it elsewhere."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="no-such-program"):
        require("no-such-program")
