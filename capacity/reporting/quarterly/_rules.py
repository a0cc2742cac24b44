"""What changed in the rules within a quarter and what that did, and what stays broken."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from capacity.reporting._runs import RuleState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capacity.compliance import Report, Rule
    from capacity.reporting._runs import ReportRun

__all__ = [
    "Debt",
    "RuleChange",
    "SettingChange",
    "debts",
    "rule_changes",
    "rule_state",
    "setting_changes",
]


@dataclass(frozen=True)
class SettingChange:
    """A setting that changed between two runs.

    Attributes:
        when: end of the first run with the new value, UTC.
        setting: dotted name.
        before: JSON of the old value; `unset` where there was none.
        after: of the new one.
        proposals: changes proposed by the run before and by the first after.
    """

    when: pd.Timestamp
    setting: str
    before: str
    after: str
    proposals: tuple[int, int]


@dataclass(frozen=True)
class RuleChange:
    """A rule of the book that came, went or changed since the last quarter, and how many subjects
    broke it then (None = it was not counted) and do now.
    """

    rule: str
    title: str
    what: str
    then: int | None
    now: int


@dataclass(frozen=True)
class Debt:
    """A rule that stays broken: by how many subjects now, of which `whole` did in the first run of
    the quarter too; `since` is the end of that run, None without one.
    """

    rule: str
    title: str
    severity: str
    now: int
    whole: int
    since: pd.Timestamp | None


def setting_changes(runs: Sequence[ReportRun]) -> list[SettingChange]:
    """Settings that differ between consecutive runs, oldest first."""
    found = []
    for earlier, later in pairwise(runs):
        old, new = (dict(_flat(run.facts.get("settings", {}))) for run in (earlier, later))
        proposals = (_count(earlier), _count(later))
        for name in sorted(old.keys() | new.keys()):
            before, after = old.get(name, "unset"), new.get(name, "unset")
            if before != after and old and new:
                found.append(SettingChange(later.as_of, name, before, after, proposals))
    return found


def _count(run: ReportRun) -> int:
    changes = run.facts.get("changes", 0)
    return changes if isinstance(changes, int) else 0


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(inner, f"{name}.{key}" if name else str(key))
        ]
    return [(name, json.dumps(value, sort_keys=True))] if name else []


def rule_state(report: Report) -> dict[str, RuleState]:
    """Rule id -> slug, severity, hash of what it asks for, subjects that break it; plain JSON."""
    failing = Counter(rule for rule, _ in report.failing_pairs())
    return {
        rule.id: {
            "slug": rule.slug,
            "severity": str(rule.severity),
            "asks": _asks(rule),
            "failing": failing[rule.id],
        }
        for rule in report.rules
    }


def _asks(rule: Rule) -> str:
    said = repr((rule.check, sorted(rule.parameters.items()), rule.scope))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def rule_changes(then: Mapping[str, RuleState], now: Mapping[str, RuleState]) -> list[RuleChange]:
    """What differs between two states of a rule book, by rule."""
    found = []
    for rule in sorted(then.keys() | now.keys()):
        old, new = then.get(rule), now.get(rule)
        what = _difference(old, new)
        if what:
            title = str((new or old or {}).get("slug", ""))
            count = None if old is None else int(old.get("failing", 0))
            found.append(RuleChange(rule, title, what, count, int((new or {}).get("failing", 0))))
    return found


def _difference(old: RuleState | None, new: RuleState | None) -> str:
    if old is None:
        return "added"
    if new is None:
        return "removed"
    moved = old.get("severity") != new.get("severity")
    parts = [
        f"severity {old.get('severity')} → {new.get('severity')}" if moved else "",
        "asks for something else" if old.get("asks") != new.get("asks") else "",
    ]
    return "; ".join(part for part in parts if part)


def debts(report: Report, runs: Sequence[ReportRun]) -> list[Debt]:
    """Broken rules by severity, with what was broken all through the stored compliance runs."""
    now = set(report.failing_pairs())
    standing = set(now)
    for run in runs:
        standing &= {(str(rule), str(subject)) for rule, subject in run.facts.get("failing", [])}
    broken = Counter(rule for rule, _ in now)
    whole = Counter(rule for rule, _ in standing) if runs else Counter[str]()
    since = runs[0].as_of if runs else None
    ordered = sorted(report.rules, key=lambda rule: (rule.severity.rank, rule.id))
    return [
        Debt(rule.id, rule.slug, str(rule.severity), broken[rule.id], whole[rule.id], since)
        for rule in ordered
        if broken[rule.id]
    ]
