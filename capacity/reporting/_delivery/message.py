"""What people are told of a finished report: a subject, and the first screen as text and HTML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from capacity._common.text.escape import html_text
from capacity._common.text.printable import visible
from capacity.reporting._runs import ReportRun, list_reports, previous_run

__all__ = ["Message", "message_of"]

_TITLES = {
    "weekly-resources": "weekly resource report",
    "weekly-compliance": "weekly compliance report",
    "monthly-optimization": "monthly review",
    "quarterly-architecture": "quarterly review",
}


@dataclass(frozen=True)
class Message:
    """One finished report in words.

    Attributes:
        report: `weekly-resources`.
        name: of the run: `2026-W48`.
        subject: what changed since the last run.
        lines: of the first screen, those that are new first.
        fresh: how many of them are new.
        page: the file.
        link: where people find it; empty = nowhere.
    """

    report: str
    name: str
    subject: str
    lines: tuple[str, ...]
    fresh: int
    page: Path
    link: str

    @property
    def text(self) -> str:
        """The first screen for a plain reader."""
        told = [
            f"{'* new: ' if at < self.fresh else '* '}{each}" for at, each in enumerate(self.lines)
        ] or ["Nothing to decide."]
        where = [f"The whole report: {self.link}"] if self.link else []
        return "\n".join([self.subject, "", *told, "", *where]).rstrip() + "\n"

    @property
    def html(self) -> str:
        """The same as HTML."""
        rows = "".join(
            f"<li>{'<b>new:</b> ' if at < self.fresh else ''}{html_text(each)}</li>"
            for at, each in enumerate(self.lines)
        )
        where = f'<p><a href="{html_text(self.link)}">The whole report</a></p>' if self.link else ""
        listed = f"<ol>{rows}</ol>" if rows else "<p>Nothing to decide.</p>"
        return f"<h2>{html_text(self.subject)}</h2>{listed}{where}"


def message_of(page: Path, report: str, base: str = "") -> Message:
    """The message for a finished page: its run's headline against that of the run before.

    Args:
        page: in the folder of its run.
        report: `weekly-resources`.
        base: address where the folder of reports is served; empty = nowhere.
    """
    folder = page.parent
    runs = list_reports(folder.parent, report)
    run = next((each for each in runs if each.folder == folder), None)
    title = _TITLES.get(report, report)
    link = f"{base.rstrip('/')}/{folder.name}/{page.name}" if base else ""
    if run is None:
        return Message(report, folder.name, f"{title} {folder.name}", (), 0, page, link)
    facts = run.facts
    before = previous_run(
        folder.parent,
        report,
        run.as_of,
        str(facts.get("source", "")),
        str(facts.get("services", "")),
    )
    lines, known = _headline(run), set(_headline(before)) if before else set()
    fresh = [line for line in lines if line not in known]
    kept = [line for line in lines if line in known]
    changed = (
        f"{len(fresh)} new of {len(lines)}"
        if fresh and before
        else f"{len(lines)} to decide"
        if lines and not before
        else "nothing new"
        if lines
        else "nothing to decide"
    )
    subject = f"{title} {facts.get('name', folder.name)}: {changed}"
    return Message(
        report,
        str(facts.get("name", folder.name)),
        visible(subject),
        (*fresh, *kept),
        len(fresh) if before else 0,
        page,
        link,
    )


def _headline(run: ReportRun | None) -> tuple[str, ...]:
    """The lines that a run kept for this."""
    lines = run.facts.get("headline", []) if run is not None else []
    return tuple(visible(str(line)) for line in lines) if isinstance(lines, list) else ()
