"""The quarterly review: trends and runways of made fleets, rules and risks, the sample's page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity import _api
from capacity.errors import InputError
from capacity.history import History
from capacity.model import Resource, Signal
from capacity.reporting import quarterly
from capacity.reporting._analysis.runway import HORIZON_WEEKS, host_runways, run_out
from capacity.reporting._analysis.trends import trend_of, weekly_peaks
from capacity.reporting._runs import ReportRun, RuleState, RunFacts, list_reports
from capacity.reporting.quarterly import _governance, _sections
from capacity.reporting.quarterly._register import (
    FoundRisk,
    Risk,
    carry_on,
    read_register,
    register_text,
)
from capacity.reporting.quarterly._rules import debts, rule_changes, rule_state, setting_changes
from capacity.reporting.quarterly._structure import restructurings
from capacity.settings import load_settings
from capacity.sizing import TYPES
from tests.fixtures.commands import capacity_here
from tests.fixtures.documents.pages import has_only_its_own_script

END = pd.Timestamp("2026-11-23", tz="UTC")
GIB = 2.0**30
TODAY = date(2026, 11, 23)


def weeks(values: list[float] | np.ndarray) -> pd.Series[float]:
    """Weekly peaks up to the end."""
    ends = pd.date_range(end=END, periods=len(values), freq="7D")
    return pd.Series(np.asarray(values, dtype=float), index=ends)


def fleet(
    memory: dict[str, np.ndarray], cpu: dict[str, np.ndarray], hosts: dict[str, str]
) -> History:
    """A history of hourly samples on hosts of 8 cores and 32 GiB that use what services use."""
    index = pd.date_range(end=END, periods=91 * 24 + 1, freq="1h", inclusive="left")
    frames = {
        Signal.MEMORY: pd.DataFrame(memory, index=index) * GIB,
        Signal.CPU: pd.DataFrame(cpu, index=index),
    }
    names = sorted({*hosts.values()})
    for use, size, most, part in (
        (Signal.HOST_MEMORY, Signal.HOST_MEMORY_TOTAL, 32 * GIB, frames[Signal.MEMORY]),
        (Signal.HOST_CPU, Signal.HOST_CORES, 8.0, frames[Signal.CPU]),
    ):
        mine = {host: [name for name in map(str, part) if hosts[name] == host] for host in names}
        frames[use] = pd.DataFrame({host: part[mine[host]].sum(axis=1) for host in names})
        frames[size] = pd.DataFrame(most, index=index, columns=names)
    return History(
        frames=frames,
        start=index[0],
        end=END,
        step=pd.Timedelta("1h"),
        source="made",
        hosts=hosts,
        replicas=dict.fromkeys(hosts, 1),
    )


@pytest.mark.parametrize("count", [5, 13, 52])
def test_the_interval_of_a_trend_holds_the_true_slope(count: int) -> None:
    """Nine in ten are asked for; with five weeks at least seven of ten are kept."""
    random = np.random.default_rng(count)
    held = 0
    for _ in range(200):
        slope = random.normal()
        found = trend_of(weeks(100 + slope * np.arange(count) + random.normal(0, 3, count)))
        assert found is not None
        held += found.low <= slope <= found.high
    assert held >= (140 if count == 5 else 165)


@given(st.floats(-5, 5), st.integers(4, 30))
def test_an_exact_line_is_found_exactly(slope: float, count: int) -> None:
    """Without scatter the interval is the slope itself."""
    found = trend_of(weeks(1000 + slope * np.arange(count)))
    assert found is not None
    assert [found.low, found.slope, found.high] == pytest.approx([slope] * 3, abs=1e-6)


@given(st.lists(st.floats(0, 1e12), min_size=0, max_size=3))
def test_too_few_weeks_have_no_trend(values: list[float]) -> None:
    """Three points are no trend, and no runway."""
    assert trend_of(weeks(values)) is None
    assert run_out(weeks(values), 1.0) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 100), min_size=4, max_size=20),
    st.floats(1, 200),
    st.floats(1, 3),
)
def test_runways_are_in_order(values: list[float], bound: float, growth: float) -> None:
    """Soonest before likely before latest; faster growth is never later, a larger host never
    sooner.
    """
    base = run_out(weeks(values), bound)
    faster = run_out(weeks(values), bound, growth=growth)
    larger = run_out(weeks(values), bound * 1.5)
    assert base is not None
    assert faster is not None
    assert larger is not None
    assert base.soonest <= base.likely <= base.latest
    for sooner, later in ((faster, base), (base, larger)):
        assert sooner.soonest <= later.soonest
        assert sooner.likely <= later.likely
        assert sooner.latest <= later.latest


def test_a_runway_is_where_the_line_meets_the_bound() -> None:
    """Ten more a week from 130 on reach 200 in seven weeks, and in four at twice the pace."""
    line = weeks(np.arange(10, 140, 10))
    assert [getattr(run_out(line, 200), name) for name in ("soonest", "latest")] == [7, 7]
    doubled = run_out(line, 200, growth=2)
    assert doubled is not None
    assert doubled.likely == 4
    flat = run_out(weeks([10.0] * 13), 200)
    assert flat is not None
    assert flat.soonest == np.inf


def test_weeks_with_few_days_have_no_peak() -> None:
    """The first week of a young service would look like growth."""
    index = pd.date_range(end=END, periods=31 * 24 + 1, freq="1h", inclusive="left")
    found = weekly_peaks(pd.DataFrame({"a/b": np.arange(31 * 24.0)}, index=index), END)
    assert list(found["a/b"]) == [31 * 24.0 - 1 - 168 * back for back in (3, 2, 1, 0)]


def test_hosts_have_runways_and_losses() -> None:
    """The growing host is full first; two half-full hosts cannot bear the loss of either."""
    hours = np.arange(91 * 24)
    grown = fleet(
        {"a/grows": 8 + 16 * hours / len(hours), "b/steady": np.full(len(hours), 12.0)},
        {"a/grows": np.full(len(hours), 1.0), "b/steady": np.full(len(hours), 1.0)},
        {"a/grows": "one", "b/steady": "two"},
    )
    rows = {(row.host, row.resource): row for row in host_runways(grown)}
    first = host_runways(grown)[0]
    assert (first.host, first.resource) == ("one", Resource.MEMORY)
    assert first.as_is is not None
    assert first.doubled is not None
    assert first.as_is.likely == pytest.approx((0.9 * 32 - 24) / (16 / 13), abs=1.5)
    assert first.doubled.likely < first.as_is.likely
    assert first.lost is not None
    assert first.lost.latest == 0
    calm = rows["two", Resource.CPU].lost
    assert calm is not None
    assert calm.soonest > HORIZON_WEEKS


def test_each_kind_of_restructuring_is_found() -> None:
    """A service that does nothing, one that is gone, a giant, a burst, siblings, databases whose
    peaks do not meet, and tiny ones of one project; ordinary ones are left alone.
    """
    hours = np.arange(91 * 24)
    flat = np.full(len(hours), 1.0)
    gone = np.where(hours < 50 * 24, 0.5, np.nan)
    day, night = np.where(hours % 24 < 8, 4.0, 0.5), np.where(hours % 24 >= 16, 4.0, 0.5)
    memory = {
        "app/idle": flat,
        "app/gone": gone,
        "app/giant": 20 * flat,
        "app/burst": np.where(hours % (7 * 24) == 3, 6.0, 0.5),
        "app/worker-1": flat,
        "app/worker-2": flat,
        "app/ordinary": flat,
        "x/postgres": day,
        "y/postgres": night,
        **{f"tiny/{name}": 0.02 * flat for name in ("a", "b", "c")},
    }
    cpu = {name: np.full(len(hours), 0.4) for name in memory}
    cpu["app/idle"] = np.full(len(hours), 0.001)
    cpu |= {f"tiny/{name}": np.full(len(hours), 0.02) for name in ("a", "b", "c")}
    cpu["app/gone"] = gone
    made = fleet(memory, cpu, dict.fromkeys(memory, "one"))
    found = {(each.what, each.services) for each in restructurings(made, TYPES)}
    assert found == {
        ("retire", ("app/gone",)),
        ("retire", ("app/idle",)),
        ("split", ("app/giant",)),
        ("split", ("app/burst",)),
        ("pool", ("app/worker-1", "app/worker-2")),
        ("pool", ("x/postgres", "y/postgres")),
        ("merge", ("tiny/a", "tiny/b", "tiny/c")),
    }


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
found_ones = st.lists(
    st.builds(
        FoundRisk,
        id=st.sampled_from("abcdef"),
        level=st.sampled_from(["high", "medium", "low"]),
        what=words,
    ),
    unique_by=lambda risk: risk.id,
)


@settings(deadline=None)
@given(found_ones, found_ones, found_ones, words)
def test_the_register_keeps_what_people_wrote(
    first: list[FoundRisk], second: list[FoundRisk], third: list[FoundRisk], said: str
) -> None:
    """Over three quarters and through the file: owners and notes stay, risks close and open again,
    none is there twice.
    """
    days = [date(2026, 3, 31), date(2026, 6, 30), date(2026, 9, 30)]
    known = [
        risk.model_copy(update={"owner": said, "note": said})
        for risk in carry_on([], first, days[0])
    ]
    for day, found in zip(days[1:], (second, third), strict=True):
        known = carry_on(known, found, day)
        now = {risk.id for risk in found}
        assert {risk.id for risk in known if risk.closed is None} == now
        assert len({risk.id for risk in known}) == len(known)
    written = {risk.id for risk in first}
    assert all(risk.owner == risk.note == said for risk in known if risk.id in written)


@settings(deadline=None, max_examples=50)
@given(found_ones, words)
def test_a_register_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, found: list[FoundRisk], said: str
) -> None:
    """Whatever stands in it."""
    risks = [risk.model_copy(update={"note": said}) for risk in carry_on([], found, TODAY)]
    file = tmp_path_factory.mktemp("register") / "risks.yaml"
    file.write_text(register_text(risks), encoding="utf-8")
    assert read_register(file) == risks


def test_what_people_add_stays() -> None:
    """A risk that no review finds is not closed by one."""
    mine = Risk(id="contract", level="low", what="The lease ends", since=TODAY)
    assert carry_on([mine], [], date(2027, 3, 31)) == [mine]


@pytest.mark.parametrize(
    "content",
    ["", "risks: 3", "risks: [{id: a}]", "other: []", "risks: [", "\x00", "- a", "risks: [*a]"],
)
def test_a_damaged_register_is_an_error(tmp_path: Path, content: str) -> None:
    """It names the file; nothing that people wrote is lost in silence."""
    file = tmp_path / "risks.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=r"risks\.yaml"):
        read_register(file)


def run_of(day: str, **facts: Unpack[RunFacts]) -> ReportRun:
    """A run with facts."""
    return ReportRun(Path(), "weekly-resources", pd.Timestamp(day, tz="UTC"), facts)


def test_settings_that_changed_are_named_with_what_followed() -> None:
    """The setting, both values, and how many changes were proposed before and after."""
    runs = [
        run_of("2026-11-02", settings={"sizing": {"risk": 0.02}}, changes=40),
        run_of("2026-11-09", settings={"sizing": {"risk": 0.02}}, changes=41),
        run_of("2026-11-16", settings={"sizing": {"risk": 0.05}, "types": {"a": 1}}, changes=12),
    ]
    found = setting_changes(runs)
    assert [(each.setting, each.before, each.after, each.proposals) for each in found] == [
        ("sizing.risk", "0.02", "0.05", (41, 12)),
        ("types.a", "unset", "1", (41, 12)),
    ]


def test_rules_that_changed_are_named() -> None:
    """Added, removed, graver, asking for something else; unchanged ones are left out."""
    rule: RuleState = {"slug": "s", "severity": "low", "asks": "x", "failing": 3}
    then = {"A": rule, "B": rule, "C": rule, "D": rule}
    graver: RuleState = {**rule, "severity": "high"}
    other: RuleState = {**rule, "asks": "y"}
    now = {"A": rule, "B": graver, "C": other, "E": rule}
    found = {each.rule: (each.what, each.then, each.now) for each in rule_changes(then, now)}
    assert found == {
        "B": ("severity low → high", 3, 3),
        "C": ("asks for something else", 3, 3),
        "D": ("removed", 3, 0),
        "E": ("added", None, 3),
    }


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> quarterly.QuarterlyReview:
    """The sample's quarter after an earlier one, in whose register somebody has written."""
    folder = tmp_path_factory.mktemp("reports")
    first = sample_review("2026-11-16", folder)
    quarterly.save(replace(first, name="2026-Q3"), folder / "2026-Q3")
    file = folder / "2026-Q3" / "risks.yaml"
    risks = [risk.model_copy(update={"owner": "Ada"}) for risk in read_register(file)]
    old = Risk(id="leak:gone/one", level="low", what="gone", since=TODAY, found_by="review")
    file.write_text(register_text([*risks, old]))
    run = folder / "2026-Q3" / "run.json"
    said = json.loads(run.read_text())
    said["reports"]["quarterly-architecture"]["rules"]["CAP001"]["severity"] = "low"
    run.write_text(json.dumps(said))
    return sample_review("2026-11-23", folder)


