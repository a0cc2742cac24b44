"""Host and fleet totals that agree with the services' forecasts.

The quantile of a sum is not the sum of quantiles: services that peak together need more room than
services that do not. Past hours say who peaks with whom. Each past hour becomes a scenario in which
every service takes the quantile of its forecast that it had in its own past at that hour (the
Schaake shuffle; Clark et al., Journal of Hydrometeorology 5, 2004). Services keep their own
forecasts, and in every scenario the fleet is the sum of its hosts and a host of its services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity._common.text.lengths_of_time import parse_length
from capacity.errors import InputError, WorkError
from capacity.forecasting import _horizon
from capacity.forecasting._preprocessing import DAY
from capacity.forecasting._quantiles import Floats, Singles, row_quantiles
from capacity.forecasting._state import FittedForecaster

if TYPE_CHECKING:
    pass

__all__ = ["FLEET", "totals"]

FLEET = "fleet"
_DAYS = 28
_AROUND = 1  # neighbouring hours are scenarios too


def totals(
    forecaster: FittedForecaster,
    placement: Mapping[str, str],
    horizon: str | pd.Timedelta = "7D",
    every: str | pd.Timedelta = "1h",
) -> pd.DataFrame:
    """Quantiles of the summed use of each host and of the fleet: future grid x (host, quantile), in
    the unit of the usage.

    Args:
        forecaster: a trained forecaster.
        placement: service -> host. Services without a forecast are listed in `attrs["missing"]` and
            count nothing.
        horizon: how far.
        every: distance of the timestamps, at least the step of the usage.
    """
    if not hasattr(forecaster, "state_"):
        raise WorkError("The forecaster has learned nothing yet", "Call fit(usage) first")
    if FLEET in placement.values():
        raise InputError(
            f"A host cannot be called {FLEET!r}", "That name stands for the sum of all hosts"
        )
    where = {str(name): number for number, name in enumerate(forecaster.services_)}
    hosts: dict[str, list[int]] = {}
    for service, host in sorted(placement.items()):
        if service in where:
            hosts.setdefault(host, []).append(where[service])
    future, lead = forecaster.future(horizon, max(parse_length(every), forecaster.step_))
    levels = forecaster.state_.levels
    names = [*sorted(hosts), FLEET]
    out = np.zeros((len(future), len(names), len(levels)))
    whole: Floats | None = None
    for number, host in enumerate(names[:-1]):
        summed = _scenarios(forecaster, hosts[host], lead, future)
        whole = summed if whole is None else whole + summed
        out[:, number] = row_quantiles(summed, levels)
    if whole is not None:
        out[:, -1] = row_quantiles(whole, levels)
    columns = pd.MultiIndex.from_product(
        [names, list(forecaster.quantiles)], names=["host", "quantile"]
    )
    frame = pd.DataFrame(out.reshape(len(future), -1), index=future, columns=columns)
    frame.attrs["missing"] = sorted(set(placement) - set(where))
    return frame


def _scenarios(
    forecaster: FittedForecaster, services: list[int], lead: Floats, future: pd.DatetimeIndex
) -> Floats:
    """The sum over some services in each scenario: (times, scenarios)."""
    state = forecaster.state_
    levels = state.levels
    total: Floats | None = None
    for start in range(0, len(services), 64):
        chosen = services[start : start + 64]
        part = state.of(chosen)
        forecast = _horizon.on_grid(part, lead, future, forecaster.holidays).reshape(
            len(lead), len(chosen), len(levels)
        )
        rank = _ranks(part.hourly_mean)[:, np.floor(lead).astype(np.intp) % DAY]
        above = np.clip(np.searchsorted(levels, rank), 1, max(len(levels) - 1, 1))
        if len(levels) == 1:
            summed = np.repeat(forecast.sum(axis=1), rank.shape[2], axis=1)
        else:
            share = np.clip((rank - levels[above - 1]) / (levels[above] - levels[above - 1]), 0, 1)
            table = forecast.transpose(1, 0, 2)
            low = np.take_along_axis(table, above - 1, axis=2)
            high = np.take_along_axis(table, above, axis=2)
            summed = (low + (high - low) * share).sum(axis=0)
        total = summed if total is None else total + summed
    assert total is not None  # a host has a service
    return total


def _ranks(means: Singles) -> Floats:
    """Where each past hour lay among the hours of its time of day: (services, 24, scenarios), 0 to
    1; a gap is in the middle.
    """
    count, hours = means.shape
    days = max(1, min(_DAYS, hours // DAY))
    table = means[:, max(0, hours - days * DAY) :].reshape(count, days, -1).transpose(0, 2, 1)
    near = (np.arange(table.shape[1])[:, None] + np.arange(-_AROUND, _AROUND + 1)) % table.shape[1]
    pooled = table[:, near].reshape(count, table.shape[1], -1)
    order = np.argsort(
        np.argsort(np.where(np.isfinite(pooled), pooled, np.inf), axis=2, kind="stable"),
        axis=2,
        kind="stable",
    )
    known = np.isfinite(pooled).sum(axis=2, keepdims=True)
    rank = (order + 0.5) / np.maximum(known, 1)
    return np.asarray(np.where(np.isfinite(pooled), rank, 0.5), np.float64)
