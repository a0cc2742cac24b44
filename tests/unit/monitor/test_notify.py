"""Messages reach the webhook in order, once each; what it refuses for good holds nothing up."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from capacity._common import bounded_http
from capacity._monitor import notify
from capacity._monitor.notify import Notifier
from capacity.compliance import Report, evaluate, load_rules
from capacity.compliance._facts import collect
from capacity.settings import MonitorSettings

AT = datetime(2026, 11, 29, tzinfo=UTC)
WAITS = (408, 429, 500, 503)
FINAL = (400, 401, 403, 404, 410, 413, 422)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report with findings of several rules."""
    file = tmp_path_factory.mktemp("shop") / "compose.yaml"
    file.write_text("services:\n  web:\n    image: web\n    ports: ['80:80']\n")
    return evaluate(load_rules(["house"]), collect.from_files([file]), (), today=date(2026, 11, 29))


def notifier() -> Notifier:
    """One with a webhook, before its first report."""
    return Notifier(MonitorSettings(webhook=SecretStr("http://127.0.0.1:9/hook")))


def _work(made: Notifier, answers: list[int]) -> list[tuple[str, int]]:
    """Rule and status of everything sent until nothing waits; 200 after the answers."""
    sent: list[tuple[str, int]] = []
    left = iter(answers)

    def status_of(method: str, url: str, body: Any, wait: float) -> int:
        del method, url, wait
        sent.append((body["groupLabels"]["rule"], next(left, 200)))
        return sent[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded_http, "status_of", status_of)
        for _ in range(len(answers) + 1):
            made._not_before = 0.0
            made.work()
    return sent


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([200, *WAITS, *FINAL]), max_size=12))
def test_every_message_is_sent_until_it_is_answered(report: Report, answers: list[int]) -> None:
    """Taken or refused for good, each rule in its order; nothing is sent after its answer."""
    made = notifier()
    made.tell(report, AT)
    rules = [str(message["groupLabels"]["rule"]) for message in _queue(made)]
    sent = _work(made, answers)
    assert [rule for rule, status in sent if status not in WAITS] == rules
    assert made.sent == sum(status == 200 for _, status in sent)
    assert made.failed == sum(status != 200 for _, status in sent)
    assert not made._waiting


@pytest.mark.parametrize("status", FINAL)
def test_a_message_that_is_let_go_is_logged(
    report: Report, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With the status, and the next one is sent at once."""
    made = notifier()
    made.tell(report, AT)
    with caplog.at_level(logging.WARNING, "capacity"):
        _work(made, [status])
    assert f"let go: HTTP {status}" in caplog.text
    assert made.sent == len({finding.rule.id for finding in report.failing()}) - 1


def test_what_finds_no_room_is_told_later(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue loses nothing, and nothing that was not queued is held for told."""
    made = notifier()
    made._waiting.extend({"groupLabels": {"rule": "old"}} for _ in range(3))
    monkeypatch.setattr(notify, "_MOST_WAITING", 3)
    made.tell(report, AT)
    assert [rule for rule, _ in _work(made, [])] == ["old"] * 3
    made.tell(report, AT)
    rules = {finding.rule.id for finding in report.failing()}
    assert {rule for rule, _ in _work(made, [])} == rules


def _queue(made: Notifier) -> list[Any]:
    return list(made._waiting)
