"""The data behind one service's limits: peaks, events, policies side by side, and what they would have done to its past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity import api, sizing
from capacity.model import Resource, Signal
from capacity.names import no_such_service
from capacity.reporting.proof import COMPARED
from capacity.settings import Settings, load_settings

if TYPE_CHECKING:
    from capacity.history import History

__all__ = ["Why", "chart", "why"]

_MOST_PEERS = 200  # services that the replayed policy learns from
_FIRST = "14D"
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Why:
    """Everything known about one service and resource.

    Attributes:
        service: `project/service`.
        resource: which limit.
        row: of the recommendation table.
        days: peak of each day of the window, oldest first.
        peaks: quantiles of next week's peak.
        events: what happened -> how often in the window.
        policies: policy -> the limit it would set now.
        replay: policy x (`breached`, `breach_minutes`, `slack`, `limit`), over past weeks.
        weeks: how many past weeks were judged.
        replicas: containers behind the service; the numbers are the worst one's.
    """

    service: str
    resource: Resource
    row: dict[str, Any]
    days: pd.Series[float]
    peaks: pd.Series[float]
    events: dict[str, float]
    policies: dict[str, float]
    replay: pd.DataFrame
    weeks: int
    replicas: int


def why(history: History, service: str, resource: Resource, settings: Settings | None = None) -> Why:
    """Why the limit of one service is what is proposed.

    Raises:
        InputError: the history has no such service.
    """
    settings = settings or load_settings()
    if service not in history.services:
        raise no_such_service(service, history.services)
    made = api.recommend(history, resource, settings=settings)
    usage = history[resource.usage].reindex(columns=history.services)
    risk = settings.sizing.risk if resource is Resource.MEMORY else settings.sizing.cpu_risk
    chosen = [service, *(name for name in usage.columns if name != service)][:_MOST_PEERS]
    limits = history.limits(resource).reindex(chosen)
    past = sizing.replay(usage[chosen], signal=resource, policies=COMPARED, risk=(risk,), current=limits, first=_FIRST)
    mine = past[past["service"] == service]
    groups = mine.groupby("policy", sort=False)
    table = groups[["breached", "breach_minutes"]].sum().join(groups[["slack", "limit"]].mean())
    return Why(
        service=service,
        resource=resource,
        row={str(name): value for name, value in made.table.loc[service].items()},
        days=usage[service].resample("1D").max(),
        peaks=_peaks(history, service, resource, settings),
        events=_events(history, service),
        policies=_now(usage[chosen], resource, limits, risk, service),
        replay=table,
        weeks=int(mine["time"].nunique()),
        replicas=history.replicas.get(service, 1),
    )


def chart(values: pd.Series[float]) -> str:
    """A line of blocks from nothing to the highest; a space where nothing is known."""
    highest = float(np.nanmax(values.to_numpy())) if values.notna().any() else 0.0
    if not highest > 0:
        return "".join(" " if np.isnan(value) else _BLOCKS[0] for value in values)
    return "".join(" " if np.isnan(value) else _BLOCKS[min(7, int(8 * max(value, 0.0) / highest))] for value in values)


def _peaks(history: History, service: str, resource: Resource, settings: Settings) -> pd.Series[float]:
    peaks = api.forecast(history, resource, settings=settings).peaks
    return peaks.T[service] if service in peaks.index else pd.Series(dtype=float)


def _events(history: History, service: str) -> dict[str, float]:
    """Kills, restarts and busy throttling of the window."""
    found: dict[str, float] = {}
    for signal in (Signal.OOM_KILLS, Signal.RESTARTS):
        frame = history[signal]
        found[str(signal)] = float(frame[service].sum()) if service in frame else 0.0
    throttled = history[Signal.THROTTLED]
    found[str(Signal.THROTTLED)] = float(throttled[service].quantile(0.95)) if service in throttled else 0.0
    return found


def _now(usage: pd.DataFrame, resource: Resource, limits: pd.Series[float], risk: float, service: str) -> dict[str, float]:
    """What each policy would set at the end of the window."""
    step = max(1, round((usage.index[1] - usage.index[0]).total_seconds()))
    past = sizing.Past(usage.to_numpy(np.float64), step, resource, np.asarray(limits, np.float64))
    place = list(usage.columns).index(service)
    return {name: float(sizing.POLICIES[name]().limits(past, (risk,))[0][place]) for name in COMPARED}
