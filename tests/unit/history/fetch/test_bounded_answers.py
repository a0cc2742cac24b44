"""Servers that misbehave on real sockets: slow, endless, packed beyond reason, of another time."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.bounded_http import status_of
from capacity.errors import BadAnswer, SourceError, Unreachable
from capacity.history._prometheus.client import PrometheusSource, Range
from capacity.history._prometheus.parse import parse_matrix
from capacity.settings import PrometheusSettings, override
from tests.fixtures.running.raw_server import CHUNKED, HEAD, LONG, raw, slowly
from tests.fixtures.running.web_server import EMPTY, Answer, web
from tests.unit.history.fetch.test_fetch import fetched, metrics_server, settings_for

ASKED = Range("up", 0, 300, 12)


def ask(url: str, **settings: Any) -> bytes:
    """The body of one range query of a client in a hurry."""
    more = {"attempts": 1, "read_timeout": 0.5, "connect_timeout": 0.5, **settings}
    source = PrometheusSource(PrometheusSettings(url=url, **more))
    ((_, body),) = source.ranges([ASKED])
    source.close()
    return body


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 O", b"K"),
        (HEAD, b"X-More: a\r\n"),
        (LONG, b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (HEAD + b"\r\n", b" "),
        (HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (HEAD.replace(b"200 OK", b"500 No") + b"\r\n", b"x"),
        (HEAD.replace(b"200 OK", b"302 Go") + b"Content-Length: 9999\r\n\r\n", b"x"),
    ],
)
def test_a_byte_at_a_time_does_not_hang(first: bytes, then: bytes) -> None:
    """In the status, the headers, a body of a known length, in chunks, and to the end of the
    connection.
    """
    began = time.monotonic()
    with raw(slowly(first, then)) as url, pytest.raises(SourceError) as told:
        ask(url)
    assert time.monotonic() - began < 5
    assert url.removeprefix("http://") in str(told.value)
    assert told.value.hint


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 2", HEAD])
def test_a_webhook_that_answers_a_byte_at_a_time_does_not_hang(first: bytes) -> None:
    """Nor does Alertmanager: only the status is wanted."""
    began = time.monotonic()
    with raw(slowly(first, b"a")) as url, suppress(requests.RequestException, TimeoutError):
        raise AssertionError(status_of("POST", url, {}, 0.5))
    assert time.monotonic() - began < 4


def test_the_body_of_a_webhook_is_not_read() -> None:
    """However long it is, or whatever it would unpack to."""
    with raw(slowly(LONG + b"x", b"x")) as url:
        assert status_of("POST", url, {"a": 1}, 0.5) == 200
    with web(lambda *_: Answer(status=503)) as server:
        assert status_of("GET", server.url, None, 1.0) == 503


def test_a_whole_answer_has_a_deadline() -> None:
    """Also one that comes fast enough, and never ends."""

    def send(connection: socket.socket) -> None:
        connection.sendall(CHUNKED)
        while True:
            time.sleep(0.05)
            connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")

    began = time.monotonic()
    with raw(send) as url, pytest.raises(Unreachable, match="still not through"):
        ask(url, answer_timeout=1.5)
    assert time.monotonic() - began < 5


def test_a_slow_but_honest_answer_is_read() -> None:
    """Pauses shorter than the read timeout are no fault."""
    body = EMPTY + b" " * 20_000

    def send(connection: socket.socket) -> None:
        connection.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode())
        for start in range(0, len(body), 5000):
            time.sleep(0.2)
            connection.sendall(body[start : start + 5000])

    with raw(send) as url:
        assert ask(url) == body


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "GZIP", ""])
def test_what_is_compressed_with_reason_is_read(encoding: str, *, compress: bool) -> None:
    """Some proxies compress although nobody asked; numbers come to a thirtieth."""
    body = json.dumps(
        {
            "status": "success",
            "data": {
                "resultType": "matrix",
                "result": [
                    {"metric": {"n": str(n)}, "values": [[i * 300, str(n * i)] for i in range(12)]}
                    for n in range(2000)
                ],
            },
        }
    ).encode()
    packed = {"deflate": zlib.compress(body), "": body}.get(encoding, gzip.compress(body))
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    with web(lambda *_: Answer(body=packed, headers=headers)) as server:
        assert ask(server.url, compress=compress) == body
        assert len(server.seen) == 1


@pytest.mark.parametrize("byte", [b" ", b"0"])
@pytest.mark.timeout(60)
def test_a_bomb_is_refused_before_it_grows(byte: bytes) -> None:
    """A ratio that no numbers have, by name, and with little of it unpacked."""
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join([*(packer.compress(byte * 2**20) for _ in range(600)), packer.flush()])
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with web(lambda *_: Answer(body=packed, headers=headers)) as server:
        with pytest.raises(BadAnswer, match="compressed bytes that become more than"):
            ask(server.url, read_timeout=30)
        assert len(server.seen) == 1


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
def test_an_encoding_that_nobody_asked_for_is_named(encoding: str) -> None:
    """It is not decoded at all."""
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    with (
        web(lambda *_: Answer(headers=headers)) as server,
        pytest.raises(BadAnswer, match="nobody"),
    ):
        ask(server.url)


@given(st.binary(max_size=300))
def test_any_body_of_any_encoding_is_an_answer_or_an_error(content: bytes) -> None:
    """What is no gzip is told as that."""
    packed = Answer(body=content, headers={"Content-Encoding": "gzip"})
    with web(lambda *_: packed) as server, suppress(SourceError):
        ask(server.url)


def matrix(series: object) -> bytes:
    """A body with this in place of its series."""
    data = {"resultType": "matrix", "result": series}
    return json.dumps({"status": "success", "data": data}).encode()


NO_SERIES = [
    [{"metric": {}, "values": 0}],
    [{"metric": {}, "values": {"list": 0}}],
    [{"metric": {}, "values": {"list": -1}}, {"metric": {}, "values": [[0, "1"]]}],
    [{"metric": {}, "values": {"list": 0}}, {"metric": {}, "values": [[0, "1"]]}],
    [{"metric": {}, "values": "ab"}],
    [{"metric": {"a": 1}, "values": []}],
    [{"metric": {"a": None}, "values": []}],
    [{"metric": {"a": ["b"]}, "values": []}],
    [{"metric": {"a": "\ud800"}, "values": []}],
    [{"metric": [], "values": []}],
    [{"metric": {}, "values": [[0, None]]}],
    [{"metric": {}, "values": [0, 1]}],
    {"a": 1},
    7,
    None,
    [[]],
    [{}],
    [{"values": []}],
]


@pytest.mark.parametrize("series", NO_SERIES, ids=lambda series: str(series)[:50])
def test_what_is_no_series_is_refused(series: object) -> None:
    """Values that are no list, labels that are no texts, numbers that are none."""
    for body in (matrix(series), matrix(series).replace(b": ", b":").replace(b", ", b",")):
        with pytest.raises(BadAnswer):
            parse_matrix(body, start=0, step=300, points=12)


@pytest.mark.parametrize("shift", [-86_400, 86_400, 10**9, -(10**6)])
def test_an_answer_for_another_time_is_not_archived(tmp_path: Path, shift: int) -> None:
    """A cache that gives another day's answer: it is named, and the day is asked for again."""

    def change(envelope: dict[str, Any], number: int) -> None:
        for series in envelope["data"]["result"] if number == 0 else ():
            series["values"] = [[at + shift, value] for at, value in series["values"]]

    with web(metrics_server(change)) as server:
        settings = override(settings_for(server.url, tmp_path), "prometheus__max_in_flight", 1)
        found = fetched(settings, 3)
        assert found.failed == 1
        assert any("another time" in str(warning) for warning in found.warnings)
        assert len([*tmp_path.rglob("*.parquet")]) == 2
        assert fetched(settings, 3).failed == 0
