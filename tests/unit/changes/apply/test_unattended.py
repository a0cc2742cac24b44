"""What is applied without a person, at its very bounds."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from capacity.changes._apply.unattended import by_itself, check_unattended
from capacity.changes._journal.journal import open_journal
from capacity.changes._journal.models import Kind
from capacity.errors import ChangeRefused
from capacity.model import Reason
from capacity.settings import UnattendedSettings
from tests.fixtures.running.fleet import cpus, memory, plan_of

MINUTE, WEEK = timedelta(minutes=1), timedelta(days=7)
RULES = UnattendedSettings(
    enabled=True,
    actions=["raise", "lower"],
    reasons=["requested"],
    services=["a/*"],
    largest=0.5,
    confidence=0.8,
)


def test_unattended_mode_is_off_for_exactly_a_week(tmp_path: Path) -> None:
    """From the failure on for seven days; nothing else in a journal turns it off."""
    journal = open_journal(tmp_path, "r1")
    with closing(journal.handle):
        journal.write(Kind.STARTED, who="x")
        failed = journal.write(Kind.BAD, step=1, service="a/b", reason="killed").time
        journal.write(Kind.FINISHED, state="finished")
    for moment in (failed, failed + WEEK - MINUTE):
        with pytest.raises(ChangeRefused, match="Unattended mode is off until"):
            check_unattended(plan_of(), RULES, tmp_path, moment)
    check_unattended(plan_of(), RULES, tmp_path, failed + WEEK)


def test_a_plan_of_too_little_data_is_not_applied_unattended(tmp_path: Path) -> None:
    """What it says of itself is the reason; a person may still apply it."""
    plan = plan_of(warning="Not good enough to act on: no samples")
    with pytest.raises(ChangeRefused, match=r"not applied unattended\. Not good enough to act on"):
        check_unattended(plan, RULES, tmp_path, datetime.now(UTC))


@pytest.mark.parametrize(
    ("before", "after", "confidence", "waits"),
    [
        (64, 96, 0.8, ""),  # half more, and just sure enough
        (64, 97, 0.8, "more than 50%"),
        (64, 32, 0.8, ""),
        (64, 31, 0.8, "more than 50%"),
        (64, 96, 0.79, "below 80%"),
        (64, 96, None, "below 80%"),
        (None, 96, 1.0, "does not allow to set"),
    ],
)
def test_unattended_changes_stay_within_their_bounds(
    before: float | None, after: float, confidence: float | None, waits: str
) -> None:
    """The bound itself is allowed; without evidence nobody is sure."""
    evidence = {} if confidence is None else {"confidence": confidence}
    plan = plan_of(memory("a/b", before, after, Reason.REQUESTED, **evidence))
    chosen, waiting = by_itself(plan, plan.changes, RULES)
    assert (len(chosen), len(waiting)) == ((0, 1) if waits else (1, 0))
    assert all(waits in refusal.reason for refusal in waiting)


def test_a_lowering_that_is_not_allowed_waits() -> None:
    """A raise and a lowering are told apart, for CPU as for memory."""
    rules = RULES.model_copy(update={"actions": ["raise"]})
    plan = plan_of(cpus("a/up", 1, 1.2, confidence=1.0), cpus("a/down", 1, 0.8, confidence=1.0))
    chosen, waiting = by_itself(plan, plan.changes, rules)
    assert [change.service for change in chosen] == ["a/up"]
    assert "does not allow to lower" in waiting[0].reason
