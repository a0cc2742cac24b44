"""`capacity.history._prometheus.transport` and `capacity.history._prometheus.client` on real
sockets.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from hypothesis import given
from hypothesis import strategies as st

from capacity.errors import (
    BadAnswer,
    CapacityError,
    Denied,
    QueryRefused,
    SettingsError,
    SourceError,
    Unreachable,
)
from capacity.history._prometheus.client import PrometheusSource, Range
from capacity.history._prometheus.transport import _retry_after
from capacity.settings import PrometheusSettings
from tests.fixtures.running.servers import free_port
from tests.fixtures.running.web_server import EMPTY, Answer, web

SECRET = "hunter2-and-more"
HTML = {"Content-Type": "text/html; charset=utf-8"}
TIMED_OUT = json.dumps(
    {"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"}
).encode()
BAD_QUERY = json.dumps(
    {"status": "error", "errorType": "bad_data", "error": "1:5: parse error: no"}
).encode()
ASKED = Range("up", 0, 300, 12)


def source(url: str, **settings: Any) -> PrometheusSource:
    """A source with quick retries."""
    return PrometheusSource(
        PrometheusSettings(url=url, **{"attempts": 3, "read_timeout": 5, **settings})
    )


def ask(url: str, **settings: Any) -> bytes:
    """The body of one range query."""
    ((_, body),) = source(url, **settings).ranges([ASKED])
    return body


def failure(url: str, **settings: Any) -> SourceError:
    """The error of one range query: one line that names the server and the next step, without
    credentials.
    """
    with pytest.raises(SourceError) as caught:
        ask(url, **settings)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert (
        "127.0.0.1" in str(caught.value)
        or "localhost" in str(caught.value)
        or ".invalid" in str(caught.value)
    )
    assert SECRET not in repr(caught.value) + str(caught.value)
    return caught.value


def test_a_refused_connection_is_unreachable() -> None:
    """Nothing listens: the message says so and where."""
    error = failure(f"http://me:{SECRET}@127.0.0.1:{free_port()}", attempts=2)
    assert isinstance(error, Unreachable)
    assert "refused" in str(error)


def test_an_unknown_host_is_unreachable() -> None:
    """A name that no resolver knows."""
    error = failure("http://no-such-host.invalid:9090", attempts=1)
    assert isinstance(error, Unreachable)
    assert "name" in str(error).lower()


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_are_denied_once(status: int) -> None:
    """401 and 403 are not tried again and name the settings to look at."""
    with web(lambda *_: Answer(status, b"no", HTML)) as server:
        error = failure(server.url, bearer_token=SECRET)
        assert isinstance(error, Denied)
        assert len(server.seen) == 1


def test_a_query_that_the_server_gave_up_on_is_never_repeated() -> None:
    """Prometheus' 503 on a query timeout would only cost it the same again."""
    with web(lambda *_: Answer(503, TIMED_OUT)) as server:
        error = failure(server.url)
        assert isinstance(error, QueryRefused)
        assert "timed out in expression" in str(error)
        assert len(server.seen) == 1


def said(kind: str, error: str) -> bytes:
    """An error in the API's format."""
    return json.dumps({"status": "error", "errorType": kind, "error": error}).encode()


OVERLOADED = {
    "mimir-queue": (429, said("too_many_requests", "too many outstanding requests"), {}),
    "mimir-ring": (503, said("unavailable", "too many unhealthy instances in the ring"), {}),
    "victoria-busy": (
        503,
        said("503", "couldn't start executing the request in 0.1 seconds"),
        {"Retry-After": "0"},
    ),
    "thanos-gateway": (503, b"no healthy upstream", {}),
}
"""Of a server that could not answer just then: status, body and headers."""


@pytest.mark.parametrize("name", OVERLOADED)
def test_an_overloaded_relative_is_asked_again(name: str) -> None:
    """Mimir and VictoriaMetrics say in the API's words that they are busy; it is not the query's
    fault.
    """
    status, body, headers = OVERLOADED[name]
    busy = Answer(status, body, {"Content-Type": "application/json", **headers})
    with web(lambda number, _: busy if number < 2 else Answer()) as server:
        assert ask(server.url) == EMPTY
        assert len(server.seen) == 3
    with web(lambda *_: busy) as server:
        error = failure(server.url, attempts=2)
        assert isinstance(error, Unreachable)
        assert len(server.seen) == 2


