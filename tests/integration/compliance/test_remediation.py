"""What the rules find wrong is fixed through the plan, and then found right; rolled back, it is
found wrong again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from capacity.changes import apply_plan, rollback
from capacity.compliance import (
    Facts,
    Report,
    Targets,
    collect_facts,
    evaluate,
    load_rules,
    propose_ports,
)
from capacity.model import Change, Reason, Resource, Setting
from capacity.sizing._service_types import type_of
from tests.fixtures.running.fleet import Fleet, plan_of, project

MENDED = {
    "no-port-conflicts",
    "memory-limit-declared",
    "memory-limit-live",
    "cpu-limit",
    "health-check",
    "health-passing",
}
MENDED |= {"restart-bounded", "pids-limit"}
HEALTHY: dict[str, object] = {"test": ["CMD", "true"], "interval": "1s"}


def look(shop: Fleet, file: Path) -> tuple[Report, Facts]:
    """Rules on the file and on what runs."""
    rules = load_rules(["house"])
    facts = collect_facts(Targets(paths=[file], engine=True), shop.settings(), rules)
    return evaluate(rules, facts, (), today=datetime.now(UTC).date()), facts


def broken(report: Report) -> set[tuple[str, str]]:
    """Slug and subject of what this test fixes."""
    return {
        (finding.rule.slug, finding.subject)
        for finding in report.failing()
        if finding.rule.slug in MENDED
    }


def test_found_mended_found_clean_and_taken_back(shop: Fleet) -> None:
    """Two services on one port without limits, checks or bounds: every change comes from a finding,
    and all of them hold.
    """
    file = shop.up(
        project(
            left='ports: ["127.0.0.1:8080:80"];restart: always',
            right='ports: ["127.0.0.1:8080:81"]',
        )
    )
    before, facts = look(shop, file)
    found = broken(before)
    assert {slug for slug, _ in found} == MENDED - {"health-passing"}
    moves = [move.change() for move in propose_ports(facts, before.rules)]
    changes = [change for change in moves if change is not None]
    for slug, subject in sorted(found):
        changes += fix(slug, subject)
    plan = plan_of(*changes)
    result = apply_plan(plan, shop.settings(observe=2))
    assert (result.state, result.refused) == ("finished", [])
    after, _ = look(shop, file)
    assert broken(after) == set()
    assert after.score is not None
    assert before.score is not None
    assert after.score > before.score
    assert all(
        result.state == "undone" for result in rollback(result.run, shop.settings(), exact=True)
    )
    again, _ = look(shop, file)
    assert broken(again) == found


def fix(slug: str, subject: str) -> list[Change]:
    """The change that fixes a finding."""
    match slug:
        case "memory-limit-declared":
            return [
                Change(subject, Resource.MEMORY, None, type_of(subject).memory, Reason.TYPE_DEFAULT)
            ]
        case "cpu-limit":
            return [Change(subject, Resource.CPU, None, 0.5, Reason.UNLIMITED)]
        case "health-check":
            return [Change(subject, Setting.HEALTH_CHECK, None, HEALTHY, Reason.REQUESTED)]
        case "pids-limit":
            return [Change(subject, Setting.PIDS, None, 100.0, Reason.REQUESTED)]
        case "restart-bounded":
            policy = "always" if subject.endswith("left") else "no"
            return [
                Change(subject, Setting.RESTART_POLICY, policy, "on-failure:3", Reason.REQUESTED)
            ]
        case _:
            return []
