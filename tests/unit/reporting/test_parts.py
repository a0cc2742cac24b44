"""The pieces of a page: tables, risks, scorecards, decisions, runs."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity import _api
from capacity._common.runbooks import runbook_url
from capacity.changes import read_plan
from capacity.history._sample.generate import load_sample
from capacity.model import Action, Reason, Resource, Signal
from capacity.reporting._html.formatting import long_table
from capacity.reporting._html.html import Column, sparkline, table, text
from capacity.reporting._runs import iso_week, list_reports, previous_run, run_folder, write_run
from capacity.reporting.weekly._decisions import MOST_DECISIONS, weekly_decisions
from capacity.reporting.weekly._limit_crossings import find_crossings
from capacity.reporting.weekly._review import WeeklyReview, review
from capacity.reporting.weekly._saving import save
from capacity.reporting.weekly._scorecard import forecast_rows, score
from capacity.reporting.weekly._sections import overview
from capacity.reporting.weekly._sections.forecasts import _score_row
from capacity.settings import Settings

INDEX = pd.date_range("2026-11-01", periods=21 * 24, freq="1h", tz="UTC", unit="s")
LEVELS = [0.1, 0.5, 0.9, 0.95]


class Tags(HTMLParser):
    """Counts opened and closed tags and collects the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Remember it."""
        del attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It must close the last one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect it."""
        self.words.append(data)


@given(st.text(max_size=50), st.text(max_size=50))
def test_tables_are_well_formed_whatever_the_cells_say(name: str, cell: str) -> None:
    """Tags balance, and the only tags are the table's own."""
    parser = Tags()
    parser.feed(
        table(
            name, [Column(name), Column("b", number=True, help=cell)], [(name, cell)], more=cell
        ).source
    )
    assert parser.open == []
    assert text(cell).source.count("<") == 0


def test_sparkline_breaks_at_gaps_and_survives_emptiness() -> None:
    """A hole in the data is a hole in the line, and no data is no line."""
    values = pd.Series(np.arange(60.0))
    values[20:30] = np.nan
    assert sparkline(values).source.count("M") == 2
    assert sparkline(pd.Series([np.nan] * 10), limit=5.0).source.count('class="limit"') == 1
    assert "<svg" in sparkline(pd.Series(dtype=float)).source


def fixed_forecast(usage: pd.DataFrame, level: float) -> _api.Forecast:
    """A forecast that says `level` times fixed factors, for a week after the frame's end."""
    future = pd.date_range(usage.index[-1] + pd.Timedelta("1h"), periods=168, freq="1h", unit="s")
    columns = pd.MultiIndex.from_product([usage.columns, LEVELS], names=["service", "quantile"])
    factors = np.tile([0.5, 1.0, 1.5, 2.0], len(usage.columns))
    bands = pd.DataFrame(
        np.outer(np.linspace(1, 2, 168), factors) * level, index=future, columns=columns
    )
    peaks = pd.DataFrame(
        [np.array([0.5, 1.0, 1.5, 2.0]) * 2 * level] * len(usage.columns),
        index=usage.columns,
        columns=LEVELS,
    )
    return _api.Forecast(usage, bands, peaks, Resource.MEMORY, {}, model=None)  # type: ignore[arg-type]  # not asked here


def test_risks_are_the_first_crossings_soonest_first() -> None:
    """The upper band grows from 2 to 4: limits of 2.5 and 3 are crossed in that order, 5 never, no
    limit never.
    """
    usage = pd.DataFrame(1.0, index=INDEX, columns=["late", "soon", "safe", "free"])
    limits = pd.Series({"late": 3.0, "soon": 2.5, "safe": 5.0, "free": np.nan})
    risks = find_crossings(fixed_forecast(usage, 1.0), limits)
    assert [risk.service for risk in risks] == ["soon", "late"]
    expected = usage.index[-1] + pd.Timedelta("1h") * (1 + int(np.ceil(0.25 * 167)))
    assert risks[0].upper == expected
    assert risks[0].median is None


def test_scorecard_equals_the_formula_and_ignores_what_was_not_measured() -> None:
    """Coverage and loss are recomputed by hand; NaN and unknown services do not count."""
    past = pd.DataFrame(1.0, index=INDEX, columns=["a", "gone"])
    rows = forecast_rows(fixed_forecast(past, 1.0))
    later = pd.date_range(INDEX[0], periods=len(INDEX) + 168, freq="1h", unit="s")
    measured = pd.DataFrame({"a": 1.2, "new": 1.0}, index=later)
    measured.iloc[-10:, 0] = np.nan
    card = score(rows, measured, made=INDEX[-1], stored=True)
    assert card.samples == 158
    ramp = np.linspace(1, 2, 168)[:158]
    bands = np.outer(ramp, [0.5, 1.0, 1.5, 2.0])
    assert card.coverage[0.5] == pytest.approx(np.mean(bands[:, 1] >= 1.2))
    error = 1.2 - bands
    loss = 2 * np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1) * error).mean(axis=1)
    assert card.wql == pytest.approx(loss.sum() / (158 * 1.2))
    assert card.rival_wql == 0.0
    assert list(card.services.index) == ["a"]