LIMITED = {
    "mimir-length": (
        422,
        said("bad_data", "the query time range exceeds the limit (err-mimir-max-query-length)"),
    ),
    "mimir-chunks": (422, said("execution", "exceeded the limit (err-mimir-max-chunks-per-query)")),
    "thanos-abort": (422, said("execution", "expanding series: proxy Series(): store is down")),
    "victoria-series": (422, said("422", "cannot select more than -search.maxUniqueTimeseries")),
    "victoria-timeout": (503, said("503", "timeout exceeded during query execution: 30 s")),
}
"""Of a server that refuses this very query: status and body."""


@pytest.mark.parametrize("name", LIMITED)
def test_a_limit_of_a_relative_is_told_in_its_words_once(name: str) -> None:
    """The same query would meet the same limit again."""
    status, body = LIMITED[name]
    with web(lambda *_: Answer(status, body)) as server:
        error = failure(server.url)
        assert isinstance(error, QueryRefused)
        assert json.loads(body)["error"] in str(error)
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"no org id\n", "X-Scope-OrgID"),  # Mimir
        (b"multiple org IDs present", "X-Scope-OrgID"),
        (b"no matching tenant found", "THANOS-TENANT"),
        (b"Unauthorized", "bearer_token_file"),
    ],
)
def test_a_missing_tenant_is_no_wrong_password(body: bytes, header: str) -> None:
    """Servers of several tenants answer 401 where no header names one."""
    with web(lambda *_: Answer(401, body, {"Content-Type": "text/plain"})) as server:
        error = failure(server.url)
        assert isinstance(error, Denied)
        assert header in error.hint
        assert ("tenant" in str(error)) is (body != b"Unauthorized")


def test_a_cluster_asked_at_the_wrong_place_says_what_the_address_is() -> None:
    """Mimir and a VictoriaMetrics cluster have the API below a path of their own."""
    wrong = b"unsupported path requested: /api/v1/query_range"
    with web(lambda *_: Answer(400, wrong, {"Content-Type": "text/plain"})) as server:
        error = failure(server.url)
        assert isinstance(error, BadAnswer)
        assert "/select/TENANT/prometheus" in error.hint


@pytest.mark.parametrize("status", [400, 422])
def test_a_query_error_is_shown_in_the_servers_words(status: int) -> None:
    """Prometheus answers 400, VictoriaMetrics 422; neither is repeated."""
    with web(lambda *_: Answer(status, BAD_QUERY)) as server:
        error = failure(server.url)
        assert isinstance(error, QueryRefused)
        assert "parse error: no" in str(error)
        assert len(server.seen) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_help_is_tried_again(status: int) -> None:
    """A server that recovers gives its answer; one that does not is unavailable after as many
    attempts as set.
    """
    with web(
        lambda number, _: Answer(status, b"later", HTML) if number < 2 else Answer()
    ) as server:
        assert ask(server.url) == EMPTY
        assert len(server.seen) == 3
    with web(lambda *_: Answer(status, b"later", HTML)) as server:
        assert str(status) in str(failure(server.url, attempts=2))
        assert len(server.seen) == 2


def test_retry_after_is_respected() -> None:
    """A server that says how long it wants to be left alone is left alone."""
    with web(
        lambda number, _: Answer(429, b"", {"Retry-After": "1"}) if not number else Answer()
    ) as server:
        began = time.monotonic()
        assert ask(server.url) == EMPTY
        assert time.monotonic() - began >= 1


def test_a_web_page_is_no_answer() -> None:
    """A proxy's login page with status 200 is told from data."""
    with web(lambda *_: Answer(200, b"<html>Sign in</html>", HTML)) as server:
        assert "web page" in str(failure(server.url))
    with web(
        lambda *_: Answer(404, b"<html><body>\n<h1>No\nsuch  page</h1></body></html>", HTML)
    ) as server:
        error = failure(server.url)
        assert isinstance(error, BadAnswer)
        assert "404: No such page" in str(error)


def test_a_redirect_is_not_followed() -> None:
    """Configured headers are for the configured server; the message names the other address without
    its query.
    """
    with web(lambda *_: Answer()) as other:
        target = {"Location": f"{other.url}/login?next={SECRET}"}
        with web(lambda *_: Answer(302, b"", target)) as server:
            assert f"redirects to {other.url}/login." in str(
                failure(server.url, headers={"X-Key": SECRET})
            )
        assert not other.seen


@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_that_breaks_off_is_asked_for_again(reset: bool) -> None:
    """A short body or a reset in the middle is never taken for an answer; the next attempt may be
    whole.
    """
    broken = Answer(body=EMPTY[:20], declared=len(EMPTY), reset=reset)
    with web(lambda number, _: Answer() if number else broken) as server:
        assert ask(server.url) == EMPTY
    with web(lambda *_: broken) as server:
        assert isinstance(failure(server.url, attempts=2), BadAnswer | Unreachable)
        assert len(server.seen) == 2


