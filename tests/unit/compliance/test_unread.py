"""Projects that cannot be loaded: not evaluated, with place and reason; the rest is judged."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from capacity.compliance import Report, Status, evaluate, load_rules
from capacity.compliance._checklist import checklist
from capacity.compliance._facts.collect import from_files
from capacity.compliance._formats import as_json, as_junit, as_markdown, as_sarif
from capacity.compliance._rules.registry import checks, reads_files
from capacity.operations._timeline.observations import observe
from capacity.operations._timeline.timeline import ItemState, merge_items
from capacity.settings import Settings
from tests.fixtures.commands import capacity_here

GOOD = "services:\n  web:\n    image: nginx:1\n    privileged: true\n"
BROKEN = {
    "unknown key": ("services:\n  a:\n    imagee: x\n", 3),
    "no YAML": ("services:\n  a: [\n", 3),
    "no service": ("services:\n  a: 7\n", 2),
    "unit": ("services:\n  a:\n    image: x\n    mem_limit: 2Gi\n", 4),
    "missing env_file": ("services:\n  a:\n    image: x\n    env_file: nowhere.env\n", 4),
    "broken include": ("include:\n  - nowhere.yaml\nservices:\n  a:\n    image: x\n", 1),
    "broken extends": ("services:\n  a:\n    extends: {file: nowhere.yaml, service: b}\n", 1),
    "variable": ("services:\n  a:\n    image: ${NOWHERE:?say it}\n", 3),
    "cycle": ("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n", 2),
    "no text": ("\0\1\2", 1),
    "deep": ("services: " + "[" * 3000, 1),
    "aliases": ("x: &x {y: *x}\nservices: {a: {image: x}}\n", 1),
}


def fleet(folder: Path, kind: str) -> Path:
    """A folder with a good and a bad project."""
    for name, text in (("good", GOOD), ("bad", BROKEN[kind][0])):
        (folder / name).mkdir()
        (folder / name / "compose.yaml").write_text(text)
    return folder


def report_of(folder: Path) -> Report:
    """The report on all projects of a folder."""
    return evaluate(load_rules(), from_files([folder]), today=date(2026, 11, 28))


@pytest.mark.parametrize("kind", BROKEN)
def test_one_bad_file_does_not_blind_the_others(tmp_path: Path, kind: str) -> None:
    """The good project's findings are those that it has alone; the bad one is named with file and
    line, and nothing of it passes.
    """
    report = report_of(fleet(tmp_path, kind))
    alone = report_of(tmp_path / "good")
    mine = [finding for finding in report.findings if finding.subject == "good/web"]
    assert mine == [finding for finding in alone.findings if finding.subject == "good/web"]
    (unread,) = report.unread
    assert unread.subject == "bad/*"
    assert unread.file == str(tmp_path / "bad" / "compose.yaml")
    assert unread.line == BROKEN[kind][1]
    of_bad = [finding for finding in report.findings if finding.subject.startswith("bad/")]
    assert {finding.status for finding in of_bad} == {Status.NOT_EVALUATED}
    assert {finding.rule.check for finding in of_bad} == set(filter(reads_files, checks()))
    assert all((finding.file, finding.line) == (unread.file, unread.line) for finding in of_bad)
    assert unread.reason


def test_what_a_project_includes_is_judged_once(tmp_path: Path) -> None:
    """As a part of that project; by itself only where somebody names it."""
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "compose.yaml").write_text(GOOD)
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "compose.yaml").write_text("include: [../part/compose.yaml]\n")
    assert set(from_files([tmp_path]).declared) == {"whole/web"}
    both = from_files([tmp_path / "whole", tmp_path / "part"])
    assert set(both.declared) == {"whole/web", "part/web"}


def test_no_point_of_the_checklist_passes_without_the_bad_project(tmp_path: Path) -> None:
    """All containers have memory limits only where all were looked at."""
    folder = fleet(tmp_path, "no YAML")
    (folder / "good" / "compose.yaml").write_text(f"{GOOD}    mem_limit: 64m\n")
    point = next(item for item in checklist(report_of(folder)) if "memory limits" in item.text)
    assert point.status is Status.NOT_EVALUATED


def test_every_format_says_it(tmp_path: Path) -> None:
    """Name, place and reason, for people and programs."""
    report = report_of(fleet(tmp_path, "unknown key"))
    said = json.loads(as_json(report))["unread"]
    assert [(each["name"], each["line"]) for each in said] == [("bad", 3)]
    run = json.loads(as_sarif(report))["runs"][0]["invocations"][0]
    first = run["toolExecutionNotifications"][0]
    assert first["level"] == "error"
    assert first["locations"][0]["physicalLocation"]["region"]["startLine"] == 3
    for text in (as_markdown(report), as_junit(report)):
        assert "imagee" in text
        assert "compose.yaml:3" in text


@pytest.mark.parametrize(
    ("threshold", "broken", "code"),
    [("high", True, 3), ("never", True, 2), ("high", False, 1), ("never", False, 0)],
)
def test_the_exit_code_says_both(tmp_path: Path, threshold: str, broken: bool, code: int) -> None:
    """1 for findings, 2 for what could not be loaded, 3 for both."""
    folder = fleet(tmp_path, "missing env_file")
    if not broken:
        (folder / "bad" / "compose.yaml").unlink()
    done = capacity_here("check", "--fail-on", threshold, ".", folder=folder)
    assert done.returncode == code, done.stderr
    assert ("bad/* is not evaluated" in done.stdout) == broken
    assert ("nowhere.env" in done.stdout) == broken


def test_what_a_bad_project_had_stays_in_the_timeline(tmp_path: Path) -> None:
    """It is neither there nor gone while its file cannot be loaded."""
    folder = fleet(tmp_path, "unit")
    good = (folder / "bad" / "compose.yaml").read_text().replace("2Gi", "2g")
    broken = (folder / "bad" / "compose.yaml").read_text()
    (folder / "bad" / "compose.yaml").write_text(good)
    day = datetime.now(UTC).date()
    rules, settings = load_rules(), Settings()
    seen = observe(from_files([folder]), rules, settings)
    kept = merge_items([], seen.items, day, looked=seen.kinds, sources=seen.sources)
    (folder / "bad" / "compose.yaml").write_text(broken)
    again = observe(from_files([folder]), rules, settings)
    assert [project.name for project in again.unread] == ["bad"]
    after = merge_items(kept, again.items, day, looked=again.kinds, sources=again.sources)
    of_bad = [item for item in after if item.subject.startswith("bad/")]
    assert of_bad
    assert {item.state for item in of_bad} == {ItemState.OPEN}
    done = capacity_here("timeline", ".", "--file", "list.yaml", folder=folder)
    assert done.returncode == 2
    assert "compose.yaml:4" in done.stderr
    assert "good/web" in done.stdout
