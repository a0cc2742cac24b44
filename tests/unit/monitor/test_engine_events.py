"""The monitor hears the events of every Engine, also of one that comes later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from capacity._docker.addresses import Address
from capacity._docker.engine import Engine
from capacity._docker.host import read_host
from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets
from capacity.errors import EngineUnreachable
from capacity.settings import EngineSettings, Settings
from tests.fixtures.fleets.engines import INFOS, VERSIONS


class _Stream:
    """A start, then nothing until it is closed."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[dict[str, str]]:
        yield {"Action": "start"}
        self._closed.wait(10)

    def close(self) -> None:
        """As docker-py's."""
        self._closed.set()


def test_an_engine_that_comes_later_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Engine answers from the first, the other after two attempts; the first is asked once."""
    asked: list[str] = []
    heard = threading.Event()

    @contextmanager
    def connect(name: str, address: Address, settings: EngineSettings) -> Iterator[Engine]:
        del address, settings
        asked.append(name)
        if name == "late" and asked.count("late") < 3:
            raise EngineUnreachable("late does not answer", "Start it")
        kind = "debian-13-v2"
        api = SimpleNamespace(events=lambda **_: _Stream())
        yield Engine(read_host(name, "unix://x", INFOS[kind], VERSIONS[kind]), api)

    monkeypatch.setattr("capacity._docker.engine.connect", connect)
    monkeypatch.setattr("capacity._monitor.background_tasks._PAUSE", 0.01)
    hosts = {name: f"unix:///{name}.sock" for name in ("early", "late")}
    monitor = Monitor(MonitorTargets(Settings(engine=EngineSettings(hosts=hosts)), ()))
    seen: list[str] = []

    def look_soon() -> None:
        seen.append("event")
        if len(seen) == 2:
            heard.set()

    monkeypatch.setattr(monitor, "look_soon", look_soon)
    loop = next(each for each in monitor.loops if each.name == "events")
    loop.start()
    try:
        assert heard.wait(10)
        assert (asked.count("early"), asked.count("late")) == (1, 3)
    finally:
        loop.stop()
        loop.join(5)
