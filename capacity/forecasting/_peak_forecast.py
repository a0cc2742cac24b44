"""What sizing needs of a forecast: the peak of every service, and the days it was learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from capacity.forecasting._models.daily_summaries import STATS
from capacity.forecasting._models.peak_distribution import PeakDistribution
from capacity.forecasting._quantiles import Floats, Singles

__all__ = ["PeakForecast", "highest_of_band", "predicted_peaks"]


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


def highest_of_band(forecast: Singles, centre: Floats, spread: Floats, hours: float) -> Floats:
    """Highest quantiles of the first hours of a forecast: services x quantiles, in the unit of the
    usage.

    Args:
        forecast: (services, 168, quantiles) in units of each service's spread around its centre.
        centre: (services,) in the unit of the usage.
        spread: (services,) in the unit of the usage.
        hours: of the horizon.
    """
    band = forecast[:, : max(1, round(hours))].max(axis=1, initial=-np.inf)
    return np.asarray(np.maximum(centre[:, None] + band * spread[:, None], 0.0), np.float64)


def predicted_peaks(
    services: pd.Index[Any],
    quantiles: Sequence[float],
    peaks: PeakDistribution,
    band: Floats,
    most: Floats,
) -> pd.DataFrame:
    """Quantiles of the peak, service x quantile: those of the distribution, and of the band where a
    service is at zero or was not seen lately.

    Args:
        services: that are forecast.
        quantiles: levels.
        peaks: distribution of the peak.
        band: highest quantiles of the forecast, services x quantiles.
        most: what each host has; NaN = unknown.
    """
    told = peaks.quantile(quantiles)
    return pd.DataFrame(
        np.fmin(np.where((peaks.base > 0)[:, None], told, band), most[:, None]),
        index=pd.Index(services, name="service"),
        columns=pd.Index(list(quantiles), name="quantile", dtype=np.float64),
    )
