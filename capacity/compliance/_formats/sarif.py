"""A report as SARIF 2.1.0 for code-scanning viewers."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version

from capacity._common.plain_data import Plain, PlainMapping
from capacity._common.runbooks import runbook_url
from capacity._common.text.escape import sarif_text
from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._facts.facts import UnreadProject
from capacity.compliance._formats.paths import as_uri
from capacity.compliance._rules.rules import Rule
from capacity.compliance._verdicts import Severity, Status

__all__ = ["as_sarif"]

_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}


def as_sarif(report: Report, runbooks: str | None = None) -> str:
    """Failures are results, waived ones suppressed results, and what could not be evaluated is a
    note of the run.

    Args:
        report: what was found.
        runbooks: address of the runbooks, see `capacity._common.runbooks.runbook_url`.
    """
    index = {rule.id: number for number, rule in enumerate(report.rules)}
    shown = [
        finding for finding in report.findings if finding.status in {Status.FAIL, Status.WAIVED}
    ]
    named = {project.subject for project in report.unread}
    missing = [
        finding
        for finding in report.findings
        if finding.status is Status.NOT_EVALUATED and finding.subject not in named
    ]
    driver = {
        "name": "capacity",
        "version": _version(),
        "rules": [_rule(rule, runbooks) for rule in report.rules],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    *map(_unread, report.unread),
                    *map(_notification, missing),
                ],
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, index[finding.rule.id]) for finding in shown],
    }
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(log, indent=1) + "\n"


def _version() -> str:
    try:
        return version("capacity-notebooks")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def _rule(rule: Rule, runbooks: str | None) -> dict[str, Plain]:
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


def _result(finding: Finding, index: int) -> dict[str, Plain]:
    evidence = finding.verdict.evidence.text()
    result: dict[str, Plain] = {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "kind": "fail",
        "level": _LEVELS[finding.rule.severity],
        "message": {
            "text": sarif_text(
                f"{finding.subject} {finding.verdict.message}"
                + (f" ({evidence})" if evidence and not finding.file else "")
            )
        },
        "locations": [_location(finding)],
        "partialFingerprints": {"capacity/v1": _fingerprint(finding)},
    }
    if finding.status is Status.WAIVED and finding.waiver is not None:
        why = f"{finding.waiver.reason} ({finding.waiver.owner}, until {finding.waiver.expires})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _location(finding: Finding) -> dict[str, Plain]:
    location: dict[str, Plain] = {"logicalLocations": [{"fullyQualifiedName": finding.subject}]}
    if finding.file:
        location["physicalLocation"] = _place(finding.file, finding.line)
    return location


def _place(file: str, line: int) -> PlainMapping:
    return {"artifactLocation": {"uri": as_uri(file)}, "region": {"startLine": max(line, 1)}}


def _fingerprint(finding: Finding) -> str:
    """Stays the same when lines move, or a waiver is written or ends."""
    return hashlib.sha256(
        f"{finding.rule.id}\0{finding.subject}\0{finding.said}".encode()
    ).hexdigest()[:32]


def _unread(project: UnreadProject) -> dict[str, Plain]:
    return {
        "level": "error",
        "message": {"text": project.text},
        "locations": [{"physicalLocation": _place(project.file, project.line)}],
    }


def _notification(finding: Finding) -> dict[str, Plain]:
    text = f"{finding.rule.id} was not evaluated for {finding.subject}: {finding.verdict.message}"
    return {
        "level": "note",
        "message": {"text": sarif_text(text)},
        "associatedRule": {"id": finding.rule.id},
    }
