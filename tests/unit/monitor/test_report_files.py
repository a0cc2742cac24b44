"""Finished reports behind the monitor: what is served, what never is, and in a real browser."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook, new_output
from playwright.sync_api import sync_playwright
from starlette.testclient import TestClient

from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets
from capacity._monitor.web.app import make_app
from capacity.operations._schedule.state import JobState, write_state
from capacity.reporting._render.page import render_page
from capacity.settings import MonitorSettings, ScheduleSettings, Settings
from tests.fixtures.commands import environment
from tests.fixtures.running.servers import fetch, free_port, require, wait_for

SECRET = "not for readers"
TOKEN = "s3cret"
TABLE = (
    "<table><caption>Limits</caption><thead><tr><th>Name</th></tr></thead>"
    "<tbody><tr><td>b</td></tr><tr><td>a</td></tr></tbody></table>"
)
SERVED = {
    "weekly-resources.html": "text/html; charset=utf-8",
    "plan.yaml": "text/plain; charset=utf-8",
    "recommendations.csv": "text/csv; charset=utf-8",
    "run.json": "application/json",
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run between things that are none."""
    home = tmp_path_factory.mktemp("site")
    folder = home / "reports"
    run = folder / "2026-W48"
    run.mkdir(parents=True)
    cell = new_code_cell(  # type: ignore[no-untyped-call]  # nbformat has no types
        outputs=[new_output("display_data", {"text/html": TABLE})]  # type: ignore[no-untyped-call]
    )
    notebook = new_notebook(cells=[cell])  # type: ignore[no-untyped-call]
    (run / "weekly-resources.html").write_text(render_page(notebook, "The week"))
    for name in ("plan.yaml", "recommendations.csv", "run.json"):
        (run / name).write_text("{}")
    (folder / "index.html").write_text("<a href='2026-W48/weekly-resources.html'>W48</a>")
    (home / "outside.yaml").write_text(SECRET)
    (home / "run.json").write_text(SECRET)
    for name in (".hidden.html", "key.pem", "weekly-resources.failed.ipynb"):
        (run / name).write_text(SECRET)
    (run / "link.yaml").symlink_to(home / "outside.yaml")
    (folder / "elsewhere").symlink_to(home)
    unfinished = folder / "unfinished"
    unfinished.mkdir()
    (unfinished / "page.html").write_text(SECRET)
    (folder / "compose.yaml").write_text(SECRET)
    return folder


def client_of(reports: Path, state: Path | None = None, **monitor: str) -> TestClient:
    """A client of the real application over these folders."""
    schedule = ScheduleSettings(reports=reports, state=state or reports / "none")
    settings = Settings(monitor=MonitorSettings(**monitor), schedule=schedule)
    app = make_app(Monitor(MonitorTargets(settings, (), engine=False)))
    return TestClient(app, base_url="http://127.0.0.1")


def test_a_finished_run_is_served_with_its_types(reports: Path) -> None:
    """Page, plan and tables; the index leads there, and the dashboard to the index."""
    client = client_of(reports)
    assert 'href="reports/"' in client.get("/").text
    for address in ("/reports/", "/reports/index.html"):
        assert "2026-W48/weekly-resources.html" in client.get(address).text
    for name, kind in SERVED.items():
        answer = client.get(f"/reports/2026-W48/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert ("script-src 'sha256-" in policy) == name.endswith(".html")


@pytest.mark.parametrize(
    "address",
    [
        "/reports/compose.yaml",
        "/reports/unfinished/page.html",
        "/reports/2026-W48/.hidden.html",
        "/reports/2026-W48/key.pem",
        "/reports/2026-W48/weekly-resources.failed.ipynb",
        "/reports/2026-W48/link.yaml",
        "/reports/elsewhere/outside.yaml",
        "/reports/%2e%2e/outside.yaml",
        "/reports/..%2foutside.yaml",
        "/reports/2026-W48/..%2f..%2f..%2foutside.yaml",
        "/reports/2026-W48/plan.yaml%00",
        "/reports/2026-W48/",
    ],
)
def test_nothing_else_is(reports: Path, address: str) -> None:
    """Hidden and foreign files, links that lead elsewhere, folders, and ways out."""
    answer = client_of(reports).get(address)
    assert answer.status_code == 404
    assert SECRET not in answer.text


@pytest.fixture(scope="module")
def client(reports: Path) -> TestClient:
    """A client for many questions."""
    return client_of(reports)


@given(st.text(max_size=30).map(lambda text: urllib.parse.quote(text, safe="/")))
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    """Any path is answered, and never with what lies elsewhere."""
    for address in (f"/reports/{path}", f"/reports/2026-W48/{path}"):
        answer = client.get(address)
        assert answer.status_code in {200, 404}
        assert SECRET not in answer.text


def test_before_the_first_report_a_page_says_so(tmp_path: Path) -> None:
    """An index of nothing is a page with the next step."""
    answer = client_of(tmp_path / "reports").get("/reports/")
    assert answer.status_code == 200
    assert "capacity schedule run weekly" in answer.text


def test_the_jobs_are_in_the_metrics(reports: Path, tmp_path: Path) -> None:
    """Last success and duration of each job that has run; none of those that have not."""
    assert "capacity_schedule" not in client_of(reports, tmp_path).get("/metrics").text
    write_state(tmp_path, "weekly", JobState(started=100.0, seconds=7.5, succeeded=107.5))
    metrics = client_of(reports, tmp_path).get("/metrics").text
    said = 'capacity_schedule_last_success_timestamp_seconds{job_name="weekly"} 107.5'
    assert said in metrics
    assert 'capacity_schedule_last_duration_seconds{job_name="weekly"} 7.5' in metrics
    assert "capacity_monitor_loop_healthy" in metrics


def test_in_a_browser_behind_the_monitors_credentials(reports: Path, tmp_path: Path) -> None:
    """Refused without them; with them the page's one script runs under the served policy."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    more = {"CAPACITY_MONITOR__TOKEN": TOKEN, "CAPACITY_SCHEDULE__REPORTS": str(reports)}
    process = subprocess.Popen(
        [sys.executable, "-m", "capacity", "monitor", "--no-engine", "--port", str(port)],
        cwd=tmp_path,
        env=environment(tmp_path / "archive", **more),
    )
    address = f"{base}/reports/2026-W48/weekly-resources.html"
    try:
        wait_for(lambda: _answers(base), "the monitor")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            fetch(address)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=str(require("chromium")), args=["--no-sandbox"]
            )
            context = browser.new_context(extra_http_headers={"Authorization": f"Bearer {TOKEN}"})
            page = context.new_page()
            blocked: list[str] = []
            page.on("console", lambda message: blocked.append(message.text))
            page.goto(address)
            page.locator("th button").click()
            assert page.locator("tbody td").all_inner_texts() == ["a", "b"]
            assert not [text for text in blocked if "Content Security Policy" in text]
            browser.close()
    finally:
        process.terminate()
        process.wait(20)


def _answers(base: str) -> bool | None:
    try:
        return bool(fetch(f"{base}/ready")) or None
    except urllib.error.HTTPError as error:
        with error:
            return True
    except OSError:
        return None
