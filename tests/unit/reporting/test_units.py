"""Every number of every table has a unit: in its cell, in its heading, or it counts what the
heading names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from capacity._monitor.background_tasks import Monitor
from capacity._monitor.evaluate import MonitorTargets
from capacity._monitor.web.dashboard import page as dashboard
from capacity.reporting.weekly import WeeklyReview
from capacity.settings import load_settings
from tests.fixtures.commands import capacity_here
from tests.fixtures.documents.page_tables import Heading, PageTable, tables_of
from tests.fixtures.paths import ROOT

PAGES = [
    "index.html",
    "2026-W48/weekly-resources.html",
    "2026-W48/weekly-compliance.html",
    "2026-11/monthly-optimization.html",
    "2026-Q4/quarterly-architecture.html",
]
NUMBER = r"[~<>≈±+\u2212-]?\s?\d[\d.,]*"
BARE = re.compile(rf"{NUMBER}(\s?(\u2013|to|→|->|of|/)\s?{NUMBER})*")
COUNTS = {  # headings that say what they count
    "No.",
    "OOM kills",
    "Proposals after",
    "Proposals before",
    "Proposed changes",
    "Replicas",
    "Samples",
    "Services",
    "containers",
    "minutes",
    "order",
    "restarts",
}


def without_unit(tables: list[PageTable]) -> list[str]:
    """Columns with numbers that are neither counts nor have a unit, with one of those numbers."""
    found = []
    for table in tables:
        for number, heading in enumerate(table.headings):
            bare = [cell for cell in table.column(number) if BARE.fullmatch(cell)]
            said = heading.unit or heading.name in COUNTS
            if bare and not said:
                found.append(f"{table.caption}: {heading.name}: {bare[0]}")
    return found


def test_a_bare_number_is_found() -> None:
    """The test's own eyes: a number alone and an interval are bare, one with a unit is not."""
    head = "<thead><tr><th>Service</th><th>Use{}</th></tr></thead>"
    row = "<tr><th>a</th><td>{}</td></tr>"
    for cell, unit, many in (
        ("1.5", "", 1),
        ("+0.1 to +0.2", "", 1),
        ("2", ' <span class="unit">cores</span>', 0),
        ("1.5 GiB", "", 0),
        ("30%", "", 0),
        ("-", "", 0),
    ):
        html = f"<table><caption>c</caption>{head.format(unit)}{row.format(cell)}</table>"
        assert len(without_unit(tables_of(html))) == many


@pytest.mark.parametrize("page", PAGES)
def test_numbers_of_pages_have_units(every_report: Path, page: str) -> None:
    """Each report of the sample, and the index of all."""
    tables = tables_of((every_report / page).read_text(encoding="utf-8"))
    assert any(table.rows for table in tables)
    assert without_unit(tables) == []


def test_numbers_of_the_monitor_have_units(shop_review: WeeklyReview) -> None:
    """Its dashboard, with findings and with limits about to break."""
    project = ROOT / "data" / "sample" / "compose" / "shop"
    watch = Monitor(MonitorTargets(load_settings(), (project,), engine=False))
    watch.evaluate()
    assert watch.evaluation is not None
    risky = {name: table.assign(action="raise") for name, table in shop_review.tables.items()}
    watch.evaluation = replace(watch.evaluation, tables=risky)
    tables = tables_of(dashboard(watch))
    assert len(tables) >= 3
    assert without_unit(tables) == []


def printed_tables(text: str) -> list[PageTable]:
    """Tables of a terminal: a line of headings, a rule, rows up to an empty line."""
    found: list[PageTable] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if "──" in line:
            names = re.split(r"\s{2,}", lines[number - 1].strip())
            headings = [
                Heading(name.partition(" (")[0], name.partition(" (")[2].rstrip(")"))
                for name in names
            ]
            found.append(PageTable("", headings, []))
        elif found and "──" not in line and line.strip():
            found[-1].rows.append(re.split(r"\s{2,}", line.strip()))
    return found


@pytest.mark.parametrize(
    "command",
    [
        "recommend --sample --signal cpu --services shop/*",
        "recommend --sample --signal memory --services shop/*",
        "recommend --sample --signal cpu --why shop/catalog --services shop/*",
        "forecast --sample --signal cpu --services shop/*",
        "forecast --sample --signal memory --services shop/*",
        "sample services",
        "plan show PLAN",
    ],
)
def test_numbers_on_a_terminal_have_units(every_report: Path, tmp_path: Path, command: str) -> None:
    """Each table that people read; `--json` has raw numbers in the units of the documentation."""
    words = command.replace("PLAN", str(every_report / "2026-W48" / "plan.yaml")).split()
    done = capacity_here(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    tables = printed_tables(done.stdout)
    assert any(table.rows for table in tables)
    assert without_unit(tables) == []
