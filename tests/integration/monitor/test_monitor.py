"""The monitor in a browser and under load, over a real fleet of compose files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.fixtures.commands import environment
from tests.fixtures.running.servers import fetch, free_port, require, wait_for

SERVICES = 60


@contextmanager
def monitor(folder: Path, *paths: Path, **more: str) -> Iterator[str]:
    """A running monitor; its address."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "capacity",
        "monitor",
        *map(str, paths),
        "--no-engine",
        "--port",
        str(port),
    ]
    log = folder / "monitor.log"
    with log.open("wb") as handle:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(folder / "archive", **more), stderr=handle
        )
        try:
            base = f"http://127.0.0.1:{port}"
            wait_for(lambda: _answers(base), "the monitor")
            yield base
        finally:
            process.terminate()
            try:
                process.wait(15)
            finally:
                process.kill()


def _answers(base: str) -> bool | None:
    try:
        return b'"ok"' in fetch(f"{base}/health") or None
    except OSError:
        time.sleep(0.1)
        return None


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of many services that break rules."""
    folder = tmp_path_factory.mktemp("fleet")
    services = "".join(
        f"  s{number}:\n    image: app\n    ports: ['8080:{number + 1}']\n"
        for number in range(SERVICES)
    )
    (folder / "compose.yaml").write_text(f"name: fleet\nservices:\n{services}")
    return folder


def test_a_person_clicks_through_the_dashboard(fleet: Path, tmp_path: Path) -> None:
    """Tiles, the skip link by keyboard, a fix unfolded, no request beyond the page, no error in the
    console.
    """
    chromium = require("chromium")
    from playwright.sync_api import sync_playwright

    with monitor(tmp_path, fleet) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto(base)
        assert page.get_by_role("heading", name="capacity monitor").is_visible()
        assert page.locator(".tiles li").count() == 7
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the findings"
        page.keyboard.press("Enter")
        assert page.url.endswith("#findings")
        row = page.locator("#findings tbody tr").first
        row.locator("summary").click()
        assert row.locator("details").get_attribute("open") is not None
        page.get_by_role("link", name="Waivers").click()
        assert page.url.endswith("#waivers")
        page.get_by_role("link", name="JSON").click()
        assert '"report"' in page.content()
        browser.close()
    assert all(url.startswith(base) for url in asked)
    assert not [text for text in said if "favicon" not in text and "404" not in text]


def test_hundreds_of_requests_a_second_while_it_evaluates(fleet: Path, tmp_path: Path) -> None:
    """Two clients ask for page and metrics as fast as they can while every second is an evaluation:
    no error.
    """
    seconds = 3.0
    failures: list[str] = []
    counts: list[int] = []

    def ask(base: str, path: str) -> None:
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                with urlopen(f"{base}{path}", timeout=10) as answer:
                    count += answer.status == 200
            except OSError as error:
                failures.append(str(error))
        counts.append(count)

    with monitor(tmp_path, fleet, CAPACITY_MONITOR__INTERVAL="1") as base:
        threads = [threading.Thread(target=ask, args=(base, path)) for path in ("/", "/metrics")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert sum(counts) > 50 * seconds / max(1.0, os.getloadavg()[0])
