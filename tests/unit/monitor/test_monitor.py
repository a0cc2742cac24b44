"""The monitor as a process and as an application: what it shows, whom it lets in, what it tells,
and what it survives.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets
from capacity._monitor.notify import messages
from capacity._monitor.web.access import check_exposure
from capacity._monitor.web.app import make_app
from capacity.compliance import evaluate, load_rules
from capacity.compliance._facts import collect
from capacity.errors import SettingsError
from capacity.settings import MonitorSettings, Settings, load_settings
from tests.fixtures.commands import environment
from tests.fixtures.running.servers import fetch, free_port, wait_for

COMPOSE = """
services:
  web:
    image: web:1.0
    ports: ["127.0.0.1:8080:80"]
  api:
    image: api
    ports: ["127.0.0.1:8080:80"]
    deploy: {resources: {limits: {memory: 64m}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a compose file that breaks rules."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yaml").write_text(COMPOSE)
    return folder


def watch(project: Path, **monitor: Any) -> Monitor:
    """A watch over files alone that has looked once."""
    settings = load_settings().model_copy(update={"monitor": MonitorSettings(**monitor)})
    made = Monitor(MonitorTargets(settings, (project,), engine=False))
    made.evaluate()
    return made


def client_of(app: Starlette) -> TestClient:
    """A client on the loopback; a monitor without credentials has no other name."""
    return TestClient(app, base_url="http://127.0.0.1")


def test_everything_is_served(project: Path) -> None:
    """Dashboard, metrics, findings, services, plan and their document come from one evaluation."""
    with client_of(make_app(watch(project))) as client:
        page = client.get("/").text
        assert "no-port-conflicts" in page
        assert "<script" not in page
        assert "http://" not in page
        assert "shop/web" in page
        metrics = client.get("/metrics").text
        assert (
            'capacity_compliance_findings{rule="CAP004",severity="critical",status="fail"} 2.0'
            in metrics
        )
        assert "capacity_data_age_seconds" in metrics
        findings = client.get("/api/v1/findings").json()
        assert findings["report"]["score"] < 1
        assert findings["sources"]["files"]["stale_since"] is None
        assert client.get("/api/v1/services").json()["services"]["shop/web"]["failing"]
        assert client.get("/api/v1/plan").json()["ports"][0]["old"] == 8080
        document = client.get("/api/v1/openapi.json").json()
        assert {*document["paths"]} == {
            "/api/v1/findings",
            "/api/v1/services",
            "/api/v1/plan",
            "/api/v1/alerts",
        }


def test_every_answer_carries_the_security_headers(project: Path) -> None:
    """Errors and refusals too."""
    with client_of(make_app(watch(project, token="s3cret"))) as client:
        for path in ("/", "/health", "/nowhere"):
            answer = client.get(path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_credentials_are_asked_for(project: Path) -> None:
    """Token or basic authentication; only the health check is open."""
    with TestClient(
        make_app(watch(project, token="s3cret", username="ann", password="pass"))
    ) as client:
        assert client.get("/").status_code == 401
        assert client.post("/api/v1/alerts", json={"alerts": []}).status_code == 401
        assert client.get("/health").status_code in {200, 503}
        assert client.get("/", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert client.get("/", headers={"Authorization": "Bearer wrong"}).status_code == 401
        basic = base64.b64encode(b"ann:pass").decode()
        assert client.get("/", headers={"Authorization": f"Basic {basic}"}).status_code == 200


def test_refuses_to_be_open_to_others_without_credentials() -> None:
    """Any address but the loopback asks for a token or a password; half a pair is no pair."""
    check_exposure(MonitorSettings())
    check_exposure(MonitorSettings(host="0.0.0.0", token="x"))
    with pytest.raises(SettingsError, match="without a token"):
        check_exposure(MonitorSettings(host="0.0.0.0"))
    with pytest.raises(SettingsError, match="go together"):
        check_exposure(MonitorSettings(username="ann"))


def test_a_token_may_be_in_a_file(project: Path, tmp_path: Path) -> None:
    """Its newline is no part of it; a file without one is refused before anything starts."""
    file = tmp_path / "token"
    for wrong in (None, "", " \n"):
        if wrong is not None:
            file.write_text(wrong)
        with pytest.raises(SettingsError, match="token_file"):
            check_exposure(MonitorSettings(host="0.0.0.0", token_file=file))
    file.write_text("from-a-file\n")
    check_exposure(MonitorSettings(host="0.0.0.0", token_file=file))
    with TestClient(make_app(watch(project, token_file=file))) as client:
        assert client.get("/").status_code == 401
        given = {"Authorization": "Bearer from-a-file"}
        assert client.get("/", headers=given).status_code == 200


def test_no_more_than_so_many_at_once(project: Path) -> None:
    """Beyond the bound a request is told to come back; afterwards there is room again."""
    made = watch(project, most_in_flight=1)
    entered, leave = threading.Event(), threading.Event()
    usual = made.problems

    def slow(at: datetime) -> list[str]:
        entered.set()
        leave.wait(5)
        return usual(at)

    with client_of(make_app(made)) as client:
        made.problems = slow  # type: ignore[method-assign]  # a slow page
        made.version += 1
        first = threading.Thread(target=lambda: client.get("/"))
        first.start()
        assert entered.wait(5)
        refused = client.get("/metrics")
        leave.set()
        first.join()
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert client.get("/metrics").status_code == 200


@given(
    st.one_of(
        st.binary(max_size=300), st.text().map(str.encode), st.just(b'{"alerts": [{"labels": 3}]}')
    )
)
def test_any_webhook_body_gets_an_answer(body: bytes) -> None:
    """200 for Alertmanager's, 400 for everything else; never a failure, never a probe by
    accident.
    """
    made = Monitor(MonitorTargets(Settings(), (), engine=False))
    with client_of(make_app(made)) as client:
        answer = client.post("/api/v1/alerts", content=body)
    assert answer.status_code in {200, 400}
    assert answer.json().get("probes", 0) == 0


def test_a_huge_body_is_refused(project: Path) -> None:
    """Two megabytes are no alert."""
    with client_of(make_app(watch(project))) as client:
        assert client.post("/api/v1/alerts", content=b" " * (2 << 20)).status_code == 413


def test_a_broken_source_is_called_stale_and_its_facts_are_kept(project: Path) -> None:
    """A path that is gone leaves the last findings, since when they are stale, and why; back, it is
    fresh again.
    """
    made = watch(project)
    before = made.evaluation
    (project / "compose.yaml").unlink()
    made.evaluate()
    assert made.evaluation is not None
    assert before is not None
    source = made.evaluation.sources["files"]
    assert source.stale_since == before.sources["files"].answered
    assert "compose.yaml" in source.error
    assert made.evaluation.report is not None
    assert before.report is not None
    assert made.evaluation.report.failing_pairs() == before.report.failing_pairs()
    (project / "compose.yaml").write_text(COMPOSE)
    made.evaluate()
    assert made.evaluation.sources["files"].stale_since is None


def test_a_project_that_cannot_be_loaded_is_on_the_page(project: Path) -> None:
    """The page, the JSON and the metrics say it; the monitor itself is well."""
    made = watch(project)
    (project / "compose.yaml").write_text("services:\n  web: [\n")
    made.evaluate()
    assert made.problems(datetime.now(UTC)) == watch(project).problems(datetime.now(UTC))
    with client_of(make_app(made)) as client:
        assert "compose.yaml:3" in client.get("/").text
        assert client.get("/api/v1/findings").json()["report"]["unread"][0]["line"] == 3
        assert "capacity_compose_projects_unread 1.0" in client.get("/metrics").text


def test_health_looks_at_the_loops(project: Path) -> None:
    """A loop that has never run, or has not come round, is a failure that is named."""
    made = watch(project)
    assert any("evaluate" in problem for problem in made.problems(datetime.now(UTC)))
    made.start()
    try:
        wait_for(lambda: not made.problems(datetime.now(UTC)) or None, "healthy loops")
        late = datetime.now(UTC) + timedelta(hours=1)
        assert any("has not come round" in problem for problem in made.problems(late))
    finally:
        made.stop()


def test_findings_link_to_their_runbooks(project: Path) -> None:
    """On the dashboard, in the JSON, and as a page of its own; where people reach the monitor,
    alerts lead there.
    """
    made = watch(project, external_url="https://monitor.example/")
    with client_of(make_app(made)) as client:
        assert '<a href="runbooks/CAP004">CAP004</a>' in client.get("/").text
        page = client.get("/runbooks/CAP004")
        assert (page.status_code, "<h4>How to fix</h4>" in page.text) == (200, True)
        assert client.get("/runbooks/CAP999").status_code == 404
        findings = client.get("/api/v1/findings").json()["report"]["findings"]
    assert {finding["runbook"] for finding in findings if finding["rule"] == "CAP004"} == {
        "https://monitor.example/runbooks/CAP004"
    }
    assert made.watched.runbooks == "https://monitor.example/runbooks/{code}"


def test_changes_are_told_once_and_resolved(project: Path) -> None:
    """New findings fire grouped by rule, the same again is silent, fixed ones resolve with their
    own labels.
    """
    rules = load_rules(["house"])
    at = datetime(2026, 11, 23, tzinfo=UTC)
    report = evaluate(rules, collect.from_files([project]), (), today=date(2026, 11, 23))
    firing = {(finding.rule.id, finding.subject): finding for finding in report.failing()}
    active: dict[Any, Any] = {}
    new: Any
    fixed: Any
    new, fixed = messages(firing, active, at, "")
    assert not fixed
    clash = next(each for each in new if each["groupLabels"] == {"rule": "CAP004"})
    assert clash["version"] == "4"
    assert clash["status"] == "firing"
    assert {alert["labels"]["subject"] for alert in clash["alerts"]} == {"shop/web", "shop/api"}
    pages = {alert["annotations"]["runbook_url"].rpartition("/")[2] for alert in clash["alerts"]}
    assert pages == {"rules.md#cap004"}
    assert messages(firing, active, at, "") == ([], [])
    del firing["CAP004", "shop/web"]
    new, fixed = messages(firing, active, at + timedelta(minutes=1), "")
    assert not new
    assert [alert["status"] for alert in fixed[0]["alerts"]] == ["resolved"]
    assert fixed[0]["alerts"][0]["startsAt"] == at.isoformat()


@contextmanager
def webhook(failures: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver that fails so many times first."""
    bodies: list[dict[str, Any]] = []
    left = [failures]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            left[0] -= 1
            if left[0] < 0:
                bodies.append(json.loads(body))
            self.send_response(503 if left[0] >= 0 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", bodies
    finally:
        server.shutdown()
        server.server_close()


def test_a_webhook_that_fails_is_asked_again(project: Path) -> None:
    """After two failures every message has arrived once, in order."""
    with webhook(2) as (address, bodies):
        made = watch(project, webhook=address)
        waiting = len(made.notifier._waiting)
        for _ in range(3):
            made.notifier._not_before = 0.0
            made.notifier.work()
        assert len(bodies) == waiting
        assert made.notifier.failed == 2
        assert [body["groupLabels"]["rule"] for body in bodies] == sorted(
            body["groupLabels"]["rule"] for body in bodies
        )


def test_as_a_process(project: Path, tmp_path: Path) -> None:
    """`capacity monitor` answers, tells its webhook what is fixed, and ends on SIGTERM; a taken
    port is one line.
    """
    port = free_port()
    with webhook(0) as (address, bodies):
        command = [
            sys.executable,
            "-m",
            "capacity",
            "monitor",
            str(project),
            "--no-engine",
            "--port",
            str(port),
        ]
        more = {"ALERT_WEBHOOK": address, "CAPACITY_MONITOR__INTERVAL": "1"}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(tmp_path / "archive", **more),
            stderr=subprocess.PIPE,
        )
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for(lambda: _healthy(base), "the monitor")
            wait_for(
                lambda: any(body["groupLabels"]["rule"] == "CAP004" for body in bodies) or None,
                "the first alert",
            )
            again = subprocess.run(
                command,
                cwd=tmp_path,
                env=environment(tmp_path),
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert again.returncode == 1
            taken = f"capacity: Cannot listen at 127.0.0.1:{port}: Address already in use"
            assert again.stderr.startswith(taken)
            assert again.stderr.count("\n") == 1
            (project / "compose.yaml").write_text(COMPOSE.replace("8080:80", "10080:80", 1))
            wait_for(
                lambda: any(body["status"] == "resolved" for body in bodies) or None,
                "the resolved alert",
            )
            process.terminate()
            process.wait(15)
            assert process.returncode in {0, -15}
        finally:
            process.kill()
            process.communicate()


def _healthy(base: str) -> bool | None:
    try:
        return json.loads(fetch(f"{base}/health"))["status"] == "ok" or None
    except OSError:
        time.sleep(0.1)
        return None


def test_a_burst_of_events_asks_for_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events come together, the next look is one settling time away."""
    monkeypatch.setattr("capacity._monitor.background_tasks._SETTLE", 0.2)
    made = Monitor(MonitorTargets(Settings(), (), engine=False))
    began = time.monotonic()
    for _ in range(200):
        made.look_soon()
    assert made._wake.wait(5)
    assert time.monotonic() - began < 2
