"""What `capacity check` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity._cli.printing import print_rows, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capacity.compliance import Facts, Finding, PortProposal, Report

__all__ = ["show"]

_MOST_ROWS = 200
_OPTIONS = {
    "files": "compose files",
    "engine": "--engine",
    "history": "--history",
    "prometheus": "--history",
    "alertmanager": "--alertmanager",
}


def show(report: Report, facts: Facts, moves: tuple[PortProposal, ...]) -> None:
    """Failures as a table; below it port moves, waivers, what is missing, the score."""
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
    for line in _missing(report, facts):
        say(line)
    for note in report.notes:
        say(f"note: {note}")
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    score = (
        "no score, nothing could be evaluated"
        if report.score is None
        else f"score {report.score:.1%}"
    )
    say(f"{score}: {counts}")


def _missing(report: Report, facts: Facts) -> Iterator[str]:
    """A line for each rule that could not be evaluated: where first, and with which option."""
    from capacity.compliance import Status

    named = {project.subject for project in report.unread}
    missing: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.status is Status.NOT_EVALUATED and finding.subject not in named:
            missing.setdefault(finding.rule.id, []).append(finding)
    for first, *others in missing.values():
        more = f" and {len(others)} more" if others else ""
        options = _options(first.rule.check, facts)
        yield (
            f"not evaluated: {first.rule.id} {first.rule.slug} for {first.subject}{more}: "
            f"{first.verdict.message}{f'; add {options}' if options else ''}"
        )


def _options(check: str, facts: Facts) -> str:
    """The options that give a check what it looks at and does not have."""
    from capacity.compliance._rules.registry import sources_of

    known = {
        "files": bool(facts.projects or facts.unread),
        "engine": facts.inventory is not None,
        "history": facts.history is not None,
        "prometheus": facts.monitoring is not None and facts.monitoring.alerting is not None,
        "alertmanager": facts.monitoring is not None and facts.monitoring.delivery is not None,
    }
    options = dict.fromkeys(_OPTIONS[source] for source in sources_of(check) if not known[source])
    text = " or ".join(options)
    # a recorded history is known, and the server would tell more
    return f"{text} with a live server" if known["history"] and "--history" in options else text


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
