"""What sizing needs of a forecast: the peak of every service, and the days it was learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._models.peak_distribution import PeakDistribution
from capacity.forecasting._quantiles import Floats

__all__ = ["PeakForecast"]


@dataclass(frozen=True)
class PeakForecast:
    """The peaks of a fleet within a horizon.

    Attributes:
        services: that are forecast.
        skipped: service -> why it is not.
        days: days x services x `STATS`, what peaks are learned from.
        peaks: distribution of the peak of each service.
        predicted: service x quantile, also of services at zero or not seen lately.
    """

    services: pd.Index[Any]
    skipped: Mapping[str, str]
    days: Floats
    peaks: PeakDistribution
    predicted: pd.DataFrame

    def days_of(self, services: pd.Index[Any]) -> Floats:
        """Days x these services x `STATS`; NaN of those that are not forecast."""
        where = self.services.get_indexer(services)
        days = np.full((len(self.days), len(where), len(STATS)), np.nan)
        days[:, where >= 0] = self.days[:, where[where >= 0]]
        return days

    def peaks_of(self, services: pd.Index[Any]) -> PeakDistribution:
        """The distributions of these services; nothing is known of those that are not forecast."""
        return self.peaks.of(self.services.get_indexer(services))
