"""A deliberately broken fleet on a real Engine, Prometheus and Alertmanager is found rule by
rule.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.running.docker_engine import Engine, busybox_image, client, dockerd
from tests.fixtures.running.running_containers import check
from tests.fixtures.running.servers import (
    Command,
    Server,
    alertmanager,
    backfill,
    fetch,
    free_port,
    openmetrics_blocks,
    prometheus,
    require,
    scrape,
    wait_for,
)

COMPOSE = """
name: broken
services:
  hog:
    image: stack
    network_mode: none
    command: [sh, -c, "while :; do :; done"]
    mem_limit: 64m
    cpus: 0.2
    healthcheck: {test: ["CMD", "true"], interval: 1s}
  unlimited:
    image: stack
    network_mode: none
    command: [sleep, "600"]
  sick:
    image: stack
    network_mode: none
    command: [sleep, "600"]
    mem_limit: 64m
    healthcheck: {test: ["CMD", "false"], interval: 1s, retries: 1}
  loop:
    image: stack
    network_mode: none
    command: ["false"]
    restart: always
    mem_limit: 64m
  left:
    image: stack
    network_mode: none
    command: [sleep, "600"]
    mem_limit: 64m
    ports: ["8080:80"]
  right:
    image: stack
    network_mode: none
    command: [sleep, "600"]
    mem_limit: 64m
    ports: ["127.0.0.1:8080:81"]
  good:
    image: stack
    network_mode: none
    command: [sleep, "600"]
    mem_limit: 64m
    cpus: 0.5
    pids_limit: 50
    read_only: true
    security_opt: ["no-new-privileges:true"]
    healthcheck: {test: ["CMD", "true"], interval: 1s}
