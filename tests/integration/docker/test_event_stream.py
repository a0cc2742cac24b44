"""Events that are followed for ever, from an Engine that does not behave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capacity._docker import event_stream
from capacity._docker.addresses import Address
from capacity._docker.engine import connect
from capacity._docker.event_stream import follow_events
from capacity._monitor.event_watch import EventWatch
from capacity.errors import EngineError
from capacity.settings import EngineSettings
from tests.fixtures.running.docker_engine import busybox_image, client, dockerd
from tests.fixtures.running.raw_server import CHUNKED, chunk, engine_that, slowly

HURRIED = EngineSettings(timeout=0.5)
START = b'{"Type":"container","Action":"start"}\n'
ACTIONS = {"start", "die"}


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of events at once."""
    monkeypatch.setattr(event_stream, "WINDOW", 0.5)


def flood(body: bytes) -> Callable[[socket.socket, str], None]:
    """The same again and again, as fast as it is read."""

    def send(connection: socket.socket, _: str) -> None:
        connection.sendall(CHUNKED)
        while True:
            connection.sendall(chunk(body))

    return send


def silent(connection: socket.socket, _: str) -> None:
    """A connection that is half open: no byte, and no end."""
    connection.sendall(CHUNKED)
    connection.recv(1)  # until the other side gives up


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (flood(b"x" * 65536), "more events, or longer ones"),
        (flood(START * 100), "more events, or longer ones"),
        (flood(b"\n" * 1000), "more events, or longer ones"),
        (slowly(CHUNKED, b"1\r\n \r\n"), "still not through"),
        (silent, "still not through|timed out"),
        (slowly(b"", b"H"), "still not through"),
        (flood(b"nonsense\n"), "as no Engine|no Engine"),
        (flood(b"[]\n"), "as no Engine|no Engine"),
    ],
    ids=["line", "events", "blank", "drip", "half open", "headers", "no JSON", "other JSON"],
)
def test_a_stream_that_misbehaves_is_ended(
    answer: Callable[[socket.socket, str], None], said: str, tcp: bool
) -> None:
    """In length, in rate, and in time: the thread that reads it is free again."""
    began = time.monotonic()
    with (
        engine_that(answer, tcp=tcp) as url,
        connect("far", Address(url), HURRIED) as far,
        pytest.raises(EngineError, match=said),
    ):
        for _ in follow_events(far, ACTIONS, lambda _: None):
            pass
    assert time.monotonic() - began < 10


def ended(connection: socket.socket, _: str) -> None:
    """A window with a start in it."""
    time.sleep(0.1)
    connection.sendall(CHUNKED + chunk(START) + chunk(b""))


def test_a_stream_that_ends_too_soon_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Engine that closes at once is not asked as fast as it answers."""
    monkeypatch.setattr(event_stream, "WINDOW", 30.0)
    with (
        engine_that(ended) as url,
        connect("far", Address(url), HURRIED) as far,
        pytest.raises(EngineError, match="before their time"),
    ):
        next(follow_events(far, ACTIONS, lambda _: None))


def test_windows_follow_each_other_without_a_gap() -> None:
    """Each begins where the one before ended."""
    asked: list[str] = []

    def answer(connection: socket.socket, path: str) -> None:
        asked.append(path)
        ended(connection, path)

    heard: list[str] = []
    with engine_that(answer) as url, connect("far", Address(url), HURRIED) as far:
        windows: Iterator[None] = follow_events(far, ACTIONS, heard.append)
        for _ in range(3):
            next(windows)
    assert heard == ["start"] * 3
    edges = [
        [part.partition("=")[2] for part in path.partition("?")[2].split("&")[:2]] for path in asked
    ]
    assert [until for _, until in edges[:2]] == [since for since, _ in edges[1:]]


def test_an_engine_that_is_not_heard_is_told_and_heard_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The health of the monitor names it while it is not heard."""
    monkeypatch.setattr("capacity._monitor.event_watch._PAUSE", 0.1)
    well = threading.Event()
    heard = threading.Event()

    def answer(connection: socket.socket, path: str) -> None:
        (ended if well.is_set() else flood(b"x" * 65536))(connection, path)
        time.sleep(0.05)

    stop = threading.Event()
    with engine_that(answer) as url:
        watch = EventWatch(EngineSettings(hosts={"far": url}, timeout=0.5), heard.set)
        thread = threading.Thread(target=watch.work, args=(stop, lambda: None))
        thread.start()
        try:
            _until(lambda: any("Engine far are not heard" in each for each in watch.problems()))
            well.set()
            assert heard.wait(10)
            _until(lambda: not watch.problems())
        finally:
            stop.set()
            thread.join(5)
    assert not thread.is_alive()


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_real_engine_is_heard_across_windows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its windows end in time, and a start in the second one is heard."""
    monkeypatch.setattr(event_stream, "WINDOW", 2.0)
    heard: list[str] = []
    with dockerd(tmp_path) as server, closing(client(server)) as docker:
        busybox_image(server, "busybox:local")
        settings = EngineSettings(timeout=10)
        with connect("here", Address(server.url), settings) as engine:
            windows = follow_events(engine, ACTIONS, heard.append)
            next(windows)
            assert "start" not in heard
            docker.containers.run("busybox:local", "true", detach=True, network_mode="none")
            next(windows)
            assert "start" in heard
