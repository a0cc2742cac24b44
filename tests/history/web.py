"""A small web server in a thread, for answers that no real metrics server can be made to give."""

from __future__ import annotations

import json
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EMPTY = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()


@dataclass
class Answer:
    """What the server sends; `declared` is a Content-Length that is not the body's, `reset` breaks the connection after it."""

    status: int = 200
    body: bytes = EMPTY
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    declared: int | None = None
    reset: bool = False
    seconds: float = 0.0


@dataclass
class Web:
    """A running server: its address, the headers of each request, and how many were being answered at once."""

    url: str
    seen: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    at_once: int = 0
    busy: int = 0


@contextmanager
def web(answer: Callable[[int, str], Answer], context: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Serve `answer(number of the request from 0, path)` on a free loopback port."""
    lock = threading.Lock()
    state = Web("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                number = len(state.seen)
                state.seen.append(dict(self.headers))
                state.paths.append(self.path)
                state.busy += 1
                state.at_once = max(state.at_once, state.busy)
            try:
                self._send(answer(number, self.path))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client gave up waiting
            finally:
                with lock:
                    state.busy -= 1

        def _send(self, what: Answer) -> None:
            time.sleep(what.seconds)
            self.send_response(what.status)
            for name, value in what.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(what.body) if what.declared is None else what.declared))
            self.end_headers()
            self.wfile.write(what.body)
            self.wfile.flush()
            if what.reset or what.declared is not None:
                self.close_connection = True
            if what.reset:  # linger 0: the kernel sends RST instead of FIN
                self.connection.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing of clients that refused our certificate."""

    server = Server(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
