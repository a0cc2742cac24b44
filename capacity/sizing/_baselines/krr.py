"""Robusta KRR's strategies `simple` and `simple_limit`, with their constants (research: krr
d6baa745).

`simple` gives CPU no limit, only a request of the 95th percentile; as a comparator that number
stands for its answer. Memory, in both: the maximum of 14 days plus 15 %. CPU is rounded up to a
millicore and at least 10, memory to a MiB and at least 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capacity._common.text.units import MIB
from capacity.model import Resource
from capacity.sizing._policies.base import Floats, Past, at_any_risk, column_max, column_quantile

__all__ = ["Krr", "round_up"]

_DAYS = 14
_MEMORY_BUFFER = 0.15
_LEAST_SAMPLES = 100
_LEAST = {Resource.CPU: 0.010, Resource.MEMORY: 100.0 * MIB}
_GRAIN = {Resource.CPU: 0.001, Resource.MEMORY: float(MIB)}


@dataclass(frozen=True)
class Krr:
    """One of the two strategies, told apart by the CPU percentile that stands for the limit."""

    name: str
    cpu_quantile: float

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """Limits as KRR would print them, whatever the risk."""
        recent = past.last(_DAYS)
        if past.resource is Resource.CPU:
            raw = column_quantile(recent, self.cpu_quantile)
        else:
            raw = column_max(recent) * (1 + _MEMORY_BUFFER)
        enough = np.isfinite(recent).sum(axis=0) >= _LEAST_SAMPLES
        return at_any_risk(np.where(enough, round_up(raw, past.resource), np.nan), risks)


def round_up(value: Floats, resource: Resource) -> Floats:
    """To the next millicore or MiB, and not below KRR's floors."""
    grain = _GRAIN[resource]
    # a product such as 0.57 * 1000 must not climb a whole step by its last bit
    return np.maximum(np.ceil(np.round(value / grain, 9)) * grain, _LEAST[resource])