"""
NOWHERE = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
RULES = (
    "groups: [{name: own, rules: [{alert: Always, expr: vector(1)}, {alert: Broken, expr: 'up * "
    "on(job) up'}]}]\n"
)
TWINS = "- job_name: twins\n  static_configs:\n  - targets: ['127.0.0.1:1', '127.0.0.1:2']\n"


@dataclass(frozen=True)
class Stack:
    """Where everything is."""

    engine: Engine
    metrics: Server
    alerts: Server
    folder: Path


def history(now: float) -> dict[str, list[tuple[float, float]]]:
    """Six hours of a hog at its limit, of one that rests, and of four cores of which one does all
    the work.
    """
    times = [now - 60 * back for back in range(360, -1, -1)]
    found: dict[str, list[tuple[float, float]]] = {}
    for service, cores in (("hog", 0.19), ("good", 0.05)):
        labels = f'name="broken-{service}-1",instance="box:8080"'
        found[f"container_cpu_usage_seconds_total{{{labels}}}"] = [
            (at, cores * (at - times[0])) for at in times
        ]
        found[f"container_spec_cpu_quota{{{labels}}}"] = [
            (at, 20_000.0 if service == "hog" else 50_000.0) for at in times
        ]
        found[f"container_spec_cpu_period{{{labels}}}"] = [(at, 100_000.0) for at in times]
        found[f"container_memory_working_set_bytes{{{labels}}}"] = [(at, 1e6) for at in times]
    for core, idle in enumerate((0.05, 0.95, 0.97, 0.96)):
        labels = f'cpu="{core}",mode="idle",instance="box:9100"'
        found[f"node_cpu_seconds_total{{{labels}}}"] = [
            (at, idle * (at - times[0])) for at in times
        ]
    return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The servers, and the fleet as Compose starts it."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / "rules.yml").write_text(RULES)
    now = float(int(time.time()) // 60 * 60)
    with ExitStack() as servers:
        engine = servers.enter_context(dockerd(folder / "docker"))
        busybox_image(engine, "stack")
        up(engine, folder)
        alerts = servers.enter_context(alertmanager(folder / "alerts", NOWHERE))
        metrics = servers.enter_context(
            prometheus(
                folder / "prometheus",
                tsdb=backfill(folder, openmetrics_blocks(history(now))),
                scrape_config=scrape("alerts", alerts) + TWINS,
                rule_files=[folder / "rules.yml"],
                alertmanagers=[alerts],
            )
        )
        wait_for(lambda: settled(engine), "health checks have run and the loop has looped")
        wait_for(lambda: judged(metrics), "targets were scraped and rules evaluated")
        yield Stack(engine, metrics, alerts, folder)


def up(engine: Engine, folder: Path) -> None:
    """Start the fleet with the real Compose."""
    command: Command = [require("docker-compose"), "--project-directory", folder, "up", "--detach"]
    environment = {"DOCKER_HOST": engine.url, "HOME": str(folder), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def settled(engine: Engine) -> bool:
    """Whether the containers show what is wrong with them."""
    with closing(client(engine)) as api:
        states = {running.name: running.attrs for running in api.containers.list(all=True)}
    sick = states["broken-sick-1"]["State"]["Health"]["Status"]
    well = states["broken-good-1"]["State"]["Health"]["Status"]
    return (sick, well) == ("unhealthy", "healthy") and states["broken-loop-1"]["RestartCount"] > 3


def judged(metrics: Server) -> bool:
    """Whether Prometheus knows of every target and rule how it is."""
    targets = json.loads(fetch(f"{metrics.url}/api/v1/targets"))["data"]["activeTargets"]
    groups = json.loads(fetch(f"{metrics.url}/api/v1/rules"))["data"]["groups"]
    managers = json.loads(fetch(f"{metrics.url}/api/v1/alertmanagers"))["data"][
        "activeAlertmanagers"
    ]
    health = {rule["health"] for group in groups for rule in group["rules"]}
    # the broken rule fails once both twins have a sample
    return (
        bool(managers)
        and health == {"ok", "err"}
        and "unknown" not in {target["health"] for target in targets}
    )


@pytest.fixture
def looked(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[tuple[str, str], dict[str, Any]]:
    """(rule, subject) -> finding of one run over everything."""
    monkeypatch.setenv("DOCKER_HOST", stack.engine.url)
    return look(stack, tmp_path, monkeypatch, stack.alerts)


def look(
    stack: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch, alerts: Server, receiver: str = ""
) -> dict[tuple[str, str], dict[str, Any]]:
    """Run `capacity check` on files, Engine, history and monitoring."""
    monkeypatch.setenv("CAPACITY_ARCHIVE__PATH", str(folder / "archive"))
    monkeypatch.setenv("CAPACITY_REPORT__WINDOW_DAYS", "7")
    monkeypatch.setenv("CAPACITY_COMPLIANCE__WAIT", "3")
    outcome = check(
        stack.folder / "compose.yaml",
        "--engine",
        "--source",
        stack.metrics.url,
        "--format",
        "json",
        "--alertmanager",
        alerts.url,
        "--receiver",
        receiver or f"127.0.0.1:{free_port()}",
    )
    assert outcome.code == 1, outcome.error
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for finding in json.loads(outcome.text)["findings"]:
        found.setdefault((finding["rule"], finding["subject"]), finding)
    return found


FAILING = {
    ("CAP001", "broken/hog"): "of 0.20 cores",
    ("CAP002", "broken/unlimited"): "declares no memory limit",
    ("CAP003", "broken/unlimited"): "runs without a memory limit",
    ("CAP004", "broken/left"): "wants",
    ("CAP004", "broken/right"): "wants",
    ("CAP005", "broken/unlimited"): "has no health check",
    ("CAP006", "broken/sick"): "is unhealthy",
    ("CAP007", "broken/loop"): "restarts again and again",
    ("CAP008", "box"): "uses its cores unevenly",
    ("CAP009", "twins/127.0.0.1:1"): "is down",
    ("CAP010", "alert rules"): "the alert rule Broken fails",
    ("CAP012", "alert delivery"): "did not reach the receiver",
    ("CAP015", "broken/left"): "8080 belongs to",
    ("CAP024", "broken/loop"): "restarts without bound",
    ("CAP025", "broken/hog"): "without a tag",
}
PASSING = [
    *(
        (rule, "broken/good")
        for rule in ("CAP001", "CAP002", "CAP003", "CAP004", "CAP005", "CAP006", "CAP007", "CAP013")
    ),
    *(
        (rule, "broken/good")
        for rule in ("CAP018", "CAP019", "CAP020", "CAP021", "CAP022", "CAP023", "CAP024")
    ),
    ("CAP010", "alert sending"),
    ("CAP011", "alertmanager"),
]


def test_every_fault_is_found_and_nothing_else_is_blamed(
    looked: dict[tuple[str, str], dict[str, Any]],
) -> None:
    """Each planted fault fails its rule, with evidence; the one good service passes."""
    for place, message in FAILING.items():
        finding = looked.get(place)
        assert finding is not None, place
        assert finding["status"] == "fail", finding
        assert message in finding["message"], finding
        assert finding["evidence"], finding
    for place in PASSING:
        assert looked[place]["status"] == "pass", looked[place]
    assert looked["CAP009", "alerts/" + looked_instance(looked)]["status"] == "pass"


def looked_instance(looked: dict[tuple[str, str], dict[str, Any]]) -> str:
    """The instance of the target that is up."""
    return next(
        subject.partition("/")[2]
        for rule, subject in looked
        if rule == "CAP009" and subject.startswith("alerts/")
    )


def test_running_containers_conflict_without_any_file(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Engine alone shows the port that two containers publish, and one of them is told to
    move.
    """
    monkeypatch.setenv("DOCKER_HOST", stack.engine.url)
    outcome = check("--engine", "--format", "json")
    said = json.loads(outcome.text)
    assert outcome.code == 1
    failing = {(row["rule"], row["subject"]) for row in said["findings"] if row["status"] == "fail"}
    assert {
        ("CAP004", "broken/left"),
        ("CAP004", "broken/right"),
        ("CAP022", "broken/left"),
    } <= failing
    (move,) = said["port_moves"]
    assert (move["service"], move["old"]) == ("broken/right", 8080)


