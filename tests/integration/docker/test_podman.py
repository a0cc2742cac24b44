"""Podman through its Docker-compatible socket: seen, measured, and refused in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capacity._collect.cgroups import find_mounts
from capacity._collect.engine_watch import EngineWatch
from capacity._docker.engine import connect_all, snapshot
from capacity._docker.update import send_update
from capacity._docker.usage import usage
from capacity.changes import write_plan
from capacity.errors import EngineRefused
from capacity.settings import EngineSettings
from tests.fixtures.commands import capacity
from tests.fixtures.running.docker_engine import Engine, busybox_image, client
from tests.fixtures.running.fleet import memory, plan_of
from tests.fixtures.running.podman import podman

MIB = 2**20
LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Podman with one container of 128 MiB."""
    with podman(tmp_path_factory.mktemp("podman")) as made:
        image = busybox_image(made, "stack")
        with closing(client(made)) as api:
            api.containers.run(
                image,
                ["sleep", "600"],
                detach=True,
                network_mode="none",
                name="shop-web-1",
                mem_limit=128 * MIB,
                labels=LABELS,
            )
        yield made


def test_its_containers_are_seen_and_measured(engine: Engine) -> None:
    """Inventory, use now, and the collector's samples from the kernel's own files."""
    settings = EngineSettings(hosts={"here": engine.url})
    (found,) = snapshot(settings).of("shop/web")
    assert (found.memory, found.running, found.health) == (128 * MIB, True, None)
    with connect_all(settings) as (engines, _):
        assert engines["here"].host.podman
        assert usage(engines["here"], found.id).memory > 0
        (reading,) = EngineWatch(engines["here"], find_mounts()).look(0.0).containers
    assert reading.sample is not None
    assert 0 < reading.sample.memory < 128 * MIB


def test_the_commands_do_what_it_allows_and_say_what_it_does_not(
    engine: Engine, tmp_path: Path
) -> None:
    """Inventory, check, a dry run, and an apply that ends with the limit as it was, or set."""
    here = {"CAPACITY_ENGINE__HOSTS": json.dumps({"here": engine.url})}
    here["CAPACITY_APPLY__JOURNAL"] = str(tmp_path / "journal")
    here |= {"CAPACITY_APPLY__OBSERVE": "0", "CAPACITY_APPLY__LIVE_ONLY": "true"}
    listed = capacity("inventory", "--json", folder=tmp_path, **here)
    found = json.loads(listed.stdout)
    assert [host["podman"] for host in found["hosts"]] == [True]
    assert [(each["key"], each["memory"]) for each in found["containers"]] == [
        ("shop/web", 128 * MIB)
    ]
    checked = capacity("check", "--engine", "--format", "json", folder=tmp_path, **here)
    assert checked.returncode in {0, 1}, checked.stderr
    findings = {
        (finding["rule"], finding["status"])
        for finding in json.loads(checked.stdout)["findings"]
        if finding["subject"] == "shop/web"
    }
    assert ("CAP003", "pass") in findings
    assert ("CAP005", "fail") in findings
    write_plan(plan_of(memory("shop/web", 128, 160)), tmp_path / "plan.yaml")
    dry = capacity("apply", "plan.yaml", folder=tmp_path, **here)
    assert dry.returncode == 0, dry.stderr
    assert "POST /containers/shop-web-1/update" in dry.stdout
    done = capacity("apply", "plan.yaml", "--yes", folder=tmp_path, **here)
    (now,) = snapshot(EngineSettings(hosts={"here": engine.url})).of("shop/web")
    said = " ".join((done.stdout + done.stderr).split())
    assert (now.memory, done.returncode == 0) in {(160 * MIB, True), (128 * MIB, False)}, said
    assert done.returncode == 0 or "Podman" in said


def test_an_update_that_it_cannot_is_refused_in_its_words(engine: Engine) -> None:
    """An older Podman has no such call; a newer one does it."""
    settings = EngineSettings(hosts={"here": engine.url})
    (found,) = snapshot(settings).of("shop/web")
    with connect_all(settings) as (engines, _):
        here = engines["here"]
        body = {"Memory": 64 * MIB, "MemorySwap": 128 * MIB}
        if int(here.host.version.split(".")[0]) >= 5:
            send_update(here, found, body)
            assert snapshot(settings).of("shop/web")[0].memory == 64 * MIB
            return
        with pytest.raises(EngineRefused, match=r"Podman 4.* shop-web-1") as refused:
            send_update(here, found, body)
    assert "podman update" in refused.value.hint
