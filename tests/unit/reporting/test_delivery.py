"""Finished reports on their way: mail to a real server, webhooks, chat by apprise, folders."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypothesis import given
from hypothesis import strategies as st

from capacity.reporting._delivery.channels import deliver, has_ways, mail_of
from capacity.reporting._delivery.message import Message, message_of
from capacity.reporting._runs import write_run
from capacity.settings import DeliverySettings
from tests.fixtures.running.servers import free_port

REPORT = "weekly-resources"


def page(folder: Path, week: int, lines: list[str]) -> Path:
    """A finished run of a week, with its first screen."""
    place = folder / f"2026-W{week:02d}"
    place.mkdir(parents=True)
    as_of = pd.Timestamp("2026-01-05", tz="UTC") + pd.Timedelta(weeks=week)
    write_run(
        place,
        REPORT,
        {"as_of": as_of.isoformat(), "name": place.name, "source": "sample", "headline": lines},
    )
    made = place / f"{REPORT}.html"
    made.write_text("<!doctype html><p>page")
    return made


def asked(**more: Any) -> DeliverySettings:
    """Ways of delivery."""
    return DeliverySettings.model_validate({"smtp_security": "none", **more})


class Inbox:
    """What a mail server took; it refuses the first so many."""

    def __init__(self, refused: int = 0) -> None:
        self.mails: list[EmailMessage] = []
        self.refused = refused

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """As a server answers."""
        if self.refused:
            self.refused -= 1
            return "451 try again later"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"


@contextmanager
def mail_server(inbox: Inbox) -> Iterator[str]:
    """A real server on loopback."""
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop()


@contextmanager
def web_server(codes: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Takes JSON by POST and answers with these codes, then 200."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(json.loads(body))
            self.send_response(codes.pop(0) if codes else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()


def test_the_subject_says_only_what_changed(tmp_path: Path) -> None:
    """The first run, one with something new, and one without."""
    first = message_of(page(tmp_path, 1, ["a", "b"]), REPORT)
    second = message_of(page(tmp_path, 2, ["b", "c"]), REPORT, "https://reports.example/")
    third = message_of(page(tmp_path, 3, ["b", "c"]), REPORT)
    none = message_of(page(tmp_path, 4, []), REPORT)
    assert first.subject.endswith("2026-W01: 2 to decide")
    assert second.subject.endswith("2026-W02: 1 new of 2")
    assert second.lines == ("c", "b")
    assert second.link == "https://reports.example/2026-W02/weekly-resources.html"
    assert third.subject.endswith("nothing new")
    assert none.subject.endswith("nothing to decide")


def test_a_mail_has_text_html_and_the_page(tmp_path: Path) -> None:
    """Read back from a real server; a refusal is tried again."""
    inbox = Inbox(refused=1)
    message = message_of(page(tmp_path, 1, ["ai/ollama: Set a CPU limit <now>"]), REPORT)
    with mail_server(inbox) as address:
        failures = deliver(
            message, asked(smtp=address, mail_to=["sre@example.org", "b@example.org"]), wait=0.01
        )
    assert failures == []
    (mail,) = inbox.mails
    assert mail["Subject"] == message.subject
    assert mail["To"] == "sre@example.org, b@example.org"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Set a CPU limit <now>" in text.get_content()
    assert "&lt;now&gt;" in html.get_content()
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == "weekly-resources.html"
    assert attached.get_content().strip() == "<!doctype html><p>page"


@given(st.lists(st.text(max_size=60), max_size=6), st.text(max_size=30))
def test_no_line_reaches_the_heads_of_a_mail_or_tags_of_its_html(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], name: str
) -> None:
    """Names come from labels of strangers: they stay text."""
    folder = tmp_path_factory.mktemp("runs")
    made = message_of(page(folder, 1, [*lines, f"{name}\r\nBcc: x@example.org <script>"]), REPORT)
    mail = mail_of(made, asked(mail_to=["sre@example.org"]))
    whole = message_from_bytes(mail.as_bytes(policy=policy.SMTP), policy=policy.default)
    assert whole["Bcc"] is None
    assert "<script" not in made.html
    assert "\n" not in made.subject


def test_a_webhook_gets_plain_json_and_is_tried_again(tmp_path: Path) -> None:
    """Two errors, then taken; the address never shows in what failed."""
    message = message_of(page(tmp_path, 1, ["a"]), REPORT)
    with web_server([500, 503]) as (address, got):
        assert deliver(message, asked(webhooks=[address]), wait=0.01) == []
    assert len(got) == 3
    assert got[-1]["subject"] == message.subject
    assert got[-1]["lines"] == ["a"]
    with web_server([500] * 9) as (address, got):
        (failure,) = deliver(message, asked(webhooks=[f"{address}?token=secret"]), wait=0.01)
    assert "secret" not in failure.channel + failure.why
    assert "500" in failure.why


def test_chat_goes_through_apprise(tmp_path: Path) -> None:
    """Its own JSON form, to a server on loopback; an address it does not know is said."""
    message = message_of(page(tmp_path, 1, ["a"]), REPORT)
    with web_server([]) as (address, got):
        target = address.replace("http://", "json://")
        assert deliver(message, asked(apprise=[target]), wait=0.01) == []
    assert got[0]["title"] == message.subject
    (failure,) = deliver(message, asked(apprise=["nothing-known"]), wait=0.01)
    assert "does not know" in failure.why


def test_the_page_goes_to_a_folder_and_an_object_store(tmp_path: Path) -> None:
    """Both through fsspec."""
    import fsspec

    message = message_of(page(tmp_path, 1, ["a"]), REPORT)
    assert deliver(message, asked(folder=str(tmp_path / "www")), wait=0.01) == []
    assert (tmp_path / "www" / "2026-W01" / "weekly-resources.html").is_file()
    assert deliver(message, asked(folder="memory://reports"), wait=0.01) == []
    assert fsspec.filesystem("memory").exists("/reports/2026-W01/weekly-resources.html")


def test_one_way_that_fails_stops_no_other(tmp_path: Path) -> None:
    """A mail server that is not there, and a folder that is."""
    message = message_of(page(tmp_path, 1, ["a"]), REPORT)
    failures = deliver(
        message,
        asked(
            smtp=f"127.0.0.1:{free_port()}",
            mail_to=["sre@example.org"],
            folder=str(tmp_path / "www"),
        ),
        wait=0.01,
    )
    assert [failure.channel.split(" ")[0] for failure in failures] == ["mail"]
    assert (tmp_path / "www" / "2026-W01" / "weekly-resources.html").is_file()


@pytest.mark.parametrize(
    "wrong",
    [
        {"mail_to": ["nobody"]},
        {"mail_to": ["a@b\nBcc: c@d"]},
        {"mail_from": "a@b, c@d"},
        {"smtp": "host"},
        {"base_url": "javascript:alert(1)"},
        {"smtp_security": "maybe"},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    """Where they are read."""
    with pytest.raises(ValueError, match="validation error"):
        asked(**wrong)


def test_nothing_set_is_no_way() -> None:
    """Each way alone is one."""
    assert not has_ways(asked())
    for more in ({"mail_to": ["a@b"]}, {"webhooks": ["http://x"]}, {"folder": "x"}):
        assert has_ways(asked(**more))


def test_a_page_without_its_run_still_has_a_message(tmp_path: Path) -> None:
    """The name of its folder says what it is."""
    (tmp_path / "2026-W01").mkdir()
    made = tmp_path / "2026-W01" / "other.html"
    made.write_text("x")
    assert isinstance(message_of(made, "other"), Message)


def test_a_mail_server_without_starttls_is_said(tmp_path: Path) -> None:
    """With the setting to change; nothing is sent in the clear instead."""
    inbox = Inbox()
    with mail_server(inbox) as server:
        said = asked(mail_to=["sre@example.org"], smtp=server, smtp_security="starttls")
        (failure,) = deliver(message_of(page(tmp_path, 40, ["x"]), REPORT), said)
    assert "delivery.smtp_security" in failure.why
    assert inbox.mails == []
