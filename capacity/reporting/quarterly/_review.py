"""Everything the quarterly architecture review says, computed: no display here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from capacity._api import sizing_inputs
from capacity.model import Reason, Resource, Signal
from capacity.reporting import compliance, weekly
from capacity.reporting._analysis.promises import earlier_runs, promised_limits
from capacity.reporting._analysis.runway import HostRunway, host_runways
from capacity.reporting._analysis.trends import ServiceTrend, Trend, trend_of, weekly_peaks
from capacity.reporting._runs import ReportRun, list_reports
from capacity.reporting.quarterly._register import (
    FILE,
    FoundRisk,
    Risk,
    carry_on,
    read_register,
    write_register,
)
from capacity.reporting.quarterly._risks import found_risks
from capacity.reporting.quarterly._rules import (
    Debt,
    RuleChange,
    SettingChange,
    debts,
    rule_changes,
    rule_state,
    setting_changes,
)
from capacity.reporting.quarterly._structure import Restructuring, restructurings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from capacity.history import History
    from capacity.settings import Settings

__all__ = [
    "REPORT",
    "SIGNALS",
    "WINDOW",
    "QuarterlyReview",
    "ServiceTrend",
    "quarter_name",
    "review",
    "save",
]

REPORT = "quarterly-architecture"
WINDOW = "91D"
SIGNALS = (
    Signal.CPU,
    Signal.MEMORY,
    Signal.OOM_KILLS,
    Signal.HOST_CPU,
    Signal.HOST_CORES,
    Signal.HOST_MEMORY,
    Signal.HOST_MEMORY_TOTAL,
)
"""What of the quarter is looked at; the weeks that sizing learns from have every signal."""

_QUARTER = pd.Timedelta("92D")  # a quarterly run is not always at the same hour


@dataclass(frozen=True)
class QuarterlyReview:
    """The review of one quarter.

    Attributes:
        name: quarter of its end, such as `2026-Q4`.
        quarter: the 13 weeks, with the daily peaks of the archive before them.
        week: the weekly review at its end: recommendations, data quality.
        compliance: the compliance review at its end.
        trends: by share of the host a week of growth takes, the fastest first.
        runways: hosts, what runs out first at the top.
        structure: candidates to split, merge, pool or retire.
        settings: settings that changed within the quarter.
        rules: rules that changed since the last quarterly review; None without one.
        debts: broken rules.
        promises: what the proposals of the earliest run of the quarter became, see the monthly
            review.
        promised_in: that run.
        risks: the register.
        previous: the last quarterly run before this one.
    """

    name: str
    quarter: History
    week: weekly.WeeklyReview
    compliance: compliance.ComplianceReview
    trends: list[ServiceTrend]
    runways: list[HostRunway]
    structure: list[Restructuring]
    settings: list[SettingChange]
    rules: list[RuleChange] | None
    debts: list[Debt]
    promises: pd.DataFrame
    promised_in: ReportRun | None
    risks: list[Risk]
    previous: ReportRun | None


def quarter_name(as_of: pd.Timestamp) -> str:
    """`2026-Q4`: the quarter that the moment before `as_of` lies in, so that a run on the first
    reviews the quarter that ended.
    """
    last = as_of - pd.Timedelta("1s")
    return f"{last.year}-Q{(last.month + 2) // 3}"


def review(
    quarter: History,
    recent: History,
    settings: Settings,
    paths: Sequence[str] = (),
    reports: Path | None = None,
    services: str = "",
) -> QuarterlyReview:
    """The quarterly review of a window.

    Args:
        quarter: 13 weeks of `SIGNALS`; its end is the moment of the review.
        recent: the weeks that limits are sized by, with every signal and the same end.
        settings: rules of the settings.
        paths: compose files or folders for compliance; default those of the sample for its history.
        reports: folder of earlier runs of every kind.
        services: the glob that both were narrowed by; empty = all.

    Raises:
        InputError: an unreadable rule book, waivers or risk register, or no compose file at a path.
    """
    week = weekly.review(recent, settings, reports, services)
    judged = compliance.review(recent, settings, paths, reports=reports, services=services)
    known = _mine(reports, REPORT, quarter, services)
    # a run of the same quarter gives way to this one, yet what people wrote into it stays
    previous = [run for run in known if run.facts.get("name") != quarter_name(quarter.end)]
    since = quarter.end - _QUARTER
    runs = [run for run in earlier_runs(reports, quarter, services) if run.as_of >= since]
    checked = [
        run for run in _mine(reports, compliance.REPORT, quarter, services) if run.as_of >= since
    ]
    trends, runways = _trends(quarter, week), host_runways(quarter)
    found = found_risks(runways, trends, _leaks(week), judged.report)
    return QuarterlyReview(
        name=quarter_name(quarter.end),
        quarter=quarter,
        week=week,
        compliance=judged,
        trends=trends,
        runways=runways,
        structure=restructurings(quarter, sizing_inputs.service_types(settings)),
        settings=setting_changes(runs),
        rules=_rule_changes(previous[-1], judged) if previous else None,
        debts=debts(judged.report, checked),
        promises=promised_limits(recent, runs[0] if runs else None),
        promised_in=runs[0] if runs else None,
        risks=_register(known, found, quarter),
        previous=previous[-1] if previous else None,
    )


def save(quarter: QuarterlyReview, folder: Path, *, seconds: float = 0.0) -> None:
    """Write the quarter's `plan.yaml`, `risks.yaml` and `run.json`.

    Raises:
        StorageError: the folder cannot be written.
    """
    facts: dict[str, object] = {
        "rules": rule_state(quarter.compliance.report),
        "score": quarter.compliance.report.score,
        "risks": sum(risk.closed is None for risk in quarter.risks),
        "headline": [risk.what for risk in quarter.risks if risk.closed is None],
    }
    weekly.save(
        quarter.week, folder, report=REPORT, name=quarter.name, extra=facts, seconds=seconds
    )
    write_register(quarter.risks, folder / FILE)


def _mine(reports: Path | None, report: str, quarter: History, services: str) -> list[ReportRun]:
    """Runs of a report on the same source and choice, up to this moment, oldest first."""
    same = (quarter.source, services)
    return [
        run
        for run in (list_reports(reports, report) if reports else [])
        if (run.facts.get("source"), run.facts.get("services", "")) == same
        and run.as_of <= quarter.end
    ]


def _register(
    known: Sequence[ReportRun], found: Sequence[FoundRisk], quarter: History
) -> list[Risk]:
    before = read_register(known[-1].folder / FILE) if known else []
    return carry_on(before, found, quarter.end.date())


def _rule_changes(
    previous: ReportRun, judged: compliance.ComplianceReview
) -> list[RuleChange] | None:
    then = previous.facts.get("rules")
    return rule_changes(then, rule_state(judged.report)) if isinstance(then, dict) else None


def _leaks(week: weekly.WeeklyReview) -> list[str]:
    return sorted({str(name) for name in week.without(Reason.LEAK).index})


def _trends(quarter: History, week: weekly.WeeklyReview) -> list[ServiceTrend]:
    """Running services; what grows fastest against its host first."""
    running, found = quarter.running(), []
    for resource in Resource:
        peaks = weekly_peaks(quarter[resource.usage], quarter.end)
        past = quarter.past_peaks.get(resource)
        older = weekly_peaks(past, quarter.start) if past is not None and len(past) else None
        limits, sizes = week.tables[resource]["current"], quarter.host_size(resource)
        for name in map(str, peaks.columns):
            if not running.get(name, False):
                continue
            row = ServiceTrend(
                service=name,
                resource=resource,
                peak=float(peaks[name].max()),
                quarter=trend_of(peaks[name]),
                archive=_whole(older, peaks, name),
                limit=float(limits.get(name, float("nan"))),
            )
            size = float(sizes.get(name, float("nan")))
            found.append((_pace(row.quarter, size, row.peak), row))
    return [row for _, row in sorted(found, key=lambda pair: (-pair[0], pair[1].service))]


def _pace(trend: Trend | None, size: float, peak: float) -> float:
    """Sure growth a week, as a share of the host, or of its own peak where that is unknown."""
    if trend is None:
        return float("-inf")
    return trend.low / (size if size > 0 else max(peak, 1e-9))


def _whole(older: pd.DataFrame | None, peaks: pd.DataFrame, name: str) -> Trend | None:
    if older is None or name not in older.columns or not older[name].notna().any():
        return None
    return trend_of(pd.concat([older[name], peaks[name]]))
