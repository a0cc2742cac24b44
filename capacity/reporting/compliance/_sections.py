"""The parts of the weekly compliance page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from capacity._common.runbooks import runbook_html
from capacity._common.text.counting import counted
from capacity.compliance import Severity, Status
from capacity.reporting._html.formatting import long_table, pairs
from capacity.reporting._html.html import (
    Column,
    Html,
    badge,
    code,
    details,
    join,
    sparkline,
    table,
    text,
)
from capacity.reporting.compliance._review import DEADLINES, FINDINGS

if TYPE_CHECKING:
    from capacity.compliance import Finding
    from capacity.reporting.compliance._review import ComplianceReview

__all__ = ["changed", "checklist", "failing", "header", "ports", "timeline", "trend", "waivers"]

_SHOWN = 3  # places of a rule before the rest is folded


def header(week: ComplianceReview) -> Html:
    """Score, counts, sources."""
    report, history = week.report, week.history
    score = "nothing could be evaluated" if report.score is None else f"{report.score:.0%}"
    grave = len(report.failing(Severity.HIGH))
    counts = report.counts
    facts = [
        ("Score", f"{score} of what was evaluated, weighted by severity"),
        ("Evaluations", ", ".join(f"{counts[status]} {status}" for status in Status)),
        ("Broken", f"{counted(len(report.failing()), 'finding')}, {grave} critical or high"),
        (
            "Fleet",
            (
                f"{counted(len(history.services), 'service')} up to "
                f"{history.end:%d %b %Y %H:%M} UTC, from {history.source}"
            ),
        ),
    ]
    verdict = "bad" if grave else "warn" if report.failing() or report.unread else "good"
    said = (
        f"{counted(grave, 'finding')} cannot wait"
        if grave
        else "Nothing critical"
        if report.failing()
        else "Every rule holds"
    )
    unread = [project.text for project in report.unread]
    said += f", {len(unread)} projects not evaluated" if unread else ""
    shown = (*week.errors, *unread, *report.notes)
    notes = "".join(f'<p class="note">{text(note)}</p>' for note in shown)
    return Html(
        f"<h1>Weekly compliance <span>{text(week.name)}</span></h1><p>{badge(said, verdict)}</p>"
        f'<dl class="facts">{pairs(facts)}</dl>{notes}'
    )


def checklist(week: ComplianceReview) -> Html:
    """The eight points, each with its evidence."""
    rows = [
        (str(number), item.point, item.verdict, item.evidence)
        for number, item in enumerate(week.checklist, 1)
    ]
    columns = [Column("No.", number=True), Column("Point"), Column("Verdict"), Column("Evidence")]
    held = sum(item.verdict == "pass" for item in week.checklist)
    return table(
        f"{held} of {len(week.checklist)} points hold; without data a point is not evaluated, "
        "never passed",
        columns,
        rows,
    )


def trend(week: ComplianceReview) -> Html:
    """The score over the weeks."""
    scores = pd.Series(
        [score if score is not None else float("nan") for _, score, _ in week.trend], dtype=float
    )
    rows = [
        (name, "-" if score is None else f"{score:.1%}", str(count))
        for name, score, count in week.trend
    ]
    columns = [
        Column("Week"),
        Column("Score", number=True),
        Column("Failing", number=True, unit="findings"),
    ]
    line = (
        Html(f"<p>{sparkline(scores)}</p>")
        if len(rows) > 1
        else Html("<p>The first run: the trend begins here.</p>")
    )
    return join([line, table("Score and rules broken, week by week", columns, rows)])


def changed(week: ComplianceReview) -> Html:
    """What is new, worse and fixed since the last run."""
    if week.new is None:
        return Html("<p>There is no earlier run to compare with.</p>")
    worse = [f"{rule}: {then} then, {now} now" for rule, (then, now) in week.worse.items()]
    lines = [
        ("New", [f"{rule} {subject}" for rule, subject in week.new]),
        ("Worse", worse),
        ("Fixed", [f"{rule} {subject}" for rule, subject in week.fixed]),
    ]
    return Html(f'<dl class="facts">{pairs([(name, _few(found)) for name, found in lines])}</dl>')


def failing(week: ComplianceReview) -> Html:
    """Broken rules by severity: where, with evidence, and how to fix them."""
    found = week.report.failing()
    if not found:
        return Html("<p>No rule is broken.</p>")
    parts = []
    for severity in Severity:
        mine = [finding for finding in found if finding.rule.severity is severity]
        if mine:
            parts.append(
                Html(
                    f"<h3>{severity.capitalize()}: {counted(len(mine), 'finding')}, to be fixed "
                    f"{DEADLINES[severity]}</h3>"
                )
            )
            parts += [
                _rule([finding for finding in mine if finding.rule.id == rule])
                for rule in dict.fromkeys(finding.rule.id for finding in mine)
            ]
    return join(parts)


def _rule(findings: list[Finding]) -> Html:
    """One rule: every place that breaks it, and the fix."""
    rule = findings[0].rule
    rows = [
        (finding.subject, finding.verdict.message, finding.verdict.evidence.text() or "-")
        for finding in findings
    ]
    columns = [Column("Where"), Column("What"), Column("Evidence")]
    page = runbook_html(rule.id)
    shown = long_table(f"{rule.id} {rule.title}", columns, rows, most=_SHOWN)
    grave = rule.severity.reaches(Severity.HIGH)
    return join(
        [
            shown if grave else join([shown, _on_paper(findings[_SHOWN:])], "div", "short"),
            Html(f"<p><b>Fix:</b> {text(rule.remediation)} <small>{text(rule.impact)}</small></p>"),
            details(f"Runbook {rule.id}", Html(page)) if page else "",
        ]
    )


def _on_paper(findings: list[Finding]) -> Html:
    """Folded findings as they are printed: what, and everywhere that it is so; the evidence of each
    is beside the page.
    """
    if not findings:
        return Html("")
    places: dict[str, list[str]] = {}
    for finding in findings:
        places.setdefault(finding.verdict.message, []).append(finding.subject)
    said = "; ".join(f"{what}: {', '.join(where)}" for what, where in places.items())
    line = f"And {len(findings)} more. {said}. Evidence of each: {FINDINGS}."
    return join([line], "p", "paper")


def ports(week: ComplianceReview) -> Html:
    """Free ports that would end the conflicts."""
    if not week.moves:
        return Html("<p>No service has to give up its port.</p>")
    rows = [
        (
            move.service,
            f"{move.old}/{move.protocol}",
            str(move.new) if move.new is not None else "none free",
            move.reason,
        )
        for move in week.moves
    ]
    columns = [
        Column("Service"),
        Column("Port", number=True),
        Column("New", number=True, unit="port"),
        Column("Why"),
    ]
    return join(
        [table("Ports to move", columns, rows), code("capacity apply compliance-plan.yaml")]
    )


def waivers(week: ComplianceReview) -> Html:
    """Waivers that end within 30 days, have expired, or fit nothing."""
    report = week.report
    named = [("expired", waiver) for waiver in report.expired] + [
        ("ends soon", waiver) for waiver in report.expiring
    ]
    named += [(report.useless(waiver), waiver) for waiver in report.unused]
    if not named:
        return Html(
            f"<p>{len(report.waivers)} waivers; none ends within 30 days, none is useless.</p>"
        )
    rows = [
        (state, waiver.rule, waiver.service, waiver.owner, waiver.reason, f"{waiver.expires}")
        for state, waiver in named
    ]
    columns = [Column(name) for name in ("State", "Rule", "Service", "Owner", "Reason", "Until")]
    return table("Waivers to look at", columns, rows)


def timeline(week: ComplianceReview) -> Html:
    """What to fix by when, by severity."""
    counts: dict[Severity, Counter[str]] = {severity: Counter() for severity in Severity}
    for finding in week.report.failing():
        counts[finding.rule.severity][f"{finding.rule.id} {finding.rule.title}"] += 1
    parts = []
    for severity, rules in counts.items():
        if rules:
            items = "".join(
                f"<li>{text(rule)}: {count} to fix</li>" for rule, count in sorted(rules.items())
            )
            parts.append(
                f'<section class="column"><h3>{DEADLINES[severity].capitalize()}</h3>'
                f"<ul>{items}</ul></section>"
            )
    return (
        Html(f'<div class="columns">{"".join(parts)}</div>')
        if parts
        else Html("<p>Nothing to fix.</p>")
    )


def _few(names: list[str], most: int = 10) -> str:
    shown = ", ".join(names[:most]) or "none"
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
