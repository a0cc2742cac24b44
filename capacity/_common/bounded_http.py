"""Answers of a server that misbehaves, bounded: in time as a whole, in rate, in length, and in what
compressed bytes may become.

A socket's timeout is for one read: a byte a second keeps it waiting for ever, in the headers too.
"""

from __future__ import annotations

import math
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, socket
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["MOST_BYTES", "BoundedAdapter", "Deadline", "OutOfBounds", "Watched"]
__all__ += ["ending_within", "read_body", "status_of"]

MOST_BYTES = 2**30  # a day of the largest answer that Prometheus gives by default is half of that
_MOST_RATIO = 200  # numbers in JSON come to some 30; gzip itself goes up to 1032
_RATIO_FROM = 2**20  # bytes below which no ratio is looked at
_LEAST = 4096  # bytes in the time that a single read may take
_AT_ONCE = 2**20


class OutOfBounds(Exception):
    """What an answer was that no server's answer is; a part of a sentence."""


_mine = threading.local()
"""The socket that this thread's request is on, so that a deadline can end it from outside."""


class Watched:
    """A connection that tells its thread which socket it is on."""

    _handle: socket | None = None

    def watch(self, made: socket) -> None:
        """Keep the socket of a new connection, so that a deadline can end it."""
        self._handle = made.dup()  # TLS takes the first one over
        _mine.socket = self._handle

    def _new_conn(self) -> socket:
        made: socket = super()._new_conn()  # type: ignore[misc]
        self.watch(made)
        return made

    def request(self, *words: Any, **more: Any) -> None:
        _mine.socket = self._handle
        super().request(*words, **more)  # type: ignore[misc]

    def close(self) -> None:
        if self._handle is not None:
            # where the server closes behind its answer, that is still to be read
            _mine.__dict__.get("ended", []).append(self._handle)
            if "ended" not in _mine.__dict__:
                self._handle.close()
            self._handle = None
        super().close()  # type: ignore[misc]


class _Http(Watched, HTTPConnection):
    pass


