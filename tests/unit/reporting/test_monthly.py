"""The monthly review of the sample fleet: what was promised, what is planned, what if."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capacity import _api
from capacity.changes import read_plan
from capacity.model import Resource
from capacity.reporting import monthly, weekly
from capacity.reporting._analysis.host_limits import replicas_on
from capacity.reporting._analysis.owners import NO_OWNER, find_owners
from capacity.reporting.monthly import (
    _agenda,
    _agenda_sections,
    _promises_sections,
    _review,
    _sections,
)
from capacity.settings import Settings, load_settings
from tests.fixtures.documents.pages import has_only_its_own_script
from tests.fixtures.frames import float_at

EARLIER, END = "2026-11-02", "2026-11-23"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weekly run of three weeks ago, as if one of its proposals had been taken up."""
    folder = tmp_path_factory.mktemp("reports")
    history = _api.open_history("sample", as_of=EARLIER, window="7D")
    week = weekly.review(history, load_settings())
    services = week.state["services"]
    # as if it had been proposed what is in force today
    services["shop/checkout"]["memory"] = (512.0 * 2**20, 1024.0 * 2**20, "raise")
    place = folder / "2026-W45"
    weekly.save(week, place)
    return folder


@pytest.fixture(scope="module")
def month(reports: Path) -> monthly.MonthlyReview:
    """The review."""
    return monthly.review(
        _api.open_history("sample", as_of=END), load_settings(money__memory_gib=3.0), reports
    )


def test_promises_are_held_against_what_is_in_force(month: monthly.MonthlyReview) -> None:
    """Applied where the limit in force is the one proposed, open where it is still the old one."""
    states = month.promises.set_index(["service", "resource"])["state"]
    assert states["shop/checkout", "memory"] == "applied"
    assert states["ai/ollama", "memory"] == "open"
    page = str(_promises_sections.promises(month))
    assert "1 of" in page
    assert "shop/checkout" in page


def test_the_plan_has_three_columns_without_overlap(month: monthly.MonthlyReview) -> None:
    """Sure raises, safe lowers, and what people must decide: a leak, a restart loop, a default for
    its type.
    """
    keys = {
        name: set(zip(rows.index, rows["resource"], strict=True))
        for name, rows in month.columns.items()
    }
    assert not keys["raise"] & keys["lower"]
    assert not keys["decide"] & (keys["raise"] | keys["lower"])
    assert ("shop/catalog", "memory") in keys["decide"]
    assert ("data/warehouse", "memory") in keys["lower"]
    assert ("shop/thumbnailer", "memory") in keys["raise"]


def test_scenarios_cost_what_they_should(month: monthly.MonthlyReview) -> None:
    """Growth asks for more, a smaller budget is kept, and of one host that is lost nothing is
    left.
    """
    table = month.scenarios.set_index(["scenario", "resource"])
    for resource in Resource:
        base, grown, cut = (
            float_at(table, (scenario, resource), "limits")
            for scenario in ("as planned", "growth x 1.2", "budget cut by 20 %")
        )
        assert base < grown < 1.3 * base
        budget = float_at(table, ("budget cut by 20 %", resource), "budget")
        assert cut <= budget == pytest.approx(0.8 * base)
        assert float_at(table, ("largest host lost", resource), "room") == 0
    assert str(_sections.what_if(month)).count("no host is left for it") == 2


def test_scenarios_and_hosts_tell_of_one_plan(month: monthly.MonthlyReview) -> None:
    """What the limits add up to is the same number in both tables, also where people have decided
    for services.
    """
    settings = Settings.model_validate(
        {"services": {"data/*": {"pinned": True}, "shop/*": {"max_memory_mib": 512}}}
    )
    ruled = monthly.review(month.week.history, settings)
    for each in (month, ruled):
        hosts, table = (
            each.hosts.set_index("resource"),
            each.scenarios.set_index(["scenario", "resource"]),
        )
        for resource in Resource:
            assert table.loc[("as planned", resource), "limits"] == pytest.approx(
                hosts.loc[resource, "limits"]
            )
    sums = [each.scenarios.set_index(["scenario", "resource"])["limits"] for each in (month, ruled)]
    assert sums[0]["growth x 1.2", "memory"] != sums[1]["growth x 1.2", "memory"]


def test_every_replica_counts(month: monthly.MonthlyReview) -> None:
    """Three containers of each service need three times the room: on hosts, in scenarios, in
    savings and on the cores.
    """
    history = month.week.history
    many = replace(
        month.week, history=replace(history, replicas=dict.fromkeys(history.services, 3))
    )
    for name in ("expected", "limits"):
        assert _review._hosts(many)[name].to_numpy() == pytest.approx(
            3 * month.hosts[name].to_numpy()
        )
    assert _review._sum(many, many.tables[Resource.CPU]) == pytest.approx(
        3 * _review._sum(month.week, month.week.tables[Resource.CPU])
    )
    for host, placed in _review._placements(many, month.week.settings).items():
        assert placed.load.sum() == pytest.approx(3 * month.placements[host].load.sum())
    spread = replace(
        history,
        hosts=dict.fromkeys(history.services, "a,b,c"),
        replicas=dict.fromkeys(history.services, 3),
    )
    assert set(replicas_on(spread, "b")) == {1.0}


