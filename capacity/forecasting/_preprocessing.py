"""From a usage frame to arrays: checks, masks, hours counted back from the end, one scale for every
service.

All models work on hours counted back from the end of the history: block 0 is the first full hour,
the last block is the last hour, so that lead hour 0 follows directly. An hour holds up to `KEPT`
samples: four drawn from each hour stand for the twelve of a five-minute grid (a sample drawn at
random within each quarter keeps quantiles unbiased; every third would alias with jobs that run on
the quarter).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity._common.history_milestones import LEAST_DAYS
from capacity.errors import InputError
from capacity.forecasting._diagnostics.runs import find_jobs
from capacity.forecasting._quantiles import Floats, Singles, row_quantiles

__all__ = [
    "DAY",
    "KEPT",
    "WEEK",
    "Grid",
    "Scaled",
    "check_usage",
    "find_skipped",
    "hours_of",
    "latest",
    "masked",
    "read_grid",
    "scale_usage",
]

KEPT = 4
DAY, WEEK = 24, 168
_LONGEST_DAYS = (
    56  # older history costs time and says nothing about next week that the last eight weeks do not
)


@dataclass(frozen=True)
class Grid:
    """The time axis of a usage frame.

    Attributes:
        index: UTC timestamps, regular.
        step: distance between two.
    """

    index: pd.DatetimeIndex
    step: pd.Timedelta

    @property
    def an_hour(self) -> int:
        """Samples an hour, at least one."""
        return max(1, round(pd.Timedelta("1h") / self.step))


@dataclass(frozen=True)
class Scaled:
    """Samples of many services on one scale.

    Attributes:
        samples: (services, hours, kept samples) float32, (value - centre) / spread.
        means: (services, hours) float32, hourly means.
        tops: (services, hours) float32, hourly maxima.
        centre: (services,) in the unit of the usage.
        spread: (services,) in the unit of the usage; 0 for a constant service.
    """

    samples: Singles
    means: Singles
    tops: Singles
    centre: Floats
    spread: Floats


def check_usage(usage: pd.DataFrame) -> pd.DataFrame:
    """The frame when it is a usage frame; InputError naming what is wrong otherwise."""
    if not isinstance(usage, pd.DataFrame):
        raise InputError(
            f"A usage frame is a pandas DataFrame, not {type(usage).__name__}",
            "Give times x services",
        )
    index = usage.index
    if not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise InputError(
            "A usage frame needs a DatetimeIndex in UTC", "Use usage.index.tz_localize('UTC')"
        )
    if not usage.columns.is_unique:
        raise InputError(
            "A usage frame names each service once", "Merge or drop the columns that appear twice"
        )
    return usage


def read_grid(usage: pd.DataFrame) -> Grid:
    """Index and step of a frame; an uneven index is an InputError."""
    index = pd.DatetimeIndex(usage.index).tz_convert("UTC")
    if len(index) < 2:
        return Grid(index, pd.Timedelta("5min"))
    gaps = np.diff(index.asi8)
    if gaps[0] <= 0 or np.any(gaps != gaps[0]):
        raise InputError(
            "A usage frame needs a regular, increasing time grid", "Use usage.asfreq(step)"
        )
    step = index[1] - index[0]
    if not pd.Timedelta("1s") <= step <= pd.Timedelta("1D"):
        raise InputError(
            f"A step of {step} cannot be forecast", "Use steps between 1 second and 1 day"
        )
    return Grid(index, step)


def latest(usage: pd.DataFrame, grid: Grid) -> tuple[pd.DataFrame, Grid]:
    """The part of a frame that is learned from: its last eight weeks."""
    rows = int(pd.Timedelta(days=_LONGEST_DAYS) / grid.step)
    return usage.iloc[-rows:], Grid(grid.index[-rows:], grid.step)


def hours_of(grid: Grid) -> tuple[NDArray[np.intp], int]:
    """For each row the hour it belongs to, counted back from the end, and the number of hours.

    The last row closes the last hour. Rows older than eight weeks get -1.
    """
    count = len(grid.index)
    back = ((count - 1 - np.arange(count)) * grid.step.value) // pd.Timedelta("1h").value
    hours = min(int(back[0]) + 1 if count else 0, _LONGEST_DAYS * DAY)
    return np.where(back < hours, hours - 1 - back, -1).astype(np.intp), hours


def masked(
    values: Floats,
    grid: Grid,
    names: list[str],
    ignore: tuple[tuple[str, object, object], ...],
    change_points: tuple[tuple[str, object], ...],
) -> Floats:
    """Copy of the values with ignored windows and what lies before a known change taken out, in
    place of NaN.

    A known change counts only when a day of samples follows it; `*` names every service.
    """
    out = np.where(np.isfinite(values), values, np.nan)
    where = {name: number for number, name in enumerate(names)}
    for name, start, end in ignore:
        rows = (grid.index >= _utc(start)) & (grid.index < _utc(end))
        columns = (
            np.arange(len(names))
            if name == "*"
            else np.array([where[name]] if name in where else [], int)
        )
        out[np.ix_(rows, columns)] = np.nan
    for name, when in change_points:
        rows = grid.index < _utc(when)
        columns = (
            np.arange(len(names))
            if name == "*"
            else np.array([where[name]] if name in where else [], int)
        )
        enough = np.isfinite(out[np.ix_(~rows, columns)]).sum(axis=0) >= DAY * grid.an_hour
        out[np.ix_(rows, columns[enough])] = np.nan
    return out


def _utc(when: object) -> pd.Timestamp:
    stamp = pd.Timestamp(when)  # type: ignore[arg-type]  # any moment pandas can read
    return stamp.tz_localize("UTC") if stamp.tz is None else stamp.tz_convert("UTC")


def scale_usage(values: Floats, grid: Grid, seed: int) -> Scaled:
    """Hours of samples on one scale: rows x services in, services x hours x samples out.

    Centre is the median, spread the width between the 5 % and the 95 % quantile (the standard
    deviation where that is 0), so one absurd spike does not squeeze everything else into float32's
    last digits.
    """
    hour, hours = hours_of(grid)
    recent = np.flatnonzero(hour >= 0)
    table = np.ascontiguousarray(values[recent].T)
    low, centre, high = np.moveaxis(
        row_quantiles(table[:, :: max(1, grid.an_hour // KEPT)], np.array([0.05, 0.5, 0.95])), -1, 0
    )
    whole = np.isfinite(table)
    count = np.maximum(whole.sum(axis=1), 1)
    centre = np.where(np.isfinite(centre), centre, np.where(whole, table, 0).sum(axis=1) / count)
    wide = high - low
    with np.errstate(over="ignore", invalid="ignore"):
        away = np.where(whole, table - centre[:, None], 0)
        deviation = np.sqrt((away**2).sum(axis=1) / count)
    floor = 1e-9 * np.abs(centre)
    spread = np.where(wide > floor, wide, np.where(deviation > floor, deviation, 0.0))
    spread = np.where(np.isfinite(spread), spread, 0.0)
    unit = np.where(spread > 0, spread, 1.0)
    scaled = np.clip((table - centre[:, None]) / unit[:, None], -1e7, 1e7).astype(np.float32)
    padded = _by_hour(scaled, hour[recent], hours, grid.an_hour)
    return Scaled(_thin(padded, seed), *_mean_and_top(padded), centre, spread)


def _by_hour(scaled: Singles, hour: NDArray[np.intp], hours: int, wide: int) -> Singles:
    """(services, rows) -> (services, hours, samples an hour), NaN where there is no sample."""
    if scaled.shape[1] == hours * wide and np.array_equal(hour, np.repeat(np.arange(hours), wide)):
        return scaled.reshape(len(scaled), hours, wide)
    order = np.arange(len(hour)) - np.searchsorted(hour, hour)
    wide = max(wide, int(order.max(initial=0)) + 1)
    out = np.full((len(scaled), hours, wide), np.nan, np.float32)
    out[:, hour, order] = scaled
    return out


def _thin(padded: Singles, seed: int) -> Singles:
    hours, wide = padded.shape[1:]
    if wide <= KEPT:
        return padded
    edges = np.linspace(0, wide, KEPT + 1)
    drawn = np.random.default_rng(seed).random((hours, KEPT))
    place = np.floor(edges[:-1] + drawn * np.diff(edges)).astype(np.intp)
    return np.ascontiguousarray(padded[:, np.arange(hours)[:, None], place])


def _mean_and_top(padded: Singles) -> tuple[Singles, Singles]:
    there = np.isfinite(padded)
    count = there.sum(axis=2)
    total = np.where(there, padded, np.float32(0)).sum(axis=2, dtype=np.float32)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    top = np.where(there, padded, -np.inf).max(axis=2, initial=-np.inf)
    return mean, np.where(count > 0, top, np.nan).astype(np.float32)


def find_skipped(values: Floats, names: list[str], grid: Grid, exclude: set[str]) -> dict[str, str]:
    """Services that cannot be forecast, by name, and why.

    Args:
        values: samples x services, NaN = no sample.
        names: of the services.
        grid: of the samples.
        exclude: names that are left out on request.
    """
    present = np.isfinite(values).sum(axis=0)
    least = LEAST_DAYS * pd.Timedelta("1D") / grid.step
    jobs = find_jobs(values, grid.step.total_seconds(), _first_second(grid))
    out = {}
    for number, (name, count) in enumerate(zip(names, present, strict=True)):
        if name in exclude:
            out[name] = "excluded"
        elif count == 0:
            out[name] = "no-data"
        elif count < least and number not in jobs:
            out[name] = "not-enough-history"
    return out


def _first_second(grid: Grid) -> float:
    return grid.index[0].timestamp() if len(grid.index) else 0.0
