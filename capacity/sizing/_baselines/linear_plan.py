"""The remediation plan's own optimiser, its flaws included.

It looks at one reading. Above 85 % of the limit the limit grows by a quarter; below 30 % it shrinks
by a quarter, but only for a container that it has looked at before. One low reading at night
therefore lowers the limit of a service that is busy by day, and without a limit it measures itself
against the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from capacity.model import Resource
from capacity.sizing._policies.base import Floats, Past, at_any_risk, column_max

__all__ = ["LinearPlan", "adjusted"]

_LOW, _HIGH = 0.30, 0.85
_SHRINK, _GROW = 0.75, 1.25
# times the peak, where no limit is in force: the plan starts from limits that people had set
_FIRST_LIMIT = 2.0


@dataclass
class LinearPlan:
    """Keeps, like the plan's code, which services it has seen and the limits it left them with."""

    name: str = "seed"
    _limits: Floats | None = field(default=None, repr=False)

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """The limits after one more look, whatever the risk."""
        first = np.where(
            np.isfinite(past.current), past.current, column_max(past.values) * _FIRST_LIMIT
        )
        seen = self._limits is not None and len(self._limits) == len(first)
        before = self._limits if seen and self._limits is not None else first
        before = np.where(np.isfinite(before), before, first)
        moved = adjusted(past.values[-1], before, seen_before=seen)
        # the plan cuts to whole bytes
        self._limits = np.trunc(moved) if past.resource is Resource.MEMORY else moved
        return at_any_risk(self._limits, risks)


def adjusted(reading: Floats, limit: Floats, *, seen_before: bool) -> Floats:
    """The rule itself: limits after one reading."""
    with np.errstate(invalid="ignore"):
        share = reading / limit
        lowered = np.where((share < _LOW) & seen_before, limit * _SHRINK, limit)
        return np.where(share > _HIGH, limit * _GROW, lowered)
