"""One answer on one limit: proposal, alerts, days left and the reasons given never disagree."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capacity import _api
from capacity._common.text.units import MIB
from capacity.changes import alert_rules
from capacity.model import Action, Reason, Resource
from capacity.reporting import weekly
from capacity.reporting._explain.explain import explain_service
from capacity.reporting._explain.explain_text import explanation_lines
from capacity.reporting.weekly._saving import _outlooks
from capacity.settings import Settings
from capacity.sizing import Context, recommend
from capacity.sizing._to_changes import changes_from
from tests.fixtures.frames import float_at


def test_a_limit_that_fits_raises_no_alert(sample_review: weekly.WeeklyReview) -> None:
    """The alert on the chance fires exactly where sizing would raise the limit for it: the one that
    is kept within tolerance, at a chance above the accepted one, is silent.
    """
    kept = sample_review.tables[Resource.CPU].loc["shop/checkout"]
    assert (kept["action"], kept["reason"]) == (Action.KEEP, Reason.WITHIN_TOLERANCE)
    assert Settings().sizing.cpu_risk < kept["breach_now"] < kept["raised_above"]
    text = alert_rules(
        _outlooks(sample_review), Settings(), valid_until=sample_review.history.end.to_pydatetime()
    )
    firing = {
        tuple(line.split(" passes its limit")[0].split("summary: ")[1].split())
        for line in text.splitlines()
        if " passes its limit with a chance" in line
    }
    above = {
        (str(service), str(resource))
        for resource, table in sample_review.tables.items()
        for service, row in table.iterrows()
        if row["breach_now"] > row["raised_above"]
    }
    assert firing == above
    for service, resource in firing:
        assert sample_review.tables[Resource(resource)].loc[service, "action"] == Action.RAISE


def test_days_left_agree_with_the_chance_within_the_horizon(
    sample_review: weekly.WeeklyReview,
) -> None:
    """One course in twenty reaches the limit within the week where the chance to pass it then is a
    twentieth or more, the middle one where it is a half, and neither sooner than that says.
    """
    rows = {(row.name, row.resource): row for row in sample_review.days_left if not row.host}
    assert any(row.soonest > 7 for row in rows.values())
    for resource, table in sample_review.tables.items():
        for service in table.index[table["current"].notna()]:
            chance = float_at(table, service, "breach_now")
            row = rows.get((service, resource))
            days = (row.soonest, row.likely) if row else (np.inf, np.inf)
            for reached, share in zip(days, (0.05, 0.5), strict=True):
                assert reached <= 7 if chance >= share else reached >= 7


def test_why_says_from_which_chance_a_limit_is_raised() -> None:
    """A limit that is kept above the accepted risk says what would raise it, and that the policies
    below are their rules alone.
    """
    found = explain_service(_api.open_history("sample"), "shop/checkout", Resource.CPU, Settings())
    lines = explanation_lines(found)
    (chance,) = [line for line in lines if "chance that it passes" in line]
    assert "accepted 10%; a limit in force is raised above 2" in chance
    assert "rule alone" in lines[-1]
    assert "near what is accepted" in lines[1]


def test_a_plan_fires_no_alert_where_no_chance_raises_a_limit() -> None:
    """With too little history a limit is raised for an event alone: plan and report say the same of
    its chance.
    """
    rng = np.random.default_rng(3)
    index = pd.date_range("2026-10-01", periods=40, freq="1h", tz="UTC", unit="s")
    usage = pd.DataFrame({"shop/web": 100 * MIB * rng.lognormal(0, 0.1, len(index))}, index=index)
    kills = pd.DataFrame(0.0, index=index, columns=["shop/web"])
    kills.iloc[-3] = 1.0
    limit = 1.3 * float(usage.max().iloc[0])
    table = recommend(usage, current={"shop/web": limit}, context=Context(oom_kills=kills))
    assert (table["action"] == Action.RAISE).all()
    assert table["raised_above"].isna().all()
    (change,) = changes_from(table, Resource.MEMORY)
    assert change.evidence["breach_now"] < change.evidence["raised_above"] == 1.0