def test_a_budget_that_kept_limits_exceed_is_said_to_be_missed(
    month: monthly.MonthlyReview,
) -> None:
    """Where everything is pinned nothing can be cut, and the page says by how much."""
    ruled = monthly.review(
        month.week.history, Settings.model_validate({"services": {"*": {"pinned": True}}})
    )
    assert str(_sections.what_if(ruled)).count("the rules for limits do not let the budget of") == 2


@pytest.mark.slow
def test_a_review_looks_back_at_a_review(tmp_path: Path) -> None:
    """A monthly run of a month ago is a run to be held against, with kills before everything else
    that became of it.
    """
    before = monthly.review(
        _api.open_history("sample", as_of="2026-10-27", window="7D"), Settings()
    )
    monthly.save(before, tmp_path / "2026-10")
    found = monthly.review(_api.open_history("sample", as_of=END), Settings(), tmp_path)
    assert found.promised_in is not None
    assert found.promised_in.report == monthly.REPORT
    assert found.scorecards
    page = str(_promises_sections.promises(found))
    rows = page.split('<th scope="row">')
    assert rows[1].startswith("shop/thumbnailer")


def test_decisions_are_listed_by_owner(month: monthly.MonthlyReview, tmp_path: Path) -> None:
    """Each proposal once, under the last glob that names somebody; page, Markdown and CSV agree."""
    owners = {"*": {"owner": "=Ops"}, "shop/*": {"owner": "Team <Shop>"}, "shop/redis": {}}
    ruled = Settings.model_validate({"services": owners})
    named = replace(month, owners=find_owners(ruled))
    items = _agenda.to_decide(named.columns, named.owners)
    assert len(items) == sum(len(rows) for rows in month.columns.values())
    assert len({item.id for item in items}) == len(items)
    assert {item.owner for item in items if item.service.startswith("shop/")} == {"Team <Shop>"}
    assert find_owners(Settings()).of("shop/redis") == NO_OWNER
    page = str(_agenda_sections.owned(named))
    assert "Team &lt;Shop&gt;" in page
    assert "Who" in page
    assert "Decide:" in str(_agenda_sections.agenda(named))
    monthly.save(named, tmp_path)
    rows = list(csv.DictReader(StringIO((tmp_path / "decisions.csv").read_text(encoding="utf-8"))))
    assert [row["Id"] for row in rows] == [item.id for item in items]
    assert {row["Owner"] for row in rows} == {"'=Ops", "Team <Shop>"}
    assert (tmp_path / "decisions.md").read_text().count("- [ ] ") == len(items)


def test_cores_are_packed_more_evenly_than_dealt_out(month: monthly.MonthlyReview) -> None:
    """Every host has a proposal whose predicted imbalance is the smaller one."""
    assert month.placements
    assert all(
        placement.imbalance < placement.round_robin for placement in month.placements.values()
    )


def test_stored_forecasts_are_scored(month: monthly.MonthlyReview) -> None:
    """One scorecard a stored forecast and resource, with its worst misses in pictures."""
    assert {resource for _, resource, _ in month.scorecards} == set(Resource)
    assert str(_promises_sections.misses(month)).count("<img") == 3


def test_a_first_month_says_so() -> None:
    """Without runs there is nothing to look back at, and no section breaks."""
    first = monthly.review(
        _api.open_history("sample", as_of=END, services="shop/*"), load_settings()
    )
    assert "next review" in str(_promises_sections.promises(first))
    assert "No stored forecast" in str(_promises_sections.scorecards(first))
    assert np.isfinite(first.savings["first"]).all()
    bare = replace(first, hosts=first.hosts.iloc[:0])
    assert "No host metrics" in str(_sections.packing(bare))


def test_too_short_a_history_has_no_load_to_pack_by() -> None:
    """Hours after the first start nothing can be forecast, and the review says what it can."""
    short = monthly.review(_api.open_history("sample", as_of=END, window="12h"), load_settings())
    assert all(placed.load.sum() == 0 for placed in short.placements.values())
    assert "Cores of" in str(_sections.packing(short))


def test_a_run_on_the_first_reviews_the_month_that_ended() -> None:
    """Midnight of the first of December is the end of November."""
    assert monthly.month_name(pd.Timestamp("2026-12-01", tz="UTC")) == "2026-11"
    assert monthly.month_name(pd.Timestamp("2026-12-02", tz="UTC")) == "2026-12"


@pytest.mark.slow
def test_the_command_leaves_page_plan_and_facts(every_report: Path) -> None:
    """`capacity report monthly` writes a page without scripts, a plan of the agreed columns alone,
    and the facts of the run.
    """
    page = every_report / "2026-11" / "monthly-optimization.html"
    html = page.read_text(encoding="utf-8")
    assert has_only_its_own_script(html)
    assert all(title in html for title in ("s plan", "What if", "Hosts and cores"))
    plan = read_plan(page.parent / "plan.yaml")
    assert ("shop/catalog", Resource.MEMORY) not in {
        (change.service, change.resource) for change in plan.changes
    }
    facts = json.loads((page.parent / "run.json").read_text(encoding="utf-8"))["reports"][
        "monthly-optimization"
    ]
    assert facts["changes"] == len(plan.changes)
    assert "monthly-optimization" in (page.parents[1] / "index.html").read_text(encoding="utf-8")
