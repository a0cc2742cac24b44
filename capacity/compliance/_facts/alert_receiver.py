"""A webhook receiver for as long as one probe alert takes: it proves that what Alertmanager is
given arrives.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from capacity._common.files import cause_of
from capacity.errors import InputError, WorkError

__all__ = ["LABEL", "Receiver", "open_receiver", "tokens_of"]

LABEL = "capacity_probe"
_LARGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Receiver:
    """An open receiver; `token` marks the alert it waits for, `arrived` is set when that one
    comes.
    """

    address: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    arrived: threading.Event = field(default_factory=threading.Event)


def tokens_of(body: bytes) -> set[str]:
    """The tokens of all probe alerts in a webhook's body; none in what is no Alertmanager body."""
    try:
        alerts = json.loads(body)["alerts"]
        return {str(alert["labels"][LABEL]) for alert in alerts if LABEL in alert["labels"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


@contextmanager
def open_receiver(address: str) -> Iterator[Receiver]:
    """Listen at `host:port` until the block ends.

    Raises:
        InputError: no address.
        WorkError: it cannot be listened at.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise InputError(f"{address!r} is no address to listen at", "Write it like 127.0.0.1:10498")
    receiver = Receiver(address)
    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), _handler(receiver))
    except OSError as error:
        raise WorkError(
            f"Cannot listen at {address}: {cause_of(error)}", "Choose another --receiver"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
    )
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a client that says nothing

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()) or int(length) > _LARGEST_BODY:
                self._answer(413)
                return
            if receiver.token in tokens_of(self.rfile.read(int(length))):
                receiver.arrived.set()
            self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is printed from the library."""

    return Handler
