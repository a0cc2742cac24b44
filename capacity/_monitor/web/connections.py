"""Connections that ask for nothing, or never come to an end: closed after a time, and few a client.

uvicorn waits for ever for the first request of a connection, and for the rest of a header.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BoundedProtocol"]

HEADER_SECONDS = 10.0
MOST_A_CLIENT = 128
MOST = 512

_open: Counter[str] = Counter()


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 whose headers must come within some seconds."""

    _late: asyncio.TimerHandle | None = None
    _peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait, unless too many are waiting already."""
        super().connection_made(transport)
        self._peer = str((self.client or ("",))[0])
        _open[self._peer] += 1
        if _open[self._peer] > MOST_A_CLIENT or _open.total() > MOST:
            transport.abort()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        _open[self._peer] -= 1
        if _open[self._peer] <= 0:
            del _open[self._peer]
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has come; a whole header ends the wait."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """The next header must come in time as well."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(HEADER_SECONDS, self._close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        self.transport.abort()

    def shutdown(self) -> None:
        """End with the server."""
        self._stop_waiting()
        super().shutdown()
