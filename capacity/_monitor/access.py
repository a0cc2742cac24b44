"""Who may ask, how many at once, and which headers every answer carries."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response

from capacity.errors import SettingsError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from capacity.settings import MonitorSettings

__all__ = ["Guard", "check_exposure"]

_OPEN = {"/health"}  # a health check has no credentials
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def check_exposure(settings: MonitorSettings) -> None:
    """Refuse to listen beyond the loopback without a token or a password.

    Raises:
        SettingsError: exposed without either, or a user without a password.
    """
    if (settings.username is None) != (settings.password is None):
        raise SettingsError("monitor.username and monitor.password go together", "Set both or none")
    if settings.host not in _LOOPBACK and settings.token is None and settings.password is None:
        hint = (
            "Set monitor.token (CAPACITY_MONITOR__TOKEN) or monitor.username and monitor.password"
        )
        raise SettingsError(f"monitor.host {settings.host} is open to others without a token", hint)


class Guard:
    """ASGI middleware: credentials, a bound on requests in flight, security headers."""

    def __init__(self, app: ASGIApp, settings: MonitorSettings) -> None:
        self.app = app
        self._allowed = _allowed(settings)
        self._most, self._in_flight = settings.most_in_flight, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, dressed)
            return
        self._in_flight += 1
        try:
            await self.app(scope, receive, dressed)
        finally:
            self._in_flight -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        if self._allowed and scope["path"] not in _OPEN:
            given = Headers(scope=scope).get("authorization", "").encode("latin-1", "replace")
            if not any(hmac.compare_digest(given, wanted) for wanted in self._allowed):
                challenge = {"WWW-Authenticate": 'Basic realm="capacity", charset="UTF-8"'}
                return JSONResponse({"error": "credentials are needed"}, 401, challenge)
        if self._in_flight >= self._most:
            return JSONResponse({"error": "too many requests at once"}, 503, {"Retry-After": "1"})
        return None


def _allowed(settings: MonitorSettings) -> list[bytes]:
    """Authorization headers that are let in; empty = everybody."""
    found = []
    if settings.token is not None:
        found.append(f"Bearer {settings.token.get_secret_value()}".encode())
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        found.append(b"Basic " + base64.b64encode(pair))
    return found
