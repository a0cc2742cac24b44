"""Everything the weekly compliance report says, computed: no display here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from capacity._api import SAMPLE
from capacity._api.window import good_until
from capacity._common.bundled import bundled
from capacity._common.files import write_text
from capacity._common.version import VERSION
from capacity.changes import MadeFrom, Plan, make_plan, write_plan
from capacity.compliance import (
    Assessment,
    PortProposal,
    Report,
    Targets,
    assess,
    collect_facts,
    load_rules,
)
from capacity.compliance._checklist import DUE_HOURS, ChecklistPoint, checklist
from capacity.errors import CapacityError
from capacity.reporting._runs import iso_week, list_reports, make_folder, previous_run, write_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capacity.history import History
    from capacity.settings import Settings

__all__ = ["DEADLINES", "FINDINGS", "REPORT", "ChecklistRow", "ComplianceReview", "review", "save"]

REPORT = "weekly-compliance"
FINDINGS = "compliance.json"  # beside the page: every finding with its evidence
_TREND_WEEKS = 12
_WEEK_HOURS = 168
DEADLINES = {
    severity: "when there is time"
    if hours is None
    else "within a week"
    if hours == _WEEK_HOURS
    else f"within {hours} hours"
    for severity, hours in DUE_HOURS.items()
}


@dataclass(frozen=True)
class ChecklistRow:
    """A point of the checklist: `verdict` is pass, fail, waived or not-evaluated; `evidence` says
    why.
    """

    point: str
    verdict: str
    evidence: str


@dataclass(frozen=True)
class ComplianceReview:
    """The review of one week.

    Attributes:
        name: ISO week.
        history: the window.
        report: findings and score.
        moves: ports that would end conflicts.
        checklist: the eight points.
        trend: (week, score or None, failing) of the last twelve runs, this one last.
        new: rule and subject of what fails now and did not in the last run; None without one.
        fixed: what no longer fails.
        worse: rules that more subjects break than before: rule id -> (then, now).
        errors: sources that could not be asked.
        services: the glob looked at.
        settings: fingerprint of the settings.
        runbooks: address of your runbooks, None for the project's.
    """

    name: str
    history: History
    report: Report
    moves: tuple[PortProposal, ...]
    checklist: tuple[ChecklistRow, ...]
    trend: tuple[tuple[str, float | None, int], ...]
    new: tuple[tuple[str, str], ...] | None
    fixed: tuple[tuple[str, str], ...]
    worse: dict[str, tuple[int, int]]
    errors: tuple[str, ...]
    services: str
    settings: str
    runbooks: str | None = None


def review(
    history: History,
    settings: Settings,
    paths: Sequence[str] = (),
    *,
    engine: bool = False,
    live: bool = False,
    reports: Path | None = None,
    services: str = "",
) -> ComplianceReview:
    """The compliance of a fleet.

    Args:
        history: the window; its end is the moment of the review.
        settings: rule books, waivers, engines, metrics server.
        paths: compose files or folders; default those of the sample fleet for its history, else
            none.
        engine: ask the Engines.
        live: ask the metrics server and Alertmanager about themselves.
        reports: folder of earlier runs.
        services: the glob that `history` was narrowed by; empty = all.

    Raises:
        InputError: an unreadable rule book or waivers, or no compose file at a path.
    """
    if not paths and history.source == SAMPLE:
        paths = (str(bundled("data/sample/compose")),)
    assessed, errors = _assessed(history, settings, paths, engine=engine, live=live)
    report = assessed.report
    last = previous_run(reports, REPORT, history.end, history.source, services) if reports else None
    before = (
        {(str(rule), str(subject)) for rule, subject in last.facts.get("failing", [])}
        if last
        else set()
    )
    now = set(report.failing_pairs())
    counts, then = Counter(rule for rule, _ in now), Counter(rule for rule, _ in before)
    return ComplianceReview(
        name=iso_week(history.end),
        history=history,
        report=report,
        moves=assessed.port_proposals,
        checklist=tuple(_item(point) for point in checklist(report)),
        trend=_trend(reports, history, services, report),
        new=tuple(sorted(now - before)) if last else None,
        fixed=tuple(sorted(before - now)),
        worse={
            rule: (then[rule], count)
            for rule, count in sorted(counts.items())
            if last and 0 < then[rule] < count
        },
        errors=errors,
        services=services,
        settings=settings.fingerprint(),
        runbooks=settings.report.runbooks,
    )


def save(week: ComplianceReview, folder: Path, *, seconds: float = 0.0) -> None:
    """Write `compliance.json`, `compliance.sarif`, `compliance-plan.yaml` (the ports to move) and
    `run.json`.

    Raises:
        StorageError: the folder cannot be written.
    """
    from capacity.compliance._formats import as_json, as_sarif

    make_folder(folder)
    texts = {FINDINGS: as_json(week.report, week.moves, week.runbooks)}
    texts["compliance.sarif"] = as_sarif(week.report, week.runbooks)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_plan(_plan(week), folder / "compliance-plan.yaml")
    failing = week.report.failing_pairs()
    facts: dict[str, object] = {
        "name": week.name,
        "as_of": week.history.end.isoformat(),
        "source": week.history.source,
        "services": week.services,
        "verdict": "unknown" if week.report.score is None else f"{week.report.score:.0%}",
        "changes": len(failing),
        "score": week.report.score,
        "counts": {str(status): count for status, count in week.report.counts.items()},
        "unread": [project.text for project in week.report.unread],
        "failing": [list(pair) for pair in failing],
        "headline": [f"{rule}: {subject}" for rule, subject in failing],
        "seconds": round(seconds, 3),
    }
    write_run(folder, REPORT, facts)


def _plan(week: ComplianceReview) -> Plan:
    """The ports to move, as changes."""
    moves = [change for move in week.moves if (change := move.change()) is not None]
    return make_plan(
        moves,
        hosts=dict(week.history.hosts),
        as_of=week.history.end.to_pydatetime(),
        valid_until=good_until(week.history, "7D"),
        made_from=MadeFrom(
            history=week.history.fingerprint(), settings=week.settings, code=VERSION
        ),
    )


def _assessed(
    history: History, settings: Settings, paths: Sequence[str], *, engine: bool, live: bool
) -> tuple[Assessment, tuple[str, ...]]:
    """What can be known, judged; a source that cannot be asked is named, and its rules are not
    evaluated. The paths must be there.
    """
    errors: list[str] = []

    def outcome(source: str, error: CapacityError | None) -> None:
        if error is not None and source == "files":
            raise error
        errors.extend([" ".join(str(error).split())] if error is not None else [])

    targets = Targets(
        paths=paths,
        engine=engine,
        monitoring=live,
        delivery=live and settings.compliance.alertmanager is not None,
        history=lambda: history,
    )
    rules = load_rules(settings.compliance.rules)
    facts = collect_facts(targets, settings, rules, outcome=outcome)
    return assess(facts, settings, rules, today=history.end.date()), tuple(errors)


def _item(point: ChecklistPoint) -> ChecklistRow:
    """A point with the first of what says so."""
    if not point.findings:
        return ChecklistRow(point.text, str(point.status), "no rule of the book asks for it")
    finding, subjects = point.findings[0], len({each.subject for each in point.findings})
    more = f", and {subjects - 1} more" if subjects > 1 else ""
    said = finding.verdict.evidence.text()
    evidence = f"{finding.subject}{more}: {finding.verdict.message}" + (
        f" ({said})" if said else ""
    )
    return ChecklistRow(point.text, str(point.status), evidence)


def _trend(
    reports: Path | None, history: History, services: str, report: Report
) -> tuple[tuple[str, float | None, int], ...]:
    same = (history.source, services)
    runs = [
        run
        for run in (list_reports(reports, REPORT) if reports else [])
        if (run.facts.get("source"), run.facts.get("services", "")) == same
        and run.as_of < history.end - pd.Timedelta("1D")
    ]
    past = [
        (str(run.facts.get("name", "")), run.facts.get("score"), len(run.facts.get("failing", [])))
        for run in runs
    ]
    now = (iso_week(history.end), report.score, len(report.failing_pairs()))
    return tuple([*past, now][-_TREND_WEEKS:])
