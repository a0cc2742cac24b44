"""The data behind one service's limits: peaks, events, policies side by side, and what they would
have done to its past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from capacity import _api, sizing
from capacity._api import sizing_inputs
from capacity._common.text.suggest import no_such_service
from capacity.changes._accepted_risk import accepted_risk
from capacity.history._validity import DropReason
from capacity.model import Resource, Signal
from capacity.reporting.weekly._fleet_frontier import COMPARED
from capacity.reporting.weekly._sections.evidence import limit_hits
from capacity.settings import Settings, load_settings
from capacity.sizing._decisions.budget import Totals, totals
from capacity.sizing._replay.evidence import add_baselines

if TYPE_CHECKING:
    from capacity.history import History

__all__ = ["BudgetShare", "Explanation", "chart", "explain_service"]

_MOST_PEERS = 200  # services that the replayed policy learns from
_FIRST = "14D"
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class BudgetShare:
    """What one service got of a budget.

    Attributes:
        totals: of all services.
        alone: its limit without a budget, proposed or in force; NaN = none.
        breach_alone: chance that the coming peak passes that; NaN = unknown.
    """

    totals: Totals
    alone: float
    breach_alone: float


@dataclass(frozen=True)
class Explanation:
    """Everything known about one service and resource.

    Attributes:
        service: `project/service`.
        resource: which limit.
        row: of the recommendation table.
        days: peak of each day of the window, oldest first.
        peaks: quantiles of next week's peak.
        events: what happened -> how often in the window.
        policies: policy -> the limit it would set now.
        replay: policy x (`breached`, `breach_minutes`, `slack`, `limit`, and what samples hide:
            `kills`, `held_minutes` at a limit of the time that the policy's was not above), over
            past weeks.
        weeks: how many past weeks were judged.
        horizon: how far ahead the limits must hold.
        struck: kills, and minutes held, in the window that the limit in force met, and that the
            proposed one would have met.
        replicas: containers behind the service; the numbers are the worst one's.
        dropped: why samples of this resource could not be true -> how many were dropped.
        accepted: chance to pass its limit that is accepted of it.
        budget: what it got of one; None = none was given.
    """

    service: str
    resource: Resource
    row: pd.Series[Any]
    days: pd.Series[float]
    peaks: pd.Series[float]
    events: dict[str, float]
    policies: dict[str, float]
    replay: pd.DataFrame
    weeks: int
    horizon: str
    struck: dict[str, tuple[float, float]]
    replicas: int
    dropped: dict[DropReason, int]
    accepted: float
    budget: BudgetShare | None = None


def explain_service(
    history: History,
    service: str,
    resource: Resource,
    settings: Settings | None = None,
    *,
    horizon: str = "7D",
    risk: float | None = None,
    policy: str = "capacity",
    budget: float | None = None,
) -> Explanation:
    """Why the limit of one service is what is proposed.

    Args:
        history: the window.
        service: `project/service`.
        resource: which limit.
        settings: rules of the settings; default `capacity.toml` and the environment.
        horizon: how far ahead the limits must hold.
        risk: accepted share of breaches; default from the settings.
        policy: whose limit is proposed; it is compared with the others.
        budget: what the limits of all services may add up to, cores or bytes.

    Raises:
        InputError: the history has no such service; impossible `horizon`, `risk`, `policy` or
            `budget`.
    """
    settings = settings or load_settings()
    ahead = _api.parse_length(horizon)
    if service not in history.services:
        raise no_such_service(service, history.services)
    made, share = _made(history, service, resource, settings, horizon, risk, policy, budget)
    usage = history[resource.usage].reindex(columns=history.services)
    if risk is None:
        risk = settings.sizing.risk if resource is Resource.MEMORY else settings.sizing.cpu_risk
    past, policies = _policies(history, service, resource, [policy, *COMPARED], horizon, risk)
    hit = limit_hits(history, resource)
    row = cast("pd.Series[Any]", made.table.loc[service])
    return Explanation(
        service=service,
        resource=resource,
        row=row,
        days=usage[service].resample("1D").max(),
        peaks=_peaks(history, service, resource, settings, horizon),
        events=_events(history, service),
        policies=policies,
        replay=_judged(past, hit, ahead),
        weeks=int(past["time"].nunique()),
        horizon=horizon,
        struck={name: hit.under(service, float(row[name])) for name in ("current", "limit")},
        replicas=history.replicas.get(service, 1),
        dropped={
            entry.reason: entry.count
            for entry in history.dropped
            if (entry.name, entry.signal) == (service, resource.usage)
        },
        accepted=accepted_risk(service, resource, settings, risk),
        budget=share,
    )


def _made(
    history: History,
    service: str,
    resource: Resource,
    settings: Settings,
    horizon: str,
    risk: float | None,
    policy: str,
    budget: float | None,
) -> tuple[_api.Recommendations, BudgetShare | None]:
    """The recommendation, and what the service got of a budget where one is given."""
    alone = _api.recommend(
        history, resource, settings=settings, horizon=horizon, risk=risk, policy=policy
    )
    if budget is None:
        return alone, None
    made = _api.recommend(
        history, resource, settings=settings, horizon=horizon, risk=risk, budget=budget
    )
    row = alone[service]
    limit = float(row["current"] if np.isnan(row["limit"]) else row["limit"])
    told = totals(made.table, history.replicas, budget)
    return made, BudgetShare(told, limit, float(row["breach_after"]))


def _policies(
    history: History,
    service: str,
    resource: Resource,
    policies: list[str],
    horizon: str,
    risk: float,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Past weekly decisions of each policy for the service, and the limits of now."""
    names = list(dict.fromkeys(policies))
    usage = history[resource.usage].reindex(columns=history.services)
    chosen = [service, *(name for name in usage.columns if name != service)][:_MOST_PEERS]
    limits = history.limits(resource).reindex(chosen)
    kills = (
        sizing_inputs.under_present_limit(history, Signal.OOM_KILLS, resource)
        if resource is Resource.MEMORY
        else None
    )
    past = sizing.replay(
        usage[chosen],
        signal=resource,
        policies=names,
        horizon=horizon,
        risk=(risk,),
        current=limits,
        kills=kills,
        first=_FIRST,
    )
    today = add_baselines(
        usage[chosen],
        resource,
        np.asarray(limits, np.float64),
        names,
        kills=kills,
        risk=risk,
        horizon=horizon,
    )
    return (
        past[past["service"] == service],
        {name: float(today[name][service]) for name in names},
    )


def _judged(past: pd.DataFrame, hit: sizing.LimitHits, ahead: pd.Timedelta) -> pd.DataFrame:
    """Policy x what its limits would have done, with what samples hide."""
    met = [
        hit.under(service, limit, at, at + ahead)
        for service, limit, at in zip(past["service"], past["limit"], past["time"], strict=True)
    ]
    groups = past.assign(
        kills=[kills for kills, _ in met], held_minutes=[minutes for _, minutes in met]
    ).groupby("policy", sort=False)
    sums = groups[["breached", "breach_minutes", "kills", "held_minutes"]].sum()
    return sums.join(groups[["slack", "limit"]].mean())


def chart(values: pd.Series[float]) -> str:
    """A line of blocks from nothing to the highest; a space where nothing is known."""
    highest = float(np.nanmax(values.to_numpy())) if values.notna().any() else 0.0
    if not highest > 0:
        return "".join(" " if np.isnan(value) else _BLOCKS[0] for value in values)
    return "".join(
        " " if np.isnan(value) else _BLOCKS[min(7, int(8 * max(value, 0.0) / highest))]
        for value in values
    )


def _peaks(
    history: History, service: str, resource: Resource, settings: Settings, horizon: str
) -> pd.Series[float]:
    peaks = _api.forecast(history, resource, horizon, settings=settings).peaks
    return peaks.T[service] if service in peaks.index else pd.Series(dtype=float)


def _events(history: History, service: str) -> dict[str, float]:
    """Kills, restarts, busy throttling of the window, and where the kernel says it the longest
    waits for memory and CPU.
    """
    found: dict[str, float] = {}
    for signal in (Signal.OOM_KILLS, Signal.RESTARTS):
        frame = history[signal]
        found[str(signal)] = float(frame[service].sum()) if service in frame else 0.0
    throttled = history[Signal.THROTTLED]
    found[str(Signal.THROTTLED)] = (
        float(throttled[service].quantile(0.95)) if service in throttled else 0.0
    )
    for signal in (Signal.CPU_WAITING, Signal.MEMORY_WAITING, Signal.MEMORY_STALLED):
        shares = history[signal]
        if service in shares and shares[service].notna().any():
            found[str(signal)] = float(shares[service].max())
    return found
