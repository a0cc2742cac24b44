"""The remediation plan's own cases, scaled to the test machine: the greedy model server, unlimited
containers, wrong units.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from capacity._compose import load_project
from capacity._docker import snapshot
from capacity._docker.engine import connect_all
from capacity._docker.usage import usage
from capacity.changes import apply_plan, correct_units, dry_run, rollback
from capacity.errors import ComposeError
from capacity.model import Change, Reason, Resource, Setting
from capacity.sizing._service_types import TYPES, type_of
from tests.fixtures.running.fleet import IMAGE, MIB, Fleet, cpus, memory, other, plan_of, project
from tests.fixtures.running.servers import Command, fetch, free_port, require, wait_for

GIB = 1024 * MIB


class Asking(threading.Thread):
    """A client that asks a server ten times a second and counts the answers it did not get."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.good, self.bad, self.ended = url, 0, 0, threading.Event()

    def run(self) -> None:
        """Ask and count."""
        while not self.ended.wait(0.1):
            try:
                self.good += fetch(self.url) == b"{}\n"
            except OSError:
                self.bad += 1


@contextmanager
def asking(url: str) -> Iterator[Asking]:
    """Ask until the block ends."""
    thread = Asking(url)
    thread.start()
    try:
        yield thread
    finally:
        thread.ended.set()
        thread.join()


def cores_used(shop: Fleet, name: str, seconds: float = 1.2) -> float:
    """CPU time a second of a container."""
    with connect_all(shop.settings().engine) as (engines, _):
        engine = engines["here"]
        before, began = usage(engine, name).cpu_seconds, time.monotonic()
        time.sleep(seconds)
        return (usage(engine, name).cpu_seconds - before) / (time.monotonic() - began)


def test_ollama(shop: Fleet) -> None:
    """It takes all cores without limits; live limits hold it while it goes on serving, then it gets
    its settings and check.
    """
    port = free_port()
    spin = "while :; do :; done"
    script = (
        f"mkdir -p /tmp/api && echo {{}} >/tmp/api/tags; {spin} & {spin} & exec httpd -f -p "
        f"127.0.0.1:{port} -h /tmp"
    )
    text = f"""\
services:
  ollama:
    image: {IMAGE}
    container_name: ollama
    network_mode: host
    stop_grace_period: 0s
    command: ["sh", "-c", "{script}"]
"""
    file = shop.up(text, name="ai")
    url = f"http://127.0.0.1:{port}/api/tags"
    wait_for(lambda: answers(url), "the model server answers")
    limit = (os.cpu_count() or 1) / 2
    live = plan_of(
        cpus("ai/ollama", None, limit, throttled_after=1.0),
        memory("ai/ollama", None, 4096),
        other("ai/ollama", Setting.RESERVATION, None, 2 * GIB),
        other("ai/ollama", Setting.CPU_RESERVATION, None, limit / 2),
    )
    with asking(url) as client:
        result = apply_plan(live, shop.settings(observe=1))
    assert ["`docker compose up`" in outcome.reason for outcome in result.outcomes] == [True]
    assert client.bad == 0
    assert client.good > 5
    held = cores_used(shop, "ollama")
    assert held < limit * 1.1
    rest = plan_of(
        other(
            "ai/ollama",
            Setting.ENVIRONMENT,
            None,
            {
                "OLLAMA_NUM_PARALLEL": "2",
                "OLLAMA_MAX_LOADED_MODELS": "1",
                "OLLAMA_KEEP_ALIVE": "5m",
            },
        ),
        other(
            "ai/ollama",
            Setting.HEALTH_CHECK,
            None,
            {"test": ["CMD", "wget", "-q", "-O", "/dev/null", url], "interval": "1s"},
        ),
    )
    assert apply_plan(rest, shop.settings(observe=1)).state == "finished"
    wait_for(
        lambda: snapshot(shop.settings().engine).of("ai/ollama")[0].health == "healthy",
        "it is healthy",
    )
    assert answers(url)
    (ollama,) = snapshot(shop.settings().engine).of("ai/ollama")
    assert (ollama.cpus, ollama.memory, ollama.reservation) == (limit, 4 * GIB, 2 * GIB)
    assert {"OLLAMA_NUM_PARALLEL", "OLLAMA_MAX_LOADED_MODELS", "OLLAMA_KEEP_ALIVE"} <= set(
        ollama.environment
    )
    resources = load_project(file).services["ollama"].resources
    assert (resources.cpus, resources.memory, resources.memory_reservation) == (
        limit,
        4 * GIB,
        2 * GIB,
    )
    assert resources.cpus_reservation == limit / 2


