"""JSON, SARIF, JUnit and Markdown of one report."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from capacity.compliance import Report, Status, _formats, evaluate, load_rules, propose_ports
from capacity.compliance._waivers import read_waivers
from tests.fixtures.documents.sarif_schema import SCHEMA
from tests.fixtures.fleets.compliance_fleets import DAY, container, declared, live

SERVICES = """  web:
    image: house/web
    privileged: true
    ports: ["8080:80"]
    environment: {DB_PASSWORD: hunter2}
  db|x:
    image: house/db:1
    ports: ["8080:81"]
"""
WAIVERS = (
    "waivers: [{rule: CAP018, service: shop/web, reason: 'Old & <new>', owner: ann, expires: "
    "2026-12-01}]\n"
)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """A report with everything in it: failures in a file and on a container only, a waiver, rules
    not evaluated.
    """
    monkeypatch.chdir(tmp_path)
    facts = live(
        container("lonely", "else", Privileged=True),
        facts=declared(tmp_path, shop=SERVICES.replace("db|x", "db.x")),
    )
    return evaluate(
        load_rules(), facts, read_waivers(WAIVERS, str(tmp_path / "waivers.yaml")), today=DAY
    )


def test_sarif_keeps_to_the_standard(report: Report) -> None:
    """Every part is what SARIF 2.1.0 asks for, and each rule index names its rule."""
    log = json.loads(_formats.as_sarif(report))
    Draft202012Validator(SCHEMA).validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    prints = [result["partialFingerprints"]["capacity/v1"] for result in run["results"]]
    assert len({*prints}) == len(prints)


def test_sarif_points_at_lines(report: Report) -> None:
    """Relative file, line from 1; a container without a file is named, and what is waived is
    suppressed.
    """
    results = json.loads(_formats.as_sarif(report))["runs"][0]["results"]
    by_rule = {
        (
            result["ruleId"],
            result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
        ): result
        for result in results
    }
    web = by_rule["CAP018", "shop/web"]
    place = web["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == (
        "shop/compose.yaml",
        5,
    )
    assert web["suppressions"][0]["justification"] == "Old & <new> (ann, until 2026-12-01)"
    assert (web["level"], by_rule["CAP023", "shop/web"]["level"]) == ("error", "note")
    assert "physicalLocation" not in by_rule["CAP018", "else/lonely"]["locations"][0]
    assert "docker inspect" in by_rule["CAP018", "else/lonely"]["message"]["text"]


def test_the_schema_refuses_what_is_wrong(report: Report) -> None:
    """The test above can fail."""
    log = json.loads(_formats.as_sarif(report))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not Draft202012Validator(SCHEMA).is_valid(log)


def test_junit_counts(report: Report) -> None:
    """A suite a rule; failures, and skipped ones with the reason."""
    root = ET.fromstring(_formats.as_junit(report))
    suites = {suite.attrib["name"].partition(" ")[0]: suite for suite in root}
    assert len(suites) == len(report.rules)
    failures = sum(int(suite.attrib["failures"]) for suite in root)
    tests = sum(int(suite.attrib["tests"]) for suite in root)
    assert (failures, tests) == (report.counts[Status.FAIL], sum(report.counts.values()))
    assert all(len(suite) == int(suite.attrib["tests"]) for suite in root)
    skipped = suites["CAP018"].findall("testcase/skipped")
    assert [element.attrib["message"] for element in skipped] == [
        "waived until 2026-12-01: Old & <new>"
    ]


def test_junit_survives_odd_names(tmp_path: Path) -> None:
    """Characters that XML cannot hold are replaced."""
    facts = declared(tmp_path, shop='  web: {image: "a\\x01<&\\"]]>:latest"}\n')
    root = ET.fromstring(_formats.as_junit(evaluate(load_rules(), facts, today=DAY)))
    assert any("\ufffd" in (failure.text or "") for failure in root.iter("failure"))


def test_json_holds_everything(report: Report) -> None:
    """Findings with evidence and remediation, waivers, counts and port moves."""
    said = json.loads(_formats.as_json(report))
    assert said["format"] == 1
    assert said["counts"] == {str(status): count for status, count in report.counts.items()}
    assert len(said["findings"]) == len(report.findings)
    failing: list[dict[str, Any]] = [
        finding for finding in said["findings"] if finding["status"] == "fail"
    ]
    assert all(
        finding["remediation"] and finding["severity"] and finding["message"] for finding in failing
    )
    assert [row["service"] for row in said["waivers"]["expiring"]] == ["shop/web"]


def test_json_has_the_port_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with its file and line."""
    monkeypatch.chdir(tmp_path)
    facts = declared(tmp_path, shop=SERVICES.replace("db|x", "db.x"))
    (move,) = json.loads(
        _formats.as_json(evaluate(load_rules(), facts, today=DAY), propose_ports(facts))
    )["port_moves"]
    assert (move["service"], move["old"], move["file"], move["line"]) == (
        "shop/web",
        8080,
        "shop/compose.yaml",
        6,
    )


def test_markdown_shows_text_as_it_is(report: Report) -> None:
    """A table row a failure, with characters of Markdown escaped."""
    text = _formats.as_markdown(report)
    rows = [line for line in text.splitlines() if line.startswith("| CAP")]
    assert len(rows) == sum(
        finding.status in {Status.FAIL, Status.WAIVED} for finding in report.findings
    )
    assert r"Old & \<new\>" in text


@pytest.mark.parametrize(
    "form", [_formats.as_json, _formats.as_sarif, _formats.as_junit, _formats.as_markdown]
)
def test_no_format_tells_a_secret(report: Report, form: Any) -> None:
    """The variable's name is shown, its value nowhere."""
    text = form(report)
    assert "DB" in text
    assert "hunter2" not in text