def sample_review(as_of: str, reports: Path | None = None) -> quarterly.QuarterlyReview:
    """The review of the sample's weeks up to a moment."""
    recent = _api.open_history("sample", as_of=as_of)
    window = _api.open_history(
        "sample", as_of=as_of, window=quarterly.WINDOW, signals=quarterly.SIGNALS
    )
    return quarterly.review(window, recent, load_settings(), reports=reports)


def test_a_quarter_carries_the_last_one_on(review: quarterly.QuarterlyReview) -> None:
    """Owners stay, what is found no more is closed, the changed rule is told with its counts."""
    by_id = {risk.id: risk for risk in review.risks}
    assert by_id["single-host"].owner == "Ada"
    assert by_id["single-host"].since == date(2026, 11, 16)
    assert by_id["leak:gone/one"].closed == TODAY
    assert review.rules is not None
    assert [change.rule for change in review.rules] == ["CAP001"]
    assert "severity low → critical" in str(_governance.rules(review))
    assert "Ada" in str(_governance.risks(review))


def test_every_section_of_the_sample_is_readable(review: quarterly.QuarterlyReview) -> None:
    """The leak grows, the idle service may be retired, and no number is missing as `nan`."""
    parts = [
        *(getattr(_sections, name)(review) for name in _sections.__all__),
        *(getattr(_governance, name)(review) for name in _governance.__all__),
    ]
    page = " ".join(str(part) for part in parts).lower()
    assert ">nan<" not in page
    assert "nan " not in page
    assert "inf" not in str(_sections.runways(review)).lower()
    assert review.trends[0].service == "shop/catalog"
    assert ("retire", ("data/legacy-reports",)) in {
        (each.what, each.services) for each in review.structure
    }


