"""Changes of state for a webhook, in Alertmanager's own format: grouped by rule, once each,
retried, resolved when fixed.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from capacity._common.plain_data import PlainMapping
from capacity._common.runbooks import runbook_url

if TYPE_CHECKING:
    from capacity.compliance import Finding, Report
    from capacity.settings import MonitorSettings

__all__ = ["Notifier", "messages"]

_log = logging.getLogger("capacity")
_NEVER = "0001-01-01T00:00:00Z"
_PATIENCE = 10.0  # seconds for the webhook to answer
_LONGEST_PAUSE = 300.0
_MOST_WAITING = 1000  # messages, before another look's are added
_PASSING = frozenset({408, 429})  # refusals that hold for now only: too slow, too many
_Active = dict[tuple[str, str], "_Told"]


@dataclass(frozen=True, slots=True)
class _Told:
    """A finding as it was told: since when, and in which words."""

    since: datetime
    labels: dict[str, str]
    summary: str
    fix: str


class Notifier:
    """Keeps what has been told, and tells the difference."""

    def __init__(self, settings: MonitorSettings, runbooks: str | None = None) -> None:
        self.wake = threading.Event()
        self.sent = self.failed = 0
        self._webhook = settings.webhook.get_secret_value() if settings.webhook else ""
        self._external, self._runbooks = settings.external_url, runbooks
        self._active: _Active = {}
        self._waiting: deque[PlainMapping] = deque()
        self._pause, self._not_before = 1.0, 0.0

    def tell(self, report: Report, at: datetime) -> None:
        """Queue messages of what is new and of what is fixed since the last report."""
        if not self._webhook:
            return
        if len(self._waiting) >= _MOST_WAITING:  # what is not queued is not held for told
            _log.warning("%d alerts wait for the webhook; more are told later", len(self._waiting))
            return
        firing = {(finding.rule.id, finding.subject): finding for finding in report.failing()}
        new, fixed = messages(firing, self._active, at, self._external, self._runbooks)
        self._waiting.extend([*new, *fixed])
        self.wake.set()

    def work(self) -> None:
        """Send what waits, oldest first; after a failure wait twice as long as the time before.

        What the webhook will never take is let go.
        """
        while self._waiting and time.monotonic() >= self._not_before:
            message = self._waiting.popleft()
            cause, again = self._send(message)
            if not cause:
                self.sent += 1
                self._pause = 1.0
                continue
            self.failed += 1
            _log.warning(
                "The webhook did not take an alert%s: %s",
                "" if again else ", which is let go",
                cause,
            )
            if again:
                self._waiting.appendleft(message)
                self._not_before = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _send(self, message: PlainMapping) -> tuple[str, bool]:
        """What went wrong or nothing, and whether that may pass."""
        from capacity._common.bounded_http import status_of

        try:
            status = status_of("POST", self._webhook, message, _PATIENCE)
        except (OSError, ValueError) as error:
            return type(error).__name__, True
        final = 400 <= status < 500 and status not in _PASSING
        return "" if status < 400 else f"HTTP {status}", not final


def messages(
    firing: dict[tuple[str, str], Finding],
    active: _Active,
    at: datetime,
    external: str,
    runbooks: str | None = None,
) -> tuple[list[PlainMapping], list[PlainMapping]]:
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
        found = firing[key]
        active[key] = _Told(at, _labels(found), found.verdict.message, found.rule.remediation)
    told = [_message(rule, of, None, external, runbooks) for rule, of in _by_rule(new, active)]
    gone = [_message(rule, of, at, external, runbooks) for rule, of in _by_rule(fixed, active)]
    for key in fixed:
        del active[key]
    return told, gone


def _by_rule(keys: list[tuple[str, str]], active: _Active) -> list[tuple[str, list[_Told]]]:
    rules = dict.fromkeys(rule for rule, _ in keys)
    return [(rule, [active[key] for key in keys if key[0] == rule]) for rule in rules]


def _labels(finding: Finding) -> dict[str, str]:
    return {
        "alertname": "CapacityRule",
        "rule": finding.rule.id,
        "slug": finding.rule.slug,
        "severity": str(finding.rule.severity),
        "subject": finding.subject,
    }


def _alert(told: _Told, ended: datetime | None, runbooks: str | None) -> PlainMapping:
    page = runbook_url(told.labels["rule"], runbooks)
    identity = "".join(f"{name}={value};" for name, value in sorted(told.labels.items()))
    return {
        "status": "firing" if ended is None else "resolved",
        "labels": told.labels,
        "annotations": {
            "summary": told.summary,
            "description": told.fix,
            **({"runbook_url": page} if page else {}),
        },
        "startsAt": told.since.astimezone(UTC).isoformat(),
        "endsAt": _NEVER if ended is None else ended.astimezone(UTC).isoformat(),
        "generatorURL": "",
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:16],
    }


def _message(
    rule: str, told: list[_Told], ended: datetime | None, external: str, runbooks: str | None
) -> PlainMapping:
    """Alertmanager's webhook body, version 4; `ended` is None while they fire."""
    common = set.intersection(*(set(each.labels.items()) for each in told))
    return {
        "version": "4",
        "groupKey": f'{{}}:{{rule="{rule}"}}',
        "truncatedAlerts": 0,
        "status": "firing" if ended is None else "resolved",
        "receiver": "capacity",
        "groupLabels": {"rule": rule},
        "commonLabels": dict(sorted(common)),
        "commonAnnotations": {},
        "externalURL": external,
        "alerts": [_alert(each, ended, runbooks) for each in told],
    }
