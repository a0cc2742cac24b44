"""Changes of state for a webhook, in Alertmanager's own format: grouped by rule, once each,
retried, resolved when fixed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from capacity._common.runbooks import runbook_url

if TYPE_CHECKING:
    from capacity.compliance import Finding, Report
    from capacity.settings import MonitorSettings

__all__ = ["Notifier", "messages"]

_log = logging.getLogger("capacity")
_NEVER = "0001-01-01T00:00:00Z"
_PATIENCE = 10.0  # seconds for the webhook to answer
_LONGEST_PAUSE = 300.0
_MOST_WAITING = 1000
_Active = dict[tuple[str, str], tuple[datetime, dict[str, Any]]]


class Notifier:
    """Keeps what has been told, and tells the difference."""

    def __init__(self, settings: MonitorSettings, runbooks: str | None = None) -> None:
        self.wake = threading.Event()
        self.sent = self.failed = 0
        self._webhook = settings.webhook.get_secret_value() if settings.webhook else ""
        self._external, self._runbooks = settings.external_url, runbooks
        self._active: _Active = {}
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_MOST_WAITING)
        self._pause, self._not_before = 1.0, 0.0

    def tell(self, report: Report, at: datetime) -> None:
        """Queue messages of what is new and of what is fixed since the last report."""
        if not self._webhook:
            return
        firing = {(finding.rule.id, finding.subject): finding for finding in report.failing()}
        new, fixed = messages(firing, self._active, at, self._external, self._runbooks)
        self._waiting.extend([*new, *fixed])
        self.wake.set()

    def work(self) -> None:
        """Send what waits, oldest first; after a failure wait twice as long as the time before."""
        from capacity.history._prometheus.bounded import status_of

        while self._waiting and time.monotonic() >= self._not_before:
            try:
                status = status_of("POST", self._webhook, self._waiting[0], _PATIENCE)
                cause = "" if status < 400 else f"HTTP {status}"
            except (OSError, ValueError) as error:
                cause = type(error).__name__
            if cause:
                self.failed += 1
                self._not_before = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
                _log.warning("The webhook did not take an alert: %s", cause)
                return
            self.sent += 1
            self._pause = 1.0
            self._waiting.popleft()


def messages(
    firing: dict[tuple[str, str], Finding],
    active: _Active,
    at: datetime,
    external: str,
    runbooks: str | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Messages of new and of fixed findings, one a rule; `active` is brought up to date.

    Args:
        firing: (rule id, subject) -> finding.
        active: what has been told to fire, since when.
        at: now.
        external: address of the monitor for links.
        runbooks: address of the runbooks, see `capacity._common.runbooks.runbook_url`.
    """
    new = [key for key in sorted(firing) if key not in active]
    fixed = [key for key in sorted(active) if key not in firing]
    for key in new:
        active[key] = (
            at,
            _labels(firing[key])
            | {"_summary": firing[key].verdict.message, "_fix": firing[key].rule.remediation},
        )
    told = [
        _message(
            rule, [_alert(active[key], None, runbooks) for key in new if key[0] == rule], external
        )
        for rule in _rules(new)
    ]
    gone = [
        _message(
            rule, [_alert(active[key], at, runbooks) for key in fixed if key[0] == rule], external
        )
        for rule in _rules(fixed)
    ]
    for key in fixed:
        del active[key]
    return told, gone


def _rules(keys: list[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(rule for rule, _ in keys))


def _labels(finding: Finding) -> dict[str, Any]:
    return {
        "alertname": "CapacityRule",
        "rule": finding.rule.id,
        "slug": finding.rule.slug,
        "severity": str(finding.rule.severity),
        "subject": finding.subject,
    }


def _alert(
    told: tuple[datetime, dict[str, Any]], ended: datetime | None, runbooks: str | None
) -> dict[str, Any]:
    since, said = told
    labels = {name: value for name, value in said.items() if not name.startswith("_")}
    page = runbook_url(labels["rule"], runbooks)
    identity = "".join(f"{name}={value};" for name, value in sorted(labels.items()))
    return {
        "status": "firing" if ended is None else "resolved",
        "labels": labels,
        "annotations": {
            "summary": said["_summary"],
            "description": said["_fix"],
            **({"runbook_url": page} if page else {}),
        },
        "startsAt": since.astimezone(UTC).isoformat(),
        "endsAt": _NEVER if ended is None else ended.astimezone(UTC).isoformat(),
        "generatorURL": "",
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:16],
    }


def _message(rule: str, alerts: list[dict[str, Any]], external: str) -> dict[str, Any]:
    """Alertmanager's webhook body, version 4."""
    common = set.intersection(*(set(alert["labels"].items()) for alert in alerts))
    return {
        "version": "4",
        "groupKey": f'{{}}:{{rule="{rule}"}}',
        "truncatedAlerts": 0,
        "status": alerts[0]["status"],
        "receiver": "capacity",
        "groupLabels": {"rule": rule},
        "commonLabels": dict(sorted(common)),
        "commonAnnotations": {},
        "externalURL": external,
        "alerts": alerts,
    }
