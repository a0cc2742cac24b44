"""Something at an Engine's address that is none, or an Engine behind something that misbehaves."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._docker.addresses import Address
from capacity._docker.engine import Engine, connect, engine_time, inspect, survey
from capacity._docker.events import deaths, last_lives, memory_kills, recent_ends
from capacity._docker.lifecycle import execute, remove, start, stop
from capacity._docker.logs import health_output, last_lines
from capacity._docker.usage import usage
from capacity.errors import CapacityError, EngineError
from capacity.settings import EngineSettings
from tests.fixtures.running.raw_server import CHUNKED, HEAD, LONG, engine_that, slowly, whole

CALLS: dict[str, Callable[[Engine], object]] = {
    "list": lambda engine: survey({"far": engine}, {}),
    "inspect": lambda engine: inspect(engine, "a" * 64),
    "time": engine_time,
    "ends": lambda engine: recent_ends(engine, 5),
    "deaths": lambda engine: deaths(engine, 0, 1),
    "lives": lambda engine: last_lives(engine, 0, 1),
    "kills": lambda engine: memory_kills(engine, 0, 1),
    "log": lambda engine: last_lines(engine, "a" * 64, 5),
    "health": lambda engine: health_output(engine, "a" * 64),
    "usage": lambda engine: usage(engine, "a" * 64),
    "exec": lambda engine: execute(engine, "a" * 64, ["true"]),
    "start": lambda engine: start(engine, "a" * 64),
    "stop": lambda engine: stop(engine, "a" * 64, seconds=0),
    "remove": lambda engine: remove(engine, "a" * 64),
}
NAMES: tuple[str, ...] = (
    "Id",
    "ID",
    "State",
    "Health",
    "Log",
    "Config",
    "HostConfig",
    "Actor",
    "timeNano",
)
NAMES += ("Attributes", "memory_stats", "cpu_stats", "SystemTime", "ExitCode", "Labels")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Id",
                    "ID",
                    "State",
                    "Health",
                    "Log",
                    "Config",
                    "HostConfig",
                    "Actor",
                    "timeNano",
                    "Attributes",
                    "memory_stats",
                    "cpu_stats",
                    "SystemTime",
                    "ExitCode",
                    "Labels",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("call", "tcp"),
    [("inspect", False), ("inspect", True), ("ends", False), ("exec", False), ("log", False)],
)
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b"H"),
        (HEAD, b"X-More: a\r\n"),
        (LONG, b" "),
        (CHUNKED, b"1\r\n \r\n"),
    ],
    ids=["status", "headers", "body", "chunks"],
)
def test_a_byte_at_a_time_does_not_hang(first: bytes, then: bytes, call: str, tcp: bool) -> None:
    """Whatever is asked of an Engine ends within ten times what a read of its answer may take."""
    hurried = EngineSettings(timeout=0.1)
    with (
        engine_that(slowly(first, then), tcp=tcp) as url,
        connect("far", Address(url), hurried) as far,
    ):
        began = time.monotonic()
        with pytest.raises(EngineError, match="far"):
            CALLS[call](far)
        assert time.monotonic() - began < 10


def test_any_answer_is_read_or_refused() -> None:
    """An Engine may say anything in JSON: what is no answer of an Engine is an error of its own."""
    says = [b""]

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(says[0])

    with (
        engine_that(answer) as url,
        connect("far", Address(url), EngineSettings(timeout=0.2)) as far,
    ):

        @settings(max_examples=150)
        @given(plain, st.sampled_from(["200 OK", "404 Not Found", "500 No"]))
        def ask(said: object, status: str) -> None:
            says[0] = whole(said).replace(b"200 OK", status.encode(), 1)
            for call in CALLS.values():
                with suppress(CapacityError):
                    call(far)

        ask()


def test_a_command_whose_output_does_not_end_is_ended() -> None:
    """Also where the connection is to be closed behind what it prints."""

    def answer(connection: socket.socket, path: str) -> None:
        if not path.endswith("/start"):
            connection.sendall(whole({"Id": "a", "ExitCode": 0}))
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-raw-stream\r\n\r\n")
        while True:
            connection.sendall(b"\1\0\0\0\0\0\0\1x")
            time.sleep(0.05)

    began = time.monotonic()
    with (
        engine_that(answer) as url,
        connect("far", Address(url), EngineSettings(timeout=0.2)) as far,
        pytest.raises(EngineError, match="still not through"),
    ):
        execute(far, "a" * 64, ["true"])
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("said", [[], {}, {"ApiVersion": None}, {"ApiVersion": []}, 1, None, "x"])
def test_what_describes_itself_as_no_engine_is_refused(
    said: object,
) -> None:
    """A web server at the address, or one that answers with other JSON."""
    with (
        engine_that(lambda *_: None, version=said) as url,
        pytest.raises(EngineError, match="far"),
        connect("far", Address(url), EngineSettings(timeout=1)) as far,
    ):
        survey({"far": far}, {})


def test_an_engine_leads_nowhere_else() -> None:
    """A redirect is not followed: the connection is to the server that was named."""
    asked = []

    def answer(connection: socket.socket, path: str) -> None:
        asked.append(path)
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: /v1.41/elsewhere\r\nContent-Length: 0\r\n\r\n"
        )

    with (
        engine_that(answer) as url,
        connect("far", Address(url), EngineSettings(timeout=1)) as far,
        pytest.raises(EngineError),
    ):
        survey({"far": far}, {})
    assert len(asked) == 1


def test_an_answer_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it comes."""
    monkeypatch.setattr("capacity._docker.bounded_client._MOST_BYTES", 2**22)

    def answer(connection: socket.socket, _: str) -> None:
        connection.sendall(LONG.replace(b"100000", b"99999999999"))
        while True:
            connection.sendall(b" " * 65536)

    with (
        engine_that(answer) as url,
        connect("far", Address(url), EngineSettings(timeout=5)) as far,
        pytest.raises(EngineError, match="longer than"),
    ):
        survey({"far": far}, {})
