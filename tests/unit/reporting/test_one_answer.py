"""One answer on one limit: proposal, alerts, days left and the reasons given never disagree."""

from __future__ import annotations

import numpy as np
import pytest

from capacity import _api
from capacity.changes import alert_rules
from capacity.model import Action, Reason, Resource
from capacity.reporting import weekly
from capacity.reporting._explain.explain import explain_service
from capacity.reporting._explain.explain_text import explanation_lines
from capacity.reporting.weekly._saving import _outlooks
from capacity.settings import Settings
from tests.fixtures.frames import float_at


@pytest.fixture(scope="module")
def week() -> weekly.WeeklyReview:
    """The sample as `capacity report weekly --sample` looks at it."""
    return weekly.review(_api.open_history("sample"), Settings())


def test_a_limit_that_fits_raises_no_alert(week: weekly.WeeklyReview) -> None:
    """The alert on the chance fires exactly where sizing would raise the limit for it: the one that
    is kept within tolerance, at a chance above the accepted one, is silent.
    """
    kept = week.tables[Resource.CPU].loc["shop/checkout"]
    assert (kept["action"], kept["reason"]) == (Action.KEEP, Reason.WITHIN_TOLERANCE)
    assert Settings().sizing.cpu_risk < kept["breach_now"] < kept["raised_above"]
    text = alert_rules(_outlooks(week), Settings(), valid_until=week.history.end.to_pydatetime())
    firing = {
        tuple(line.split(" passes its limit")[0].split("summary: ")[1].split())
        for line in text.splitlines()
        if " passes its limit with a chance" in line
    }
    above = {
        (str(service), str(resource))
        for resource, table in week.tables.items()
        for service, row in table.iterrows()
        if row["breach_now"] > row["raised_above"]
    }
    assert firing == above
    for service, resource in firing:
        assert week.tables[Resource(resource)].loc[service, "action"] == Action.RAISE


def test_days_left_agree_with_the_chance_within_the_horizon(week: weekly.WeeklyReview) -> None:
    """One course in twenty reaches the limit within the week exactly where the chance to pass it
    then is a twentieth or more, or the forecast's band is there.
    """
    rows = {(row.name, row.resource): row for row in week.days_left if not row.host}
    crossed = {(risk.service, risk.resource) for risk in week.risks}
    assert any(row.soonest > 7 for row in rows.values())
    for resource, table in week.tables.items():
        for service in table.index[table["current"].notna()]:
            chance = float_at(table, service, "breach_now")
            row = rows.get((service, resource))
            soonest = row.soonest if row else np.inf
            if (service, resource) not in crossed:
                assert (soonest <= 7) == (chance >= 0.05) or (chance < 0.05 and soonest == 7)


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
