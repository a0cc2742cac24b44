"""What a policy sees and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from capacity.model import Resource

if TYPE_CHECKING:
    from capacity.forecasting import PeakDistribution

__all__ = [
    "LEAST",
    "Floats",
    "Past",
    "Policy",
    "at_any_risk",
    "column_max",
    "column_quantile",
    "in_blocks",
]

Floats = NDArray[np.float64]
LEAST = 1e-12  # of whatever unit: a logarithm needs something
_DAY = 86_400
_BLOCK = 256  # services


@dataclass(frozen=True)
class Past:
    """Usage up to the moment of a decision.

    Attributes:
        values: samples x services, cores or bytes, NaN = no sample.
        step: seconds between samples.
        resource: which limit is asked for.
        current: limit in force by service; NaN = none.
        days: daily summaries of these samples (days x services x STATS), when the caller keeps
            them.
        peaks: distribution of the coming peak within the horizon, when the caller has it.
        horizon: days that a limit must hold.
        kills: samples x services, kills for memory under the limit in force, when the caller knows
            them.
    """

    values: Floats
    step: int
    resource: Resource
    current: Floats
    days: Floats | None = None
    peaks: PeakDistribution | None = None
    horizon: float = 7.0
    kills: Floats | None = None

    def last(self, days: float) -> Floats:
        """The samples of the last `days`."""
        return self.values[-max(1, round(days * _DAY / self.step)) :]


class Policy(Protocol):
    """A rule that turns the past into limits."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """Limit at each risk for each service, shape (risks, services), cores or bytes; NaN = no
        answer.

        Policies without a notion of risk answer the same at each.
        """


def at_any_risk(limit: Floats, risks: Sequence[float]) -> Floats:
    """The answer of a policy that knows no risk, once for each."""
    return np.tile(limit, (len(risks), 1))


def column_max(values: Floats) -> Floats:
    """Maximum of each column; NaN for one without samples."""
    known = np.isfinite(values)
    highest = np.where(known, values, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(known.any(axis=0), highest, np.nan)


def in_blocks(measure: Callable[[Floats], Floats], values: Floats) -> Floats:
    """A measure of each column, of so many columns at a time: what it works on is not another copy
    of all samples.

    Args:
        measure: samples x services -> one row or number a service.
        values: samples x services.
    """
    starts = range(0, max(values.shape[1], 1), _BLOCK)
    return np.concatenate([measure(values[:, start : start + _BLOCK]) for start in starts])


def column_quantile(values: Floats, level: float) -> Floats:
    """Linearly interpolated quantile of each column's samples (numpy's default method); NaN for one
    without samples.
    """
    return in_blocks(lambda block: _quantile(block, level), values)


def _quantile(values: Floats, level: float) -> Floats:
    if not len(values):
        return np.full(values.shape[1], np.nan)
    ordered = np.sort(values, axis=0)  # NaN goes last
    count = np.isfinite(ordered).sum(axis=0)
    position = level * np.maximum(count - 1, 0)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    columns = np.arange(values.shape[1])
    low, high = ordered[below, columns], ordered[above, columns]
    return np.where(count > 0, low + (position - below) * (high - low), np.nan)
