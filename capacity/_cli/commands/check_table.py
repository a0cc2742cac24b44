"""What `capacity check` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity._cli.printing import print_rows, say

if TYPE_CHECKING:
    from capacity.compliance import Finding, PortProposal, Report

__all__ = ["show"]

_MOST_ROWS = 200


def show(report: Report, moves: tuple[PortProposal, ...]) -> None:
    """Failures as a table; below it port moves, waivers, what is missing, the score."""
    from capacity.compliance import Status

    failing = [finding for finding in report.findings if finding.failing]
    if failing:
        print_rows(
            [_row(finding) for finding in failing[:_MOST_ROWS]], as_json=False, title="Broken rules"
        )
    if len(failing) > _MOST_ROWS:
        say(
            f"and {len(failing) - _MOST_ROWS} more, none of them worse; --format markdown lists all"
        )
    for move in moves:
        new = f"move to {move.new}" if move.new is not None else "no port of the range is free"
        say(f"{move.service}: host port {move.old}/{move.protocol}: {new} ({move.reason})")
    waivers = [(waiver, "expired") for waiver in report.expired] + [
        (waiver, "ends within 30 days") for waiver in report.expiring
    ]
    for waiver, why in [*waivers, *((unused, report.useless(unused)) for unused in report.unused)]:
        say(
            f"waiver {waiver.place}: {waiver.rule} for {waiver.service} ({waiver.owner}, until "
            f"{waiver.expires}): {why}"
        )
    for project in report.unread:
        say(project.text)
    named = {project.subject for project in report.unread}
    missing = {
        finding.rule.id: finding
        for finding in report.findings
        if finding.status is Status.NOT_EVALUATED and finding.subject not in named
    }
    for finding in missing.values():
        say(
            f"not evaluated: {finding.rule.id} {finding.rule.slug} for {finding.subject}: "
            f"{finding.verdict.message}"
        )
    for note in report.notes:
        say(f"note: {note}")
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    score = (
        "no score, nothing could be evaluated"
        if report.score is None
        else f"score {report.score:.1%}"
    )
    say(f"{score}: {counts}")


def _row(finding: Finding) -> dict[str, str]:
    from capacity.compliance._formats.paths import shown

    evidence = finding.verdict.evidence
    return {
        "rule": f"{finding.rule.id} {finding.rule.slug}",
        "severity": str(finding.rule.severity),
        "subject": finding.subject,
        "what": finding.verdict.message,
        "where": f"{shown(finding.file)}:{finding.line}" if finding.file else evidence.place,
    }
