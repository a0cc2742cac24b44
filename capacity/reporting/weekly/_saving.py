"""What a weekly run leaves beside its page: plan, tables, and facts for the runs after it."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity._api.window import good_until
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
from capacity.model import Change, Reason, Resource
from capacity.reporting._render.files import (
    DAYS_REMAINING,
    PEAK_P95,
    QUALITY,
    SCORECARD,
    write_tables,
)
from capacity.reporting._runs import (
    make_folder,
    write_run,
)
from capacity.reporting.weekly._days_left import DaysLeft
from capacity.reporting.weekly._review import REPORT, WeeklyReview, finite_or_none
from capacity.sizing import changes_from

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


__all__ = ["save"]

_DAYS_COLUMNS = [field.name for field in fields(DaysLeft)]


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
        history=history.fingerprint(),
        settings=settings.fingerprint(),
        code=VERSION,
        warning=week.verdict.warning,
    )
    plan = make_plan(
        _chosen_changes(week, only),
        hosts=dict(history.hosts),
        as_of=history.end.to_pydatetime(),
        valid_until=good_until(history, week.horizon),
        made_from=made_from,
    )
    make_folder(folder)
    write_plan(plan, folder / "plan.yaml")
    forecast_end = (history.end + pd.Timedelta(week.horizon)).to_pydatetime()
    alerts = alert_rules(_outlooks(week), settings, valid_until=forecast_end)
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
            limit=finite_or_none(row["current"]),
            peak=finite_or_none(row["peak_high"]),
            reaches=reaches.get((str(service), resource)),
            breach=_asks_for_more(row),
            raised_above=finite_or_none(row["raised_above"]),
        )
        for resource, table in week.tables.items()
        for service, row in table.sort_index().iterrows()
        if np.isfinite(row["current"])
    ]


def _asks_for_more(row: pd.Series[Any]) -> float | None:
    """The chance to pass the limit, where sizing raises a limit for it."""
    fits = math.isnan(row["raised_above"]) or row["reason"] == Reason.WITHIN_TOLERANCE
    return None if fits else finite_or_none(row["breach_now"])


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
