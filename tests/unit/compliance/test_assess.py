"""One way from sources to a report: every output asks for the rule book's window and agrees."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from capacity._monitor.evaluate import MonitorTargets, evaluate_targets
from capacity.compliance import Facts, Report, Targets, assess, collect_facts, load_rules
from capacity.compliance._assess import restart_window
from capacity.errors import CapacityError, InputError, SettingsError
from capacity.operations._timeline.observations import observe
from capacity.reporting import compliance
from capacity.settings import Settings
from tests.fixtures.fleets.compliance_fleets import declared
from tests.fixtures.running.web_server import Answer, web
from tests.unit.compliance.test_history import history

RULES = """\
## OWN001 Few restarts
```yaml rule
id: OWN001
slug: few-restarts
check: restart-loop
severity: high
category: own
parameters: {{restarts: 3, minutes: {minutes}}}
rationale: a
remediation: b
impact: c
```
"""
SERVICE = {
    "container_label_com_docker_compose_project": "shop",
    "container_label_com_docker_compose_service": "web",
}


def answer(minutes: int) -> Answer | None:
    """The server restarted shop/web nine times in a window of so many minutes."""
    result = [{"metric": SERVICE, "value": [0, "9"]}] if minutes == 30 else []
    data = {"resultType": "vector", "result": result}
    return Answer(body=json.dumps({"status": "success", "data": data}).encode())


def respond(_: int, path: str) -> Answer:
    """Targets, rules and Alertmanagers of nobody, the count of restarts, and no history."""
    parts = urlsplit(path)
    query = parse_qs(parts.query).get("query", [""])[0]
    if parts.path.endswith("/query") and "max_over_time" in query:
        found = answer(30 if "[30m]" in query or "1800s" in query else 10)
        assert found is not None
        return found
    data: object = {"resultType": "matrix", "result": []}
    if parts.path.endswith("/values"):
        data = ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"]
    elif parts.path.endswith("/targets"):
        data = {"activeTargets": []}
    elif parts.path.endswith("/rules"):
        data = {"groups": []}
    elif parts.path.endswith("/alertmanagers"):
        data = {"activeAlertmanagers": []}
    return Answer(body=json.dumps({"status": "success", "data": data}).encode())


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A rule book whose restart loop looks at half an hour."""
    path = tmp_path / "rules.md"
    path.write_text(RULES.format(minutes=30))
    return path


def verdicts(report: Report) -> set[tuple[str, str]]:
    """Subject and status of every finding."""
    return {(finding.subject, str(finding.status)) for finding in report.findings}


def test_every_output_counts_restarts_in_the_window_of_the_rules(
    book: Path, tmp_path: Path
) -> None:
    """Command, weekly report, monitor and timeline find the same loop in a window of 30 minutes."""
    with web(respond) as server:
        settings = Settings(
            prometheus={"url": server.url},
            archive={"path": tmp_path / "archive"},
            compliance={"rules": [str(book)]},
        )
        rules = load_rules(settings.compliance.rules)
        assert restart_window(rules, Settings()) == 30
        facts = collect_facts(Targets(monitoring=True, history=history), settings, rules)
        command = assess(facts, settings, rules, today=date(2026, 11, 23)).report
        weekly = compliance.review(history(), settings, live=True).report
        monitor = evaluate_targets(MonitorTargets(settings, engine=False), None)
        seen = observe(facts, rules, settings)
    assert ("shop/web", "fail") in verdicts(command)
    assert ("shop/web", "fail") in verdicts(weekly)
    assert monitor.report is None or ("shop/web", "pass") not in verdicts(monitor.report)
    assert monitor.facts.monitoring is not None
    assert monitor.facts.monitoring.restarts is not None
    assert monitor.facts.monitoring.restarts.minutes == 30
    assert "shop/web" in {item.subject for item in seen.items}


def test_a_source_that_fails_leaves_what_was_known(tmp_path: Path) -> None:
    """With an outcome asked for, the others are asked and the failed one keeps its facts of
    before; without one, the first failure is raised.
    """
    before = declared(tmp_path / "shop", shop="  web: {image: a:1}\n")
    settings, rules = Settings(), load_rules()
    targets = Targets(paths=[tmp_path / "nothing-here"], monitoring=True)
    told: dict[str, CapacityError | None] = {}
    facts = collect_facts(targets, settings, rules, previous=before, outcome=told.__setitem__)
    assert facts.projects == before.projects
    assert set(told) == {"files", "prometheus"}
    assert isinstance(told["files"], InputError)
    assert isinstance(told["prometheus"], SettingsError)
    with pytest.raises(InputError):
        collect_facts(targets, settings, rules)


def test_no_history_is_a_note() -> None:
    """A window without samples makes its rules not-evaluated, and is said; facts of files stand."""
    empty = replace(history(), frames={})
    targets = Targets(history=lambda: empty)
    facts = collect_facts(targets, Settings(), load_rules(), previous=Facts(notes=("old",)))
    assert facts.history is empty
    assert "old" not in facts.notes
    assert pd.Timestamp(empty.end).tz is not None