def test_a_slow_answer_is_not_asked_for_again() -> None:
    """After a read timeout the server may still be at work, so it is left alone."""
    with web(lambda *_: Answer(seconds=1)) as server:
        error = failure(server.url, read_timeout=0.2)
        assert isinstance(error, Unreachable)
        assert "no answer within 0.2 s" in str(error)
        assert len(server.seen) == 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    """A certificate authority of our own and its file."""
    made = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(file))
    return made, file


def tls(authority: trustme.CA, *, client: bool = False) -> ssl.SSLContext:
    """The server's side of TLS; with `client` it wants a certificate from the other side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if client:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


def test_tls_is_verified_unless_told_otherwise(
    authority: tuple[trustme.CA, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown authority is refused with the setting that names it; its file, or
    `verify = false`, lets it pass.
    """
    made, file = authority
    with web(lambda *_: Answer(), tls(made)) as server:
        error = failure(server.url)
        assert isinstance(error, Unreachable)
        assert "prometheus.ca_file" in error.hint
        assert ask(server.url, ca_file=file) == EMPTY
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
        assert ask(server.url, ca_file=file) == EMPTY  # what is configured wins
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
        assert isinstance(failure(server.url, ca_file=other), Unreachable)
        with pytest.warns(match="Unverified HTTPS"):
            assert ask(server.url, verify=False) == EMPTY


def test_a_client_certificate_is_shown(authority: tuple[trustme.CA, Path], tmp_path: Path) -> None:
    """A server that wants one gets it; without one the message says which setting is missing."""
    made, file = authority
    mine = made.issue_cert("me@example.org")
    mine.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    mine.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    with web(lambda *_: Answer(), tls(made, client=True)) as server:
        assert (
            ask(
                server.url,
                ca_file=file,
                client_cert=tmp_path / "cert.pem",
                client_key=tmp_path / "key.pem",
            )
            == EMPTY
        )
        assert ask(server.url, ca_file=file, client_cert=tmp_path / "both.pem") == EMPTY
        error = failure(server.url, ca_file=file)
        assert isinstance(error, Unreachable)


@pytest.mark.parametrize("setting", ["ca_file", "client_cert", "client_key"])
def test_a_certificate_that_is_not_there_is_a_settings_error(tmp_path: Path, setting: str) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError, match="gone"):
        source("https://127.0.0.1", **{setting: tmp_path / "gone.pem"})


