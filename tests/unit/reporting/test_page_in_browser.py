"""Finished pages in a real browser: contents, folding, sorting, filtering, and on paper."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from pypdf import PdfReader

from tests.fixtures.running.servers import require

MOST_SHEETS = 8


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    chromium = require("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def weekly(weekly_reports: Path) -> str:
    """Address of the sample's weekly page."""
    return (weekly_reports / "2026-W48" / "weekly-resources.html").as_uri()


def opened(browser: Browser, address: str, width: int = 1280, *, scripts: bool = True) -> Page:
    """The page, in a window of this width."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, java_script_enabled=scripts
    )
    page = context.new_page()
    page.goto(address)
    return page


def long_table(page: Page) -> Locator:
    """The table of services without a limit, most of whose rows are folded."""
    return page.locator(".rows", has=page.locator("caption", has_text="Services without a limit"))


def first_cells(table: Locator) -> list[str]:
    """Names of the rows in sight."""
    return [text.strip() for text in table.locator("tbody th:visible").all_inner_texts()]


def test_tables_sort_by_amounts_with_their_units(browser: Browser, weekly: str) -> None:
    """A click on a heading sorts upwards, another downwards; bytes of all units compare."""
    page = opened(browser, weekly)
    table = long_table(page)
    heading = table.locator("thead th").nth(5)
    units = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    for order in ("ascending", "descending"):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == order
        cells = table.locator("tbody td:nth-child(6)").all_text_contents()
        amounts = [
            float(number) * units.get(unit, 1)
            for number, _, unit in (cell.strip().partition(" ") for cell in cells)
        ]
        assert amounts == sorted(amounts, reverse=order == "descending")
    assert len(first_cells(table)) == 15


def test_a_filter_looks_through_folded_rows(browser: Browser, weekly: str) -> None:
    """Only rows with the words are left, and all of them come back."""
    page = opened(browser, weekly)
    table = long_table(page)
    box = page.get_by_label("Filter rows of: Services without a limit, the largest share")
    box.fill("AI/")
    assert all(name.startswith("ai/") for name in first_cells(table))
    assert len(first_cells(table)) > 15
    box.fill("")
    assert len(first_cells(table)) == 15


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("width", [1280, 390])
def test_all_is_reached_with_and_without_scripts(
    browser: Browser, weekly: str, width: int, scripts: bool
) -> None:
    """Folded rows open, sections fold, contents stay in view, and nothing is wider than the
    window.
    """
    page = opened(browser, weekly, width, scripts=scripts)
    table = long_table(page)
    table.get_by_role("checkbox").check()
    assert len(first_cells(table)) > 15
    page.get_by_role("link", name="Appendix", exact=True).click()
    contents = page.get_by_role("navigation", name="Contents").bounding_box()
    assert contents is not None
    assert -1 <= contents["y"] <= 1
    section = page.locator("details.section", has=page.locator("h2", has_text="Drift"))
    section.locator("summary").first.click()
    assert section.get_attribute("open") is None
    assert page.locator("html").evaluate("html => html.scrollWidth <= innerWidth")


PRINTED = [
    "2026-W48/weekly-resources.html",
    "2026-W48/weekly-compliance.html",
    "2026-11/monthly-optimization.html",
    "2026-Q4/quarterly-architecture.html",
]
FOR_THE_SCREEN = "details:not(.section, .printed)"


def sheets_of(page: Page, target: Path) -> list[str]:
    """The text of each sheet that the page is printed on."""
    page.pdf(path=target, prefer_css_page_size=True)
    return [
        unicodedata.normalize("NFKC", sheet.extract_text()).strip()  # fonts have ligatures
        for sheet in PdfReader(target).pages
    ]


def as_printed(words: str) -> str:
    """Without the spaces, which follow the lines of a sheet."""
    return "".join(unicodedata.normalize("NFKC", words).split())


@pytest.mark.parametrize("name", PRINTED)
def test_paper_has_every_row_and_no_lonely_heading(
    browser: Browser, every_report: Path, tmp_path: Path, name: str
) -> None:
    """At most eight sheets, with every name of a folded row, also of a folded section, and no
    heading or caption at the foot of a sheet.
    """
    page = opened(browser, (every_report / name).as_uri())
    page.locator("details.section > summary").nth(2).click()
    alone = [as_printed(words) for words in page.locator("h2, h3, caption").all_text_contents()]
    rows = page.locator(f"tbody th:not({FOR_THE_SCREEN} *)").all_text_contents()
    sheets = sheets_of(page, tmp_path / "page.pdf")
    assert len(sheets) <= MOST_SHEETS
    said = as_printed("".join(sheets))
    assert rows
    assert [row for row in rows if as_printed(row) not in said] == []
    for sheet in sheets:
        last = as_printed(sheet.splitlines()[-1])
        assert not any(words.endswith(last) for words in alone), last


@pytest.mark.parametrize("name", PRINTED)
def test_paper_names_where_the_rest_is(browser: Browser, every_report: Path, name: str) -> None:
    """Files that a printed page points to lie beside it; on the screen nothing is said of paper."""
    page = opened(browser, (every_report / name).as_uri())
    notes = page.locator(".paper")
    assert not any(notes.nth(number).is_visible() for number in range(notes.count()))
    said = " ".join(notes.all_text_contents())
    files = {
        word.rstrip(".") for word in said.split() if word.rstrip(".").endswith((".csv", ".json"))
    }
    assert files or "monthly" in name
    assert [file for file in files if not (every_report / name).with_name(file).is_file()] == []
