"""Who may ask, how many at once, and which headers every answer carries."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from capacity._common.files import read_bounded
from capacity.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from capacity.settings import MonitorSettings

__all__ = ["Guard", "check_exposure"]

_OPEN = {"/health", "/ready"}  # a health check has no credentials, and is answered when all is busy
_LONGEST = 30.0  # seconds from a request's header to the end of its answer
_log = logging.getLogger(__name__)
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
        SettingsError: exposed without either, a user without a password, or a file of the token
            that cannot be read or is empty.
    """
    if (settings.username is None) != (settings.password is None):
        raise SettingsError("monitor.username and monitor.password go together", "Set both or none")
    if settings.host not in _LOOPBACK and not _allowed(settings):
        hint = "Set monitor.token_file, monitor.token, or monitor.username and monitor.password"
        raise SettingsError(f"monitor.host {settings.host} is open to others without a token", hint)


class Guard:
    """ASGI middleware: who is asked and by whom, credentials, bounds on the number and the time of
    requests, security headers.
    """

    def __init__(self, app: ASGIApp, settings: MonitorSettings) -> None:
        self.app = app
        self._allowed = _allowed(settings)
        self._names = {name.lower() for name in (*_LOOPBACK, settings.host, *settings.names)}
        self._most, self._in_flight = settings.most_in_flight, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        begun = False

        async def dressed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)  # reports have a policy of their own
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, dressed)
            return
        counted = scope["path"] not in _OPEN
        self._in_flight += counted
        try:
            async with asyncio.timeout(_LONGEST):
                await self.app(scope, receive, dressed)
        except ClientDisconnect:
            _log.info("a client went away in the middle of its request")
        except TimeoutError:
            if begun:  # who reads so slowly is cut off
                raise
            late = JSONResponse(
                {"error": "the request took too long"}, 408, {"Connection": "close"}
            )
            await late(scope, receive, dressed)
        finally:
            self._in_flight -= counted

    def _refusal(self, scope: Scope) -> Response | None:
        foreign = self._foreign(Headers(scope=scope))
        if foreign:
            return JSONResponse({"error": foreign}, 403)
        if self._allowed and scope["path"] not in _OPEN:
            given = Headers(scope=scope).get("authorization", "").encode("latin-1", "replace")
            if not any(hmac.compare_digest(given, wanted) for wanted in self._allowed):
                challenge = {"WWW-Authenticate": 'Basic realm="capacity", charset="UTF-8"'}
                return JSONResponse({"error": "credentials are needed"}, 401, challenge)
        if self._in_flight >= self._most and scope["path"] not in _OPEN:
            return JSONResponse({"error": "too many requests at once"}, 503, {"Retry-After": "1"})
        return None

    def _foreign(self, headers: Headers) -> str:
        """Why a request is none of this monitor's own; empty where it is one.

        A page elsewhere can point its own name at this address (DNS rebinding), and send requests
        of its own here; with credentials asked for it has none to send.
        """
        if not self._allowed and _host(headers.get("host", "")) not in self._names:
            return "this monitor has another name; set monitor.names"
        origin = headers.get("origin")
        other = origin is not None and origin.partition("://")[2] != headers.get("host", "")
        asks = headers.get("sec-fetch-mode", "navigate") != "navigate"  # a link may lead here
        if other or (asks and headers.get("sec-fetch-site") == "cross-site"):
            return "a page elsewhere may ask nothing here"
        return ""


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.rpartition(":")[0] if re.search(r":[0-9]{1,5}$", header) else header
    return name.strip("[]").rstrip(".").lower()


def _allowed(settings: MonitorSettings) -> list[bytes]:
    """Authorization headers that are let in; empty = everybody."""
    found = []
    if settings.token is not None:
        found.append(f"Bearer {settings.token.get_secret_value()}".encode())
    if settings.token_file is not None:
        found.append(b"Bearer " + _token_of(settings.token_file))
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}".encode()
        found.append(b"Basic " + base64.b64encode(pair))
    return found


def _token_of(file: Path) -> bytes:
    """The token in a file, without the newline that editors add."""
    try:
        token = read_bounded(file).strip()
    except OSError as error:
        raise SettingsError(
            f"monitor.token_file {file} cannot be read: {error.strerror}",
            "Write the token into it, readable by the user that the monitor runs as",
        ) from error
    if not token:
        raise SettingsError(
            f"monitor.token_file {file} is empty", "Write a token into it: openssl rand -hex 32"
        )
    return token
