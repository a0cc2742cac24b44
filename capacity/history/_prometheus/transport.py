"""HTTP to the metrics server: timeouts, retries, and errors that name the cause.

What may help is tried again: a connection that broke, 429, 502, 504, and a 503 from something in
front of the server. What the server itself gave up on is not: Prometheus answers 503 to a query
that ran out of time, and asking again would only cost it the same again. A read timeout is not
repeated either, since the server may still be at work.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from threading import Event
from typing import TYPE_CHECKING

import requests
from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential_jitter,
)

from capacity._common.bounded_http import (
    MOST_BYTES,
    Deadline,
    OutOfBounds,
    read_body,
)
from capacity.errors import BadAnswer, Denied, QueryRefused, SourceError, Unreachable
from capacity.history._archive.records import plain_address
from capacity.history._prometheus.in_flight import InFlight
from capacity.history._prometheus.session import session_of

if TYPE_CHECKING:
    from capacity.settings import PrometheusSettings

__all__ = ["Parameter", "Transport", "plain_address"]

_AGAIN = frozenset({429, 502, 503, 504})
_LONGEST_BODY = 200  # characters of a foreign answer that are worth showing
_MOST_OF_AN_ERROR = 2**22  # bytes
_SLOW = 0.25  # share of the read timeout from which on an answer means that the server has enough
_LONGEST_WAIT = 30.0  # seconds of a Retry-After that are worth waiting for


Parameter = str | float
"""A value in a query, Unix seconds among them."""


class _Passing(Exception):
    """May go away by itself; carries the error to raise when it does not."""

    def __init__(self, error: SourceError) -> None:
        super().__init__(str(error))
        self.error = error


class Transport:
    """A session with one server; threads may share it."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.settings = settings
        self.address = plain_address(str(settings.url))
        self.session = session_of(settings)
        self.in_flight = InFlight(settings.max_in_flight)
        self._quiet_until = 0.0  # of the monotonic clock: the server told all threads to wait

    def get(
        self, path: str, params: Mapping[str, Parameter], stopped: Event | None = None
    ) -> bytes:
        """Body of a successful `GET address + path`.

        Args:
            path: below the address.
            params: of the query.
            stopped: once it is set, nothing is tried again.

        Raises:
            Unreachable, Denied, QueryRefused, BadAnswer: as their docstrings say.
        """
        waiting = wait_exponential_jitter(multiplier=0.2, max=10.0, jitter=0.2)
        stopped = stopped or Event()
        enough = stop_after_attempt(self.settings.attempts) | stop_when_event_set(stopped)
        try:
            for attempt in Retrying(
                retry=retry_if_exception_type(_Passing),
                wait=waiting,
                stop=enough,
                sleep=sleep_using_event(stopped),
                reraise=True,
            ):
                with attempt, self.in_flight.place(stopped) as placed:
                    self._await_quiet(stopped)
                    if not placed:
                        raise self._not_again()
                    return self._once(path, params)
        except _Passing as failure:
            raise failure.error from failure.__cause__
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _await_quiet(self, stopped: Event) -> None:
        """Leave the server alone for as long as it has told any thread to."""
        while (wait := self._quiet_until - time.monotonic()) > 0:
            if stopped.wait(wait):
                raise self._not_again()

    def _not_again(self) -> Exception:
        return _Passing(Unreachable(f"{self.address} was not asked again", "Run it again to go on"))

    def _once(self, path: str, params: Mapping[str, Parameter]) -> bytes:
        began = time.monotonic()
        deadline = Deadline()
        try:
            response, body = self._received(path, params, deadline)
        except OutOfBounds as error:
            hint = "Something else answers there, or it does not work: look at that server"
            raise BadAnswer(f"The answer of {self.address} {error}", hint) from error
        # requests' own errors are OSErrors, those of unreadable certificates are plain ones
        except OSError as error:
            self.in_flight.overloaded()  # or gone, which is no reason to ask more at once either
            if deadline.passed:
                raise self._too_long(time.monotonic() - began) from error
            raise self._explain(error) from error
        spent = time.monotonic() - began
        self._rest(spent)
        if response.status_code in _AGAIN or spent > _SLOW * self.settings.read_timeout:
            self.in_flight.overloaded()
        else:
            self.in_flight.went_well()
        if response.status_code == requests.codes.ok:
            _refuse_html(response, self.address)
            return body
        raise self._refusal(response, body)

    def _received(
        self, path: str, params: Mapping[str, Parameter], deadline: Deadline
    ) -> tuple[requests.Response, bytes]:
        """An answer with its body, both within their bounds."""
        connect, wait = self.settings.connect_timeout, self.settings.read_timeout
        with deadline, ExitStack() as stack:
            # a server may think for as long as one read may take; then its headers come at once
            with deadline.within(connect + 2 * wait):
                response = self.session.get(
                    self.address + path,
                    params=params,
                    timeout=(connect, wait),
                    # said at the call: from the session they would lose against REQUESTS_CA_BUNDLE
                    verify=self.session.verify,
                    cert=self.session.cert,
                    allow_redirects=False,  # the configured headers are for this server alone
                    stream=True,
                )
                stack.enter_context(response)
            most = MOST_BYTES if response.status_code == requests.codes.ok else _MOST_OF_AN_ERROR
            with deadline.within(self.settings.answer_timeout, idle=2 * wait):
                return response, read_body(response, deadline, wait, most)

    def _too_long(self, spent: float) -> Unreachable:
        return Unreachable(
            f"{self.address} was still not through with its answer after {spent:.0f} s",
            "Raise prometheus.answer_timeout or read_timeout, or look at that server",
        )

    def _rest(self, spent: float) -> None:
        """Leave the server alone for a while, as the query budget says."""
        budget = self.settings.query_budget
        time.sleep(spent * (1 - budget) / budget)

    def _explain(self, error: OSError) -> Exception:
        where = self.address
        if isinstance(error, requests.exceptions.SSLError):
            return Unreachable(
                f"TLS with {where} failed: {_innermost(error)}",
                "Set prometheus.ca_file to the authority that signed its certificate, or "
                "client_cert if it wants one",
            )
        if isinstance(error, requests.exceptions.ProxyError):
            return _Passing(
                Unreachable(
                    f"The proxy to {where} failed: {_innermost(error)}",
                    "Check HTTPS_PROXY and NO_PROXY",
                )
            )
        if isinstance(error, requests.exceptions.ConnectTimeout):
            hint = "Check the address and the firewall, or raise prometheus.connect_timeout"
            return Unreachable(
                f"{where} took no connection within {self.settings.connect_timeout:g} s", hint
            )
        if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error).lower():
            hint = "Raise prometheus.read_timeout, or lower the load on the server"
            return Unreachable(
                f"{where} gave no answer within {self.settings.read_timeout:g} s", hint
            )
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            return _Passing(
                BadAnswer(
                    f"The answer of {where} ended in the middle", "Check the proxy in between"
                )
            )
        if isinstance(error, requests.ConnectionError):
            hint = "Is it running, and is the address right? `capacity doctor` looks closer"
            return _Passing(Unreachable(f"Cannot connect to {where}: {_innermost(error)}", hint))
        return Unreachable(
            f"Cannot ask {where}: {_innermost(error)}",
            "Correct the settings in the table [prometheus]",
        )

    def _refusal(self, response: requests.Response, body: bytes) -> Exception:
        status, where = response.status_code, self.address
        reason, kind = _api_error(body)
        if status in {401, 403}:
            return _denied(where, status, body)
        if reason is not None and not _is_overloaded(response, kind):
            hint = (
                "The server gave up on it: narrow --services, raise report.step, or raise its "
                "--query.timeout"
                if status == requests.codes.service_unavailable
                else "`capacity doctor` shows which metrics this server has"
            )
            return QueryRefused(f"{where} refused the query ({status}): {reason}", hint)
        if status in _AGAIN:
            said = f": {reason}" if reason else ""
            error = Unreachable(
                f"{where} is not available ({status} {response.reason}){said}",
                "Try again when the server is up",
            )
            quiet = time.monotonic() + _retry_after(response)
            self._quiet_until = max(self._quiet_until, quiet)
            return _Passing(error)
        if response.is_redirect:
            target = response.headers["Location"].partition("?")[0]
            hint = (
                "If that is the metrics server, set prometheus.url to it; if it is a login page, "
                "name the server behind it"
            )
            return BadAnswer(f"{where} redirects to {target}", hint)
        shown = _shown(response, body)
        return BadAnswer(
            f"{where} answered {status}: {shown}",
            "prometheus.url must be the server's base address; of Mimir that ends in /prometheus, "
            "of a VictoriaMetrics cluster in /select/TENANT/prometheus",
        )


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server wants to be left alone, said as a number or as a date."""
    told = response.headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,9}", told):
        return min(float(told), _LONGEST_WAIT)
    try:
        seconds = parsedate_to_datetime(told).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def _shown(response: requests.Response, body: bytes) -> str:
    """The beginning of a foreign answer on one line."""
    text = body[: 10 * _LONGEST_BODY].decode("utf-8", "replace")
    text = (
        re.sub(r"<[^>]*>", " ", text)
        if "html" in response.headers.get("Content-Type", "")
        else text
    )
    return " ".join(text.split())[:_LONGEST_BODY] or str(response.reason)


def _api_error(body: bytes) -> tuple[str | None, str]:
    """The server's own words on a query, and what kind of error it calls it; None when the answer
    is not in the API's format.
    """
    try:
        envelope = json.loads(body)
        if envelope["status"] == "error":
            return str(envelope["error"]), str(envelope.get("errorType", ""))
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None, ""


def _is_overloaded(response: requests.Response, kind: str) -> bool:
    """Whether a server says of itself, not of the query, that it cannot answer now: Mimir's full
    queue and missing ingesters, VictoriaMetrics' limit of queries at once.
    """
    return response.status_code == requests.codes.too_many_requests or (
        response.status_code in _AGAIN
        and (kind == "unavailable" or "Retry-After" in response.headers)
    )


def _denied(where: str, status: int, body: bytes) -> Denied:
    text = body[:_LONGEST_BODY].decode("utf-8", "replace").lower()
    if "org id" in text or "tenant" in text:
        return Denied(
            f"{where} wants to know the tenant ({status})",
            'Name it under [prometheus.headers]: "X-Scope-OrgID" for Mimir, "THANOS-TENANT" for '
            "Thanos",
        )
    hint = "Set prometheus.bearer_token_file, username and password, or the headers it wants"
    return Denied(f"{where} refused these credentials ({status})", hint)


def _refuse_html(response: requests.Response, where: str) -> None:
    kind = response.headers.get("Content-Type", "")
    if "html" in kind:
        hint = (
            "That is a login page or another program; set prometheus.url to the metrics server "
            "itself"
        )
        raise BadAnswer(f"{where} answered with a web page instead of JSON", hint)


def _innermost(error: BaseException) -> str:
    """The cause at the bottom of a chain that requests and urllib3 wrap four times."""
    while True:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return getattr(error, "strerror", None) or str(error)
