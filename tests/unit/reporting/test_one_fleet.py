"""One fleet through every output: a number that appears twice is the same number."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from capacity.changes import read_plan
from capacity.model import Resource
from capacity.reporting._html.formatting import PRINT
from tests.fixtures.commands import capacity_here

Numbers = dict[tuple[str, str, str], float]
"""Service, `cpu` or `memory`, and a quantity -> cores, bytes or a share."""

QUANTITIES = ("limit", "current", "peak", "breach_after", "p99", "observed_peak")
DAYS = ("--sample", "--as-of", "2026-11-23")


@pytest.fixture(scope="module")
def week(weekly_reports: Path) -> Path:
    """The sample's last weekly run."""
    return weekly_reports / "2026-W48"


@pytest.fixture(scope="module")
def recommended(week: Path) -> Numbers:
    """What the run's table says."""
    return of_table(pd.read_csv(week / "recommendations.csv"))


def of_table(table: pd.DataFrame) -> Numbers:
    """The numbers of a table of recommendations."""
    return {
        (row["service"], row["resource"], name): float(row[name])
        for row in table.to_dict("records")
        for name in QUANTITIES
        if pd.notna(row[name])
    }


def answer(*words: str, folder: Path) -> list[dict[str, object]]:
    """What a command prints as JSON."""
    done = capacity_here(*words, folder=folder)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def text_of(page: Path) -> str:
    """A page's words, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.read_text())).split())


def same(first: Numbers, second: Numbers, rel: float = 1e-6) -> int:
    """How many numbers two outputs share; all of them are equal."""
    shared = first.keys() & second.keys()
    differ = {
        key: (first[key], second[key])
        for key in shared
        if first[key] != pytest.approx(second[key], rel=rel, abs=1e-6)
    }
    assert not differ
    return len(shared)


@pytest.mark.parametrize("signal", ["cpu", "memory"])
def test_commands_say_what_the_report_says(
    recommended: Numbers, tmp_path: Path, signal: str
) -> None:
    """`recommend` and `forecast` beside the weekly run: limits, chances and peaks."""
    words = ("--signal", signal, *DAYS)
    table = pd.DataFrame(answer("recommend", *words, "--format", "json", folder=tmp_path))
    assert same(recommended, of_table(table)) > 100
    peaks = {
        (str(row["service"]), signal, "peak"): float(str(row["p50"]))
        for row in answer("forecast", *words, "--json", folder=tmp_path)
    }
    assert same(recommended, peaks) > 20


def test_the_plan_is_what_the_table_says(week: Path, recommended: Numbers) -> None:
    """Limits before and after, and the evidence of each change."""
    resources = {"memory": "memory", "cpus": "cpu"}
    plan: Numbers = {}
    for change in read_plan(week / "plan.yaml").changes:
        if change.what not in resources:
            continue
        place = (change.service, resources[change.what])
        plan[*place, "limit"] = float(str(change.after))
        if change.before is not None:
            plan[*place, "current"] = float(str(change.before))
        for name in QUANTITIES:
            if name in change.evidence:
                plan[*place, name] = float(str(change.evidence[name]))
    assert same(recommended, plan, rel=1e-3) > 100


def test_the_page_shows_what_the_plan_changes(week: Path) -> None:
    """In the page's words each raise of a limit and each first limit has the plan's sizes, and the
    headlines of the run are on its page.
    """
    page = text_of(week / "weekly-resources.html")
    run = json.loads((week / "run.json").read_text())["reports"]["weekly-resources"]
    plan = read_plan(week / "plan.yaml")
    assert run["plan_id"] == plan.plan_id
    assert run["changes"] == len(plan.changes)
    for line in run["headline"]:
        service, _, said = line.partition(": ")
        assert service in page
        assert said.partition(", ")[0].partition("; ")[0] in page
    rows = {change.service: change for change in plan.changes if change.what == "memory"}
    sizes = PRINT[Resource.MEMORY]
    for line in run["headline"]:
        service = line.partition(": ")[0]
        found = re.search(r"[Mm]emory(?: limit)?(?: from (.+?))? (?:to|of) ([\d.]+ [KMG]iB)", line)
        if found and service in rows:
            change = rows[service]
            assert found[2] == sizes(float(str(change.after)))
            assert found[1] is None or found[1] == sizes(float(str(change.before)))


def test_a_restart_loop_has_the_same_counts_everywhere(week: Path, tmp_path: Path) -> None:
    """`restarts`, `check` and the weekly page, of the sample's one loop."""
    (loop,) = answer("restarts", "--sample", "--json", folder=tmp_path)
    day, hour = str(loop["last day"]), str(loop["worst hour"])
    assert f"{day} restarts in the last day, {hour} in the worst hour" in text_of(
        week / "weekly-resources.html"
    )
    done = capacity_here("check", *DAYS, "--format", "json", folder=tmp_path)
    findings = [
        each
        for each in json.loads(done.stdout)["findings"]
        if each["rule"] == "CAP007" and each["subject"] == loop["service"]
    ]
    assert findings
    assert all(re.search(rf"\b{day}\b", each["evidence"]["value"]) for each in findings)


def test_check_and_the_compliance_report_count_alike(tmp_path: Path) -> None:
    """The same findings by status, the same score, the same broken rules."""
    checked = json.loads(capacity_here("check", *DAYS, "--format", "json", folder=tmp_path).stdout)
    done = capacity_here("report", "compliance", *DAYS, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (page,) = (tmp_path / "reports").glob("*/*compliance*.html")
    words = text_of(page)
    run = json.loads((page.parent / "run.json").read_text())
    (said,) = run["reports"].values()
    assert f"{checked['score']:.0f}" in words or f"{checked['score']:.1f}" in words
    failing = {each["rule"] for each in checked["findings"] if each["status"] == "fail"}
    assert all(rule in words for rule in failing)
    assert said
