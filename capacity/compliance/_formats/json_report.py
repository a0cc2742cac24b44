"""A report as JSON, everything in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields

from capacity._common.plain_data import Plain
from capacity._common.runbooks import runbook_url
from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._formats.paths import shown
from capacity.compliance._port_proposals import PortProposal
from capacity.compliance._verdicts import Evidence
from capacity.compliance._waivers import Waiver

__all__ = ["as_json"]


def as_json(report: Report, moves: Iterable[PortProposal] = (), runbooks: str | None = None) -> str:
    """One JSON object; `format` changes when its meaning does.

    Args:
        report: what was found.
        moves: ports to move.
        runbooks: address of the runbooks, see `capacity._common.runbooks.runbook_url`.
    """
    pages = {rule.id: runbook_url(rule.id, runbooks) for rule in report.rules}
    said = {
        "format": 1,
        "day": report.today.isoformat(),
        "score": report.score,
        "counts": {str(status): count for status, count in report.counts.items()},
        "findings": [
            {**_finding(finding), "runbook": pages[finding.rule.id]} for finding in report.findings
        ],
        "port_moves": [
            {**asdict(move), "file": shown(move.file) if move.file else ""} for move in moves
        ],
        "waivers": {
            "expired": [_waiver(waiver) for waiver in report.expired],
            "expiring": [_waiver(waiver) for waiver in report.expiring],
            "unused": [
                {**_waiver(waiver), "why": report.useless(waiver)} for waiver in report.unused
            ],
        },
        "notes": list(report.notes),
        "unread": [{**asdict(project), "file": shown(project.file)} for project in report.unread],
    }
    return json.dumps(said, indent=1) + "\n"


_EVIDENCE = [part.name for part in fields(Evidence)]


def _finding(finding: Finding) -> dict[str, Plain]:
    rule, evidence = (
        finding.rule,
        {name: getattr(finding.verdict.evidence, name) for name in _EVIDENCE},
    )
    return {
        "rule": rule.id,
        "slug": rule.slug,
        "title": rule.title,
        "severity": str(rule.severity),
        "category": rule.category,
        "subject": finding.subject,
        "status": str(finding.status),
        "message": finding.verdict.message,
        "file": shown(finding.file) if finding.file else "",
        "line": finding.line,
        "evidence": {
            name: shown(value) if name == "file" else value
            for name, value in evidence.items()
            if value
        },
        "remediation": rule.remediation if finding.failing else "",
        "waiver": _waiver(finding.waiver) if finding.waiver else None,
    }


def _waiver(waiver: Waiver) -> dict[str, Plain]:
    return {**asdict(waiver), "expires": waiver.expires.isoformat(), "file": shown(waiver.file)}
