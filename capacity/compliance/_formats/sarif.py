"""A report as SARIF 2.1.0 for code-scanning viewers."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from capacity._common.runbooks import runbook_url
from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._formats.paths import as_uri
from capacity.compliance._rules.rules import Rule
from capacity.compliance._verdicts import Severity, Status

__all__ = ["as_sarif"]

_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note"}


def as_sarif(report: Report, runbooks: str | None = None) -> str:
    """Failures are results, waived ones suppressed results, and what could not be evaluated is a note of the run.

    Args:
        report: what was found.
        runbooks: address of the runbooks, see `capacity._common.runbooks.runbook_url`.
    """
    index = {rule.id: number for number, rule in enumerate(report.rules)}
    shown = [one for one in report.findings if one.status in {Status.FAIL, Status.WAIVED}]
    missing = [one for one in report.findings if one.status is Status.NOT_EVALUATED]
    driver = {"name": "capacity", "version": _version(), "rules": [_rule(rule, runbooks) for rule in report.rules]}
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": [_notification(one) for one in missing]}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, index[one.rule.id]) for one in shown],
    }
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1) + "\n"


def _version() -> str:
    try:
        return version("capacity-notebooks")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def _rule(rule: Rule, runbooks: str | None) -> dict[str, Any]:
    address = runbook_url(rule.id, runbooks)
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.slug.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.rationale},
        "help": {"text": f"{rule.remediation}\nImpact: {rule.impact}"},
        **({"helpUri": address} if address else {}),
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.category], "severity": str(rule.severity)},
    }


def _result(one: Finding, index: int) -> dict[str, Any]:
    evidence = one.verdict.evidence.text()
    result: dict[str, Any] = {
        "ruleId": one.rule.id,
        "ruleIndex": index,
        "kind": "fail",
        "level": _LEVELS[one.rule.severity],
        "message": {"text": f"{one.subject} {one.verdict.message}" + (f" ({evidence})" if evidence and not one.file else "")},
        "locations": [_location(one)],
        "partialFingerprints": {"capacity/v1": _fingerprint(one)},
    }
    if one.status is Status.WAIVED and one.waiver is not None:
        why = f"{one.waiver.reason} ({one.waiver.owner}, until {one.waiver.expires})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _location(one: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": one.subject}]}
    if one.file:
        place = {"artifactLocation": {"uri": as_uri(one.file)}, "region": {"startLine": max(one.line, 1)}}
        location["physicalLocation"] = place
    return location


def _fingerprint(one: Finding) -> str:
    """Stays the same when lines move."""
    return hashlib.sha256(f"{one.rule.id}\0{one.subject}\0{one.verdict.message}".encode()).hexdigest()[:32]


def _notification(one: Finding) -> dict[str, Any]:
    text = f"{one.rule.id} was not evaluated for {one.subject}: {one.verdict.message}"
    return {"level": "note", "message": {"text": text}, "associatedRule": {"id": one.rule.id}}
