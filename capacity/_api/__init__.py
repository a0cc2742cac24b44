"""The calls that read well in a notebook cell: `open_history`, `forecast`, `recommend`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pandas as pd

from capacity import sizing
from capacity._api.arguments import parse_amount, parse_time, resource_of
from capacity._api.fleet_in_blocks import recommend_in_blocks, wants_blocks
from capacity._api.results import Forecast, Recommendations
from capacity._api.sizing_inputs import forecaster_for, risk_for, sizing_context
from capacity._api.window import SAMPLE, ArchivedWindow, prepare_window
from capacity._common.text.lengths_of_time import parse_length
from capacity.errors import InputError
from capacity.forecasting import Forecaster
from capacity.model import Resource, Signal
from capacity.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from capacity._common.progress import Progress
    from capacity.history import History

__all__ = [
    "SAMPLE",
    "ArchivedWindow",
    "Forecast",
    "Recommendations",
    "forecast",
    "open_history",
    "parse_amount",
    "parse_length",
    "parse_time",
    "predict_with",
    "prepare_window",
    "recommend",
    "recommend_in_blocks",
    "resource_of",
    "wants_blocks",
]


def open_history(
    source: str | None = None,
    *,
    as_of: str | pd.Timestamp | None = None,
    window: str | None = None,
    services: str | Iterable[str] | None = None,
    signals: Iterable[Signal | str] = tuple(Signal),
    offline: bool = False,
    refresh: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> History:
    """The history of a fleet over a window.

    Args:
        source: `sample`, the address of a metrics server, names in `sources` of the settings or of
            the archive with commas between, or None for the servers of the settings (without any,
            or offline: for the only source there is).
        as_of: end of the window, UTC unless it says otherwise; default now (for the sample its
            end).
        window: length of the window such as `28D`; default from the settings.
        services: globs such as `shop/*`; default all.
        signals: which signals; default all.
        offline: use the archive alone.
        refresh: ask the server again for days that are there.
        settings: default `capacity.toml` and the environment.
        progress: told about each fetched day.

    Raises:
        UsageError, SourceError, StorageError, NoHistory: see `capacity.errors`.
    """
    settings = settings or load_settings()
    window_of = prepare_window(
        settings,
        source=source,
        as_of=as_of,
        window=window,
        signals=signals,
        offline=offline,
        refresh=refresh,
        progress=progress,
    )
    return window_of.load(settings, signals=signals, services=services)


def forecast(
    history: History,
    signal: Resource | str = Resource.MEMORY,
    horizon: str = "7D",
    every: str | None = "1h",
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """What each service will need.

    Args:
        history: from `open_history`.
        signal: `cpu` or `memory`.
        horizon: how far ahead.
        every: thin the future grid to these steps; None = the history's own.
        settings: holidays, and what is known of single services; default `capacity.toml` and the
            environment.
        progress: told about each part of the fleet.
    """
    resource = resource_of(signal)
    parse_length(horizon)
    model = _forecaster(settings or load_settings(), history, resource, progress)
    usage = history[resource.usage]
    peaks = model.predict_peak(horizon)
    shown = [name for name in peaks.index if name in usage.columns]
    bands = model.predict(horizon, every=every)
    bands = bands if len(shown) == len(peaks) else bands.loc[:, shown]
    skipped = {name: why for name, why in model.skipped_.items() if name in usage.columns}
    return Forecast(usage, bands, peaks.loc[shown], resource, skipped, model)


def predict_with(
    folder: Path, signal: Resource | str, horizon: str = "7D", services: str | None = None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Peak quantiles (service x quantile) and skipped services of the model that
    `capacity forecast --train` kept in `folder`.

    Raises:
        InputError: no model of this signal there, or an old, foreign or damaged one; it is refused
            by name. Or no service matches `services`.
    """
    model = Forecaster.load(folder / resource_of(signal).value)
    peaks = model.predict_peak(horizon)
    if services:
        known = [*map(str, peaks.index), *map(str, model.skipped_)]
        if not any(fnmatchcase(name, services) for name in known):
            raise InputError(
                f"No service of this model matches {services!r}",
                f"Names are such as {', '.join(known[:3])}",
            )
        peaks = peaks[[fnmatchcase(str(name), services) for name in peaks.index]]
    return peaks, dict(model.skipped_)


def _forecaster(
    settings: Settings, history: History, resource: Resource, progress: Progress | None = None
) -> Forecaster:
    """A fitted forecaster."""
    fleet = history.whole()
    return forecaster_for(settings, fleet, resource).fit(fleet[resource.usage], progress=progress)


def recommend(
    history: History,
    signal: Resource | str = Resource.MEMORY,
    *,
    horizon: str = "7D",
    settings: Settings | None = None,
    forecaster: Forecaster | None = None,
    policy: str = "capacity",
    risk: float | None = None,
    budget: float | None = None,
) -> Recommendations:
    """What each service's limit should be, with all that the history knows: limits in force,
    throttling, kills, host size.

    Args:
        history: from `open_history`.
        signal: `cpu` or `memory`.
        horizon: how far ahead the limits must hold.
        settings: rules of the settings; default `capacity.toml` and the environment.
        forecaster: one fitted on this history.
        policy: name in `capacity.sizing.POLICIES`.
        risk: accepted share of services whose peak passes its limit; default from the settings.
        budget: what all limits may add up to, cores or bytes.
    """
    settings = settings or load_settings()
    resource = resource_of(signal)
    parse_length(horizon)
    forecaster = forecaster or _forecaster(settings, history, resource)
    # limits are chosen together, so a choice of services is made after; only a budget is that of
    # the chosen ones
    fleet = history if budget is not None else history.whole()
    table = sizing.recommend(
        fleet[resource.usage].reindex(columns=fleet.services),
        signal=resource,
        current=fleet.limits(resource),
        ceiling=fleet.host_size(resource),
        horizon=horizon,
        risk=risk if risk is not None else risk_for(settings, resource),
        policy=policy,
        budget=budget,
        context=sizing_context(fleet, resource, settings, forecaster),
    ).loc[history.services]
    return Recommendations(table, resource, history, horizon, settings)
