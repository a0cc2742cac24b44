"""A report as JSON, everything in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from capacity._common.runbooks import runbook_url
from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._formats.paths import shown
from capacity.compliance._port_proposals import PortMove
from capacity.compliance._verdicts import Evidence
from capacity.compliance._waivers import Waiver

__all__ = ["as_json"]


def as_json(report: Report, moves: Iterable[PortMove] = (), runbooks: str | None = None) -> str:
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
        "findings": [{**_finding(one), "runbook": pages[one.rule.id]} for one in report.findings],
        "port_moves": [{**asdict(move), "file": shown(move.file) if move.file else ""} for move in moves],
        "waivers": {
            "expired": [_waiver(one) for one in report.expired],
            "expiring": [_waiver(one) for one in report.expiring],
            "unused": [{**_waiver(one), "why": report.useless(one)} for one in report.unused],
        },
        "notes": list(report.notes),
    }
    return json.dumps(said, indent=1) + "\n"


_EVIDENCE = [part.name for part in fields(Evidence)]


def _finding(one: Finding) -> dict[str, Any]:
    rule, evidence = one.rule, {name: getattr(one.verdict.evidence, name) for name in _EVIDENCE}
    return {
        "rule": rule.id,
        "slug": rule.slug,
        "title": rule.title,
        "severity": str(rule.severity),
        "category": rule.category,
        "subject": one.subject,
        "status": str(one.status),
        "message": one.verdict.message,
        "file": shown(one.file) if one.file else "",
        "line": one.line,
        "evidence": {name: shown(value) if name == "file" else value for name, value in evidence.items() if value},
        "remediation": rule.remediation if one.failing else "",
        "waiver": _waiver(one.waiver) if one.waiver else None,
    }


def _waiver(one: Waiver) -> dict[str, Any]:
    return {**asdict(one), "expires": one.expires.isoformat(), "file": shown(one.file)}
