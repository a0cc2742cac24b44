"""The forecaster of a fleet: fit on a usage frame, predict quantiles of the use and of its peak."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from capacity._common.progress import Progress, Silent
from capacity._common.text.lengths_of_time import parse_length
from capacity.errors import InputError, WorkError
from capacity.forecasting import _backtest, _fitting, _horizon, _persistence
from capacity.forecasting._diagnostics import starts, structure
from capacity.forecasting._models.daily_summaries import summarise, unfinished
from capacity.forecasting._models.peak_distribution import PeakDistribution
from capacity.forecasting._models.peak_model import PeakModel
from capacity.forecasting._peak_forecast import PeakForecast, highest_of_band, predicted_peaks
from capacity.forecasting._preprocessing import (
    Grid,
    check_usage,
    find_skipped,
    latest,
    masked,
    read_grid,
    scale_usage,
)
from capacity.forecasting._quantiles import Floats, check_levels
from capacity.forecasting._threads import single_threaded

__all__ = ["DEFAULT_QUANTILES", "Forecaster"]

DEFAULT_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
IgnoredSpan = tuple[str, object, object]
KnownChangePoint = tuple[str, object]


class Forecaster:
    """Quantile forecasts for every service of a usage frame, learned in one pass over all of them.

    Args:
        quantiles: increasing levels between 0 and 1.
        random_state: seed of the draw that thins samples; the same input gives the same bytes.
        ignore: `(service, start, end)` windows left out of learning; `"*"` names every service.
        change_points: `(service, when)`: what lies before is left out once a day of samples
            follows.
        holidays: `(start, end)` calendar windows, past and coming: past ones teach only coming
            ones.
        exclude: services not to forecast; they are listed in `skipped_` as `excluded`.
        ceiling: `(service, most)`: what its host has, in the unit of the usage, which nothing that
            is forecast exceeds.

    Attributes:
        services_: services that are forecast, in the order of the frame.
        skipped_: service -> `no-data`, `not-enough-history` or `excluded`.
        step_: step of the usage.
        end_: last timestamp of the usage; forecasts begin one step later.
        data_hash_: hash of what was learned from.
    """

    def __init__(
        self,
        quantiles: tuple[float, ...] = DEFAULT_QUANTILES,
        random_state: int = 0,
        ignore: tuple[IgnoredSpan, ...] = (),
        change_points: tuple[KnownChangePoint, ...] = (),
        holidays: tuple[tuple[object, object], ...] = (),
        exclude: tuple[str, ...] = (),
        ceiling: tuple[tuple[str, float], ...] = (),
    ) -> None:
        self.quantiles = quantiles
        self.random_state = random_state
        self.ignore = ignore
        self.change_points = change_points
        self.holidays = holidays
        self.exclude = exclude
        self.ceiling = ceiling
        self._peaks: dict[int, PeakDistribution] = {}  # by days ahead

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - scikit-learn's signature
        """Constructor parameters."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change constructor parameters.

        Raises:
            InputError: there is no such parameter.
        """
        for name, value in params.items():
            if name not in _PARAMETERS:
                raise InputError(
                    f"Forecaster has no parameter {name!r}", f"It has: {', '.join(_PARAMETERS)}"
                )
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"Forecaster({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    def fit(
        self,
        usage: pd.DataFrame,
        y: object = None,  # noqa: ARG002 - scikit-learn's signature
        *,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from a usage frame: UTC grid x services, NaN = no sample.

        Args:
            usage: what to learn from.
            y: ignored; scikit-learn's pipelines pass it.
            progress: told about each part of the fleet.
        """
        levels = self._levels()
        grid = read_grid(check_usage(usage))
        self.step_, self.end_ = grid.step, grid.index[-1] if len(grid.index) else None
        self.data_hash_ = _persistence.hash_of(usage)
        recent, grid = latest(usage, grid)
        progress = progress or Silent()
        try:
            with single_threaded():
                self._learn(recent, grid, levels, progress)
        finally:
            progress.finish()
        return self

    def _learn(self, usage: pd.DataFrame, grid: Grid, levels: Floats, progress: Progress) -> None:
        """Both passes: the services part by part, then the fleet as a whole."""
        services = len(usage.columns)
        size = int(np.clip(-(-services // _fitting.THREADS), 32, _fitting.CHUNK))
        begins = range(0, services, size)
        progress.start("Learning forecasts", len(begins) + 1)
        parts = []
        with ThreadPoolExecutor(_fitting.THREADS) as pool:
            for part in pool.map(
                lambda at: self._prepare(usage.iloc[:, at : at + size], grid, at, levels), begins
            ):
                parts.append(part)
                progress.advance(f"{len(parts)} of {len(begins)} parts of the fleet")
        self.skipped_: dict[str, str] = {
            name: why for part in parts for name, why in part.skipped.items()
        }
        self.services_ = usage.columns[[number for part in parts for number in part.kept]]
        self.state_ = _fitting.fitted_state(parts, levels, self.random_state)
        self._peaks.clear()
        progress.advance("the fleet as a whole")

    def prepare(self, usage: pd.DataFrame) -> _fitting.Part:
        """First pass over some services of a fleet: what can be learned without the others."""
        recent, grid = latest(usage, read_grid(check_usage(usage)))
        with single_threaded():
            return self._prepare(recent, grid, 0, self._levels())

    def _prepare(self, part: pd.DataFrame, grid: Grid, start: int, levels: Floats) -> _fitting.Part:
        """First pass over some columns."""
        names = [str(name) for name in part.columns]
        values = masked(part.to_numpy(np.float64), grid, names, self.ignore, self.change_points)
        reasons = find_skipped(values, names, grid, set(self.exclude))
        kept = [number for number, name in enumerate(names) if name not in reasons]
        if not kept:
            return _fitting.Part(reasons, [], None, None, None, None)
        values = values[:, kept]
        found = starts.find_starts(values, grid.an_hour)
        steady, special = _horizon.without_holidays(
            starts.without_starts(values, found), grid, self.holidays, levels
        )
        scaled = scale_usage(steady, grid, self.random_state)
        starts.keep_peaks(scaled, values, found, grid)
        return _fitting.Part(
            reasons,
            [start + number for number in kept],
            _fitting.prepare_chunk(scaled, levels),
            special,
            found.table,
            summarise(values, round(grid.step.total_seconds()), unfinished(grid.index)).transpose(
                1, 0, 2
            ),
        )

    def predict(
        self, horizon: str | pd.Timedelta, every: str | pd.Timedelta | None = None
    ) -> pd.DataFrame:
        """Quantiles over time: future grid x (service, quantile), in the unit of the usage.

        Args:
            horizon: how far, such as `7D`. Beyond seven days the forecast week repeats, its spread
                growing with the root of the lead and its level with the trend where trending
                candidates hold most of the weight.
            every: thins the future grid to these timestamps, such as `1h`; the last is the end of
                the horizon.
        """
        future, lead = self.future(horizon, every)
        columns = pd.MultiIndex.from_product(
            [self.services_, list(self.quantiles)], names=["service", "quantile"]
        )
        out = _horizon.on_grid(self.state_, lead, future, self.holidays)
        if self.ceiling:
            out = np.fmin(out, np.repeat(self._most(), len(self.quantiles)))
        return pd.DataFrame(out, index=future, columns=columns, copy=False)

    def predict_peak(self, horizon: str | pd.Timedelta) -> pd.DataFrame:
        """Quantiles of the maximum over the horizon: service x quantile, in the unit of the usage.

        They are those of `peak_distribution`; a service without samples in the last fourteen days,
        or at zero throughout, has the highest quantiles of its band.
        """
        state, hours = self.state_, self._steps(horizon) * self.step_ / pd.Timedelta("1h")
        band = highest_of_band(state.forecast, state.centre, state.spread, hours)
        return predicted_peaks(
            self.services_,
            self.quantiles,
            self.peak_distribution(horizon),
            band,
            self._most(),
        )

    def peak_forecast(self, horizon: str | pd.Timedelta) -> PeakForecast:
        """All that sizing needs of the peaks within a horizon."""
        return PeakForecast(
            pd.Index(self.services_),
            self.skipped_,
            self.daily_summaries(),
            self.peak_distribution(horizon),
            self.predict_peak(horizon),
        )

    def peak_distribution(self, horizon: str | pd.Timedelta) -> PeakDistribution:
        """The distribution of the maximum over the horizon, which limits are sized from.

        A horizon counts in whole days, rounded up.
        """
        days = math.ceil(self._steps(horizon) * self.step_ / pd.Timedelta("1D"))
        if days not in self._peaks:
            self._peaks[days] = PeakModel.load().predict(self.daily_summaries(), days)
        peaks = self._peaks[days]
        return peaks.within(self._most()) if self.ceiling else peaks

    def _most(self) -> Floats:
        """The ceiling of each service; NaN where none is known."""
        known = dict(self.ceiling)
        return np.array([known.get(str(name), np.nan) for name in self.services_], np.float64)

    def daily_summaries(self) -> Floats:
        """What peaks are learned from: days x services x `STATS`, in the unit of the usage.

        Days are UTC days; what has passed of the last one belongs to the one before.
        """
        return self.state_.days.transpose(1, 0, 2)

    def backtest(
        self, usage: pd.DataFrame, horizon: str | pd.Timedelta = "7D", origins: int = 4
    ) -> pd.DataFrame:
        """Scores of forecasts made at past origins, each fitted on what was known then: one row a
        service and origin.

        Columns: `mase`; `wql` (mean over quantiles of pinball loss, doubled, over the mean of
            |use|); `coverage_0.9` and so on
        (share of samples at or below the quantile); `peak`, `peak_0.9` and so on (was the peak
        within); `model` (the candidate with most weight).
        """
        return _backtest.backtest(self, usage, parse_length(horizon), origins)

    def explain(self, service: str) -> dict[str, Any]:
        """What was chosen for a service and why, as plain data; see `structure.explain`."""
        number = self._number(service)
        return structure.explain(self.state_, number, self.services_[number], self.end_)

    def time_to_limit(
        self,
        limits: Mapping[str, float] | pd.Series,
        horizon: str | pd.Timedelta = "28D",
        band: float = 0.95,
    ) -> pd.DataFrame:
        """When use first reaches a limit: service x (`upper`, `median`), NaT where it does not
        within the horizon.

        Args:
            limits: service -> limit in the unit of the usage; services without one are left out.
            horizon: how far to look.
            band: level of the upper band; the nearest trained level is used.
        """
        return _horizon.time_to_limit(self, limits, horizon, band)

    def save(self, path: str | Path) -> None:
        """Keep the trained model in a folder: arrays as `.npz`, the rest as JSON."""
        self._trained()
        _persistence.save_forecaster(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, data_hash: str | None = None) -> Forecaster:
        """Read a trained model; an old, foreign or damaged one is refused by name.

        Args:
            path: folder written by `save`.
            data_hash: refuse a model learned from other data than this.
        """
        return _persistence.load_forecaster(cls, Path(path), data_hash)

    def _levels(self) -> Floats:
        try:
            return check_levels(self.quantiles)
        except (TypeError, ValueError) as bad:
            raise InputError(
                f"Quantiles {self.quantiles!r} cannot be forecast: {bad}",
                "Give e.g. (0.5, 0.9, 0.99)",
            ) from None

    def _trained(self) -> None:
        if not hasattr(self, "state_"):
            raise WorkError("The forecaster has learned nothing yet", "Call fit(usage) first")

    def _number(self, service: str) -> int:
        self._trained()
        if service in self.skipped_:
            raise InputError(
                f"{service} has no forecast: {self.skipped_[service]}",
                "Ask for a service of services_",
            )
        found = np.flatnonzero([str(name) == service for name in self.services_])
        if not len(found):
            raise InputError(
                f"{service} was not in the usage frame", "Ask for a service of services_"
            )
        return int(found[0])

    def _steps(self, horizon: str | pd.Timedelta) -> int:
        self._trained()
        steps = int(parse_length(horizon) / self.step_)
        if steps < 1:
            raise InputError(
                f"A horizon of {horizon} is shorter than the step {self.step_}",
                "Ask for a longer one",
            )
        return steps

    def future(
        self, horizon: str | pd.Timedelta, every: str | pd.Timedelta | None
    ) -> tuple[pd.DatetimeIndex, Floats]:
        """Future timestamps and their lead in hours: the sample one step ahead lies in lead hour
        0.
        """
        steps = self._steps(horizon)
        stride = 1 if every is None else max(1, round(parse_length(every) / self.step_))
        number = np.arange(stride, steps + 1, stride)
        start = self.end_ if self.end_ is not None else pd.Timestamp(0, tz="UTC")
        future = pd.date_range(
            start + self.step_ * stride, periods=len(number), freq=self.step_ * stride
        )
        step, hour = self.step_ // pd.Timedelta("1ns"), pd.Timedelta("1h") // pd.Timedelta("1ns")
        # The last sample closes the last hour of the history, so an hour later is lead hour 0;
        # whole numbers divide exactly.
        return future, np.asarray((number * step - min(step, hour)) / hour, np.float64)


_PARAMETERS = (
    "quantiles",
    "random_state",
    "ignore",
    "change_points",
    "holidays",
    "exclude",
    "ceiling",
)
