"""Everything the weekly resource report says, computed: no display here."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from capacity import _api
from capacity._common.files import write_atomically, write_text
from capacity._common.version import VERSION
from capacity.changes import (
    LimitForecast,
    MadeFrom,
    Plan,
    alert_rules,
    failure_cooldowns,
    make_plan,
    write_plan,
)
from capacity.errors import InputError
from capacity.history._metrics.signals import CATALOGUE
from capacity.model import Action, Change, Reason, Resource, Signal
from capacity.reporting._render.files import (
    DAYS_REMAINING,
    PEAK_P95,
    QUALITY,
    SCORECARD,
    write_tables,
)
from capacity.reporting._runs import (
    FleetState,
    ReportRun,
    ServiceState,
    iso_week,
    make_folder,
    previous_run,
    read_forecast,
    write_run,
)
from capacity.reporting.weekly._days_left import DaysLeft, days_left
from capacity.reporting.weekly._decisions import Decision, weekly_decisions
from capacity.reporting.weekly._fleet_frontier import fleet_frontier
from capacity.reporting.weekly._limit_crossings import LimitCrossing, find_crossings
from capacity.reporting.weekly._scorecard import Scorecard, forecast_rows, score
from capacity.sizing import changes_from

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from capacity.history import History
    from capacity.settings import Settings

__all__ = ["REPORT", "DataQuality", "WeeklyReview", "review", "save"]

REPORT = "weekly-resources"
_GOOD_COVERAGE, _FAIR_COVERAGE = 0.95, 0.8
_FEW_DROPPED = 0.001  # of all samples of a signal: impossible ones that are not worth a word
_GOOD_DAYS, _FAIR_DAYS = 14, 7
_FRESH = pd.Timedelta("2h")
_DAYS_COLUMNS = [field.name for field in fields(DaysLeft)]
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class DataQuality:
    """Whether the data is good enough: `good`, `fair` or `poor`, and why."""

    level: str
    reasons: tuple[str, ...]


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
        unthreatened: limits that the forecast does not reach, by resource.
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
    unthreatened: dict[Resource, int]
    days_left: list[DaysLeft]
    previous: ReportRun | None
    scorecards: dict[Resource, Scorecard]
    frontiers: dict[Resource, pd.DataFrame]
    state: FleetState

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
    risks = [
        risk
        for resource in Resource
        for risk in find_crossings(forecasts[resource], tables[resource]["current"])
    ]
    risks.sort(key=lambda risk: (risk.upper, risk.service))
    unthreatened = {
        resource: int(tables[resource]["current"].notna().sum())
        - sum(risk.resource is resource for risk in risks)
        for resource in Resource
    }
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
        unthreatened=unthreatened,
        days_left=days_left(history, tables, risks),
        previous=last,
        scorecards=_of_each(
            lambda resource: _scorecard(history, resource, last, horizon, settings)
        ),
        frontiers=_of_each(
            lambda resource: fleet_frontier(history, resource, settings.sizing.tolerance)
        ),
        state={"services": _services(history, tables)},
    )


def _of_each(compute: Callable[[Resource], _Part]) -> dict[Resource, _Part]:
    """One part of the review for each resource, side by side: most of it is outside the
    interpreter's lock.
    """
    with ThreadPoolExecutor(len(Resource)) as pool:
        return dict(zip(Resource, pool.map(compute, Resource), strict=True))


def save(
    week: WeeklyReview,
    folder: Path,
    *,
    seconds: float = 0.0,
    report: str = REPORT,
    name: str = "",
    only: Mapping[str, pd.DataFrame] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Plan:
    """Write `plan.yaml`, `alerts.yml`, `forecast.parquet`, `run.json` and the tables of a review.

    Plan and forecast hold nothing but what follows from the inputs: the same history and settings
    give the same bytes.

    Args:
        week: the review.
        folder: where to.
        seconds: how long it took.
        report: whose facts these are.
        name: of the run; default the ISO week.
        only: plan these proposals alone: rows with a column `resource`.
        extra: more facts.

    Raises:
        StorageError: the folder cannot be written.
    """
    history, settings = week.history, week.settings
    made_from = MadeFrom(
        history=history.fingerprint(), settings=settings.fingerprint(), code=VERSION
    )
    plan = make_plan(
        _chosen_changes(week, only),
        hosts=dict(history.hosts),
        as_of=history.end.to_pydatetime(),
        valid_until=(history.end + pd.Timedelta(week.horizon)).to_pydatetime(),
        made_from=made_from,
    )
    make_folder(folder)
    write_plan(plan, folder / "plan.yaml")
    alerts = alert_rules(_outlooks(week), settings, valid_until=plan.valid_until)
    write_text(folder / "alerts.yml", alerts)
    _write_tables(week, folder)
    facts = {**_facts(week, plan), "seconds": round(seconds, 3), **(extra or {})}
    write_run(folder, report, facts | ({"name": name} if name else {}))
    return plan


def _peak_p95(peaks: pd.DataFrame) -> pd.Series[float]:
    """The 95 % quantile of each forecast peak; empty without a forecast."""
    near = min(peaks.columns, key=lambda level: abs(float(level) - 0.95), default=None)
    return pd.Series(dtype=float) if near is None else peaks[near]


def _write_tables(week: WeeklyReview, folder: Path) -> None:
    """The tables of a review, and its forecasts."""
    left = pd.DataFrame([asdict(row) for row in week.days_left], columns=_DAYS_COLUMNS)
    write_tables(
        folder,
        {
            resource: table.assign(**{PEAK_P95: _peak_p95(week.forecasts[resource].peaks)})
            for resource, table in week.tables.items()
        },
        {
            QUALITY: week.history.coverage(),
            SCORECARD: week.scores(),
            DAYS_REMAINING: left.set_index("name"),
        },
    )
    rows = week.forecast_frame()
    write_atomically(
        folder / "forecast.parquet",
        lambda path: rows.to_parquet(path, compression="zstd", index=False),
    )


def _facts(week: WeeklyReview, plan: Plan) -> dict[str, object]:
    """What is kept of a run, for the index and for later reviews."""
    told = {"sizing", "report", "identity", "metrics", "forecast", "services", "types"}
    return {
        "name": week.name,
        "as_of": week.history.end.isoformat(),
        "source": week.history.source,
        "services": week.services,
        "verdict": week.verdict.level,
        "changes": len(plan.changes),
        "plan_id": plan.plan_id,
        "made_from": plan.made_from.model_dump(),
        "settings": week.settings.model_dump(mode="json", include=told),
        "versions": {
            name: version(name) for name in ("numpy", "pandas", "scikit-learn", "papermill")
        },
        "python": platform.python_version(),
        "state": week.state,
        "headline": [
            f"{decision.service}: {decision.what}, {decision.by} ({decision.why})"
            for decision in week.decisions
        ],
    }


def _chosen_changes(week: WeeklyReview, only: Mapping[str, pd.DataFrame] | None) -> list[Change]:
    """All proposed changes, or those of the rows given."""
    held = _held(week)
    if only is None:
        every = [
            change
            for resource in Resource
            for change in changes_from(week.tables[resource], resource)
        ]
        return [change for change in every if change.service not in held]
    parts = [
        rows[rows["resource"] == str(resource)] for rows in only.values() for resource in Resource
    ]
    named = [Resource(part["resource"].iloc[0]) if len(part) else Resource.MEMORY for part in parts]
    every = [
        change
        for part, resource in zip(parts, named, strict=True)
        for change in changes_from(part, resource)
    ]
    return [change for change in every if change.service not in held]


def _outlooks(week: WeeklyReview) -> list[LimitForecast]:
    """What is expected of every limit in force: when the band reaches it, how likely, and the peak
    that was held for likely.
    """
    reaches = {(risk.service, risk.resource): risk.upper.to_pydatetime() for risk in week.risks}
    return [
        LimitForecast(
            service=str(service),
            resource=resource,
            limit=_number(row["current"]),
            peak=_number(row["peak_high"]),
            reaches=reaches.get((str(service), resource)),
            breach=_number(row["breach_now"]),
        )
        for resource, table in week.tables.items()
        for service, row in table.sort_index().iterrows()
        if np.isfinite(row["current"])
    ]


def _held(week: WeeklyReview) -> frozenset[str]:
    """Services that a failed change holds back; the page says so, and what it says of a damaged
    journal.
    """
    rules = week.settings.apply
    try:
        return frozenset(
            failure_cooldowns(rules.journal, week.history.end.to_pydatetime(), rules.cooldown_hours)
        )
    except InputError:
        return frozenset()


def _verdict(history: History) -> DataQuality:
    quality = history.coverage()
    running = quality[history.running().to_numpy()]
    alive = float(running["alive"].median()) if len(running) else 0.0
    days = (history.end - quality["first"].min()) / pd.Timedelta("1D") if len(quality) else 0.0
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
    poor = alive < _FAIR_COVERAGE or days < _FAIR_DAYS or late > 12 * _FRESH
    return DataQuality("poor" if poor else "fair" if reasons else "good", tuple(reasons))


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
            found = (_number(current), _number(limit), str(action))
            if resource is Resource.CPU:
                services[str(service)]["cpu"] = found
            else:
                services[str(service)]["memory"] = found
    return services


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
