"""How many instances a pool needs: as many as were ever busy at once, grown as the forecast grows,
and not one more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capacity.errors import InputError

__all__ = ["PoolSize", "pool_size"]

_IDLE = 0.05  # share of an instance's own busy level under which it waits
_LEAST = 0.02  # cores; below this nothing works
_LEVEL = 0.999


@dataclass(frozen=True)
class PoolSize:
    """A proposed size.

    Attributes:
        size: instances that are enough.
        instances: how many there are now.
        at_once: how many were busy at the same time, in all but one of a thousand steps.
        growth: what the forecast multiplies that by.
        freed: memory that the others hold today, bytes.
    """

    size: int
    instances: int
    at_once: float
    growth: float
    freed: float

    @property
    def why(self) -> str:
        """One sentence for people."""
        grown = f", {self.growth:.2f} times that by the forecast" if self.growth > 1 else ""
        return (
            f"{self.at_once:g} of {self.instances} were busy at once at most{grown}: {self.size} "
            "are enough"
        )


def pool_size(
    cpu: pd.DataFrame, memory: pd.DataFrame | None = None, growth: float = 1.0
) -> PoolSize:
    """The size of a pool that replaces instances standing alone.

    Args:
        cpu: cores used, time x instances.
        memory: bytes used, the same; without it nothing is said of the memory.
        growth: forecast load over past load; below 1 nothing is taken away.

    Raises:
        InputError: no instance, or no sample.
    """
    seen = cpu.dropna(axis=1, how="all")
    if seen.empty or not len(seen.columns):
        raise InputError(
            "There is no sample of these services", "Name services with history, such as 'agents/*'"
        )
    values = seen.to_numpy(dtype=float)
    level = np.nanquantile(values, 0.99, axis=0)
    busy = values > np.maximum(level * _IDLE, _LEAST)
    # `higher`: a count of instances, not something between two
    at_once = float(np.quantile(busy.sum(axis=1), _LEVEL, method="higher"))
    grown = max(growth, 1.0)
    instances = len(seen.columns)
    size = min(instances, max(1, math.ceil(at_once * grown - 1e-9)))
    held = (
        memory.reindex(columns=seen.columns).mean().sort_values()
        if memory is not None
        else pd.Series(dtype=float)
    )
    return PoolSize(size, instances, at_once, grown, float(held.head(instances - size).sum()))
