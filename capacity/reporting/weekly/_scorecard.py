"""How a forecast held against what happened since: coverage and error, beside a plain rival's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from capacity._api import Forecast

__all__ = ["Scorecard", "forecast_rows", "score"]

_WEEK = pd.Timedelta("7D")
_UPPER = 0.95


@dataclass(frozen=True)
class Scorecard:
    """What became of one forecast.

    Attributes:
        made: when the forecast was made, UTC.
        stored: True when it was read from the last run, False when it was made again from the
            history before `made`.
        samples: forecast samples that have since been measured.
        coverage: asked quantile level -> share of those samples at or below the forecast.
        wql: mean weighted quantile loss: twice the pinball loss over the sum of what was measured,
            averaged over the levels.
        rival_wql: the same of the seasonal naive rival, which repeats the week before `made`.
        services: one row a service: samples, coverage of the level nearest 0.95, wql, rival_wql.
    """

    made: pd.Timestamp
    stored: bool
    samples: int
    coverage: dict[float, float]
    wql: float
    rival_wql: float
    services: pd.DataFrame


def forecast_rows(forecast: Forecast) -> pd.DataFrame:
    """A forecast as rows: time (UTC), service, resource, float32 columns `q0.5` and so on; sorted
    by service and time.
    """
    levels = list(forecast.peaks.columns)
    services = list(forecast.peaks.index)
    times = forecast.bands.index
    values = (
        forecast.bands.to_numpy(np.float32)
        .reshape(len(times), len(services), len(levels))
        .transpose(1, 0, 2)
    )
    flat = values.reshape(-1, len(levels))
    return pd.DataFrame(
        {
            "time": np.tile(times.to_numpy("datetime64[s]"), len(services)),
            "service": pd.Categorical(np.repeat(services, len(times)), categories=services),
            "resource": pd.Categorical([str(forecast.signal)] * len(flat)),
            **{f"q{level:g}": flat[:, column] for column, level in enumerate(levels)},
        }
    )


def score(
    rows: pd.DataFrame, usage: pd.DataFrame, *, made: pd.Timestamp, stored: bool
) -> Scorecard:
    """Compare forecast rows with what was measured.

    Only samples that exist count, only times after `made` and inside `usage` are known, and
    services that came later are absent from the forecast, so they are absent here: nothing is
    filled in.

    Args:
        rows: as `forecast_rows` gives them, of one resource.
        usage: measured, UTC grid x services.
        made: when the forecast was made.
        stored: whether the rows come from a stored run.
    """
    names = [column for column in rows.columns if column.startswith("q")]
    levels = np.array([float(name[1:]) for name in names])
    seen = _measured(rows, usage, names)
    both = np.isfinite(seen.rival)
    each = pd.DataFrame(
        {
            "actual": np.abs(seen.actual),
            "loss": _pinball(seen.actual, seen.bands, levels),
            "shared_actual": np.where(both, np.abs(seen.actual), np.nan),
            "rival_loss": np.where(
                both, _pinball(seen.actual, seen.rival[:, None], levels), np.nan
            ),
            "covered": seen.actual <= seen.bands[:, int(np.abs(levels - _UPPER).argmin())],
        }
    )
    under = seen.actual[:, None] <= seen.bands
    return Scorecard(
        made=made,
        stored=stored,
        samples=len(seen.actual),
        coverage={
            float(level): float(np.mean(under[:, index])) if len(under) else np.nan
            for index, level in enumerate(levels)
        },
        wql=_share(float(each["loss"].sum()), float(each["actual"].sum())),
        rival_wql=_share(float(each["rival_loss"].sum()), float(each["shared_actual"].sum())),
        services=_by_service(each, seen.service),
    )


@dataclass(frozen=True)
class _Measured:
    """Forecast rows for which there is a sample.

    Attributes:
        actual: measured, as many as rows.
        rival: measured a week before; NaN = nothing was.
        bands: rows x levels.
        service: whose each row is.
    """

    actual: NDArray[np.float64]
    rival: NDArray[np.float64]
    bands: NDArray[np.float64]
    service: NDArray[np.object_]


def _measured(rows: pd.DataFrame, usage: pd.DataFrame, names: list[str]) -> _Measured:
    """The forecast rows with a sample of their service and time, and with that of a week before.

    Args:
        rows: as `score` takes them.
        usage: measured, UTC grid x services.
        names: the columns of `rows` that hold quantiles.
    """
    times = pd.DatetimeIndex(rows["time"]).tz_localize("UTC")
    slots = usage.index.get_indexer(times)
    columns = usage.columns.get_indexer(pd.Index(rows["service"], dtype=object))
    week_ago = usage.index.get_indexer(times - _WEEK)
    known = (slots >= 0) & (columns >= 0)
    values = usage.to_numpy()
    actual = values[slots[known], columns[known]]
    rival = np.where(week_ago[known] >= 0, values[week_ago[known], columns[known]], np.nan)
    measured = np.isfinite(actual)
    return _Measured(
        actual[measured],
        rival[measured],
        rows.loc[known, names].to_numpy(np.float64)[measured],
        rows.loc[known, "service"].astype(object).to_numpy()[measured],
    )


def _by_service(each: pd.DataFrame, service: NDArray[np.object_]) -> pd.DataFrame:
    """Samples, coverage and both errors of each service."""
    groups = each.groupby(service)
    totals = groups[["actual", "loss", "shared_actual", "rival_loss"]].sum()
    return pd.DataFrame(
        {
            "samples": groups.size(),
            "coverage": groups["covered"].mean(),
            "wql": _ratio(totals["loss"], totals["actual"]),
            "rival_wql": _ratio(totals["rival_loss"], totals["shared_actual"]),
        }
    )


def _pinball(
    actual: NDArray[np.float64], bands: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Twice the quantile (pinball) loss of each sample, averaged over the levels."""
    error = actual[:, None] - bands
    loss: NDArray[np.float64] = 2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    return loss


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else np.nan


def _ratio(part: pd.Series[float], whole: pd.Series[float]) -> pd.Series[float]:
    return part / whole.where(whole > 0)
