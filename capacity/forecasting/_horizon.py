"""From what was learned to the future grid: units, horizons beyond a week, holidays, the first
crossing of a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.forecasting._models.base_models import BASE_MODELS, TRENDING
from capacity.forecasting._preprocessing import DAY, WEEK, Grid
from capacity.forecasting._quantiles import Floats, level_index, row_quantiles
from capacity.forecasting._state import FittedForecaster, FittedState

__all__ = ["on_grid", "time_to_limit", "without_holidays"]

Windows = tuple[tuple[object, object], ...]
_AT_ONCE = 256  # future rows turned into units in one go


def on_grid(
    state: FittedState,
    lead: Floats,
    future: pd.DatetimeIndex,
    holidays: Windows,
    part: slice = slice(None),
) -> Floats:
    """The forecast in the unit of the usage: (times, services x quantiles), never negative.

    Args:
        state: arrays of a trained forecaster.
        lead: hours ahead of each time, fractions allowed.
        future: the times, for holidays.
        holidays: calendar windows.
        part: services wanted.
    """
    forecast, levels = state.forecast[part], state.levels
    services, count = len(forecast), len(levels)
    out = np.empty((len(lead), services, count))
    centre, spread = state.centre[part][:, None], state.spread[part][:, None]
    hour = np.floor(lead).astype(np.intp)
    growth = _growth(state, part, levels)
    for start in range(0, len(lead), _AT_ONCE):
        chosen = hour[start : start + _AT_ONCE]
        block = forecast[:, chosen % WEEK].transpose(1, 0, 2).astype(np.float64)
        if chosen[-1] >= WEEK:
            block = _beyond(block, chosen, growth, level_index(levels, 0.5))
        np.maximum(block * spread + centre, 0.0, out=out[start : start + _AT_ONCE])
    if len(state.holiday):
        _on_holidays(out, state.holiday[part], future, holidays)
    return out.reshape(len(lead), services * count)


def _growth(state: FittedState, part: slice, levels: Floats) -> Floats:
    """Trend that the blend itself believes in, a day in scaled units: the slope times the weight of
    trending candidates.
    """
    middle = level_index(levels, 0.5)
    believed = state.weights[part][:, middle, [BASE_MODELS.index(name) for name in TRENDING]].sum(
        axis=1
    )
    return np.asarray(state.slope[part] * np.where(believed > 0.5, believed, 0.0), np.float64)


def _beyond(block: Floats, hour: NDArray[np.intp], growth: Floats, middle: int) -> Floats:
    """Beyond a week the last week repeats, moved by the trend, its spread growing with the root of
    the lead.
    """
    days = hour / DAY
    wider = np.sqrt(np.maximum(days / 7, 1.0))[:, None, None]
    weeks = (hour // WEEK * 7)[:, None, None]
    centre = block[:, :, middle, None]
    return np.asarray(centre + (block - centre) * wider + weeks * growth[None, :, None], np.float64)


def without_holidays(
    values: Floats, grid: Grid, holidays: Windows, levels: Floats
) -> tuple[Floats, Floats | None]:
    """Values with past holidays taken out, and what those looked like: (services, 24 hours of the
    UTC day, quantiles).

    NaN where a service has no holiday sample near that hour: the ordinary forecast then stands.
    """
    if not holidays:
        return values, None
    rows = _inside(grid.index, holidays)
    special = np.full((values.shape[1], DAY, len(levels)), np.nan)
    clock = grid.index.hour.to_numpy()
    for hour in range(DAY):
        near = rows & ((clock - hour + 2) % DAY <= 4)
        if near.any():
            special[:, hour] = row_quantiles(np.ascontiguousarray(values[near].T), levels)
    out = values.copy()
    out[rows] = np.nan
    nothing_left = ~np.isfinite(out).any(axis=0)
    out[:, nothing_left] = values[:, nothing_left]
    return out, special


def _inside(index: pd.DatetimeIndex, holidays: Windows) -> NDArray[np.bool_]:
    rows = np.zeros(len(index), bool)
    for start, end in holidays:
        low, high = (pd.Timestamp(t) for t in (start, end))  # type: ignore[arg-type]  # any moment pandas can read
        low, high = (
            t.tz_localize("UTC") if t.tz is None else t.tz_convert("UTC") for t in (low, high)
        )
        rows |= np.asarray((index >= low) & (index < high))
    return rows


def _on_holidays(out: Floats, special: Floats, future: pd.DatetimeIndex, holidays: Windows) -> None:
    for row in np.flatnonzero(_inside(future, holidays)):
        known = special[:, future[int(row)].hour]
        out[row] = np.where(np.isfinite(known), np.maximum(known, 0.0), out[row])


def time_to_limit(
    forecaster: FittedForecaster,
    limits: Mapping[str, float] | pd.Series,
    horizon: str | pd.Timedelta,
    band: float,
) -> pd.DataFrame:
    """First hour at which a quantile of the use reaches the limit: service x (`upper`, `median`),
    NaT when it does not.
    """
    wanted = dict(limits)
    every = max(pd.Timedelta("1h"), forecaster.step_)
    future, lead = forecaster.future(horizon, every)
    levels = forecaster.state_.levels
    numbers = [i for i, name in enumerate(forecaster.services_) if str(name) in wanted]
    out: dict[str, list[Any]] = {"upper": [], "median": []}
    for number in numbers:
        part = slice(number, number + 1)
        use = on_grid(forecaster.state_, lead, future, forecaster.holidays, part)
        for name, level in (("upper", band), ("median", 0.5)):
            reached = np.flatnonzero(
                use[:, level_index(levels, level)] >= wanted[str(forecaster.services_[number])]
            )
            out[name].append(future[reached[0]] if len(reached) else pd.NaT)
    index = pd.Index([forecaster.services_[i] for i in numbers], name="service")
    return pd.DataFrame(
        {k: pd.Series(v, index=index, dtype="datetime64[ns, UTC]") for k, v in out.items()},
        index=index,
    )
