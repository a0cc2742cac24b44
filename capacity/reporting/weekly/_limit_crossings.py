"""When a forecast reaches a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from capacity._api import Forecast
    from capacity.model import Resource

__all__ = ["UPPER", "LimitCrossing", "find_crossings"]

UPPER = 0.95  # the band's upper edge: one step in twenty is expected above it


@dataclass(frozen=True)
class LimitCrossing:
    """A limit that the forecast reaches.

    Attributes:
        service: `project/service`.
        resource: which limit.
        limit: cores or bytes.
        upper: first time the band's upper edge is at the limit, UTC.
        median: first time the median is; None = not within the horizon.
        peak: median forecast peak.
    """

    service: str
    resource: Resource
    limit: float
    upper: pd.Timestamp
    median: pd.Timestamp | None
    peak: float


def find_crossings(forecast: Forecast, limits: pd.Series[float]) -> list[LimitCrossing]:
    """Services whose upper band crosses their limit within the forecast, the soonest first."""
    services = [name for name in forecast.peaks.index if np.isfinite(limits.get(name, np.nan))]
    if not services:
        return []
    levels = forecast.peaks.columns
    upper_level = min(levels, key=lambda level: abs(float(level) - UPPER))
    upper, median = (
        forecast.bands.xs(level, axis=1, level="quantile")[services] for level in (upper_level, 0.5)
    )
    bounds = limits[services].to_numpy(dtype=float)
    times = pd.DatetimeIndex(forecast.bands.index)
    peaks = forecast.peaks[0.5][services].to_numpy()
    above, middle = upper.to_numpy() >= bounds, median.to_numpy() >= bounds
    return sorted(
        (
            LimitCrossing(
                service=service,
                resource=forecast.signal,
                limit=float(bounds[column]),
                upper=times[int(above[:, column].argmax())],
                median=times[int(middle[:, column].argmax())] if middle[:, column].any() else None,
                peak=float(peaks[column]),
            )
            for column, service in enumerate(services)
            if above[:, column].any()
        ),
        key=lambda risk: (risk.upper, risk.service),
    )
