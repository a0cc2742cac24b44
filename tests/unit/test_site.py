"""The documentation as a site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.fixtures.paths import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    return folder


def test_every_link_in_the_site_leads_somewhere(site: Path) -> None:
    """Pages, anchors, pictures and files of the repository are there when a page is opened as a
    file.
    """
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in pages.items()}
    broken = []
    for page, text in pages.items():
        if page.name == "404.html":  # its links are from wherever it is shown
            continue
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            path, _, anchor = unquote(unescape(link)).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            found = target.is_file() and (
                not anchor or anchor.startswith("__") or anchor in anchors.get(target, {anchor})
            )
            broken += [] if found else [f"{page.relative_to(site)}: {link}"]
    assert not broken


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    """A network that swallows packets would hold every page up."""
    loads = re.compile(r'<(?:script|img|iframe)[^>]*\bsrc="(?:https?:)?//|<link[^>]*href="https?:')
    assert [page for page in site.rglob("*.html") if loads.search(page.read_text())] == []


def test_the_site_has_every_page_and_what_they_link_to(site: Path) -> None:
    """No page of the documentation is left out, nor the files beside it that it names."""
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs")
        name = "index.html" if place.name == "README.md" else f"{place.stem}.html"
        assert (site / place.parent / name).is_file(), place
    for name in ("CONTRIBUTING.html", "benchmarks/sizing.html", "data/grafana/capacity.json"):
        assert (site / "repository" / name).is_file(), name