@pytest.mark.parametrize("setting", ["ca_file", "client_cert"])
def test_a_certificate_that_is_none_is_one_line(
    authority: tuple[trustme.CA, Path], tmp_path: Path, setting: str
) -> None:
    """A file that holds something else, or vanishes later, is no traceback."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with web(lambda *_: Answer(), tls(authority[0])) as server:
        failure(server.url, **{"ca_file": authority[1], setting: wrong})
        late = source(server.url, **{"ca_file": authority[1], setting: wrong})
        wrong.unlink()
        with pytest.raises(SourceError):
            list(late.ranges([ASKED]))


def basic(user: str, password: str) -> str:
    """The header of basic authentication."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"bearer_token": f"{SECRET}\n"}, f"Bearer {SECRET}"),
        ({"username": "me", "password": "pä:ss"}, basic("me", "pä:ss")),
        ({"username": "me"}, basic("me", "")),
        ({"headers": {"Authorization": f"Own {SECRET}"}}, f"Own {SECRET}"),
    ],
)
def test_credentials_are_sent_as_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], sent: str
) -> None:
    """Whatever ~/.netrc says of that host."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login wrong password wrong\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with web(lambda *_: Answer()) as server:
        ask(server.url, headers=settings.pop("headers", {"X-Scope-OrgID": "team"}), **settings)
        assert server.seen[0]["Authorization"] == sent
        assert server.seen[0].get("X-Scope-OrgID") == (None if sent.startswith("Own") else "team")
        assert server.seen[0]["Accept-Encoding"] == "identity"


def test_credentials_in_the_address_are_sent_but_never_shown() -> None:
    """They are unquoted for the header and cut from the address."""
    with web(lambda *_: Answer(400, BAD_QUERY)) as server:
        address = server.url.replace("http://", f"http://me:{SECRET}%40%C3%A4@")
        failure(address)
        assert server.seen[0]["Authorization"] == basic("me", f"{SECRET}@ä")
        assert source(address).address == server.url


def test_a_token_file_is_read_at_every_request(tmp_path: Path) -> None:
    """Tokens in files are rotated; a missing or empty file says so."""
    file = tmp_path / "token"
    file.write_text("first\n")
    with web(lambda *_: Answer()) as server:
        rotated = source(server.url, bearer_token_file=file)
        list(rotated.ranges([ASKED]))
        file.write_text("second\n")
        list(rotated.ranges([ASKED]))
        assert [headers["Authorization"] for headers in server.seen] == [
            "Bearer first",
            "Bearer second",
        ]
        for spoil in (lambda: file.write_text(""), file.unlink):
            spoil()
            with pytest.raises(SettingsError, match="token"):
                list(rotated.ranges([ASKED]))


@pytest.mark.parametrize("where", ["bearer_token", "headers"])
def test_a_secret_that_cannot_be_sent_is_not_shown(where: str) -> None:
    """A line break in a token would split the header; the message names the setting, not the
    value.
    """
    bad = f"{SECRET}\nX: y"
    with pytest.raises(SettingsError, match=where) as caught:
        source("http://127.0.0.1", **{where: {"X-Key": bad} if where == "headers" else bad})
    assert SECRET not in str(caught.value)


def test_no_more_queries_are_in_flight_than_allowed() -> None:
    """The server counts what it works on at once; the answers come in the order asked."""
    asked = [Range(f"up{number}", 0, 300, 12) for number in range(12)]
    with web(lambda *_: Answer(seconds=0.05)) as server:
        for allowed in (1, 2, 3):
            server.at_once = 0
            assert [
                query for query, _ in source(server.url, max_in_flight=allowed).ranges(asked)
            ] == asked
            assert server.at_once == allowed


def test_after_a_failure_nothing_more_is_asked() -> None:
    """Days before the failure are handed out, and the server is left alone."""
    asked = [Range(f"up{number}", 0, 300, 12) for number in range(20)]
    with web(lambda number, _: Answer(400, BAD_QUERY) if number == 3 else Answer()) as server:
        answers = source(server.url, max_in_flight=1).ranges(asked)
        got = [next(answers)[0] for _ in range(3)]
        with pytest.raises(QueryRefused):
            next(answers)
        time.sleep(0.1)
        assert got == asked[:3]
        assert len(server.seen) <= 5


def test_the_query_budget_rests() -> None:
    """At a budget of a quarter, the connection rests three times as long as it asked."""
    with web(lambda *_: Answer(seconds=0.1)) as server:
        began = time.monotonic()
        list(source(server.url, max_in_flight=1, query_budget=0.25).ranges([ASKED] * 2))
        assert time.monotonic() - began >= 0.8


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"version": "2.42.0", "revision": "x"}, "prometheus"),
        ({}, "victoriametrics"),
        ({"application": "Grafana Mimir", "revision": "x"}, "mimir"),
        ([], "compatible"),
        (None, "compatible"),
    ],
)
def test_the_kind_of_server_is_told_by_its_build(data: Any, kind: str) -> None:
    """What does not say is `compatible`."""
    with web(
        lambda *_: Answer(body=json.dumps({"status": "success", "data": data}).encode())
    ) as server:
        assert source(server.url).kind() == kind
    with web(lambda *_: Answer(404, b"not found", {"Content-Type": "text/plain"})) as server:
        assert source(server.url).kind() == "compatible"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"null",
        b"7",
        b'{"status":"success","data":{"a":1}}',
        b"\xff",
        b'{"status":"success"}',
    ],
)
def test_nonsense_in_place_of_metadata_is_a_bad_answer(body: bytes) -> None:
    """No question ends in anything but an error of ours."""
    with web(lambda *_: Answer(body=body)) as server:
        asked = source(server.url)
        for question in (lambda: asked.metric_names(0, 1), lambda: asked.instant("up")):
            with pytest.raises(BadAnswer):
                question()


def test_no_address_is_a_settings_error() -> None:
    """The message names the option and the setting."""
    with pytest.raises(CapacityError, match="--source"):
        PrometheusSource(PrometheusSettings())


@given(ahead=st.integers(-5, 100), as_date=st.booleans())
def test_how_long_a_server_wants_to_be_left_alone(ahead: int, as_date: bool) -> None:
    """A number of seconds or a date, within bounds; anything else is no time at all."""
    response = requests.Response()
    when = formatdate(time.time() + ahead, usegmt=True)
    response.headers["Retry-After"] = when if as_date else str(ahead)
    wanted = min(max(ahead, 0), 30)
    assert wanted - 2 <= _retry_after(response) <= wanted


@given(st.text())
def test_any_other_wish_is_no_wait(told: str) -> None:
    """Nor is it an error."""
    response = requests.Response()
    response.headers["Retry-After"] = told
    assert 0 <= _retry_after(response) <= 30
