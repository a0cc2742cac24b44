"""The collector as a service: its page at /metrics, and its work in the thread that called."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from capacity._collect.collector import Collector, only_one
from capacity._collect.exposition import render_page
from capacity.errors import SettingsError, WorkError
from capacity.settings import CollectSettings, Settings

__all__ = ["collect"]

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_PATIENCE = 5  # seconds that a client may take for its request


def collect(
    settings: Settings,
    stop: threading.Event,
    ready: Callable[[str], None],
    collector: Collector | None = None,
) -> None:
    """Collect and serve until told to stop.

    Args:
        settings: Engines, archive, and what is served where.
        stop: set to end; the open step is stored then.
        ready: told the address of the page, empty where none is served.
        collector: of the same settings, for who wants to see how it goes.

    Raises:
        SettingsError: served beyond the loopback without a token.
        WorkError: the port cannot be listened at.
        Locked: another process collects into the archive.
        EngineUnreachable: no Engine answers when it begins.
        StorageError: the archive cannot be written.
    """
    collector = collector or Collector(settings)
    with only_one(settings), _served(settings.collect, collector, settings.owners.label) as address:
        ready(address)
        collector.run(stop)


@contextmanager
def _served(settings: CollectSettings, collector: Collector, label: str) -> Iterator[str]:
    if settings.port == 0:
        yield ""
        return
    if settings.host not in _LOOPBACK and settings.token is None:
        raise SettingsError(
            f"collect.host {settings.host} is open to others without a token",
            "Set collect.token (CAPACITY_COLLECT__TOKEN), and the same as bearer token of the "
            "scrape job",
        )
    token = settings.token.get_secret_value() if settings.token else None
    try:
        server = HTTPServer((settings.host, settings.port), _handler(collector, token, label))
    except OSError as error:
        raise WorkError(
            f"Cannot listen at {settings.host}:{settings.port}: {error.strerror}",
            "Is another collector running? Choose another --port, or --port 0 for none",
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="capacity-metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{settings.host}:{settings.port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(collector: Collector, token: str | None, label: str) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        """One request at a time; a slow client is let go."""

        timeout = _PATIENCE
        server_version, sys_version = "capacity", ""

        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "").encode()
            if token is not None and not hmac.compare_digest(given, f"Bearer {token}".encode()):
                self._answer(401, "The token is missing or wrong\n")
            elif self.path.partition("?")[0] != "/metrics":
                self._answer(404, "The metrics are at /metrics\n")
            else:
                self._answer(200, render_page(collector.latest, label))

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
            del format, args

    return Page