def test_an_empty_quarter_says_so(review: quarterly.QuarterlyReview) -> None:
    """Without trends, hosts, candidates, rules, risks and runs each section has its sentence."""
    bare = replace(
        review,
        trends=[],
        runways=[],
        structure=[],
        settings=[],
        rules=None,
        debts=[],
        promised_in=None,
        risks=[],
        previous=None,
    )
    for module in (_sections, _governance):
        for name in module.__all__:
            shown = str(getattr(module, name)(bare))
            assert "<table" not in shown, name
            assert "<p" in shown


def test_debts_are_what_every_run_of_the_quarter_found(review: quarterly.QuarterlyReview) -> None:
    """A subject that was well in between is no debt of the quarter."""
    report = review.compliance.report
    every = [list(pair) for pair in report.failing_pairs()]
    some = [pair for pair in every if pair[0] != "CAP004"]
    found = debts(report, [run_of("2026-11-02", failing=every), run_of("2026-11-09", failing=some)])
    whole = {debt.rule: (debt.now, debt.whole) for debt in found}
    assert whole["CAP004"][1] == 0 < whole["CAP004"][0]
    assert whole["CAP003"][0] == whole["CAP003"][1]
    assert rule_state(report)["CAP003"]["failing"] == whole["CAP003"][0]


