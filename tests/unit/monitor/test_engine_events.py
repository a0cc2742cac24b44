"""The monitor hears the events of every Engine, also of one that comes later."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets
from capacity.settings import EngineSettings, Settings
from tests.fixtures.running.raw_server import CHUNKED, chunk, engine_that


def test_an_engine_that_comes_later_is_heard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One Engine answers from the first, the other when it has come; each tells of a start."""
    heard: set[str] = set()
    both = threading.Event()
    monkeypatch.setattr("capacity._monitor.event_watch._PAUSE", 0.05)
    monkeypatch.setattr("capacity._docker.event_stream.WINDOW", 0.5)
    late = tmp_path / "late.sock"

    def tells(name: str) -> str:
        return f'{{"Action":"start","who":"{name}"}}\n'

    def answer(name: str, connection: socket.socket) -> None:
        heard.add(name)
        time.sleep(0.2)
        connection.sendall(CHUNKED + chunk(tells(name).encode()) + chunk(b""))

    with (
        engine_that(lambda connection, _: answer("early", connection)) as early,
        engine_that(lambda connection, _: answer("late", connection)) as behind,
    ):
        hosts = {"early": early, "late": f"unix://{late}"}
        engines = EngineSettings(hosts=hosts, timeout=5)
        monitor = Monitor(MonitorTargets(Settings(engine=engines), ()))
        seen: list[str] = []

        def look_soon() -> None:
            seen.append("event")
            if heard == {"early", "late"} and len(seen) >= 2:
                both.set()

        monkeypatch.setattr(monitor.events, "_happened", look_soon)
        loop = next(each for each in monitor.loops if each.name == "events")
        loop.start()
        end = time.monotonic() + 10
        try:
            while "late" not in monitor.events.trouble:
                assert not both.wait(0.05)
                assert time.monotonic() < end
            assert any("Engine late are not heard" in each for each in monitor.events.problems())
            assert not any("late" in each for each in monitor.problems(datetime.now(UTC)))
            late.symlink_to(behind.removeprefix("unix://"))
            assert both.wait(10)
        finally:
            loop.stop()
            loop.join(5)
