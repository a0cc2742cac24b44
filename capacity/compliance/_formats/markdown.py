"""A report as Markdown for a merge request."""

from __future__ import annotations

from capacity._common.text.escape import markdown
from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._formats.paths import shown
from capacity.compliance._verdicts import Status

__all__ = ["as_markdown"]


def as_markdown(report: Report) -> str:
    """Score, counts, failures, waivers, and what could not be evaluated."""
    score = "nothing could be evaluated" if report.score is None else f"score {report.score:.1%}"
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    lines = ["## Compliance", "", f"**{score}** ({counts})", ""]
    lines += _table("Failing", [finding for finding in report.findings if finding.failing])
    lines += _table(
        "Waived", [finding for finding in report.findings if finding.status is Status.WAIVED]
    )
    for title, waivers in (
        ("expired", report.expired),
        ("ending within 30 days", report.expiring),
        (
            "that fit nothing",
            tuple(waiver for waiver in report.unused if report.useless(waiver) == "fits nothing"),
        ),
        (
            "that name no rule of the book",
            tuple(waiver for waiver in report.unused if report.useless(waiver) != "fits nothing"),
        ),
    ):
        if waivers:
            lines += [f"Waivers {title}:", ""]
            lines += [
                f"- {markdown(waiver.rule)} {markdown(waiver.service)}, {markdown(waiver.owner)}, "
                f"{waiver.expires}: {markdown(waiver.reason)}"
                for waiver in waivers
            ]
            lines += [""]
    missing = sorted(
        {finding.rule.id for finding in report.findings if finding.status is Status.NOT_EVALUATED}
    )
    named = ", ".join(map(markdown, missing))
    lines += [f"Not evaluated everywhere: {named}.", ""] if missing else []
    lines += [f"- {markdown(project.text)}" for project in report.unread]
    lines += [f"- {markdown(note)}" for note in report.notes]
    return "\n".join(lines).rstrip() + "\n"


def _table(title: str, found: list[Finding]) -> list[str]:
    if not found:
        return []
    lines = [
        f"### {title}",
        "",
        "| rule | severity | subject | what | where |",
        "|---|---|---|---|---|",
    ]
    for finding in found:
        place = (
            f"{shown(finding.file)}:{finding.line}"
            if finding.file
            else finding.verdict.evidence.place
        )
        cells = (
            f"{finding.rule.id} {finding.rule.title}",
            str(finding.rule.severity),
            finding.subject,
            finding.verdict.message,
            place,
        )
        lines.append(f"| {' | '.join(markdown(cell) for cell in cells)} |")
    return [*lines, ""]
