"""The highest use of the last 14 days, times a margin tuned on the fleet's own past.

The plainest rule that knows what it is asked: of all past windows of the fleet, as many peaks
passed the maximum before them by more than the margin as the risk allows. One margin for all
services; 15 % where the past has no window to tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capacity.forecasting._models.daily_summaries import summarise
from capacity.forecasting._models.peak_features import RECENT, highest, stray
from capacity.sizing._policies.base import Floats, Past

__all__ = ["TunedMaximum"]

_FIRST = 4  # days of history before a window is learned from
_UNKNOWN = 0.15  # margin where there is no past window


@dataclass(frozen=True)
class TunedMaximum:
    """Trailing maximum and one margin."""

    name: str = "maximum"

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """Limits, risks x services; NaN for a service without samples in the last 14 days."""
        days = past.days if past.days is not None else summarise(past.values, past.step)
        peaks, horizon = days[:, :, 0], max(1, math.ceil(past.horizon))
        origins = range(_FIRST, len(peaks) - horizon + 1)
        found = [stray(peaks, origin, horizon) for origin in origins]
        strays = np.concatenate(found) if found else np.zeros(0)
        strays = strays[np.isfinite(strays)]
        levels = 1 - np.asarray(risks, np.float64)
        margins = (
            np.maximum(np.quantile(strays, levels), 0.0)
            if len(strays)
            else np.full(len(levels), math.log(1 + _UNKNOWN))
        )
        return np.asarray(np.exp(margins)[:, None] * highest(peaks[-RECENT:]))
