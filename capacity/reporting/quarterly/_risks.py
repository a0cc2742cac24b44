"""What a quarter shows to be a risk: each with an identity that stays the same."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from capacity.compliance import Severity
from capacity.reporting._html.formatting import NAMES, PRINT
from capacity.reporting.quarterly._register import FoundRisk, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capacity.compliance import Report
    from capacity.reporting._analysis.runway import HostRunway
    from capacity.reporting._analysis.trends import ServiceTrend

__all__ = ["found_risks"]

_QUARTER_WEEKS = 13
_QUARTER = timedelta(weeks=_QUARTER_WEEKS)


def found_risks(
    runways: Sequence[HostRunway],
    trends: Iterable[ServiceTrend],
    leaks: Iterable[str],
    report: Report,
) -> list[FoundRisk]:
    """Hosts that run out or cannot be lost, services that outgrow their limit or leak, grave rules
    that are broken, waivers that end.
    """
    return [
        *_hosts(runways),
        *_growing(trends),
        *(
            FoundRisk(id=f"leak:{name}", level="medium", what=f"{name} leaks memory")
            for name in leaks
        ),
        *_broken(report),
        *_waivers(report),
    ]


def _hosts(runways: Sequence[HostRunway]) -> Iterator[FoundRisk]:
    if len({row.host for row in runways}) == 1:
        host = runways[0].host
        what = f"{host} is the only host: if it is lost, everything is"
        yield FoundRisk(id="single-host", level="high", what=what)
    for row in runways:
        name = f"{row.host}:{row.resource}"
        if row.as_is and row.as_is.soonest <= 2 * _QUARTER_WEEKS:
            level: Level = "high" if row.as_is.likely <= _QUARTER_WEEKS else "medium"
            when = f"in {row.as_is.soonest:.0f} weeks" if row.as_is.soonest else "already"
            what = f"{row.host} may be nine tenths full {when}: {NAMES[row.resource]}"
            yield FoundRisk(id=f"runway:{name}", level=level, what=what)
        if row.lost and row.lost.soonest <= 0:
            what = f"Without {row.host} the other hosts lack {NAMES[row.resource]}"
            yield FoundRisk(id=f"loss:{name}", level="high", what=what)


def _growing(trends: Iterable[ServiceTrend]) -> Iterator[FoundRisk]:
    for row in trends:
        trend = row.quarter
        if trend is None or trend.low <= 0 or not math.isfinite(row.limit):
            continue
        weeks = (row.limit - trend.level) / trend.slope
        if weeks <= _QUARTER_WEEKS:
            show = PRINT[row.resource]
            what = (
                f"{row.service} needs {show(trend.slope)} more {NAMES[row.resource]} every week, "
                f"its limit is {show(row.limit)}"
            )
            yield FoundRisk(id=f"growth:{row.service}:{row.resource}", level="medium", what=what)


def _broken(report: Report) -> Iterator[FoundRisk]:
    counts: dict[str, set[str]] = {}
    for finding in report.failing(Severity.CRITICAL):
        counts.setdefault(finding.rule.id, set()).add(finding.subject)
    titles = {rule.id: rule.title for rule in report.rules}
    for rule, subjects in sorted(counts.items()):
        what = f"{titles[rule]}: broken by {len(subjects)}"
        yield FoundRisk(id=f"rule:{rule}", level="high", what=what)


def _waivers(report: Report) -> Iterator[FoundRisk]:
    for waiver in report.waivers:
        if waiver.expires <= report.today + _QUARTER:
            ended = waiver.expired(report.today)
            what = (
                f"The waiver of {waiver.rule} for {waiver.service} "
                f"{'ended' if ended else 'ends'} on {waiver.expires}"
            )
            key = f"waiver:{waiver.rule}:{waiver.service}"
            yield FoundRisk(id=key, level="medium" if ended else "low", what=what)
