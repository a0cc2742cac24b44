"""Autopilot's moving-window recommender (Rzadca et al., EuroSys 2020, section 3.2), by tolerance of
kills.

CPU: the load-adjusted 95th percentile with a half-life of 12 h (eq. 1 and 3). Memory, half-life 48
    h: the 98th percentile
for a low tolerance, the maximum for a minimal one, max(60th percentile, half the maximum) in
between. Then 10 to 15 % margin, less for large limits, and the maximum of what was recommended in
the last hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from capacity.model import Resource
from capacity.sizing._policies.base import Floats, Past, at_any_risk, column_max

__all__ = ["Autopilot", "load_adjusted", "margin"]

Tolerance = Literal["minimal", "low", "intermediate"]
_HOUR = 3600.0
_HALF_LIFE = {Resource.CPU: 12 * _HOUR, Resource.MEMORY: 48 * _HOUR}
_WINDOW_DAYS = {Resource.CPU: 7, Resource.MEMORY: 14}
_LARGE = {
    Resource.CPU: 4.0,
    Resource.MEMORY: 8.0 * 1024**3,
}  # the paper gives the two ends, not where they lie


@dataclass(frozen=True)
class Autopilot:
    """The moving window for one class of jobs."""

    name: str
    tolerance: Tolerance = "minimal"

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """What the moving window would set; the tolerance class stands for a risk."""
        width = len(past.last(_WINDOW_DAYS[past.resource]))
        window = past.values[-width - round(_HOUR / past.step) :]
        half_life = _HALF_LIFE[past.resource]
        if past.resource is Resource.CPU:
            base = load_adjusted(window, 0.95, past.step, half_life, width)
        elif self.tolerance == "minimal":
            base = column_max(window)
        elif self.tolerance == "low":
            base = load_adjusted(window, 0.98, past.step, half_life, width)
        else:
            base = np.fmax(
                load_adjusted(window, 0.6, past.step, half_life, width), 0.5 * column_max(window)
            )
        # the more, the more with its margin: the highest base of the hour is the highest
        # recommendation
        return at_any_risk(base * (1 + margin(base, past.resource)), risks)


def margin(limit: Floats, resource: Resource) -> Floats:
    """15 % for small limits, falling to 10 % for large ones."""
    return 0.15 - 0.05 * np.clip(limit / _LARGE[resource], 0, 1)


def load_adjusted(
    values: Floats, level: float, step: int, half_life: float, width: int | None = None
) -> Floats:
    """Percentile of the load instead of the time: each sample weighs its decayed value.

    A service at 1 for nine hours and at 10 for one has a 90th percentile of 1 by time and of 10 by
    load.

    Args:
        values: samples x services.
        level: of the percentile.
        step: seconds between samples.
        half_life: of a sample's weight, seconds.
        width: the highest of all windows of so many samples, whenever they end; default one of them
            all.
    """
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    age = (len(values) - 1 - order) * float(step)
    weight = np.where(np.isfinite(ordered), np.maximum(ordered, 0) * np.exp2(-age / half_life), 0.0)
    highest = np.full(values.shape[1], np.nan)
    width = min(width or len(values), len(values))
    for end in range(width, len(values) + 1):
        inside = (order < end) & (order >= end - width)
        cumulated = np.where(inside, weight, 0.0).cumsum(axis=0)
        # strictly more than the level: at exactly 9 of 19 parts below, the 90th percentile by load
        # is the upper value
        place = (cumulated >= level * cumulated[-1]).argmax(axis=0)
        found = ordered[place, np.arange(values.shape[1])]
        highest = np.fmax(
            highest, np.where(np.isfinite(values[end - width : end]).any(axis=0), found, np.nan)
        )
    return highest