def answers(url: str) -> bool:
    """Whether the model server answers."""
    try:
        return fetch(url) == b"{}\n"
    except OSError:
        return False


KINDS = ("postgres", "redis", "prometheus", "planner-agent", "web")


def test_limits_by_type_for_34_unlimited_containers(shop: Fleet) -> None:
    """One run gives each the default of its type; every one has it in the Engine and in the file,
    none was restarted.
    """
    names = [f"{KINDS[number % len(KINDS)]}-{number}" for number in range(34)]
    file = shop.up(project(**dict.fromkeys(names, "")))
    before = {
        container.name: container.started_at
        for container in snapshot(shop.settings().engine).containers
    }
    changes = []
    for name in names:
        size = type_of(f"shop/{name}", TYPES).limit(Resource.MEMORY)
        changes.append(Change(f"shop/{name}", Resource.MEMORY, None, size, Reason.TYPE_DEFAULT))
    result = apply_plan(plan_of(*changes), shop.settings(observe=0.5))
    assert (result.state, len(result.outcomes), result.refused) == ("finished", 34, [])
    after = snapshot(shop.settings().engine).containers
    assert {container.name: container.started_at for container in after} == before
    assert {container.service.rsplit("-", 1)[0]: container.memory for container in after} == {
        "postgres": 4 * GIB,
        "redis": 2 * GIB,
        "prometheus": GIB,
        "planner-agent": 2 * GIB,
        "web": GIB,
    }
    declared = load_project(file).services
    assert all(
        declared[container.service].resources.memory == container.memory for container in after
    )


SNIPPET = """\
services:
  ollama:
    image: ollama/ollama:latest
    deploy:
      resources:
        limits:
          memory: 4Gi   # the model
          cpus: '4.0'
        reservations:
          memory: "2Gi"
"""


def test_kubernetes_units_are_explained_and_corrected(tmp_path: Path) -> None:
    """Refused as it is (some builds of Compose read it); corrected every build does, and only the
    two sizes differ.
    """
    file = tmp_path / "compose.yaml"
    file.write_text(SNIPPET)
    compose: Command = [require("docker-compose"), "--file", file, "config", "--quiet"]
    with pytest.raises(ComposeError):
        load_project(file)
    new, found = correct_units(SNIPPET)
    assert [(correction.line, correction.old, correction.new) for correction in found] == [
        (7, "4Gi", "4g"),
        (10, "2Gi", "2g"),
    ]
    assert "Kubernetes unit" in found[0].text
    assert new == SNIPPET.replace("4Gi", "4g").replace("2Gi", "2g")
    file.write_text(new)
    subprocess.run(compose, check=True)
    assert load_project(file).services["ollama"].resources.memory == 4 * GIB


def test_ports_move_to_their_allocated_range(shop: Fleet) -> None:
    """The published ports are moved in the file, through one new container."""
    file = shop.up(project(web='ports: ["8080:80", "9090:90"]'))
    plan = plan_of(
        other("shop/web", Setting.HOST_PORT, 8080, 10001),
        other("shop/web", Setting.HOST_PORT, 9090, 10002),
    )
    previews, refused = dry_run(plan, shop.settings())
    assert refused == []
    assert (previews[0].step.mode, previews[0].bodies) == ("recreate", {})
    assert apply_plan(plan, shop.settings()).state == "finished"
    assert [port.published for port in load_project(file).services["web"].ports] == [
        "10001",
        "10002",
    ]


def test_a_service_waits_for_the_health_of_another(shop: Fleet) -> None:
    """The condition stands in the file, no container is replaced, Compose takes the file, and
    rollback takes it out again.
    """
    check = 'healthcheck: {test: ["CMD", "true"]}'
    file = shop.up(project(db=check, web="restart: always;depends_on:;  - db"))
    text, settings = file.read_text(), shop.settings()
    before = {container.name: container.id for container in snapshot(settings.engine).containers}
    waits = plan_of(
        other("shop/web", Setting.DEPENDS_ON, {"db": "service_started"}, {"db": "service_healthy"}),
        other("shop/web", Setting.RESTART_POLICY, "always", "on-failure:3"),
    )
    done = apply_plan(waits, settings)
    (outcome,) = done.outcomes
    assert (outcome.state, outcome.reason.partition(":")[0]) == ("done", "depends-on")
    web = load_project(file).services["web"]
    assert (dict(web.depends_on), web.restart) == ({"db": "service_healthy"}, "on-failure:3")
    assert {
        container.name: container.id for container in snapshot(settings.engine).containers
    } == before
    compose: Command = [require("docker-compose"), "--file", file, "config", "--quiet"]
    subprocess.run(compose, check=True)
    rollback(done.run, settings)
    assert file.read_text() == text
