"""Everything the weekly resource report says, computed: no display here."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from capacity import _api
from capacity.history._metrics.signals import CATALOGUE
from capacity.model import Action, Reason, Resource, Signal
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

__all__ = ["REPORT", "DataQuality", "WeeklyReview", "review"]

REPORT = "weekly-resources"
_GOOD_COVERAGE, _FAIR_COVERAGE = 0.95, 0.8
_FEW_DROPPED = 0.001  # of all samples of a signal: impossible ones that are not worth a word
_GOOD_DAYS, _FAIR_DAYS = 14, 7
_FRESH = pd.Timedelta("2h")
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class DataQuality:
    """Whether the data is good enough.

    Attributes:
        level: `good`, `fair` or `poor`, which is not to be acted on.
        reasons: what is wrong with it.
        needed: what must be there before it is acted on; empty unless it is poor.
    """

    level: str
    reasons: tuple[str, ...]
    needed: tuple[str, ...] = ()

    @property
    def warning(self) -> str:
        """Why nothing should be done yet, and what is needed first; empty = go ahead."""
        if not self.needed:
            return ""
        return (
            f"Not good enough to act on: {'; '.join(self.reasons)}. Needed first: "
            f"{'; '.join(self.needed)}"
        )


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
        verdict=_verdict(history),
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


def _verdict(history: History) -> DataQuality:
    quality = history.coverage()
    running = quality[history.running().to_numpy()]
    alive = float(running["alive"].median()) if len(running) else 0.0
    first = quality["first"].min() if len(quality) else history.end
    days = (history.end - first) / pd.Timedelta("1D")
    newest = history.last_sample
    late = history.end - newest if newest is not None else pd.Timedelta.max
    reasons = []
    if alive < _GOOD_COVERAGE:
        reasons.append(f"the typical running service has only {alive:.0%} of its samples")
    if days < _GOOD_DAYS:
        reasons.append(f"history reaches back only {days:.1f} days")
    if late > _FRESH:
        reasons.append(
            f"the newest sample is {late / pd.Timedelta('1h'):.0f} hours older than the report's "
            "time"
        )
    missing = [
        str(signal)
        for signal, entry in CATALOGUE.items()
        if history[signal].empty and signal is not Signal.OOM_KILLS and not entry.optional
    ]
    if missing:
        reasons.append(f"no samples of {', '.join(missing)}")
    dropped = int(quality["dropped"].sum())
    if dropped > _FEW_DROPPED * quality["dropped"].size * len(history.memory.index):
        reasons.append(f"{dropped} samples cannot be true and were dropped")
    enough = first + _FAIR_DAYS * pd.Timedelta("1D")
    conditions = [
        (alive < _FAIR_COVERAGE, f"{_FAIR_COVERAGE:.0%} of the samples of a typical service"),
        (days < _FAIR_DAYS, f"a week of history, there on {enough:%a %d %b}"),
        (late > 12 * _FRESH, "a sample of the last day"),
    ]
    needed = tuple(said for applies, said in conditions if applies)
    return DataQuality("poor" if needed else "fair" if reasons else "good", tuple(reasons), needed)


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
