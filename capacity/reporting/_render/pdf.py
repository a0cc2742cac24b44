"""A finished page as PDF, printed by a browser that is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from capacity._common.files import storage_error
from capacity.errors import ReportError

__all__ = ["BROWSERS", "print_pdf"]

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "brave-browser",
)
"""Names on the PATH, in the order of preference; all print alike."""
_SECONDS = 120
_LONGEST_CAUSE = 200


def print_pdf(page: Path) -> Path:
    """Print a page to a PDF beside it.

    Raises:
        ReportError: there is no browser, or it failed.
        StorageError: the PDF cannot be written.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise ReportError(
            f"No PDF of {page.name}: no browser is on the PATH ({', '.join(BROWSERS)})",
            "Install Chromium, or open the page and print it",
        )
    target = page.with_suffix(".pdf")
    try:
        with tempfile.TemporaryDirectory(prefix=".printing-", dir=page.parent) as folder:
            made = Path(folder) / target.name
            said = _printed(found, page, made, Path(folder) / "profile")
            if not made.is_file():
                raise ReportError(
                    f"No PDF of {page.name}: {Path(found).name} made none: {said}",
                    "Open the page and print it",
                )
            made.replace(target)
    except OSError as error:
        raise storage_error(target, error) from error
    return target


def _printed(browser: str, page: Path, target: Path, profile: Path) -> str:
    """What the browser said last."""
    command = [
        browser,
        "--headless",
        "--disable-gpu",
        "--no-first-run",
        "--no-pdf-header-footer",
        f"--user-data-dir={profile}",  # a browser that runs keeps its own
        f"--print-to-pdf={target}",
    ]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # Chromium has none for root; the page runs one script
    try:
        done = subprocess.run(  # noqa: S603 - words, no shell; found by name
            [*command, page.resolve().as_uri()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"it was not done after {_SECONDS} s"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return (lines[-1] if lines else f"exit code {done.returncode}")[:_LONGEST_CAUSE]
