"""Which changes a scheduled run may apply by itself; a week with a failed verification turns it
off.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from capacity._common.text.printable import visible
from capacity.changes._apply.preflight import Refusal
from capacity.changes._journal.models import Kind
from capacity.changes._journal.runs import journal_runs
from capacity.changes._plan.plan import Plan, PlannedChange, is_edited, is_raise
from capacity.errors import ChangeRefused
from capacity.model import Setting
from capacity.settings import UnattendedSettings

__all__ = ["by_itself", "check_unattended"]

_WEEK = timedelta(days=7)


def check_unattended(plan: Plan, rules: UnattendedSettings, journal: Path, now: datetime) -> None:
    """Refuse to work without a person when the settings do not allow it, when the plan was made
    from data that is not good enough, or when a change went wrong in the last week.

    Raises:
        ChangeRefused: with the reason.
    """
    if not rules.enabled:
        raise ChangeRefused(
            "Unattended mode is off", "Set unattended.enabled = true, or apply the plan with --yes"
        )
    if warning := plan.made_from.warning:
        raise ChangeRefused(
            f"The plan is not applied unattended. {visible(warning)}",
            "Make a new plan then, or read this one and apply it with --yes",
        )
    for run, entries in journal_runs(journal, skip_damaged=True):
        bad = next(
            (entry for entry in entries if entry.kind is Kind.BAD and entry.time > now - _WEEK),
            None,
        )
        if bad is not None:
            raise ChangeRefused(
                f"Unattended mode is off until {bad.time + _WEEK:%Y-%m-%d %H:%M} UTC: the change "
                f"of {bad.service} in run {run} "
                f"did not hold ({bad.detail.reason})",
                "Look at that service; a person can apply the plan with --yes",
            )


def by_itself(
    plan: Plan, changes: Iterable[PlannedChange], rules: UnattendedSettings
) -> tuple[list[PlannedChange], list[Refusal]]:
    """The changes that need no person, and the others with the reason why they wait for one."""
    reasons = [(change, _waits(change, plan, rules)) for change in changes]
    return [change for change, reason in reasons if not reason], [
        Refusal(change, reason) for change, reason in reasons if reason
    ]


def _waits(change: PlannedChange, plan: Plan, rules: UnattendedSettings) -> str:
    if is_edited(plan):
        return "waits for a person: the plan was edited"
    if change.what not in {Setting.MEMORY, Setting.CPUS}:
        return f"waits for a person: {change.what} is never changed unattended"
    action = (
        "set"
        if change.before is None
        else "raise"
        if is_raise(change.what, change.before, change.after)
        else "lower"
    )
    if action not in rules.actions:
        return f"waits for a person: unattended.actions does not allow to {action} a limit"
    if change.reason not in rules.reasons:
        return f"waits for a person: the reason {change.reason} is not in unattended.reasons"
    if not any(fnmatchcase(change.service, glob) for glob in rules.services):
        return "waits for a person: unattended.services does not name it"
    if isinstance(change.before, (int, float)) and isinstance(change.after, (int, float)):
        share = abs(change.after - change.before) / change.before
        if share > rules.largest:
            return (
                f"waits for a person: it changes the limit by {share:.0%}, more than "
                f"{rules.largest:.0%}"
            )
    confidence = change.evidence.get("confidence", 0.0)
    if confidence < rules.confidence:
        return (
            f"waits for a person: its confidence is {confidence:.0%}, below {rules.confidence:.0%}"
        )
    return ""
