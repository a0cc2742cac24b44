"""The dashboard: one page without scripts or outside addresses, for keyboards and screen readers
too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from capacity._common.runbooks import runbook, runbook_html
from capacity._common.text.escape import html_text
from capacity._monitor.state import Evaluation, now
from capacity.compliance import Severity, Status
from capacity.model import Action

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from capacity._monitor.background_tasks import Monitor

__all__ = ["no_reports_page", "page", "runbook_page"]

_STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
_MOST_ROWS, _MOST_RISKS = 200, 20


def runbook_page(code: str) -> str | None:
    """A runbook as HTML; None where there is none."""
    body = runbook_html(code)
    return (
        None
        if body is None
        else _document(
            f"Runbook {code}", f'<nav aria-label="Parts"><a href="../">Dashboard</a></nav>{body}'
        )
    )


def no_reports_page() -> str:
    """What stands in for the index until a first report is finished."""
    return _document(
        "Capacity reports",
        '<nav aria-label="Parts"><a href="../">Dashboard</a></nav><p>No report is finished yet. '
        "<code>capacity schedule status</code> says when the next one is due, and "
        "<code>capacity schedule run weekly</code> makes one now.</p>",
    )


def page(watch: Monitor) -> str:
    """The dashboard as HTML."""
    found = watch.evaluation
    body = (
        "<p>Nothing has been evaluated yet; the first look is on its way.</p>"
        if found is None
        else _body(watch, found)
    )
    links = (
        ("#findings", "Findings"),
        ("#waivers", "Waivers"),
        ("#risks", "Limits"),
        ("#sources", "Sources"),
    )
    others = (("reports/", "Reports"), ("api/v1/findings", "JSON"), ("metrics", "Metrics"))
    parts = "".join(f'<a href="{place}">{name}</a>' for place, name in (*links, *others))
    skip = '<a class="skip" href="#findings">Skip to the findings</a>'
    return _document(
        "capacity monitor",
        f'<nav aria-label="Parts">{parts}</nav>{body}',
        skip,
        '<meta http-equiv="refresh" content="60">',
    )


def _document(title: str, body: str, before: str = "", head: str = "") -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{head}'
        f"<style>{_STYLE}</style></head><body>{before}<main><h1>{_text(title)}</h1>{body}</main></body></html>"
    )


def _body(watch: Monitor, found: Evaluation) -> str:
    return "".join(
        [
            _tiles(watch, found),
            _findings(found),
            _waivers(found),
            _risks(found),
            _sources(watch, found),
        ]
    )


def _tiles(watch: Monitor, found: Evaluation) -> str:
    report = found.report
    failing = report.failing() if report is not None else ()
    grave = sum(finding.rule.severity.reaches(Severity.HIGH) for finding in failing)
    score = "unknown" if report is None or report.score is None else f"{report.score:.0%}"
    stale = any(source.stale_since is not None for source in found.sources.values())
    problems = watch.problems(now())
    tiles = [
        ("Score", score, "" if score == "unknown" else "bad" if grave else "good"),
        ("Failing", str(len(failing)), "bad" if grave else "warn" if failing else "good"),
        ("Critical and high", str(grave), "bad" if grave else "good"),
        ("Waived", str(report.counts[Status.WAIVED]) if report else "0", ""),
        ("Not evaluated", str(report.counts[Status.NOT_EVALUATED]) if report else "0", ""),
        ("Sources", "stale" if stale else "fresh", "warn" if stale else "good"),
        ("Monitor", "failing" if problems else "healthy", "bad" if problems else "good"),
    ]
    shown = "".join(
        f'<li class="{level}">{name}<b>{_text(value)}</b></li>' for name, value, level in tiles
    )
    told = [*problems, *watch.events.problems()]
    said = "".join(f'<p role="alert">{_text(problem)}</p>' for problem in told)
    when = f"<p><small>Evaluated {_moment(found.at)} in {found.seconds:.1f} s</small></p>"
    return f'<section aria-label="Status"><ul class="tiles">{shown}</ul>{said}{when}</section>'


def _findings(found: Evaluation) -> str:
    failing = found.report.failing() if found.report is not None else ()
    if not failing:
        said = "No rule is broken." if found.report is not None else "There is no report."
        return _section("findings", "Findings", f"<p>{said}</p>")
    rows = [
        (
            f'<span class="{finding.rule.severity}">{finding.rule.severity}</span>',
            f"{_rule(finding.rule.id)} <small>{_text(finding.rule.slug)}</small>",
            _text(finding.subject),
            f"{_text(finding.verdict.message)}<br><small>{_text(finding.verdict.evidence.text())}</small>",
            f"<details><summary>How</summary>{_text(finding.rule.remediation)}</details>",
        )
        for finding in failing[:_MOST_ROWS]
    ]
    more = (
        f"<p>{len(failing) - _MOST_ROWS} more in the JSON.</p>" if len(failing) > _MOST_ROWS else ""
    )
    caption = f"{len(failing)} broken rules, the worst first"
    return _section(
        "findings",
        "Findings",
        _table(("Severity", "Rule", "Where", "What", "Fix"), rows, caption) + more,
    )


def _rule(code: str) -> str:
    return f'<a href="runbooks/{_text(code)}">{_text(code)}</a>' if runbook(code) else _text(code)


def _waivers(found: Evaluation) -> str:
    report = found.report
    if report is None or not report.waivers:
        return _section("waivers", "Waivers", "<p>There are none.</p>")
    rows = [
        (
            *(_text(part) for part in (waiver.rule, waiver.service, waiver.owner, waiver.reason)),
            f"{waiver.expires}{' (expired)' if waiver.expired(report.today) else ''}",
        )
        for waiver in report.waivers
    ]
    return _section(
        "waivers", "Waivers", _table(("Rule", "Service", "Owner", "Reason", "Until"), rows)
    )


def _risks(found: Evaluation) -> str:
    raised = [
        (float(row["breach_now"]), str(service), str(resource), str(row["reason"]))
        for resource, table in found.tables.items()
        for service, row in table[table["action"] == Action.RAISE].iterrows()
    ]
    if not raised:
        said = (
            "No limit needs to be raised."
            if found.tables
            else "Without metrics nothing is known of limits."
        )
        return _section("risks", "Limits about to break", f"<p>{said}</p>")
    rows = [
        (_text(service), resource, f"{chance:.0%}", _text(reason))
        for chance, service, resource, reason in sorted(raised, reverse=True)
    ]
    heads = ("Service", "Resource", "Breach next week", "Reason")
    return _section("risks", "Limits about to break", _table(heads, rows[:_MOST_RISKS]))


def _sources(watch: Monitor, found: Evaluation) -> str:
    rows = [
        (
            _text(name),
            f"stale since {_moment(source.stale_since)}" if source.stale_since else "fresh",
            _text(source.error),
        )
        for name, source in sorted(found.sources.items())
    ]
    rows += [
        (f"compose {_text(project.name)}", "not evaluated", _text(project.text))
        for project in found.facts.unread
    ]
    delivery = watch.prober.delivery
    if delivery is not None:
        arrived = (
            f"arrived after {delivery.seconds:.1f} s"
            if delivery.seconds is not None
            else "did not arrive"
        )
        rows.append(("alert delivery", f"the last probe {arrived}", _text(delivery.error)))
    return _section("sources", "Sources", _table(("Source", "State", "Error"), rows))


def _section(name: str, title: str, body: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{body}</section>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table of cells that are already HTML; the first of each row names it."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    said = f"<caption>{caption}</caption>" if caption else ""
    return (
        '<div class="scroll" '
        f'tabindex="0"><table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _text(value: str) -> str:
    return html_text(value)
