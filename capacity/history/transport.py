"""HTTP to the metrics server: TLS, credentials, timeouts, retries, and errors that name the cause.

What may help is tried again: a connection that broke, 429, 502, 504, and a 503 from something in front of the server. What the
server itself gave up on is not: Prometheus answers 503 to a query that ran out of time, and asking again would only cost it the
same again. A read timeout is not repeated either, since the server may still be at work.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from capacity.errors import BadAnswer, Denied, QueryRefused, SettingsError, SourceError, Unreachable

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.settings import PrometheusSettings

__all__ = ["Transport", "plain_address"]

_AGAIN = frozenset({429, 502, 503, 504})
_LONGEST_BODY = 200  # characters of a foreign answer that are worth showing


class _Passing(Exception):
    """May go away by itself; carries the error to raise when it does not."""

    def __init__(self, error: SourceError) -> None:
        super().__init__(str(error))
        self.error = error


class _BearerFile(AuthBase):
    """Reads the token at every request: tokens in files are rotated."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        try:
            token = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"Cannot read the bearer token from {self.path}: {error}", "Check the path") from error
        request.headers["Authorization"] = f"Bearer {token}"
        return request


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def plain_address(url: str) -> str:
    """The address without credentials, query and trailing slash: fit for messages and file names."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


class Transport:
    """A session with one server; threads may share it."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.settings = settings
        self.address = plain_address(str(settings.url))
        self.session = _session(settings)
        self.sent = 0

    def get(self, path: str, params: dict[str, Any]) -> bytes:
        """Body of a successful `GET address + path`.

        Raises:
            Unreachable, Denied, QueryRefused, BadAnswer: as their docstrings say.
        """
        waiting = wait_exponential_jitter(initial=0.2, max=10.0, jitter=0.2)
        attempts = stop_after_attempt(self.settings.attempts)
        try:
            for attempt in Retrying(retry=retry_if_exception_type(_Passing), wait=waiting, stop=attempts, reraise=True):
                with attempt:
                    return self._once(path, params)
        except _Passing as failure:
            raise failure.error from failure.__cause__
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, path: str, params: dict[str, Any]) -> bytes:
        began = time.monotonic()
        self.sent += 1
        try:
            response = self.session.get(
                self.address + path,
                params=params,
                timeout=(self.settings.connect_timeout, self.settings.read_timeout),
                # said at the call: from the session they would lose against REQUESTS_CA_BUNDLE
                verify=self.session.verify,
                cert=self.session.cert,
            )
            body = response.content
        except requests.RequestException as error:
            raise self._explain(error) from error
        self._rest(time.monotonic() - began)
        if response.status_code == requests.codes.ok:
            _refuse_html(response, self.address)
            return body
        raise self._refusal(response)

    def _rest(self, spent: float) -> None:
        """Leave the server alone for a while, as the query budget says."""
        budget = self.settings.query_budget
        time.sleep(spent * (1 - budget) / budget)

    def _explain(self, error: requests.RequestException) -> Exception:
        where = self.address
        if isinstance(error, requests.exceptions.SSLError):
            return Unreachable(
                f"TLS with {where} failed: {_innermost(error)}",
                "Set prometheus.ca_file to the authority that signed its certificate, or client_cert if it wants one",
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return _Passing(Unreachable(f"The proxy to {where} failed: {_innermost(error)}", "Check HTTPS_PROXY and NO_PROXY"))
        if isinstance(error, requests.exceptions.ConnectTimeout):
            hint = "Check the address and the firewall, or raise prometheus.connect_timeout"
            return Unreachable(f"{where} took no connection within {self.settings.connect_timeout:g} s", hint)
        if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error).lower():
            hint = "Raise prometheus.read_timeout, or lower the load on the server"
            return Unreachable(f"{where} gave no answer within {self.settings.read_timeout:g} s", hint)
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            return _Passing(BadAnswer(f"The answer of {where} ended in the middle", "Check the proxy in between"))
        if isinstance(error, requests.ConnectionError):
            hint = "Is it running, and is the address right? `capacity doctor` looks closer"
            return _Passing(Unreachable(f"Cannot connect to {where}: {_innermost(error)}", hint))
        return Unreachable(f"Cannot ask {where}: {error}", "Correct prometheus.url")

    def _refusal(self, response: requests.Response) -> Exception:
        status, where = response.status_code, self.address
        reason = _api_error(response)
        if status in {401, 403}:
            hint = "Set prometheus.bearer_token_file, username and password, or the headers it wants"
            return Denied(f"{where} refused these credentials ({status})", hint)
        if reason is not None:
            hint = (
                "The server gave up on it: narrow --services, raise report.step, or raise its --query.timeout"
                if status == requests.codes.service_unavailable
                else "`capacity doctor` shows which metrics this server has"
            )
            return QueryRefused(f"{where} refused the query ({status}): {reason}", hint)
        if status in _AGAIN:
            error = Unreachable(f"{where} is not available ({status} {response.reason})", "Try again when the server is up")
            return _Passing(error)
        shown = re.sub(r"\s+", " ", response.text)[:_LONGEST_BODY]
        return BadAnswer(f"{where} answered {status}: {shown}", "prometheus.url must be the server's base address")


def _session(settings: PrometheusSettings) -> requests.Session:
    session = requests.Session()
    # gzip costs the server four times the wall time on a fast link
    session.headers["Accept-Encoding"] = "gzip" if settings.compress else "identity"
    session.headers.update({name: value.get_secret_value() for name, value in settings.headers.items()})
    session.verify = str(settings.ca_file) if settings.verify and settings.ca_file else settings.verify
    if settings.client_cert:
        key = settings.client_key or settings.client_cert
        session.cert = (str(settings.client_cert), str(key))
    for path in (settings.ca_file, settings.client_cert, settings.client_key):
        if path is not None and not path.is_file():
            raise SettingsError(f"There is no file {path}", "Correct the TLS settings in the table [prometheus]")
    session.auth = _credentials(settings)
    return session


def _credentials(settings: PrometheusSettings) -> AuthBase | None:
    if settings.bearer_token_file:
        return _BearerFile(settings.bearer_token_file)
    if settings.bearer_token:
        return _Bearer(settings.bearer_token.get_secret_value())
    if settings.username is not None:
        password = settings.password.get_secret_value() if settings.password else ""
        return HTTPBasicAuth(settings.username.encode(), password.encode())
    url = urlsplit(str(settings.url))
    if url.username:
        return HTTPBasicAuth(url.username, url.password or "")
    return None


def _api_error(response: requests.Response) -> str | None:
    """The server's own words on a query; None when the answer is not in the API's format."""
    try:
        envelope = response.json()
        return str(envelope["error"]) if envelope["status"] == "error" else None
    except (ValueError, KeyError, TypeError):
        return None


def _refuse_html(response: requests.Response, where: str) -> None:
    kind = response.headers.get("Content-Type", "")
    if "html" in kind:
        hint = "That is a login page or another program; set prometheus.url to the metrics server itself"
        raise BadAnswer(f"{where} answered with a web page instead of JSON", hint)


def _innermost(error: BaseException) -> str:
    """The cause at the bottom of a chain that requests and urllib3 wrap four times."""
    while True:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return getattr(error, "strerror", None) or str(error)
