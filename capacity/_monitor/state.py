"""What the monitor knows: the last evaluation, and since when any of its sources has been
silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from capacity.compliance import Facts, PortProposal, Report
    from capacity.model import Resource

__all__ = ["Evaluation", "SourceState", "now"]


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SourceState:
    """Where facts come from: when it last answered, and what is wrong since."""

    answered: datetime | None = None
    error: str = ""
    stale_since: datetime | None = None

    def after(self, error: str, at: datetime) -> SourceState:
        """The source after another try; no error is an answer."""
        if not error:
            return SourceState(answered=at)
        return SourceState(self.answered, error, self.stale_since or self.answered or at)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation.

    Attributes:
        at: when it ended, UTC.
        seconds: how long it took.
        report: findings and score; None when it failed or nothing could be evaluated.
        facts: what it looked at.
        moves: ports that would end conflicts.
        tables: limits by resource; empty without history.
        sources: `files`, `engine`, `prometheus` or `archive` -> their state, of those asked.
        error: why there is no report.
    """

    at: datetime
    seconds: float
    report: Report | None
    facts: Facts
    moves: tuple[PortProposal, ...] = ()
    tables: Mapping[Resource, pd.DataFrame] = field(default_factory=dict)
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    error: str = ""

    def age(self, at: datetime) -> timedelta:
        """How old it is."""
        return at - self.at
