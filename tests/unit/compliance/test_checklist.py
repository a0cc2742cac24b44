"""The eight points."""

from __future__ import annotations

from pathlib import Path

from capacity.compliance import Severity, Status, evaluate, load_rules
from capacity.compliance._checklist import CHECKLIST, DUE_HOURS, checklist
from tests.fixtures.fleets.compliance_fleets import DAY, container, declared, live, rule


def test_every_point_has_its_rules() -> None:
    """Eight points, whose checks all stand in the house's book; every severity has its time."""
    assert len(CHECKLIST) == 8
    assert {check for checks in CHECKLIST.values() for check in checks} <= {
        rule.check for rule in load_rules()
    }
    assert {*DUE_HOURS} == {*Severity}


def test_a_point_is_as_good_as_its_worst(tmp_path: Path) -> None:
    """One failure fails it, one unknown keeps it from passing, and what no book asks for is
    unknown.
    """
    facts = live(
        container("web", Memory=2**26),
        facts=declared(tmp_path, shop="  web: {image: 'a:1', mem_limit: 64m}\n"),
    )
    statuses = {
        point.text: point.status for point in checklist(evaluate(load_rules(), facts, today=DAY))
    }
    assert statuses["All containers have memory limits"] is Status.PASS
    assert statuses["No port conflicts exist"] is Status.PASS
    assert statuses["Health checks pass for all services"] is Status.FAIL
    assert statuses["Monitoring shows green"] is Status.NOT_EVALUATED
    half = checklist(evaluate([rule("memory-limit-declared")], facts, today=DAY))
    assert {point.status for point in half} == {Status.NOT_EVALUATED}
