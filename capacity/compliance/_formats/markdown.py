"""A report as Markdown for a merge request."""

from __future__ import annotations

import re

from capacity.compliance._evaluate import Finding, Report
from capacity.compliance._formats.paths import shown
from capacity.compliance._verdicts import Status

__all__ = ["as_markdown"]


def as_markdown(report: Report) -> str:
    """Score, counts, failures, waivers, and what could not be evaluated."""
    score = "nothing could be evaluated" if report.score is None else f"score {report.score:.1%}"
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    lines = ["## Compliance", "", f"**{score}** ({counts})", ""]
    lines += _table("Failing", [one for one in report.findings if one.failing])
    lines += _table("Waived", [one for one in report.findings if one.status is Status.WAIVED])
    for title, waivers in (
        ("expired", report.expired),
        ("ending within 30 days", report.expiring),
        ("that fit nothing", tuple(one for one in report.unused if report.useless(one) == "fits nothing")),
        ("that name no rule of the book", tuple(one for one in report.unused if report.useless(one) != "fits nothing")),
    ):
        if waivers:
            lines += [f"Waivers {title}:", ""]
            lines += [
                f"- {_cell(one.rule)} {_cell(one.service)}, {_cell(one.owner)}, {one.expires}: {_cell(one.reason)}"
                for one in waivers
            ]
            lines += [""]
    missing = sorted({one.rule.id for one in report.findings if one.status is Status.NOT_EVALUATED})
    lines += [f"Not evaluated everywhere: {', '.join(missing)}.", ""] if missing else []
    lines += [f"- {_cell(note)}" for note in report.notes]
    return "\n".join(lines).rstrip() + "\n"


def _table(title: str, found: list[Finding]) -> list[str]:
    if not found:
        return []
    lines = [f"### {title}", "", "| rule | severity | subject | what | where |", "|---|---|---|---|---|"]
    for one in found:
        place = f"{shown(one.file)}:{one.line}" if one.file else one.verdict.evidence.place
        cells = (f"{one.rule.id} {one.rule.title}", str(one.rule.severity), one.subject, one.verdict.message, place)
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    """Text that a Markdown table shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(text.split()))
