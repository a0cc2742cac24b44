"""From a table of recommendations to the shared noun `Change`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from capacity.model import Action, Change, Reason, Resource

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["changes_from"]

_EVIDENCE: tuple[str, ...] = (
    "peak",
    "peak_high",
    "observed_peak",
    "p99",
    "breach_now",
    "breach_after",
    "breaches",
    "breach_minutes",
    "throttled",
)
_EVIDENCE += ("oom_kills", "confidence", "raised_above")


def changes_from(table: pd.DataFrame, resource: Resource | str) -> list[Change]:
    """The changes that a table of `recommend` proposes, by service."""
    proposed = table[table["action"].isin([Action.SET, Action.RAISE, Action.LOWER])].sort_index()
    return [
        Change(
            service=str(service),
            resource=Resource(resource),
            before=None if math.isnan(row["current"]) else float(row["current"]),
            after=float(row["limit"]),
            reason=Reason(row["reason"]),
            evidence=_evidence(row),
        )
        for service, row in proposed.iterrows()
    ]


def _evidence(row: pd.Series[Any]) -> dict[str, float]:
    """What is known; where no chance alone raises a limit, it is raised above 1."""
    known = {name: round(float(row[name]), 6) for name in _EVIDENCE if math.isfinite(row[name])}
    return {"raised_above": 1.0, **known} if "breach_now" in known else known
