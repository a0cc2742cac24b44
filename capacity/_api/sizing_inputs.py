"""What history and settings tell the sizing: events, and what people decided for services."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity import sizing
from capacity._common.text.units import MIB
from capacity.forecasting import Forecaster
from capacity.model import Resource, Signal
from capacity.sizing._service_types import types_with

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capacity.history import History
    from capacity.settings import Settings

__all__ = [
    "forecaster_for",
    "risk_for",
    "service_rules",
    "service_types",
    "sizing_context",
    "under_present_limit",
]


def forecaster_for(settings: Settings, history: History, resource: Resource) -> Forecaster:
    """A forecaster that has learned nothing yet, and knows what people know about services and the
    calendar, and the size of hosts.
    """
    sizes = history.host_size(resource).dropna()
    ignore, change_points, exclude = [], [], []
    for name in map(str, history[resource.usage].columns):
        for glob, known in settings.services.items():
            if fnmatchcase(name, glob):
                ignore += [(name, start, end) for start, end in known.ignore]
                change_points += [(name, when) for when in known.change_points]
                exclude += [name] if known.exclude else []
    return Forecaster(
        quantiles=sizing.PEAK_QUANTILES,
        ignore=tuple(ignore),
        change_points=tuple(change_points),
        holidays=tuple(settings.forecast.holidays),
        exclude=tuple(exclude),
        ceiling=tuple((str(name), float(size)) for name, size in sizes.items()),
    )


def risk_for(settings: Settings, resource: Resource) -> float:
    """The accepted share of services whose peak passes its limit."""
    rules = settings.sizing
    return rules.risk if resource is Resource.MEMORY else rules.cpu_risk


def sizing_context(
    history: History,
    resource: Resource,
    settings: Settings,
    forecaster: Forecaster | None = None,
) -> sizing.Context:
    """All that the history and the settings know beside usage."""
    rules = settings.sizing
    return sizing.Context(
        forecaster=forecaster,
        throttled=under_present_limit(history, Signal.THROTTLED, Resource.CPU),
        oom_kills=under_present_limit(history, Signal.OOM_KILLS, Resource.MEMORY),
        memory_stalled=under_present_limit(history, Signal.MEMORY_STALLED, Resource.MEMORY),
        restarts=history[Signal.RESTARTS],
        rss=_not_reclaimable(history),
        past_peaks=_past_peaks(history, resource, settings),
        running=history.running(),
        unstable=_looping(history, settings),
        limits_known=history.knows_limits(),
        limits_unseen=history.limits_unseen(),
        limit_since=history.limit_since(resource),
        replicas=history.replicas,
        uneven=pd.Series(dict(history.uneven), dtype=float),
        rules=service_rules(settings, history.services),
        types=service_types(settings),
        headroom=rules.headroom,
        tolerance=rules.tolerance,
        cooldown=pd.Timedelta(days=rules.cooldown_days),
        largest_step_down=rules.largest_step_down,
        throttle_target=rules.throttle_target,
        floors={Resource.CPU: rules.min_cores, Resource.MEMORY: float(rules.min_memory_mib * MIB)},
    )


def _looping(history: History, settings: Settings) -> frozenset[str]:
    """Services that are in a restart loop; not those of which counts by the hour cannot tell."""
    counted = history.restarting(settings.operations.restart_limit)
    return frozenset(str(name) for name, row in counted.iterrows() if row["loop"] is True)


def _past_peaks(history: History, resource: Resource, settings: Settings) -> pd.DataFrame | None:
    """Highest samples of days before the window, without what people said not to learn from."""
    peaks = history.past_peaks.get(resource)
    if peaks is None:
        return None
    kept = peaks.copy()
    for name in map(str, peaks.columns):
        for glob, known in settings.services.items():
            if not fnmatchcase(name, glob):
                continue
            for moment in known.change_points:
                kept.loc[kept.index < pd.Timestamp(moment), name] = np.nan
            for start, end in known.ignore:
                day = pd.Timestamp(start).floor("1D")
                kept.loc[(kept.index >= day) & (kept.index <= pd.Timestamp(end)), name] = np.nan
    return kept


def _not_reclaimable(history: History) -> pd.DataFrame:
    """Memory that the kernel cannot reclaim, bytes, times x services: resident and swapped."""
    rss, swap = history[Signal.MEMORY_RSS], history[Signal.MEMORY_SWAP]
    return rss.add(swap.reindex_like(rss).fillna(0.0))


def service_rules(settings: Settings, services: Iterable[str]) -> dict[str, sizing.ServiceRule]:
    """What people decided for single services; of several globs that fit the last says what it
    says.
    """
    found = {}
    for name in services:
        said: dict[str, Any] = {}
        for glob, known in settings.services.items():
            if fnmatchcase(name, glob):
                said |= known.model_dump(exclude_unset=True)
        bounds = {
            which: {
                resource: value * unit
                for resource, key, unit in (
                    (Resource.MEMORY, "memory_mib", MIB),
                    (Resource.CPU, "cores", 1),
                )
                if (value := said.get(f"{which}_{key}")) is not None
            }
            for which in ("min", "max")
        }
        plain = {
            key: said[key]
            for key in ("risk_class", "never_lower", "pinned", "business_hours")
            if key in said
        }
        if plain or any(bounds.values()):
            found[name] = sizing.ServiceRule(least=bounds["min"], most=bounds["max"], **plain)
    return found


def service_types(settings: Settings) -> tuple[sizing.ServiceType, ...]:
    """The types of the settings, then the built-in ones that they do not replace."""
    return types_with(settings.types)


def under_present_limit(history: History, signal: Signal, resource: Resource) -> pd.DataFrame:
    """Events since each service's present limit is in force: what an older limit did is no reason
    to raise this one again.
    """
    events = history[signal]
    since = history.limit_since(resource)
    # the hour in which the limit came has events from before it too
    settled = since + pd.Timedelta("1h")
    kept = {
        name: events[name].where(events.index > settled[name])
        if since.get(name, history.start) > history.start
        else events[name]
        for name in events.columns
    }
    return pd.DataFrame(kept, index=events.index)