@pytest.mark.parametrize(
    ("moment", "name"),
    [("2027-01-01", "2026-Q4"), ("2027-01-02", "2027-Q1"), ("2026-10-01", "2026-Q3")],
)
def test_a_run_on_the_first_reviews_the_quarter_that_ended(moment: str, name: str) -> None:
    """Midnight of New Year is the end of the fourth quarter."""
    assert quarterly.quarter_name(pd.Timestamp(moment, tz="UTC")) == name


@pytest.mark.slow
def test_the_command_leaves_page_register_and_facts(every_report: Path, tmp_path: Path) -> None:
    """`capacity report quarterly` renders into a folder again: what was written into the register
    in between is kept.
    """
    shutil.copytree(every_report, tmp_path / "out")
    register = tmp_path / "out" / "2026-Q4" / "risks.yaml"
    risks = read_register(register)
    assert {risk.owner for risk in risks} == {""}
    register.write_text(register_text([risk.model_copy(update={"owner": "Ada"}) for risk in risks]))
    words = ("report", "quarterly", "--sample", "--out", "out", "--json")
    done = capacity_here(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {risk.owner for risk in read_register(register)} == {"Ada"}
    page = Path(json.loads(done.stdout)["page"])
    assert page.parent.name == "2026-Q4"
    html = page.read_text(encoding="utf-8")
    assert has_only_its_own_script(html)
    assert all(title in html for title in ("When hosts are full", "Debts", "Risks"))
    assert len(list_reports(tmp_path / "out", quarterly.REPORT)) == 1
