"""The parts of the quarterly page on rules, promises and risks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from capacity.reporting._html.formatting import long_table
from capacity.reporting._html.html import Column, Html, badge, join, table
from capacity.reporting.monthly._promises_sections import promised_table
from capacity.reporting.weekly._sections.applied import applied_outcomes

if TYPE_CHECKING:
    from capacity.reporting.quarterly._register import Risk
    from capacity.reporting.quarterly._review import QuarterlyReview

__all__ = ["debts", "promises", "risks", "rules", "waivers"]

_LEVELS = {"high": "bad", "medium": "warn", "low": "quiet"}
_SEVERITIES = {"critical": "bad", "high": "bad", "medium": "warn", "low": "quiet"}


def rules(quarter: QuarterlyReview) -> Html:
    """Rules of the book and settings that changed, with what was proposed or broken before and
    after.
    """
    return join([_book(quarter), _settings(quarter)])


def _book(quarter: QuarterlyReview) -> Html:
    if quarter.rules is None:
        return Html(
            "<p>No earlier quarterly review: the next one will tell which rules changed since.</p>"
        )
    since = quarter.previous.facts.get("name", "") if quarter.previous else ""
    if not quarter.rules:
        return join([f"No rule of the book changed since {since}."], "p")
    cells = [
        (
            f"{change.rule} {change.title}",
            change.what,
            "-" if change.then is None else str(change.then),
            str(change.now),
        )
        for change in quarter.rules
    ]
    columns = [
        *(Column(name) for name in ("Rule", "What changed")),
        *(
            Column(name, number=True, unit="findings")
            for name in ("Broken by, then", "Broken by, now")
        ),
    ]
    return table(f"Rules of the book that changed since {since}", columns, cells)


def _settings(quarter: QuarterlyReview) -> Html:
    if not quarter.settings:
        return Html("<p>No setting changed between the runs of this quarter.</p>")
    cells = [
        (
            change.setting,
            f"{change.when:%d %b %Y}",
            change.before,
            change.after,
            *map(str, change.proposals),
        )
        for change in quarter.settings
    ]
    columns = [
        *(Column(name) for name in ("Setting", "First run with it", "Before", "After")),
        *(Column(name, number=True) for name in ("Proposals before", "Proposals after")),
    ]
    return long_table("Settings that changed between runs", columns, cells)


def waivers(quarter: QuarterlyReview) -> Html:
    """Every waiver, those that end first at the top."""
    report = quarter.compliance.report
    if not report.waivers:
        return Html("<p>There are no waivers.</p>")
    soon = report.today + pd.Timedelta("91D").to_pytimedelta()
    cells = [
        (
            waiver.rule,
            waiver.service,
            badge("ended", "bad")
            if waiver.expired(report.today)
            else badge("ends within a quarter", "warn")
            if waiver.expires <= soon
            else badge("holds", "quiet"),
            f"{waiver.expires:%d %b %Y}",
            waiver.owner,
            waiver.reason + (" (fits nothing)" if waiver in report.unused else ""),
        )
        for waiver in sorted(report.waivers, key=lambda waiver: (waiver.expires, waiver.rule))
    ]
    names = ("Rule", "Service", "State", "Until", "Owner", "Reason")
    return long_table("Waivers, by their end", [Column(name) for name in names], cells)


def debts(quarter: QuarterlyReview) -> Html:
    """Rules that are broken, and by how many they were all through the quarter."""
    if not quarter.debts:
        return Html("<p>No rule that could be evaluated is broken.</p>")
    cells = [
        (
            f"{debt.rule} {debt.title}",
            badge(debt.severity, _SEVERITIES[debt.severity]),
            str(debt.now),
            f"{debt.whole} since {debt.since:%d %b %Y}" if debt.since else "no earlier run",
        )
        for debt in quarter.debts
    ]
    columns = [
        *(Column(name) for name in ("Rule", "Severity")),
        Column("Broken by", number=True, unit="findings"),
        Column("In every run of the quarter", number=True, unit="findings"),
    ]
    return long_table("Broken rules, the gravest first", columns, cells)


def promises(quarter: QuarterlyReview) -> Html:
    """What was proposed at the start of the quarter and became of it, and what was applied."""
    history, settings = quarter.quarter, quarter.week.settings
    return join(
        [
            promised_table(quarter.promised_in, quarter.promises, "quarter"),
            applied_outcomes(history, settings, history.end - history.start, "13 weeks"),
        ]
    )


def risks(quarter: QuarterlyReview) -> Html:
    """The register: open risks, then those closed in this quarter."""
    if not quarter.risks:
        return Html("<p>The register is empty.</p>")
    since = quarter.quarter.start.date()
    still = [risk for risk in quarter.risks if risk.closed is None]
    ended = [risk for risk in quarter.risks if risk.closed and risk.closed >= since]
    note = (
        "The register is risks.yaml beside this page. Owner, decision, due and note are yours to "
        "write there; the next quarter carries them on."
    )
    columns = [Column(name) for name in ("Risk", "Level", "Since", "Owner", "Decision", "Due")]
    parts = [
        long_table("Open risks, the gravest first", columns, [_cells(risk) for risk in still])
        if still
        else Html("<p>No risk is open.</p>")
    ]
    if ended:
        shown = [(*_cells(risk), f"{risk.closed:%d %b %Y}") for risk in ended]
        parts.append(long_table("Closed this quarter", [*columns, Column("Closed")], shown))
    return join([*parts, join([note], "p", "note")])


def _cells(risk: Risk) -> tuple[Html | str, ...]:
    said = risk.what + (f" ({risk.note})" if risk.note else "")
    level = badge(risk.level, _LEVELS[risk.level])
    return (
        said,
        level,
        f"{risk.since:%d %b %Y}",
        *(value or "open" for value in (risk.owner, risk.decision, risk.due)),
    )
