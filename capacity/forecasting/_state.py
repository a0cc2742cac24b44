"""What a fitted forecaster knows, as plain arrays; and what the functions on it need of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.forecasting._quantiles import Floats, Singles

__all__ = ["FittedForecaster", "FittedState"]


@dataclass(frozen=True)
class FittedState:
    """The arrays of a fitted forecaster, in units of each service's own spread around its centre.

    Attributes:
        levels: (levels,) quantile levels.
        forecast: (services, 168, levels) float32, quantiles of the hours of the coming week.
        weights: (services, levels, base models) float32, weights of the base models.
        hourly_mean: (services, hours) float32, means of the hours of the history.
        hourly_max: (services, hours) float32, maxima of the same hours; NaN before a lasting change
            of level.
        pattern: (services,) usage pattern, see `conformal.GROUPS`.
        centre: (services,) in the unit of the usage.
        spread: (services,) in the unit of the usage.
        slope: (services,) trend per day in units of the spread.
        starts: (services, 4) starts, see `starts.COLUMNS`.
        days: (services, days, stats) daily summaries, see `daily_summaries.STATS`.
        holiday: (services, 24, levels) the use on holidays in the unit of the usage; empty without
            holidays.
    """

    levels: Floats
    forecast: Singles
    weights: Singles
    hourly_mean: Singles
    hourly_max: Singles
    pattern: NDArray[np.intp]
    centre: Floats
    spread: Floats
    slope: Floats
    starts: Floats
    days: Floats
    holiday: Floats

    def of(self, services: slice | list[int]) -> Self:
        """The state of some of the services, by position."""
        chosen = {
            field.name: getattr(self, field.name)[services]
            for field in fields(self)
            if field.name != "levels" and (field.name != "holiday" or len(self.holiday))
        }
        return type(self)(**{**self.arrays(), **chosen})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The state of these arrays.

        Raises:
            KeyError: one is missing.
        """
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})


class FittedForecaster(Protocol):
    """What backtest, horizon, totals and persistence need of a forecaster."""

    quantiles: tuple[float, ...]
    holidays: tuple[tuple[object, object], ...]
    services_: pd.Index[Any]
    skipped_: dict[str, str]
    step_: pd.Timedelta
    end_: pd.Timestamp | None
    data_hash_: str
    state_: FittedState

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - scikit-learn's signature
        """Constructor parameters."""

    def fit(self, usage: pd.DataFrame) -> Self:
        """Learn from a usage frame."""

    def predict_peak(self, horizon: str | pd.Timedelta) -> pd.DataFrame:
        """Quantiles of the maximum over the horizon: service x quantile."""

    def future(
        self, horizon: str | pd.Timedelta, every: str | pd.Timedelta | None
    ) -> tuple[pd.DatetimeIndex, Floats]:
        """Future timestamps and their lead in hours."""
