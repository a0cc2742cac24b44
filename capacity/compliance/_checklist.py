"""The eight points to validate after every remediation, each from the rules that stand
for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._verdicts import Severity, Status

__all__ = ["CHECKLIST", "DUE_HOURS", "ChecklistPoint", "checklist"]

CHECKLIST: dict[str, tuple[str, ...]] = {
    "No container uses more than 80 % of its allocated CPU": ("cpu-share",),
    "All containers have memory limits": ("memory-limit-declared", "memory-limit-live"),
    "No port conflicts exist": ("port-conflicts",),
    "Health checks pass for all services": ("health-check", "health-passing"),
    "No containers are in restart loops": ("restart-loop",),
    "CPU cores are evenly used": ("cores-balanced",),
    "Monitoring shows green": ("targets-up",),
    "Alerts are configured and work": ("alert-rules", "alertmanager", "alert-delivery"),
}
"""Point -> the checks whose rules stand for it."""

DUE_HOURS = {Severity.CRITICAL: 24, Severity.HIGH: 48, Severity.MEDIUM: 168, Severity.LOW: None}
"""Within how many hours a broken rule is to be fixed; None where there is no hurry."""

_WORST_FIRST = (Status.FAIL, Status.NOT_EVALUATED, Status.WAIVED, Status.PASS)


@dataclass(frozen=True)
class ChecklistPoint:
    """One point: the worst status of its findings, and those findings that have it.

    What could not be evaluated anywhere keeps the whole point from passing.
    """

    text: str
    status: Status
    findings: tuple[Finding, ...]


def checklist(report: Report) -> tuple[ChecklistPoint, ...]:
    """The eight points of a report; one whose rules are in no book is not-evaluated, without
    findings.
    """
    return tuple(_point(text, checks, report) for text, checks in CHECKLIST.items())


def _point(text: str, checks: tuple[str, ...], report: Report) -> ChecklistPoint:
    found = [finding for finding in report.findings if finding.rule.check in checks]
    absent = {*checks} - {rule.check for rule in report.rules}
    present = {finding.status for finding in found} | ({Status.NOT_EVALUATED} if absent else set())
    status = next((status for status in _WORST_FIRST if status in present), Status.NOT_EVALUATED)
    return ChecklistPoint(
        text, status, tuple(finding for finding in found if finding.status is status)
    )
