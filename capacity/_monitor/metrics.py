"""What the monitor exports to Prometheus."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from capacity._common.text.escape import encodable
from capacity._monitor.last_report import last_report
from capacity._monitor.state import now
from capacity.model import ServiceKey
from capacity.operations._schedule.state import exposition as schedule_exposition
from capacity.operations._schedule.state import read_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import Gauge

    from capacity._monitor.background_tasks import Monitor
    from capacity._monitor.state import Evaluation
    from capacity.model import Resource

__all__ = ["exposition"]

_UNITS = {"memory": "bytes", "cpu": "cores"}
_SERVICE = ("project", "service")


def exposition(watch: Monitor) -> str:
    """All gauges of this moment in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    gauge = partial(Gauge, namespace="capacity", registry=registry)
    up = gauge("monitor_loop_healthy", "Whether a loop of the monitor comes round", ("loop",))
    for loop in watch.loops:
        up.labels(loop.name).set(loop.healthy(now()))
    gauge("monitor_webhook_sent", "Messages that the webhook took").set(watch.notifier.sent)
    gauge("monitor_webhook_failed", "Tries that the webhook did not take").set(
        watch.notifier.failed
    )
    if watch.evaluation is not None:
        _evaluation(watch.evaluation, gauge)
    _limits(watch, gauge)
    jobs = read_states(watch.watched.settings.schedule.state)
    return generate_latest(registry).decode() + (schedule_exposition(jobs) if jobs else "")


def _evaluation(found: Evaluation, gauge: Callable[..., Gauge]) -> None:
    gauge("evaluation_duration_seconds", "How long the last evaluation took").set(found.seconds)
    gauge("evaluation_timestamp_seconds", "When the last evaluation ended").set(
        found.at.timestamp()
    )
    age = gauge("data_age_seconds", "Seconds since a source last answered", ("source",))
    for name, source in sorted(found.sources.items()):
        if source.answered is not None:
            age.labels(encodable(name)).set((now() - source.answered).total_seconds())
    gauge("compose_projects_unread", "Compose projects that cannot be loaded").set(
        len(found.facts.unread)
    )
    if found.report is None:
        return
    if found.report.score is not None:
        gauge("compliance_score", "Share of passes, weighted by severity, 0 to 1").set(
            found.report.score
        )
    counts = Counter(
        (finding.rule.id, str(finding.rule.severity), str(finding.status))
        for finding in found.report.findings
    )
    findings = gauge(
        "compliance_findings",
        "Findings by rule, severity and status",
        ("rule", "severity", "status"),
    )
    for place, count in sorted(counts.items()):
        findings.labels(*place).set(count)


def _limits(watch: Monitor, gauge: Callable[..., Gauge]) -> None:
    """Limits of the last evaluation, where it made none those of the last report; its forecasts."""
    tables = watch.evaluation.tables if watch.evaluation is not None else {}
    report = last_report(watch.watched.settings)
    limits: Mapping[Resource, Mapping[str, float]] = {
        resource: {str(key): float(value) for key, value in table["limit"].items()}
        for resource, table in tables.items()
    }
    if report is not None:
        gauge("report_timestamp_seconds", "End of the window of the last weekly report").set(
            report.as_of
        )
        limits = limits or report.limits
    peaks = report.peaks if report is not None else {}
    for found, name, text in (
        (limits, "recommended_limit", "Recommended limit"),
        (peaks, "forecast_peak_p95", "95 % quantile of the forecast peak, of the last report"),
    ):
        for resource, values in sorted(found.items()):
            _by_service(gauge(f"{resource}_{name}_{_UNITS[resource]}", text, _SERVICE), values)


def _by_service(gauge: Gauge, values: Mapping[str, float]) -> None:
    for key, value in values.items():
        if math.isfinite(value):
            service = ServiceKey.parse(encodable(key))
            gauge.labels(service.project, service.service).set(value)
