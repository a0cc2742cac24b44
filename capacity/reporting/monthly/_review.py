"""Everything the monthly optimization review says, computed: no display here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity import _api, sizing
from capacity._api import sizing_inputs
from capacity._common.files import write_text
from capacity.changes._accepted_risk import accepted_risk
from capacity.errors import InputError
from capacity.model import Action, Reason, Resource
from capacity.reporting import weekly
from capacity.reporting._analysis.host_limits import limit_sums, replicas_on
from capacity.reporting._analysis.owners import Owners, find_owners
from capacity.reporting._analysis.promises import MONTHLY, earlier_runs, promised_limits
from capacity.reporting._runs import ReportRun, proposed, read_forecast
from capacity.reporting.monthly._agenda import as_csv, as_markdown, to_decide
from capacity.reporting.weekly._scorecard import Scorecard, score
from capacity.sizing import Placement, Prices
from capacity.sizing._service_types import type_of

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.history import History
    from capacity.settings import Settings

__all__ = ["REPORT", "MonthlyReview", "month_name", "review", "save"]

REPORT = MONTHLY
_MONTH = pd.Timedelta("32D")  # a monthly run is not always at the same hour
_SURE = 0.8  # confidence from which a proposal needs no discussion
_GROWTH, _CUT = 1.2, 0.8
_PLANNED = 0.95  # quantile of a service's forecast peak that hosts are packed by
_OPEN = frozenset(
    {
        Reason.LEAK,
        Reason.HOST_CEILING,
        Reason.TYPE_DEFAULT,
        Reason.LIMIT_UNKNOWN,
        Reason.UNSTABLE,
        Reason.COOLDOWN,
    }
)


@dataclass(frozen=True)
class MonthlyReview:
    """The review of one month.

    Attributes:
        name: month of its end, such as `2026-11`.
        week: the weekly review of the same window: forecasts, recommendations, frontiers.
        promises: one row for each proposal of the earliest run of the last month: `service`,
            `resource`, `action`, `before`, `promised`, `now`, `state` (applied, open, other),
            `breach_minutes`, `oom_kills` since that run.
        promised_in: the run they were made in; None without one.
        scorecards: (as of, resource, scorecard) for every stored forecast of the last month.
        columns: the month's plan: `raise`, `lower` and `decide` -> rows of proposals with column
            `resource`.
        scenarios: one row a scenario and resource, see `scenarios`.
        hosts: one row a host and resource: `size`, `expected` (sum of planned peaks), `in_force`
            and `limits` (sums of limits now and after the plan), all of the replicas there,
            `services`.
        placements: host -> proposed cores.
        waste: what lowering gives back, see `capacity.sizing._savings`.
        savings: one row a resource: `first` and `now` (sum of the limits in force of services in
            both), `since`.
        prices: what resources cost.
        owners: who decides for which service.
    """

    name: str
    week: weekly.WeeklyReview
    promises: pd.DataFrame
    promised_in: ReportRun | None
    scorecards: list[tuple[pd.Timestamp, Resource, Scorecard]]
    columns: dict[str, pd.DataFrame]
    scenarios: pd.DataFrame
    hosts: pd.DataFrame
    placements: dict[str, Placement]
    waste: pd.DataFrame
    savings: pd.DataFrame
    prices: Prices
    owners: Owners = field(default_factory=Owners)


def month_name(as_of: pd.Timestamp) -> str:
    """`2026-11`: the month that the moment before `as_of` lies in, so that a run on the first
    reviews the month that ended.
    """
    return f"{as_of - pd.Timedelta('1s'):%Y-%m}"


def review(
    history: History,
    settings: Settings,
    reports: Path | None = None,
    services: str = "",
    *,
    offline: bool = False,
) -> MonthlyReview:
    """The monthly review of a window.

    Args:
        history: the window; its end is the moment of the review.
        settings: rules of the settings, prices, core ranges.
        reports: folder of earlier runs, weekly and monthly.
        services: the glob that `history` was narrowed by; empty = all.
        offline: ask no server who owns what.
    """
    week = weekly.review(history, settings, reports, services)
    runs = earlier_runs(reports, history, services)
    month = [run for run in runs if run.as_of >= history.end - _MONTH]
    prices = Prices(settings.money.memory_gib, settings.money.core, settings.money.currency)
    return MonthlyReview(
        name=month_name(history.end),
        week=week,
        promises=promised_limits(history, month[0] if month else None),
        promised_in=month[0] if month else None,
        scorecards=[
            (run.as_of, resource, card) for run in month for resource, card in _scores(history, run)
        ],
        columns=_columns(week),
        scenarios=scenarios(week),
        hosts=_hosts(week),
        placements=_placements(week, settings),
        waste=sizing.savings(week.tables, prices, history.replicas),
        savings=_savings(history, week, runs),
        prices=prices,
        owners=find_owners(settings, None if offline else history),
    )


def save(month: MonthlyReview, folder: Path, *, seconds: float = 0.0) -> None:
    """Write the month's `plan.yaml`, `decisions.md`, `decisions.csv` and `run.json`.

    Raises:
        StorageError: the folder cannot be written.
    """
    kept = {name: rows for name, rows in month.columns.items() if name != "decide"}
    facts = {
        "promises": _counts(month.promises),
        "planned": {name: len(rows) for name, rows in kept.items()},
    }
    weekly.save(
        month.week, folder, report=REPORT, name=month.name, only=kept, extra=facts, seconds=seconds
    )
    items = to_decide(month.columns, month.owners)
    write_text(folder / "decisions.md", as_markdown(items))
    write_text(folder / "decisions.csv", as_csv(items))


def _counts(promises: pd.DataFrame) -> dict[str, int]:
    return {str(state): int(count) for state, count in promises["state"].value_counts().items()}


def _scores(history: History, run: ReportRun) -> list[tuple[Resource, Scorecard]]:
    """How the forecast of a run held."""
    stored = read_forecast(run)
    if stored is None:
        return []
    parts = [(resource, stored[stored["resource"] == str(resource)]) for resource in Resource]
    cards = [
        (resource, score(rows, history[resource.usage], made=run.as_of, stored=True))
        for resource, rows in parts
    ]
    return [(resource, card) for resource, card in cards if card.samples]


def _columns(week: weekly.WeeklyReview) -> dict[str, pd.DataFrame]:
    """Proposals in three columns: what to raise or set now, what can be lowered safely, what needs
    a decision.
    """
    every = week.proposals(*Action)
    reason, action = every["reason"], every["action"]
    sure = (every["confidence"] >= _SURE) & ~reason.isin([str(each) for each in _OPEN])
    up, down = action.isin([Action.SET, Action.RAISE]), action == Action.LOWER
    pairs = zip(every.index, every["resource"], strict=True)
    accepted = np.array(
        [accepted_risk(str(name), Resource(part), week.settings) for name, part in pairs]
    )
    risky = down & (every["breach_after"] > 2 * accepted)
    undecided = (up | down) & (~sure | risky) | reason.isin([str(each) for each in _OPEN])
    return {
        "raise": every[up & ~undecided],
        "lower": every[down & ~undecided],
        "decide": every[undecided],
    }


def scenarios(week: weekly.WeeklyReview) -> pd.DataFrame:
    """What if: everything grows by a fifth, the largest host is lost, the budget is cut by a fifth.

    The plan's own rules hold in each: what people decided for a service, cooldowns, and limits that
    are kept as they are.

    Returns:
        one row a scenario and resource: `scenario`, `resource`, `limits` (sum of the limits of
        running services, of all their replicas, changed as proposed or kept), `room` (what the
        hosts have; 0 = no host is left, NaN = unknown), `budget` (NaN = none), `breaches` (expected
        number of services whose coming peak passes its limit).
    """
    rows = []
    for resource in Resource:
        sizes = week.history.host_sizes(resource)
        base = _limits(week, week.tables[resource])
        budget = _CUT * _sum(week, base)
        left = sizes.drop(sizes.idxmax()) if len(sizes) else sizes
        for name, table, room, most in (
            ("as planned", base, sizes, np.nan),
            (f"growth x {_GROWTH}", _grown(week, resource), sizes, np.nan),
            ("largest host lost", base, left, np.nan),
            (
                f"budget cut by {1 - _CUT:.0%}".replace("%", " %"),
                _within(week, resource, base, budget),
                sizes,
                budget,
            ),
        ):
            known = float(room.sum()) if len(sizes) else np.nan
            row = {
                "scenario": name,
                "resource": str(resource),
                "limits": _sum(week, table),
                "room": known,
            }
            rows.append(row | {"budget": most, "breaches": float(table["breach_after"].sum())})
    return pd.DataFrame(rows)


def _sum(week: weekly.WeeklyReview, table: pd.DataFrame) -> float:
    """What the limits of all replicas add up to."""
    return float(
        sum(
            limit * week.history.replicas.get(str(name), 1)
            for name, limit in table["limit"].dropna().items()
        )
    )


def _limits(week: weekly.WeeklyReview, table: pd.DataFrame) -> pd.DataFrame:
    """`limit` after the plan, proposed or kept, and `breach_after` of each running service."""
    running = week.history.running().reindex(table.index, fill_value=False)
    return table.assign(limit=table["limit"].fillna(table["current"]))[running]


def _grown(week: weekly.WeeklyReview, resource: Resource) -> pd.DataFrame:
    """The plan if every service had used more by the same share."""
    history = week.history
    more = replace(
        history,
        frames={**history.frames, resource.usage: history.whole()[resource.usage] * _GROWTH},
    )
    return _limits(
        week, _api.recommend(more, resource, horizon=week.horizon, settings=week.settings).table
    )


def _within(
    week: weekly.WeeklyReview, resource: Resource, base: pd.DataFrame, budget: float
) -> pd.DataFrame:
    """The plan if all limits together may be no more than a budget, in as many steps down as that
    takes; unchanged where rules of the settings do not let it be kept.
    """
    sizing = week.settings.sizing.model_copy(update={"largest_step_down": 1.0})
    some, model = (
        replace(week.history, only=frozenset(map(str, base.index))),
        week.forecasts[resource].model,
    )
    try:
        made = _api.recommend(
            some,
            resource,
            horizon=week.horizon,
            settings=week.settings.model_copy(update={"sizing": sizing}),
            forecaster=model,
            budget=budget,
        )
    except InputError:
        return base
    return _limits(week, made.table)


def _hosts(week: weekly.WeeklyReview) -> pd.DataFrame:
    """How full each host is planned to be."""
    rows = []
    for resource in Resource:
        peaks = week.forecasts[resource].peaks
        level = (
            min(peaks.columns, key=lambda each: abs(float(each) - _PLANNED))
            if len(peaks.columns)
            else None
        )
        for host, size in week.history.host_sizes(resource).items():
            mine = replicas_on(week.history, str(host))
            sums = limit_sums(week.history, week.tables[resource], str(host))
            expected = float((peaks[level] * mine).sum()) if level is not None else np.nan
            row = {
                "host": str(host),
                "resource": str(resource),
                "size": float(size),
                "expected": expected,
            }
            limits = {"in_force": sums.in_force, "limits": sums.proposed}
            rows.append(row | limits | {"services": len(mine)})
    return pd.DataFrame(
        rows, columns=["host", "resource", "size", "expected", "in_force", "limits", "services"]
    )


def _placements(week: weekly.WeeklyReview, settings: Settings) -> dict[str, Placement]:
    """Cores of each host's services by forecast load."""
    types = sizing_inputs.service_types(settings)
    found = {}
    for host, cores in week.history.host_sizes(Resource.CPU).items():
        mine = replicas_on(week.history, str(host))
        load = sizing.forecast_load(
            week.forecasts[Resource.CPU].bands,
            {str(name): float(many) for name, many in mine.items()},
        ).reindex(mine.index)
        kinds = {name: type_of(name, types).category for name in mine.index}
        ranges = settings.placement.model_dump()
        # which cores a pinned service has is not in the metrics: it counts on all of them
        pinned = {
            name: f"0-{int(cores) - 1}"
            for name, rule in sizing_inputs.service_rules(settings, mine.index).items()
            if rule.pinned
        }
        found[str(host)] = sizing.place(load, kinds, int(cores), ranges=ranges, pinned=pinned)
    return found


def _savings(history: History, week: weekly.WeeklyReview, runs: list[ReportRun]) -> pd.DataFrame:
    """Limits in force then and now of all present replicas, of the services that had one at both
    times.
    """
    rows = []
    first = runs[0].state.get("services", {}) if runs else {}
    for resource in Resource:
        now = week.tables[resource]["current"]
        both = [
            (float(limit) * times, float(now[service]) * times)
            for service, entry in first.items()
            if (limit := proposed(entry, resource)[0]) is not None
            and np.isfinite(now.get(service, np.nan))
            for times in (history.replicas.get(service, 1),)
        ]
        before, after = (sum(pair[place] for pair in both) for place in (0, 1))
        since = runs[0].as_of if runs else history.end
        rows.append({"resource": str(resource), "first": before, "now": after, "since": since})
    return pd.DataFrame(rows)
