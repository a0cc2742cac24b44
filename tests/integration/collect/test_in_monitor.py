"""The collector inside the monitor, on a real Engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capacity._collect.collector import only_one
from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets, evaluate_targets
from capacity._monitor.state import now
from capacity.history._archive.archive import Archive
from capacity.model import Resource
from capacity.settings import Settings
from tests.fixtures.running.docker_engine import Engine, busybox_image, client, dockerd
from tests.fixtures.running.servers import fetch, free_port

STEP = 10


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine that runs one container."""
    with dockerd(tmp_path_factory.mktemp("dockerd")) as server:
        busybox_image(server, "busybox:local")
        with closing(client(server)) as docker:
            docker.containers.run(
                "busybox:local", ["sleep", "600"], name="web", detach=True, network_mode="none"
            )
        yield server


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that a thread does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def answers(address: str) -> bool:
    """Whether the page of samples has the container."""
    try:
        return 'name="web"' in fetch(address).decode()
    except OSError:
        return False


@pytest.mark.timeout(180)
def test_one_process_samples_archives_and_tells_its_health(engine: Engine, tmp_path: Path) -> None:
    """While another holds the archive its health says so; then it collects, and stores at its end
    what was open.
    """
    port = free_port()
    settings = Settings(
        archive={"path": tmp_path / "archive"},
        report={"step": STEP},
        collect={"interval": STEP // 2, "port": port},
        engine={"hosts": {"here": engine.url}},
    )
    monitor = Monitor(MonitorTargets(settings, (), engine=False, collect=True))
    loop = next(each for each in monitor.loops if each.name == "collect")
    loop.every = 0.2
    try:
        with only_one(settings):
            loop.start()
            until(lambda: any(" collects into " in each for each in told(monitor)))
        until(lambda: answers(f"http://127.0.0.1:{port}/metrics"))
        until(lambda: not any("collector" in each for each in told(monitor)))
        until(lambda: evaluate_targets(monitor.watched, None).facts.history is not None)
    finally:
        loop.stop()
        loop.join(60)
    archive = Archive(settings.archive.path)
    assert archive.sources()
    with only_one(settings):  # the lock is free again
        pass
    found = evaluate_targets(monitor.watched, None)
    assert found.sources["archive"].error == ""
    assert found.facts.history is not None
    assert found.facts.history.services == ["standalone/web"]
    assert [*found.tables[Resource.MEMORY].index] == ["standalone/web"]
    alone = evaluate_targets(MonitorTargets(settings, engine=False), None)
    assert alone.facts.history is None


@pytest.mark.timeout(180)
def test_a_monitor_that_is_told_to_stop_stores_the_open_step(
    engine: Engine, tmp_path: Path
) -> None:
    """A step of an hour is stored by the end of the process alone."""
    port = free_port()
    more = {
        "CAPACITY_ENGINE__HOSTS": json.dumps({"here": engine.url}),
        "CAPACITY_MONITOR__PORT": str(free_port()),
        "CAPACITY_COLLECT__PORT": str(port),
        "CAPACITY_COLLECT__INTERVAL": "5",
        "CAPACITY_REPORT__STEP": "3600",
        "CAPACITY_ARCHIVE__PATH": str(tmp_path / "archive"),
    }
    words = [sys.executable, "-m", "capacity", "monitor", "--collect"]
    with subprocess.Popen(words, cwd=tmp_path, env={**os.environ, **more}) as process:
        try:
            until(lambda: answers(f"http://127.0.0.1:{port}/metrics"))
        finally:
            process.terminate()
            process.wait(60)
    assert Archive(tmp_path / "archive").sources()


def told(monitor: Monitor) -> list[str]:
    """What health says."""
    return monitor.problems(now())
