"""The stack that ships: by our own rules, by the programs that read its files, and by its names."""

from __future__ import annotations

import re
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from capacity._common.bundled import bundled
from capacity._compose import Project, load_project
from capacity.compliance import Status, evaluate, load_rules
from capacity.compliance._facts import collect
from capacity.compliance._waivers import load_waivers
from capacity.errors import ComposeError
from tests.fixtures.running.servers import require

STACK = bundled("data/stack")
ENVIRONMENT = {"FLEET": "/srv/compose"}
TODAY = date(2026, 11, 28)
ASKED_OF_FILES = 100  # verdicts at least, so that an empty report cannot pass


@pytest.fixture(scope="module")
def project() -> Project:
    """The stack as Compose reads it."""
    return load_project([STACK / "compose.yaml"], environment=ENVIRONMENT)


def test_it_keeps_our_own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole rule book finds nothing; each waiver is needed, and holds."""
    monkeypatch.setenv("FLEET", ENVIRONMENT["FLEET"])
    rules, waivers = load_rules(["house"]), load_waivers(STACK / "waivers.yaml")
    facts = collect.from_files([STACK / "compose.yaml"])
    assert not facts.unread
    report = evaluate(rules, facts, waivers, today=TODAY)
    failing = [(finding.rule.slug, finding.subject) for finding in report.failing()]
    assert failing == []
    assert report.counts[Status.PASS] > ASKED_OF_FILES
    waived = {(each.rule.slug, each.subject) for each in report.findings if each.status == "waived"}
    for waiver in waivers:
        assert any(waiver.rule == slug for slug, _ in waived)
    assert {subject for slug, subject in waived if slug == "no-docker-socket"} == {
        "capacity/engine-proxy"
    }


def test_every_service_is_bounded_and_healthy_by_a_test(project: Project) -> None:
    """Memory, cores and processes are limited, health is tested, images have a version."""
    for name, service in project.services.items():
        assert service.resources.memory, name
        assert service.resources.cpus, name
        assert service.healthcheck is not None, name
        assert re.search(r":v?[0-9]+\.[0-9]+", str(service.image)), name


def test_it_does_not_start_without_a_fleet() -> None:
    """Compose says which variable is missing."""
    with pytest.raises(ComposeError, match="FLEET"):
        load_project([STACK / "compose.yaml"], environment={})


def test_every_address_is_a_service_at_its_port(project: Project) -> None:
    """What is scraped, alerted and asked is a service on a network with the one that asks."""
    found = 0
    for asking, text in _texts(project):
        for name, port in re.findall(r"\b([a-z][a-z-]+):([0-9]{4})\b", text):
            assert name in project.services, (asking, name)
            assert int(port) in _ports(name), (name, port)
            assert _networks(asking) & _networks(name), (asking, name)
            found += 1
    assert found > len(project.services)


def test_compose_takes_it(tmp_path: Path) -> None:
    """Compose itself finds the same services."""
    done = subprocess.run(
        [require("docker-compose"), "-f", STACK / "compose.yaml", "config", "--services"],
        env={**ENVIRONMENT, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "engine-proxy" in done.stdout.split()


def test_prometheus_and_alertmanager_take_their_files(tmp_path: Path) -> None:
    """Promtool and amtool check them; only the secret lies elsewhere."""
    token = tmp_path / "monitor-token"
    token.write_text("x")
    for name in ("prometheus.yml", "alerts.yml", "alertmanager.yml"):
        text = (STACK / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("/run/secrets/monitor-token", str(token)))
    commands: list[list[str | Path]] = [
        [require("promtool"), "check", "config", tmp_path / "prometheus.yml"],
        [require("amtool"), "check-config", tmp_path / "alertmanager.yml"],
    ]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _texts(project: Project) -> list[tuple[str, str]]:
    """Who asks, and the text with the addresses that it asks."""
    texts = [(name, (STACK / f"{name}.yml").read_text()) for name in ("prometheus", "alertmanager")]
    for name, service in project.services.items():
        words = [*service.environment.values(), *(service.model.get("command") or [])]
        texts.append((name, " ".join(str(word) for word in words)))
    return texts


def _ports(name: str) -> set[int]:
    return {
        "capacity": {8080},
        "prometheus": {9090},
        "alertmanager": {9093},
        "cadvisor": {8080},
        "node-exporter": {9100},
        "engine-proxy": {2375},
    }[name]


def _networks(name: str) -> set[str]:
    read: dict[str, Any] = YAML(typ="safe").load(STACK / "compose.yaml")
    return set(read["services"][name]["networks"])
