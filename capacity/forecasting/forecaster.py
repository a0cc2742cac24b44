"""The forecaster of a fleet: fit on a usage frame, predict quantiles of the use and of its peak."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.errors import InputError, WorkError

__all__ = ["DEFAULT_QUANTILES", "Forecaster"]

DEFAULT_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_HARMONICS = ((1.0, 4), (7.0, 3))
_LEAST_DAYS = 1.0
Floats = NDArray[np.float64]


class Forecaster:
    """Quantile forecasts for every service of a usage frame.

    Args:
        quantiles: increasing levels between 0 and 1.
        random_state: seed; the same input gives the same bytes.

    Attributes:
        services_: services that are forecast.
        skipped_: service -> `not-enough-history` or `no-data`.
    """

    def __init__(self, quantiles: tuple[float, ...] = DEFAULT_QUANTILES, random_state: int = 0) -> None:
        self.quantiles = quantiles
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - scikit-learn's signature
        """Constructor parameters."""
        return {"quantiles": self.quantiles, "random_state": self.random_state}

    def set_params(self, **params: Any) -> Self:
        """Change constructor parameters."""
        for name, value in params.items():
            if name not in self.get_params():
                raise InputError(f"Forecaster has no parameter {name!r}", f"It has: {', '.join(self.get_params())}")
            setattr(self, name, value)
        return self

    def fit(self, usage: pd.DataFrame) -> Self:
        """Learn from a usage frame: UTC grid x services, NaN = no sample."""
        index = _grid(usage)
        values = usage.to_numpy(np.float64, copy=True)
        values[~np.isfinite(values)] = np.nan
        step = pd.Timedelta(index[1] - index[0]) if len(index) > 1 else pd.Timedelta("5min")
        present = np.isfinite(values).sum(axis=0)
        enough = present * (step / pd.Timedelta("1D")) >= _LEAST_DAYS
        self.skipped_ = {
            str(name): "no-data" if count == 0 else "not-enough-history"
            for name, count, ok in zip(usage.columns, present, enough, strict=True)
            if not ok
        }
        self.services_ = usage.columns[enough]
        self.step_, self.end_ = step, index[-1] if len(index) else None
        values = values[:, enough]
        self._origin = index[0] if len(index) else None
        if values.size == 0:  # nobody to learn from: predictions have no columns
            values = np.zeros((max(1, len(index)), 0))
            self._coefficients, self._errors = np.zeros((0, 0)), np.zeros((len(self.quantiles), 0))
        else:
            self._coefficients, self._errors = _regress(_design(index, self._origin, index), values, self.quantiles)
        self._daily = _block_max(values, max(1, round(pd.Timedelta("1D") / step)))
        return self

    def predict(self, horizon: str | pd.Timedelta, every: str | pd.Timedelta | None = None) -> pd.DataFrame:
        """Quantiles over time: future grid x (service, quantile), in the unit of the usage.

        Args:
            horizon: how far, such as `7D`.
            every: keep one timestamp in this many of the future grid, such as `1h`.
        """
        future = self._future(horizon, every)
        if len(self.services_) == 0:
            return pd.DataFrame(index=future, columns=_columns(self.services_, self.quantiles), dtype=np.float64)
        middle = _design(future, self._origin, None, self.end_) @ self._coefficients
        out = np.maximum(middle[:, :, None] + self._errors.T[None, :, :], 0.0)
        return pd.DataFrame(
            out.reshape(len(future), -1), index=future, columns=_columns(self.services_, self.quantiles)
        )

    def predict_peak(self, horizon: str | pd.Timedelta) -> pd.DataFrame:
        """Quantiles of the maximum over the horizon: service x quantile, in the unit of the usage."""
        self._future(horizon, None)
        days = max(1, round(pd.Timedelta(horizon) / pd.Timedelta("1D")))
        peaks = _block_max(self._daily, days)
        last = peaks[-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.log(peaks[1:] / peaks[:-1])
        pool = ratios[np.isfinite(ratios)]
        levels = np.asarray(self.quantiles)
        spread = np.quantile(pool, levels) if pool.size >= 20 else np.log1p(0.1) * (levels - 0.5) * 4  # noqa: PLR2004
        out = last[:, None] * np.exp(spread)[None, :]
        return pd.DataFrame(
            out,
            index=pd.Index(self.services_, name="service"),
            columns=pd.Index(list(self.quantiles), name="quantile", dtype=np.float64),
        )

    def _future(self, horizon: str | pd.Timedelta, every: str | pd.Timedelta | None) -> pd.DatetimeIndex:
        if not hasattr(self, "services_"):
            raise WorkError("The forecaster has learned nothing yet", "Call fit(usage) first")
        steps = int(pd.Timedelta(horizon) / self.step_)
        if steps < 1:
            raise InputError(f"A horizon of {horizon} is shorter than the step {self.step_}", "Ask for a longer one")
        stride = 1 if every is None else max(1, round(pd.Timedelta(every) / self.step_))
        if self.end_ is None:
            return pd.DatetimeIndex([], tz="UTC")
        return pd.date_range(self.end_ + self.step_ * stride, periods=steps // stride, freq=self.step_ * stride)


def _columns(services: pd.Index, quantiles: tuple[float, ...]) -> pd.MultiIndex:
    return pd.MultiIndex.from_product([services, list(quantiles)], names=["service", "quantile"])


def _grid(usage: pd.DataFrame) -> pd.DatetimeIndex:
    index = usage.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise InputError("A usage frame needs a UTC DatetimeIndex", "Build it with usage.index.tz_localize('UTC')")
    return index


def _design(index: pd.DatetimeIndex, origin: Any, known: pd.DatetimeIndex | None, end: Any = None) -> Floats:
    """Level, trend that stops at the end of the history, Fourier terms of the day and the week: times x terms."""
    days = np.asarray((index - origin) / pd.Timedelta("1D"), np.float64)
    clock = np.asarray((index - pd.Timestamp(0, tz="UTC")) / pd.Timedelta("1D"), np.float64)
    trend = days if known is not None else np.minimum(days, np.asarray((end - origin) / pd.Timedelta("1D")))
    waves = [
        wave(2 * np.pi * k * clock / period)
        for period, count in _HARMONICS
        for k in range(1, count + 1)
        for wave in (np.sin, np.cos)
    ]
    return np.column_stack([np.ones_like(days), trend, *waves])


def _regress(design: Floats, values: Floats, quantiles: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Ridge for all services at once, missing samples left out; and the residuals' quantiles, quantile x service."""
    there = np.isfinite(values)
    filled = np.where(there, values, 0.0)
    terms = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    gram = (there.T.astype(np.float64) @ products).reshape(-1, terms, terms)
    ridge = np.eye(terms) * (1e-3 * len(design))
    ridge[0, 0] = 1e-9
    right = (design.T @ filled).T
    coefficients = np.linalg.solve(gram + ridge, right[:, :, None])[:, :, 0].T
    residuals = np.sort(np.where(there, values - design @ coefficients, np.nan), axis=0)
    last = there.sum(axis=0) - 1
    at = np.clip(np.rint(np.asarray(quantiles)[:, None] * last).astype(int), 0, None)
    return coefficients, np.take_along_axis(residuals, at, axis=0) if values.size else np.zeros((len(quantiles), 0))


def _block_max(values: Floats, size: int) -> Floats:
    """Maximum of blocks of `size` rows counted from the end; a block without samples takes the service's maximum."""
    size = min(size, len(values))
    blocks = max(1, len(values) // size)
    tail = values[-blocks * size :]
    tail = np.where(np.isfinite(tail), tail, -np.inf)
    peaks = tail.reshape(blocks, size, values.shape[1]).max(axis=1)
    whole = np.where(np.isfinite(values), values, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(np.isfinite(peaks), peaks, whole)
