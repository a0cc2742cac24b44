"""One meaning of a restart loop: every output says the same of one fleet, with the same numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._api.sizing_inputs import sizing_context
from capacity.compliance import Status, assess, load_rules
from capacity.compliance._checklist import checklist
from capacity.compliance._facts.collect import with_settings
from capacity.compliance._facts.facts import Facts
from capacity.forecasting import Forecaster
from capacity.history import History
from capacity.model import Resource, RestartLimit, Signal
from capacity.operations._timeline.observations import observe
from capacity.reporting._analysis.host_limits import limit_sums
from capacity.reporting.weekly._decisions import _loops
from capacity.settings import Settings, override
from capacity.sizing import place

END = pd.Timestamp("2026-11-23", tz="UTC")
RULES = load_rules()


def fleet(restarts: dict[str, list[int]]) -> History:
    """A history of services with so many restarts in each of the last hours."""
    hours = pd.date_range(END - pd.Timedelta("24h"), END, freq="1h", inclusive="left")
    steps = pd.date_range(END - pd.Timedelta("24h"), END, freq="5min", inclusive="left")
    counts = pd.DataFrame(restarts, index=hours, dtype=float)
    usage = pd.DataFrame(0.5, index=steps, columns=counts.columns)
    return History(
        frames={Signal.CPU: usage, Signal.MEMORY: usage * 1e6, Signal.RESTARTS: counts},
        start=hours[0],
        end=END,
        step=pd.Timedelta("5min"),
        source="test",
    )


@settings(max_examples=40, deadline=None)
@given(
    restarts=st.dictionaries(
        st.sampled_from(["shop/a", "shop/b", "shop/c"]),
        st.lists(st.integers(0, 25) | st.just(0), min_size=24, max_size=24),
        min_size=1,
    ),
    rules=st.sampled_from([{}, {"more_than": 1}, {"loop_a_day": 100}, {"window_minutes": 30}]),
)
def test_every_output_calls_the_same_a_loop(
    restarts: dict[str, list[int]], rules: dict[str, int]
) -> None:
    """Compliance, checklist, weekly page, sizing and timeline; what may be a loop is sized."""
    chosen = Settings()
    for name, value in rules.items():
        chosen = override(chosen, f"operations__{name}", value)
    history = fleet(restarts)
    facts = with_settings(Facts(history=history), chosen)
    report = assess(facts, chosen, RULES, today=END.date()).report
    found = {
        finding.subject: finding
        for finding in report.findings
        if finding.rule.check == "restart-loop"
    }
    decisions = {each.service: each for each in _loops(history, chosen.operations.restart_limit)}
    unstable = sizing_context(history, Resource.CPU, chosen, Forecaster()).unstable
    seen = observe(facts, RULES, chosen)
    listed = {item.subject for item in seen.items if item.kind == "CAP007"}
    for service, finding in found.items():
        assert (finding.status is Status.PASS) == (service not in decisions)
        assert finding.failing == (service in unstable) == (service in listed)
        if service in decisions:
            assert finding.failing == (decisions[service].by == "now")
            text = decisions[service].why.replace("the worst", "worst")
            shown = finding.verdict.evidence.value
            assert re.findall(r"\d+", text) == re.findall(r"\d+", shown)
    point = next(item for item in checklist(report) if "restart loops" in item.text)
    assert (point.status is Status.FAIL) == any(each.failing for each in found.values())


@pytest.mark.parametrize("host", ["one", "two"])
def test_weekly_and_monthly_add_limits_up_alike(host: str) -> None:
    """A stopped service counts on neither page, one on two hosts by halves."""
    history = replace(
        fleet({"shop/a": [0] * 24, "shop/b": [0] * 24}),
        hosts={"shop/a": "one,two", "shop/b": "one"},
        replicas={"shop/a": 4},
    )
    known = pd.DataFrame(
        {"current": [2.0, np.nan], "limit": [3.0, 5.0]}, index=["shop/a", "shop/b"]
    )
    sums = limit_sums(history, known, host)
    assert sums == {"one": (4.0, 11.0, 1), "two": (4.0, 6.0, 0)}[host]
    off = history.frames[Signal.CPU].copy()
    off["shop/b"] = np.nan
    stopped = replace(history, frames={**history.frames, Signal.CPU: off, Signal.MEMORY: off})
    assert limit_sums(stopped, known, host) == (4.0, 6.0, 0)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=12), st.sampled_from([2, 4, 8, 16]))
def test_cores_that_are_proposed_pass_the_rule(load: list[float], cores: int) -> None:
    """By the same index and the same threshold as compliance."""
    services = [f"shop/s{number}" for number in range(len(load))]
    made = place(pd.Series(load, index=services), {}, cores)
    busy = pd.DataFrame([made.load.to_numpy()], index=[END], columns=range(cores))
    history = replace(
        fleet({"shop/a": [0] * 24}), frames={Signal.CORE_BUSY: busy.rename(columns="one/{}".format)}
    )
    report = assess(Facts(history=history), Settings(), RULES, today=END.date()).report
    found = [each for each in report.findings if each.rule.check == "cores-balanced"]
    assert [each.failing for each in found] == [not made.even]


@pytest.mark.parametrize(
    ("day", "hour", "loop"),
    [(72, 3, True), (11, 3, False), (11, 4, None), (19, 19, True), (0, 0, False), (12, 1, True)],
)
def test_what_a_loop_is(day: int, hour: int, loop: bool | None) -> None:
    """More than three in ten minutes, or twelve in a day; in between hours cannot tell."""
    assert RestartLimit().is_loop(day, hour) is loop
    assert RestartLimit().at_least(hour) <= hour