class _Https(Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class BoundedAdapter(HTTPAdapter):
    """What a session sends through, so that `Deadline` can end it."""

    def init_poolmanager(self, *words: Any, **more: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*words, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """The pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager


@dataclass
class Deadline:
    """Ends the requests of this thread, while it is entered, after a time. One may be entered
    within another.
    """

    passed: bool = False
    read_at: float = 0.0

    def __enter__(self) -> Self:
        self._outer = _mine.__dict__.get("ended")
        _mine.ended = []
        _mine.__dict__.pop("socket", None)  # of an earlier request: another thread may use it now
        return self

    def __exit__(self, *_: object) -> None:
        ended = _mine.__dict__.pop("ended")
        if self._outer is not None:  # what it reads may be on a connection that is closed behind it
            _mine.ended = [*self._outer, *ended]
            return
        for handle in ended:
            handle.close()

    @contextmanager
    def within(self, seconds: float, idle: float = math.inf) -> Iterator[None]:
        """What is read in the block ends after so many seconds, or when nothing was read in the
        last `idle` ones, with `passed` true.

        Raises:
            TimeoutError: it ended so, and what was read looked whole.
        """
        here, done, deciding = _mine.__dict__, threading.Event(), threading.Lock()
        self.read_at = time.monotonic()
        until = self.read_at + seconds

        def watch() -> None:
            while not done.wait(max(min(until, self.read_at + idle) - time.monotonic(), 0)):
                with deciding:  # or what has just ended were ended once more, in use by others
                    if done.is_set() or time.monotonic() < min(until, self.read_at + idle):
                        continue
                    self.passed = True
                    with suppress(OSError, KeyError, AttributeError):  # it has ended by itself
                        here["socket"].shutdown(SHUT_RDWR)
                    return

        threading.Thread(target=watch, name="capacity-deadline", daemon=True).start()
        try:
            yield
        finally:
            with deciding:
                done.set()
        if self.passed:
            raise TimeoutError


@contextmanager
def ending_within(seconds: float, idle: float = math.inf) -> Iterator[Deadline]:
    """What this thread asks of a server in the block ends after so many seconds, or when nothing
    of a body was read in the last `idle` ones.

    Raises:
        TimeoutError: it ended so.
    """
    began = time.monotonic()
    with Deadline() as deadline:
        try:
            with deadline.within(seconds, idle):
                yield deadline
        except Exception as error:
            if not deadline.passed:
                raise
            raise TimeoutError(
                f"still not through with its answer after {time.monotonic() - began:.0f} s"
            ) from error


def status_of(method: str, url: str, body: Any, wait: float) -> int:
    """The status that a server answers a JSON body with; nothing of its answer is read.

    Args:
        method: of HTTP.
        url: whole.
        body: what is sent.
        wait: seconds for a connection, for a read, and twice that for the headers.

    Raises:
        OSError: as of requests, or too late.
        ValueError: no address.
    """
    with requests.Session() as session, Deadline() as deadline, ExitStack() as stack:
        for scheme in ("http://", "https://"):
            session.mount(scheme, BoundedAdapter())
        with deadline.within(3 * wait):
            response = session.request(
                method, url, json=body, timeout=wait, allow_redirects=False, stream=True
            )
            stack.enter_context(response)
        return int(response.status_code)


def read_body(response: requests.Response, deadline: Deadline, wait: float, most: int) -> bytes:
    """The decoded body of a streamed answer.

    Args:
        response: with its headers read and nothing else.
        deadline: is told of each part.
        wait: seconds in which at least 4 KiB must come.
        most: bytes.

    Raises:
        OutOfBounds: too slow, too long, or compressed in a way that nobody asked for.
        OSError: as of requests.
    """
    decode = _decoder(response.headers.get("Content-Encoding", ""))
    parts: list[bytes] = []
    got = size = since = 0
    began = time.monotonic()
    for part in _received(response):
        got, since = got + len(part), since + len(part)
        for decoded in decode(part, most - size):
            size += len(decoded)
            parts.append(decoded)
        if size >= most:
            raise OutOfBounds(f"is longer than {most} bytes")
        if size > _RATIO_FROM and size > _MOST_RATIO * got:
            raise OutOfBounds(f"is {got} compressed bytes that become more than {size}")
        now = deadline.read_at = time.monotonic()
        if now - began > wait:
            if since < _LEAST:
                raise OutOfBounds(f"came at {since} bytes in {now - began:.0f} s")
            began, since = now, 0
    return b"".join(parts)


def _received(response: requests.Response) -> Iterator[bytes]:
    """What came of the body, as soon as it comes, still encoded."""
    from urllib3.exceptions import HTTPError

    try:
        while part := response.raw.read1(_AT_ONCE, decode_content=False):
            yield part
    except HTTPError as error:  # what `requests` itself makes of them
        if "timed out" in str(error).lower():
            raise requests.exceptions.ReadTimeout(error) from error
        raise requests.exceptions.ChunkedEncodingError(error) from error


def _decoder(encoding: str) -> Any:
    """A function of some bytes and how many may come of them, that yields what they stand for."""
    named = encoding.strip().lower()
    if named in {"", "identity"}:
        return lambda part, _: (part,)
    if named not in {"gzip", "x-gzip", "deflate"}:
        raise OutOfBounds(f"has the encoding {named[:40]!r}, which nobody asked for")
    state = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip or zlib, by its first bytes

    def decode(part: bytes, left: int) -> Iterator[bytes]:
        try:
            while part and left > 0 and not state.eof:
                decoded = state.decompress(part, min(left, _AT_ONCE))
                left -= len(decoded)
                part = state.unconsumed_tail
                yield decoded
        except zlib.error as error:
            raise OutOfBounds(f"is no {named}: {error}") from error

    return decode
