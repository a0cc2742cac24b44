"""The monitor among hostile clients on sockets: half requests, slow ones, false names, many."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity._monitor.web import access, app, connections
from capacity._monitor.web.app import make_app
from capacity._monitor.web.connections import BoundedProtocol
from tests.fixtures.running.servers import free_port, wait_for
from tests.unit.monitor.test_monitor import watch

QUICK = 0.7  # seconds in place of ten and thirty


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A monitor over no projects, in a hurry."""
    chosen = free_port()
    made = watch(tmp_path_factory.mktemp("none"), most_in_flight=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "HEADER_SECONDS", QUICK)
        patch.setattr(connections, "MOST_A_CLIENT", 30)
        patch.setattr(app, "_BODY_SECONDS", QUICK)
        patch.setattr(access, "_LONGEST", 2 * QUICK)
        config = uvicorn.Config(
            make_app(made), port=chosen, log_level="warning", http=BoundedProtocol, ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        made.start()
        wait_for(lambda: server.started or None, "the monitor")
        wait_for(lambda: status(get(chosen)) == 200 or None, "its loops")
        yield chosen
        made.stop()
        server.should_exit = True
        thread.join(10)
    assert not connections._open


def ask(port: int, request: str | bytes, wait: float = 5.0) -> bytes:
    """What comes back until the server closes, or until nothing has come for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(request.encode() if isinstance(request, str) else request)
        seen = b""
        with suppress(OSError):
            while part := connection.recv(65536):
                seen += part
        return seen


def get(port: int, path: str = "/health", host: str = "127.0.0.1", more: str = "") -> bytes:
    """One request, its connection closed behind it."""
    return ask(port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")


def status(answer: bytes) -> int:
    """Of an answer."""
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    "half",
    ["", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: ", "\r\n", "POST "],
)
def test_half_a_request_is_closed(port: int, half: str) -> None:
    """Also a connection that says nothing at all, and one that has been answered before."""
    began = time.monotonic()
    ask(port, half)
    ask(port, "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + half)
    assert time.monotonic() - began < 4 * QUICK + 1


def test_a_header_a_byte_at_a_time_is_closed(port: int) -> None:
    """The time is for the whole header, not for each byte."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection, suppress(OSError):
        for _ in range(100):
            connection.sendall(b"G")
            time.sleep(0.1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]", "localhost.x"],
)
@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/api/v1/findings", "/nowhere"])
def test_another_name_is_refused(port: int, host: str, path: str) -> None:
    """What a page elsewhere would reach by pointing its own name here."""
    assert status(get(port, path, host)) in {400, 403}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST.", "127.0.0.1:1", "[::1]:9"])
def test_the_own_names_are_answered(port: int, host: str) -> None:
    """The loopback under any port, since it may be forwarded."""
    assert status(get(port, "/", host)) == 200


@pytest.mark.parametrize(
    "more",
    [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n",
    ],
)
def test_a_page_elsewhere_may_ask_nothing(port: int, more: str) -> None:
    """Neither read nor post an alert."""
    assert status(get(port, "/api/v1/findings", more=more)) == 403
    posted = ask(
        port,
        f"POST /api/v1/alerts HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}Content-Length: 2\r\n\r\n{{}}",
    )
    assert status(posted) == 403
    link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"
    assert status(get(port, "/", more=link)) == 200


def test_slow_bodies_keep_nobody_from_health(port: int) -> None:
    """All places are taken by bodies that do not come: health and readiness answer all the same,
    and the places are free again soon.
    """
    slow = []
    for _ in range(8):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(
            b"POST /api/v1/alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
        )
        slow.append(connection)
    time.sleep(0.2)
    assert status(get(port, "/metrics")) == 503
    assert status(get(port, "/health")) == 200
    assert status(get(port, "/ready")) == 200
    answers = []
    for connection in slow:
        connection.settimeout(5)
        answers.append(status(connection.recv(65536)))
        connection.close()
    assert sorted(set(answers)) == [408, 503]
    wait_for(lambda: status(get(port, "/metrics")) == 200 or None, "a free place")


def test_one_client_cannot_hold_every_connection(port: int) -> None:
    """Beyond a number they are closed at once; afterwards there is room again."""
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
    time.sleep(0.2)
    closed = 0
    for connection in held:
        connection.settimeout(0.01)
        with suppress(TimeoutError):
            try:
                closed += connection.recv(1) == b""
            except ConnectionResetError:
                closed += 1
        connection.close()
    assert closed >= 25
    wait_for(lambda: get(port) or None, "room for another")


def test_who_goes_away_leaves_no_traceback(
    port: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the header, in the body, and in the middle of the answer."""
    caplog.set_level(logging.WARNING)
    for request in (
        b"GET / HT",
        b"POST /api/v1/alerts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request)
                time.sleep(0.02)
    time.sleep(0.3)
    seen = capfd.readouterr()
    assert "Traceback" not in seen.out + seen.err + caplog.text
    assert status(get(port)) == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"]))
def test_any_bytes_are_answered_or_closed(port: int, content: bytes, start: bytes) -> None:
    """And the next request is served."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(start + content + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while connection.recv(65536):
                pass
    assert status(get(port)) == 200


def test_readiness_is_its_own(tmp_path: Path) -> None:
    """Before the first evaluation there is nothing to serve, though the monitor lives."""
    from starlette.testclient import TestClient

    made = watch(tmp_path)
    made.evaluation = None
    with TestClient(make_app(made), base_url="http://localhost") as client:
        assert client.get("/ready").status_code == 503
        made.evaluate()
        assert json.loads(client.get("/ready").text) == {"status": "ready"}
