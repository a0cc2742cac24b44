"""The notebook to explore with, in JupyterLab and a real browser: run all, pick a service, move the
slider, see the limit move.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.fixtures.paths import ROOT
from tests.fixtures.running.servers import fetch, free_port, require, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextmanager
def lab(folder: Path) -> Iterator[str]:
    """JupyterLab over a folder, on loopback; the address of the notebook."""
    port = free_port()
    home = folder / "home"
    home.mkdir()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *(f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="),
            *("--ServerApp.password=", "--ServerApp.disable_check_xsrf=True"),
            *(
                "--LabApp.news_url=",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            ),
            f"--ServerApp.root_dir={folder}",
        ],
        env={**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(f"{base}/api/status"), "JupyterLab answers", 60)
        yield f"{base}/lab/tree/explore.ipynb?reset"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return bool(fetch(url))
    except OSError:
        return False


def picture(page: Page) -> str:
    """The figure below the slider, as its bytes."""
    found = page.locator("img.widget-image").last
    expect(found).to_be_visible(timeout=60_000)
    return found.get_attribute("src") or ""


def scroll_to(page: Page, wanted: Locator) -> tuple[int, bool]:
    """Go down the notebook, which holds only the cells near the screen, to an element; how many
    errors were passed, and whether the service's name was.
    """
    page.locator(".jp-Notebook").hover()
    page.keyboard.press("Escape")
    page.mouse.wheel(0, -100_000)
    errors, seen = 0, False
    for _ in range(60):
        errors += page.locator("[data-mime-type='application/vnd.jupyter.error']").count()
        seen = seen or page.get_by_text("shop/search").count() > 0
        if wanted.count():
            wanted.scroll_into_view_if_needed()
            return errors, seen
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(300)
    raise AssertionError("the element never came")


def test_run_all_pick_a_service_and_move_the_slider(tmp_path: Path) -> None:
    """Every cell runs without an error, and the figure follows the slider."""
    work = tmp_path / "work"
    done = subprocess.run(
        [sys.executable, "-m", "capacity", "explore", "--no-open", str(work)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("explore.ipynb")
    notebook = work / "explore.ipynb"
    notebook.write_text(notebook.read_text().replace('\\"ai/ollama\\"', '\\"shop/search\\"'))
    chromium = require("chromium")
    with lab(work) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(address)
        page.locator(".jp-Notebook").wait_for(timeout=60_000)
        page.get_by_text("| Idle").wait_for(timeout=60_000)
        page.get_by_text("Run", exact=True).first.click()
        page.get_by_text("Run All Cells", exact=True).click()
        wait_for((work / "plan.yaml").is_file, "the last cell has run", 120)
        handle = page.locator(".noUi-handle").first
        errors, seen = scroll_to(page, handle)
        assert errors == 0
        assert seen
        before = picture(page)
        handle.focus()
        page.keyboard.press("ArrowRight")
        wait_for(lambda: picture(page) != before, "the figure follows the slider", 30)
        page.screenshot(path=tmp_path / "lab.png")
        browser.close()
    assert (work / "plan.yaml").is_file()