def test_the_largest_miss_is_one_that_is_known() -> None:
    """A service that used nothing has no relative error, and is no miss."""
    past = pd.DataFrame(1.0, index=INDEX, columns=["a", "b", "idle"])
    later = pd.date_range(INDEX[0], periods=len(INDEX) + 168, freq="1h", unit="s")
    measured = pd.DataFrame({"a": 1.2, "b": 9.0, "idle": 0.0}, index=later)
    rows = forecast_rows(fixed_forecast(past, 1.0))
    card = score(rows, measured, made=INDEX[-1], stored=True)
    assert _score_row(Resource.MEMORY, card)[-1] == "b"
    none = score(rows, measured * 0.0, made=INDEX[-1], stored=True)
    assert _score_row(Resource.MEMORY, none)[-1] == "-"


def test_decisions_are_few_and_one_a_service() -> None:
    """At most five, the most urgent first, none twice; a service in a loop is first."""
    history = load_sample()
    tables = {
        resource: _api.recommend(history, resource, settings=Settings()).table
        for resource in Resource
    }
    decisions = weekly_decisions(history, tables, [])
    assert len(decisions) == MOST_DECISIONS
    assert len({decision.service for decision in decisions}) == MOST_DECISIONS
    urgencies = [decision.urgency for decision in decisions]
    assert urgencies == sorted(urgencies, reverse=True)
    assert decisions[0].service == "platform/webhook-relay"
    assert decisions[0].apply == ""
    for decision in decisions[1:]:
        assert decision.apply == f"capacity apply plan.yaml --service {decision.service}"
        assert runbook_url(decision.code) is not None
    assert not any("Lower" in decision.what and "Raise" in decision.what for decision in decisions)


def test_a_new_service_takes_no_decision_from_the_page() -> None:
    """Chances and limits that are not known yet neither upset the order nor are printed as nan."""
    history = load_sample()
    tables = {
        resource: _api.recommend(history, resource, settings=Settings()).table
        for resource in Resource
    }
    expected = [decision.service for decision in weekly_decisions(history, tables, [])]
    for rows in tables.values():
        for name in sorted(set(rows.index) - set(expected)):
            rows.loc[name, ["action", "reason"]] = [str(Action.SET), str(Reason.TYPE_DEFAULT)]
            rows.loc[name, ["current", "breach_now", "breach_after"]] = np.nan
            rows.loc[name, "limit"] = 2.0**20
    decisions = weekly_decisions(history, tables, [])
    assert [decision.service for decision in decisions] == expected
    assert not any("nan" in f"{each.what} {each.why} {each.effect}" for each in decisions)


@pytest.mark.parametrize("reason", [Reason.HOST_CEILING, Reason.OWN_BOUNDS])
def test_kills_at_the_most_there_is_are_a_decision(reason: Reason) -> None:
    """A limit that cannot rise leaves something to decide, in place of the loop's log."""
    history = load_sample()
    tables = {
        resource: _api.recommend(history, resource, settings=Settings()).table
        for resource in Resource
    }
    loop = "platform/webhook-relay"
    memory = tables[Resource.MEMORY]
    killed = {"action": "keep", "reason": str(reason), "oom_kills": 384.0, "current": 2.0**28}
    for column, value in {**killed, "limit": np.nan}.items():
        memory[column] = memory[column].where(memory.index != loop, value)
    found = {entry.service: entry for entry in weekly_decisions(history, tables, [])}
    assert "killed for memory 384 times at 256 MiB" in found[loop].why
    assert found[loop].by == "now"
    assert found[loop].what != "Stop the restart loop"


def test_review_of_poor_data_says_so() -> None:
    """Three days of history that ended two days ago is not good enough to act on."""
    history = load_sample(end=pd.Timestamp("2026-10-22", tz="UTC"))
    late = replace(history, end=history.end + pd.Timedelta("2D"))
    verdict = review(late, Settings()).verdict
    assert verdict.level == "poor"
    assert any("history reaches back only" in reason for reason in verdict.reasons)
    assert any("hours older" in reason for reason in verdict.reasons)


def test_what_is_not_good_enough_to_act_on_hands_out_no_commands_to_act(
    sample_review: WeeklyReview, tmp_path: Path
) -> None:
    """After one day of history the cards say what is needed first and when; all that is left to
    copy is a dry run, and the plan says it too.
    """
    history = load_sample(end=pd.Timestamp("2026-10-20", tz="UTC"))
    week = review(history, Settings())
    assert week.verdict.needed == ("a week of history, there on Mon 26 Oct",)
    shown = overview.decisions(week).source
    assert "Not to be applied yet. Needed first: a week of history, there on Mon 26 Oct." in shown
    assert "docker update" not in shown
    assert "--yes" not in shown
    assert "capacity apply plan.yaml --service" in shown
    save(week, tmp_path)
    head = (tmp_path / "plan.yaml").read_text().split("format:")[0]
    assert "# Not good enough to act on: history reaches back only 1.0 days." in head
    assert read_plan(tmp_path / "plan.yaml").changes
    made = _api.recommend(history, settings=Settings())
    made.to_plan(tmp_path / "other.yaml")
    assert (tmp_path / "other.yaml").read_text().split("format:")[0] == head
    assert sample_review.verdict.needed == ()
    assert "--yes" in overview.decisions(sample_review).source