def test_an_alert_that_arrives_passes(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a route that leads to the receiver, delivery passes and tells how long it took."""
    monkeypatch.setenv("DOCKER_HOST", stack.engine.url)
    port = free_port()
    config = (
        "route: {receiver: probe, group_wait: 0s, group_interval: 1s}\n"
        f"receivers: [{{name: probe, webhook_configs: [{{url: 'http://127.0.0.1:{port}/'}}]}}]\n"
    )
    with alertmanager(tmp_path / "alerts", config) as alerts:
        looked = look(stack, tmp_path, monkeypatch, alerts, f"127.0.0.1:{port}")
    assert looked["CAP012", "alert delivery"]["status"] == "pass", looked[
        "CAP012", "alert delivery"
    ]


def test_an_alertmanager_that_is_gone_fails(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does it answer nor can anything be delivered."""
    monkeypatch.setenv("DOCKER_HOST", stack.engine.url)
    gone = Server(f"http://127.0.0.1:{free_port()}", 0, tmp_path, tmp_path)
    looked = look(stack, tmp_path, monkeypatch, gone)
    assert looked["CAP011", "alertmanager"]["status"] == "fail"
    assert looked["CAP012", "alert delivery"]["status"] == "fail"


def test_the_engines_events_count_ends(stack: Stack) -> None:
    """Every end of the looping container is an event of the Engine."""
    from capacity._docker.addresses import Address
    from capacity._docker.engine import connect
    from capacity._docker.events import recent_ends
    from capacity.settings import EngineSettings

    with (
        closing(client(stack.engine)) as api,
        connect("local", Address(stack.engine.url), EngineSettings()) as engine,
    ):
        loop = api.containers.get("broken-loop-1")
        loop.restart()
        time.sleep(1.1)  # events are asked for up to a whole second
        ends = recent_ends(engine, 10)
        good = api.containers.get("broken-good-1")
    assert ends.counts[loop.id] >= 1
    assert good.id not in ends.counts


def test_an_engine_that_is_gone_is_a_data_error(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2, not 1: nothing was found, nothing is clean."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    outcome = check(stack.folder / "compose.yaml", "--engine")
    assert (outcome.code, "does not answer" in outcome.error) == (2, True)
