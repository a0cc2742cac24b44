"""Everything the weekly resource report says, computed: no display here."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from capacity import _api
from capacity.history._data_quality import DataQuality, data_quality
from capacity.model import Action, Reason, Resource
from capacity.reporting._runs import (
    FleetState,
    ReportRun,
    ServiceState,
    iso_week,
    previous_run,
    read_forecast,
)
from capacity.reporting.weekly._days_left import DaysLeft, days_left
from capacity.reporting.weekly._decisions import Decision, weekly_decisions
from capacity.reporting.weekly._fleet_frontier import fleet_frontier
from capacity.reporting.weekly._limit_crossings import LimitCrossing, find_crossings
from capacity.reporting.weekly._scorecard import Scorecard, forecast_rows, score

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capacity.history import History
    from capacity.settings import Settings

__all__ = ["REPORT", "WeeklyReview", "review"]

REPORT = "weekly-resources"
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class WeeklyReview:
    """The review of one week.

    Attributes:
        name: ISO week of its end.
        services: glob of the services looked at; empty = all.
        history: the window it looks at.
        horizon: how far ahead it looks, such as `7D`.
        forecasts: by resource.
        tables: recommendations by resource, one row a service.
        verdict: on the data.
        decisions: at most five, the most urgent first.
        risks: services whose forecast reaches their limit within the horizon, soonest first.
        days_left: of limits and hosts, the soonest first.
        previous: the last run before this one.
        scorecards: how the last forecast held, by resource.
        frontiers: breaches against cost of every policy on this fleet's past, by resource.
        state: what the next run compares itself with.
    """

    name: str
    services: str
    history: History
    settings: Settings
    horizon: str
    forecasts: dict[Resource, _api.Forecast]
    tables: dict[Resource, pd.DataFrame]
    verdict: DataQuality
    decisions: list[Decision]
    risks: list[LimitCrossing]
    days_left: list[DaysLeft]
    previous: ReportRun | None
    scorecards: dict[Resource, Scorecard]
    frontiers: dict[Resource, pd.DataFrame]
    state: FleetState

    @property
    def unthreatened(self) -> dict[Resource, int]:
        """How many limits the forecast does not reach, by resource."""
        reached = Counter(risk.resource for risk in self.risks)
        limits = {name: table["current"].notna().sum() for name, table in self.tables.items()}
        return {resource: int(limits[resource]) - reached[resource] for resource in Resource}

    def proposals(self, *actions: Action) -> pd.DataFrame:
        """Rows of both resources with one of the actions; column `resource` says which."""
        parts = [table.assign(resource=str(resource)) for resource, table in self.tables.items()]
        both = pd.concat(parts)
        return both[both["action"].isin([str(action) for action in actions])]

    def without(self, *reasons: Reason) -> pd.DataFrame:
        """Rows of both resources with one of the reasons."""
        parts = [table.assign(resource=str(resource)) for resource, table in self.tables.items()]
        both = pd.concat(parts)
        return both[both["reason"].isin([str(reason) for reason in reasons])]

    def scores(self) -> pd.DataFrame:
        """How the last forecast held for each service, the largest error first; column `resource`
        says of what.
        """
        parts = [
            card.services.assign(resource=str(resource))
            for resource, card in self.scorecards.items()
            if card.samples
        ]
        both = pd.concat(parts) if parts else pd.DataFrame(columns=["wql"])
        return both.sort_values("wql", ascending=False, na_position="last")

    def forecast_frame(self) -> pd.DataFrame:
        """Both forecasts, long: time, service, resource, one float32 column a quantile."""
        return pd.concat(
            [forecast_rows(self.forecasts[resource]) for resource in Resource], ignore_index=True
        )


def review(
    history: History, settings: Settings, reports: Path | None = None, services: str = ""
) -> WeeklyReview:
    """The weekly review of a window.

    Args:
        history: the window; its end is the moment of the review.
        settings: horizon and rules of the settings.
        reports: folder of earlier runs, for the comparison.
        services: the glob that `history` was narrowed by, to be compared with runs of the same
            choice; empty = all.
    """
    horizon = f"{settings.report.horizon_days}D"
    forecasts = _of_each(
        lambda resource: _api.forecast(history, resource, horizon, settings=settings)
    )
    tables = _of_each(
        lambda resource: (
            _api.recommend(
                history,
                resource,
                horizon=horizon,
                settings=settings,
                forecaster=forecasts[resource].model,
            ).table
        )
    )
    risks = _crossings(forecasts, tables)
    last = previous_run(reports, REPORT, history.end, history.source, services) if reports else None
    return WeeklyReview(
        name=iso_week(history.end),
        services=services,
        history=history,
        settings=settings,
        horizon=horizon,
        forecasts=forecasts,
        tables=tables,
        verdict=data_quality(history),
        decisions=weekly_decisions(history, tables, risks, settings.operations.restart_limit),
        risks=risks,
        days_left=days_left(history, tables, risks, settings.report.horizon_days),
        previous=last,
        scorecards=_of_each(
            lambda resource: _scorecard(history, resource, last, horizon, settings)
        ),
        frontiers=_of_each(
            lambda resource: fleet_frontier(history, resource, settings.sizing.tolerance)
        ),
        state={"services": _services(history, tables)},
    )


def _crossings(
    forecasts: dict[Resource, _api.Forecast], tables: dict[Resource, pd.DataFrame]
) -> list[LimitCrossing]:
    """Limits that a forecast reaches, the soonest first."""
    found = [
        crossing
        for resource in Resource
        for crossing in find_crossings(forecasts[resource], tables[resource]["current"])
    ]
    return sorted(found, key=lambda crossing: (crossing.upper, crossing.service))


def _of_each(compute: Callable[[Resource], _Part]) -> dict[Resource, _Part]:
    """One part of the review for each resource, side by side: most of it is outside the
    interpreter's lock.
    """
    with ThreadPoolExecutor(len(Resource)) as pool:
        return dict(zip(Resource, pool.map(compute, Resource), strict=True))


def _scorecard(
    history: History, resource: Resource, last: ReportRun | None, horizon: str, settings: Settings
) -> Scorecard:
    """How the stored forecast held; without one, how a forecast made a horizon ago would have."""
    stored = read_forecast(last) if last else None
    if last is not None and stored is not None:
        mine = stored[stored["resource"] == str(resource)]
        return score(mine, history[resource.usage], made=last.as_of, stored=True)
    cut = history.end - pd.Timedelta(horizon)
    past = history.between(history.start, cut)
    again = _api.forecast(past, resource, horizon, settings=settings)
    return score(forecast_rows(again), history[resource.usage], made=cut, stored=False)


def _services(history: History, tables: dict[Resource, pd.DataFrame]) -> dict[str, ServiceState]:
    """What each service is like now."""
    running = history.running()
    services: dict[str, ServiceState] = {
        name: {"running": bool(running[name])} for name in history.services
    }
    for resource, table in tables.items():
        for service, current, limit, action in zip(
            table.index, table["current"], table["limit"], table["action"], strict=True
        ):
            found = (finite_or_none(current), finite_or_none(limit), str(action))
            if resource is Resource.CPU:
                services[str(service)]["cpu"] = found
            else:
                services[str(service)]["memory"] = found
    return services


def finite_or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
