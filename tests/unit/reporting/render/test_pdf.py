"""PDFs where no browser can make one."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacity.errors import ReportError
from capacity.reporting._render.pdf import BROWSERS, print_pdf
from tests.fixtures.commands import capacity_here


def test_without_a_browser_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All names that were looked for, and the next step."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReportError, match="Install Chromium") as caught:
        print_pdf(tmp_path / "page.html")
    assert all(name in str(caught.value) for name in BROWSERS)


@pytest.mark.parametrize("script", ["echo out of sheets >&2; exit 7", "exit 7"])
def test_a_browser_that_makes_none_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """What it said last, or its exit code; nothing is left behind."""
    browser = tmp_path / "chromium"
    browser.write_text(f"#!/bin/sh\n{script}\n")
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ReportError, match=r"out of sheets|exit code 7"):
        print_pdf(tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == [browser]


@pytest.mark.slow
def test_a_report_without_a_browser_is_there_all_the_same(tmp_path: Path) -> None:
    """Exit code 3, one line on what to install, and the page."""
    done = capacity_here(
        "report",
        "compliance",
        "--sample",
        "--pdf",
        folder=tmp_path,
        PATH=str(tmp_path),
    )
    assert done.returncode == 3
    assert "Install Chromium" in done.stderr
    assert Path(done.stdout.strip()).is_file()
