"""Memory at its limit: kills, page cache, resident memory and stalls."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity._common.text.units import MIB
from capacity.model import Action, Reason, Resource
from capacity.sizing import Context, ServiceRule, recommend
from tests.fixtures.fleets.flat_usage import fitted, steady


def looping(kills: float, days: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Use of a service killed again and again under 256 MiB, and its kills by the hour."""
    usage = steady("web", "api").iloc[-24 * days :]
    usage["bad"] = np.where(np.arange(len(usage)) % 2, 200.0 * MIB, np.nan)
    return usage, pd.DataFrame({"bad": np.full(len(usage), kills)}, index=usage.index)


@settings(max_examples=25, deadline=None)
@given(
    kills=st.floats(0.5, 120),
    days=st.integers(1, 28),
    limit=st.integers(205, 2000),
)
def test_a_loop_that_the_limit_causes_ends_by_raising_it(
    kills: float, days: int, limit: int
) -> None:
    """However short the history and however often it was killed: twice the limit at least."""
    usage, events = looping(kills, days)
    context = Context(forecaster=fitted(usage), unstable=frozenset({"bad"}), oom_kills=events)
    row = recommend(usage, current={"bad": limit * MIB}, context=context).loc["bad"]
    assert (row["action"], row["reason"]) == (Action.RAISE, Reason.OOM_KILLED)
    assert row["limit"] >= 2 * limit * MIB


def test_a_loop_without_kills_stays_unstable() -> None:
    """Its memory is not what ends it."""
    usage, events = looping(0.0)
    context = Context(unstable=frozenset({"bad"}), oom_kills=events)
    row = recommend(usage, current={"bad": 256 * MIB}, context=context).loc["bad"]
    assert (row["action"], row["reason"]) == (Action.NONE, Reason.UNSTABLE)


def test_kills_at_the_most_there_is_say_so() -> None:
    """At the host's size, or at the bound that people gave, a kill is never within tolerance."""
    usage, events = looping(8.0)
    context = Context(unstable=frozenset({"bad"}), oom_kills=events)
    host = recommend(usage, current={"bad": 256 * MIB}, ceiling=256 * MIB, context=context)
    rules = {"bad": ServiceRule(most={Resource.MEMORY: 256.0 * MIB})}
    bound = recommend(
        usage, current={"bad": 256 * MIB}, context=Context(oom_kills=events, rules=rules)
    )
    for table, reason in ((host, Reason.HOST_CEILING), (bound, Reason.OWN_BOUNDS)):
        assert (table["action"]["bad"], table["reason"]["bad"]) == (Action.KEEP, reason)


@settings(max_examples=20, deadline=None)
@given(resident=st.floats(0.05, 0.7), limit=st.integers(300, 4000))
def test_page_cache_is_not_chased(resident: float, limit: int) -> None:
    """Memory that fills its limit with cache, without kills, keeps the limit, for ever."""
    usage = steady("web", "api", "db")
    rng = np.random.default_rng(2)
    usage["files"] = limit * MIB * np.minimum(1.0, 0.9 + 0.1 * rng.random(len(usage)))
    rss = pd.DataFrame({"files": resident * limit * MIB}, index=usage.index)
    row = recommend(usage, current={"files": limit * MIB}, context=Context(rss=rss)).loc["files"]
    assert (row["action"], row["reason"]) == (Action.KEEP, Reason.PAGE_CACHE)
    assert row["rss_peak"] == pytest.approx(resident * limit * MIB)
    assert row["breach_now"] < 0.5


@settings(max_examples=15, deadline=None)
@given(resident=st.floats(0.8, 1.0), used=st.floats(0.85, 1.0))
def test_a_proposal_for_resident_memory_is_kept_once_it_is_in_force(
    resident: float, used: float
) -> None:
    """Applied and asked again: no limit goes up and down by turns, and none goes on upwards."""
    usage = steady("web", "api", "db")
    rng = np.random.default_rng(3)
    usage["heap"] = 1000.0 * MIB * (used - 0.002 * rng.random(len(usage)))
    rss = pd.DataFrame({"heap": usage["heap"] * resident})
    limit, context = 1000.0 * MIB, Context(forecaster=fitted(usage), rss=rss)
    for _ in range(2):
        row = recommend(usage, current={"heap": limit}, context=context).loc["heap"]
        if row["action"] in {Action.RAISE, Action.LOWER}:
            limit = cast("float", row["limit"])
    row = recommend(usage, current={"heap": limit}, context=context).loc["heap"]
    assert row["action"] == Action.KEEP
    assert limit >= row["rss_peak"] / 0.95


def test_resident_memory_that_fills_its_limit_is_raised() -> None:
    """What is no cache is a need."""
    usage = steady("web", "api", "db")
    usage["files"] = 1000.0 * MIB
    rss = pd.DataFrame({"files": 950.0 * MIB}, index=usage.index)
    row = recommend(usage, current={"files": 1000 * MIB}, context=Context(rss=rss)).loc["files"]
    assert row["action"] == Action.RAISE


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0.0, 1.0), used=st.floats(0.2, 1.0), resident=st.floats(0.1, 1.0))
def test_stalls_for_memory_count_before_a_kill(share: float, used: float, resident: float) -> None:
    """At its limit a service that stalls is raised, whatever of it is page cache; elsewhere its
    limit is not lowered. A tenth of the time is accepted.
    """
    usage = steady("web", "api", "db")
    usage["slow"] = used * 1000.0 * MIB
    index = usage.index
    context = Context(
        memory_stalled=pd.DataFrame({"slow": share}, index=index),
        rss=pd.DataFrame({"slow": resident * used * 1000.0 * MIB}, index=index),
    )
    row = recommend(usage, current={"slow": 1000 * MIB}, context=context).loc["slow"]
    assert row["stalled"] == pytest.approx(share)
    if share <= 0.1:
        assert row["reason"] != Reason.MEMORY_STALLED
    elif used >= 0.9:
        assert (row["action"], row["reason"]) == (Action.RAISE, Reason.MEMORY_STALLED)
        assert row["limit"] >= 1500 * MIB
    else:
        assert row["action"] != Action.LOWER
