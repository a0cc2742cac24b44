"""The parts of the quarterly page on load and hosts: what to show, nothing computed anew."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from capacity._common.text.counting import counted
from capacity.model import Resource
from capacity.reporting._analysis.runway import FULL
from capacity.reporting._html.formatting import AMOUNT, NAMES, PRINT, long_table, pairs
from capacity.reporting._html.html import Column, Html, badge, join, table, text

if TYPE_CHECKING:
    from capacity.reporting._analysis.runway import HostRunway, RunOut
    from capacity.reporting._analysis.trends import Trend
    from capacity.reporting.quarterly._review import QuarterlyReview

__all__ = ["header", "runways", "structure", "trends"]

_WEEKS = 13
_DAY = pd.Timedelta("1D")
_PER_WEEK = "Change of the weekly peak in a week; 90 % of the lines that fit lie in the interval"
_WORDS = {"grows": "warn", "shrinks": "good", "level": "quiet"}


def header(quarter: QuarterlyReview) -> Html:
    """The quarter in a few lines, with how much of it there is."""
    history = quarter.quarter
    open_risks = [risk for risk in quarter.risks if risk.closed is None]
    high = sum(risk.level == "high" for risk in open_risks)
    growing = sum(
        row.quarter is not None and row.quarter.verdict == "grows" for row in quarter.trends
    )
    score = quarter.compliance.report.score
    facts = [
        (
            "Fleet",
            f"{counted(len(history.services), 'service')}, {int(history.running().sum())} running",
        ),
        ("Window", f"{history.start:%d %b %Y} to {history.end:%d %b %Y} UTC, {history.source}"),
        ("History", _history(quarter)),
        ("First host to fill", _first(quarter)),
        ("Growing", f"{growing} of {len(quarter.trends)} uses of services"),
        ("Open risks", f"{len(open_risks)}, of which {high} high"),
        ("Compliance", "not evaluated" if score is None else f"{score:.0%}"),
    ]
    word, level = (
        (f"{high} high risks" if high != 1 else "1 high risk", "bad")
        if high
        else ("Risks to watch", "warn")
        if open_risks
        else ("No open risk", "good")
    )
    return Html(
        f"<h1>Quarterly architecture <span>{text(quarter.name)}</span></h1>"
        f"<p>{badge(word, level)} {badge(f'Data {quarter.week.verdict.level}', 'quiet')}</p>"
        f'<dl class="facts">{pairs(facts)}</dl>'
    )


def _history(quarter: QuarterlyReview) -> str:
    weeks = max((row.quarter.weeks for row in quarter.trends if row.quarter), default=0)
    days = max((len(peaks) for peaks in quarter.quarter.past_peaks.values()), default=0)
    before = f", and daily peaks of {days} days before" if days else ", and none before"
    few = "" if weeks >= _WEEKS else ": the intervals are wide, and trends a first guess"
    return f"{weeks} of {_WEEKS} weeks{before}{few}"


def _first(quarter: QuarterlyReview) -> str:
    known = [row for row in quarter.runways if row.as_is]
    if not known:
        return "unknown"
    row = known[0]
    return f"{row.host}, {NAMES[row.resource]}: {_when(quarter, row.as_is)}"


def trends(quarter: QuarterlyReview) -> Html:
    """Weekly peaks of each service: how they move, with intervals."""
    rows = [row for row in quarter.trends if row.quarter]
    few = len(quarter.trends) - len(rows)
    if not rows:
        return Html("<p>No service has four weeks of samples yet.</p>")
    cells = [
        (
            row.service,
            NAMES[row.resource],
            PRINT[row.resource](row.peak),
            *_moves(row.quarter, row.resource),
            _pace(row.archive, row.resource),
            PRINT[row.resource](row.limit) if math.isfinite(row.limit) else "none",
            _reach(row.quarter, row.limit),
        )
        for row in rows
    ]
    columns = [
        *(Column(name) for name in ("Service", "Resource")),
        Column("Peak", number=True, unit=AMOUNT, help="Highest of the quarter"),
        Column("Trend"),
        Column("A week", number=True, unit=AMOUNT, help=_PER_WEEK),
        Column("Interval (90 %)", number=True, unit=AMOUNT, help=_PER_WEEK),
        Column(
            "Whole archive, a week",
            number=True,
            unit=AMOUNT,
            help="The same over all archived weeks",
        ),
        Column("Limit", number=True, unit=AMOUNT),
        Column("Line at the limit", number=True, help="When the line reaches the limit"),
    ]
    more = f"{few} uses of services have fewer than four weeks." if few else ""
    return long_table(
        "Weekly peaks of services, the surest growth against the host first", columns, cells, more
    )


def _moves(trend: Trend | None, resource: Resource) -> tuple[Html | str, str, str]:
    if trend is None:
        return "too few weeks", "-", "-"
    word = badge(trend.verdict, _WORDS[trend.verdict])
    low, high = (_signed(edge, resource) for edge in (trend.low, trend.high))
    return word, _signed(trend.slope, resource), f"{low} to {high}"


def _pace(trend: Trend | None, resource: Resource) -> str:
    return "-" if trend is None else f"{_signed(trend.slope, resource)} ({trend.weeks} weeks)"


def _signed(value: float, resource: Resource) -> str:
    shown = PRINT[resource](abs(value))
    nothing = shown == PRINT[resource](0.0)
    return shown if nothing else f"{'+' if value > 0 else '-'}{shown}"


def _reach(trend: Trend | None, limit: float) -> str:
    if trend is None or not math.isfinite(limit) or trend.slope <= 0:
        return "-"
    weeks = (limit - trend.level) / trend.slope
    return "reached" if weeks <= 0 else f"in {weeks:.1f} weeks" if weeks <= 2 * 52 else "> 2 years"


def runways(quarter: QuarterlyReview) -> Html:
    """When each host is full: as it goes, twice as fast, and without it."""
    if not quarter.runways:
        return Html("<p>No host metrics, so no runway.</p>")
    cells = [
        (
            row.host,
            NAMES[row.resource],
            PRINT[row.resource](row.size),
            f"{row.peak / row.size:.0%}" if math.isfinite(row.peak) else "-",
            *_moves(row.trend, row.resource)[1:],
            _when(quarter, row.as_is),
            _when(quarter, row.doubled),
            _lost(quarter, row),
        )
        for row in quarter.runways
    ]
    columns = [
        *(Column(name) for name in ("Host", "Resource")),
        Column("Size", number=True, unit=AMOUNT),
        Column("Peak/size", number=True, help="Highest weekly peak (CPU: hour) over the size"),
        Column("A week", number=True, unit=AMOUNT, help=_PER_WEEK),
        Column("Interval (90 %)", number=True, unit=AMOUNT, help=_PER_WEEK),
        Column("Full", help=f"First weekly peak at {FULL:.0%} of the host"),
        Column("If growth doubles"),
        Column("If this host is lost", help=f"First weekly peak at {FULL:.0%} of the others"),
    ]
    shown = table("Likely date, and nine of ten courses between", columns, cells)
    note = (
        f"Full is {FULL:.0%} of the host: by the peak of memory, by the busiest hour of CPU (in "
        "cores). The line of the quarter goes on, and "
        "weeks scatter around it as they did; nine of ten courses lie between the two dates. "
        "Seasons longer than the quarter, and plans of people, are not in it."
    )
    return join([shown, join([note], "p", "note")])


def _when(quarter: QuarterlyReview, out: RunOut | None) -> str:
    if out is None:
        return "too few weeks"
    if out.latest == 0:
        return "now"
    if math.isinf(out.soonest):
        return "not within 2 years"
    soon, likely, late = (_date(quarter, weeks) for weeks in (out.soonest, out.likely, out.latest))
    return f"{likely} ({soon} to {late})"


def _date(quarter: QuarterlyReview, weeks: float) -> str:
    if math.isinf(weeks):
        return "later than 2 years"
    if weeks == 0:
        return "now"
    return f"{quarter.quarter.end + 7 * weeks * _DAY:%d %b %Y}"


def _lost(quarter: QuarterlyReview, row: HostRunway) -> str:
    if row.lost is None:
        return "no host is left" if row.as_is else "too few weeks"
    return "the others are too small now" if row.lost.latest == 0 else _when(quarter, row.lost)


def structure(quarter: QuarterlyReview) -> Html:
    """Candidates to split, merge, pool or retire."""
    if not quarter.structure:
        return Html("<p>No service stands out.</p>")
    cells = [
        (", ".join(each.services[:6]) + _more(len(each.services) - 6), each.what, each.why)
        for each in quarter.structure
    ]
    counts = Counter(each.what for each in quarter.structure)
    said = ", ".join(f"{many} to {what}" for what, many in counts.items())
    columns = [Column("Services"), Column("Ask whether to"), Column("Because")]
    return long_table(f"Questions for the owners, no proposals: {said}", columns, cells)


def _more(many: int) -> str:
    return f" and {many} more" if many > 0 else ""
