"""A report as JUnit XML: a suite a rule, a case a subject."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._rules.rules import Rule
from capacity.compliance._verdicts import Status

__all__ = ["as_junit"]

_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report) -> str:
    """Waived and not-evaluated ones are skipped, with the reason."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', '<testsuites name="capacity">']
    for rule in report.rules:
        found = sorted(
            (finding for finding in report.findings if finding.rule.id == rule.id),
            key=lambda finding: finding.subject,
        )
        lines += _suite(
            rule, [list(group) for _, group in groupby(found, key=lambda finding: finding.subject)]
        )
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(rule: Rule, cases: Sequence[list[Finding]]) -> list[str]:
    failures = sum(case[0].failing for case in cases)
    skipped = sum(case[0].status in {Status.WAIVED, Status.NOT_EVALUATED} for case in cases)
    counts = f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="{skipped}"'
    lines = [f"<testsuite name={_quoted(f'{rule.id} {rule.title}')} {counts}>"]
    for case in cases:
        lines += [
            f'<testcase classname="capacity.{rule.id}" name={_quoted(case[0].subject)}>',
            *_outcome(case),
            "</testcase>",
        ]
    return [*lines, "</testsuite>"]


def _outcome(case: list[Finding]) -> list[str]:
    first = case[0]
    if first.failing:
        text = "\n".join(
            f"{finding.verdict.message}\n{finding.verdict.evidence.text()}" for finding in case
        )
        return [
            (
                f'<failure type="{first.rule.severity}" '
                f"message={_quoted(first.verdict.message)}>{_text(text)}</failure>"
            )
        ]
    if first.waiver is not None and first.status is Status.WAIVED:
        waived = f"waived until {first.waiver.expires}: {first.waiver.reason}"
        return [f"<skipped message={_quoted(waived)}/>"]
    if first.status is Status.NOT_EVALUATED:
        return [f"<skipped message={_quoted(f'not evaluated: {first.verdict.message}')}/>"]
    return []


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))


def _quoted(text: str) -> str:
    return quoteattr(_NO_XML.sub("\ufffd", text))