def test_review_without_events_or_hosts_still_stands() -> None:
    """CPU and memory alone make a report; what is missing is said."""
    history = load_sample()
    bare = replace(history, frames={key: history[key] for key in (Signal.CPU, Signal.MEMORY)})
    week = review(bare, Settings())
    assert week.verdict.level == "fair"
    assert "no samples of" in week.verdict.reasons[0]
    assert week.decisions


def test_weeks_are_iso_weeks() -> None:
    """Mondays begin them, and the year is the week's, not the day's."""
    assert iso_week(pd.Timestamp("2026-11-23", tz="UTC")) == "2026-W48"
    assert iso_week(pd.Timestamp("2027-01-01", tz="UTC")) == "2026-W53"


def test_runs_are_found_by_source_and_age(tmp_path: Path) -> None:
    """The last run is of the same source and at least half a week older; broken folders are passed
    over.
    """
    for name, as_of, source in (
        ("2026-W46", "2026-11-09T00:00:00+00:00", "a"),
        ("2026-W47", "2026-11-16T00:00:00+00:00", "b"),
        ("2026-W48", "2026-11-22T00:00:00+00:00", "a"),
    ):
        write_run(tmp_path / name, "weekly-resources", {"as_of": as_of, "source": source})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert len(list_reports(tmp_path, "weekly-resources")) == 3
    found = previous_run(tmp_path, "weekly-resources", pd.Timestamp("2026-11-23", tz="UTC"), "a")
    assert found is not None
    assert found.folder.name == "2026-W46"
    assert (
        previous_run(tmp_path, "weekly-resources", pd.Timestamp("2026-11-23", tz="UTC"), "c")
        is None
    )


def test_reports_share_a_weeks_facts(tmp_path: Path) -> None:
    """A second report in the same folder keeps the first one's facts."""
    write_run(tmp_path, "one", {"as_of": "x"})
    write_run(tmp_path, "two", {"as_of": "y"})
    assert set(json.loads((tmp_path / "run.json").read_text())["reports"]) == {"one", "two"}


def test_a_run_replaces_only_its_like(tmp_path: Path) -> None:
    """A choice of services and a second source get folders of their own; the same again gets the
    same.
    """
    week = pd.Timestamp("2026-11-23", tz="UTC")

    def place(source: str, services: str) -> str:
        return run_folder(tmp_path, "weekly-resources", iso_week(week), source, services).name

    assert place("sample", "") == "2026-W48"
    write_run(
        tmp_path / "2026-W48",
        "weekly-resources",
        {"as_of": week.isoformat(), "source": "sample", "services": ""},
    )
    assert place("sample", "") == "2026-W48"
    assert (
        place("http://prometheus:9090", "")
        == "2026-W48-prometheus-9090-" + place("http://prometheus:9090", "")[-4:]
    )
    assert place("sample", "shop/*") == "2026-W48-shop"
    assert len({place("sample", glob) for glob in ("a b", "a?b", "a/b")}) == 3


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lab", "lab-lab", "http://lab", "x"]),
            st.sampled_from(["", "lab", "lab/*", "*/lab", "lab-lab/*"]),
        ),
        unique=True,
        max_size=12,
    )
)
def test_no_run_gets_the_folder_of_another(runs: list[tuple[str, str]]) -> None:
    """Sources and choices of services that read alike each have a folder, and find it again."""
    week = pd.Timestamp("2026-11-23", tz="UTC")
    with TemporaryDirectory() as out:
        taken = []
        for source, services in runs:
            place = run_folder(Path(out), "weekly", iso_week(week), source, services)
            taken.append(place)
            facts = {"as_of": week.isoformat(), "source": source, "services": services}
            write_run(place, "weekly", facts)
        assert len({*taken}) == len(runs)
        assert taken == [run_folder(Path(out), "weekly", iso_week(week), *run) for run in runs]


def test_a_page_does_not_grow_with_the_fleet() -> None:
    """Of many rows some are shown, and the file that has them all is named."""
    columns = [Column("Service"), Column("n", number=True)]

    def shown(count: int) -> str:
        rows = [(f"s{row}", str(row)) for row in range(count)]
        return str(long_table("All", columns, rows, file="all.csv"))

    assert len(shown(5000)) < 1.1 * len(shown(200))
    assert "4885 more are in " in shown(5000)
    assert '<a href="all.csv">' in shown(5000)
    assert "all.csv" not in shown(100)
    assert str(long_table("All", columns, [("s", "1")] * 300)).count("<tr>") == 301
