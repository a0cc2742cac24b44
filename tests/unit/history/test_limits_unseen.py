"""Limits are told by the hour: none that was seen is not none that is there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capacity.history._history import History
from capacity.model import Action, Reason, Resource, Signal
from capacity.sizing import Context, recommend

END = pd.Timestamp("2026-11-16 13:10", tz="UTC")
STEP = pd.Timedelta("5min")


def history(first: pd.Timestamp, end: pd.Timestamp = END) -> History:
    """One service that has been there for weeks, and one since a moment."""
    index = pd.date_range(end - pd.Timedelta("21D"), end, freq=STEP, inclusive="left")
    use = pd.DataFrame(
        2.0**28, index=index, columns=pd.Index(["shop/old", "shop/new"], dtype=object)
    )
    use.loc[use.index < first, "shop/new"] = np.nan
    return History(
        {Signal.MEMORY: use, Signal.CPU: use / 2**28},
        index[0],
        end,
        STEP,
        "test",
        queries={Signal.MEMORY_LIMIT: "limits"},
    )


@pytest.mark.parametrize(
    ("end", "first", "unseen"),
    [
        ("13:10", "13:05", True),
        ("13:10", "13:00", False),
        ("13:10", "12:55", False),
        ("13:00", "12:55", True),
        ("13:00", "12:00", False),
    ],
)
def test_a_limit_is_unseen_until_an_hour_has_passed(end: str, first: str, *, unseen: bool) -> None:
    """Over that service: each full hour within the window tells the limits of all that run then."""
    day = "2026-11-16 "
    seen = history(pd.Timestamp(day + first, tz="UTC"), pd.Timestamp(day + end, tz="UTC"))
    found = seen.limits_unseen()
    assert found == (frozenset({"shop/new"}) if unseen else frozenset())


def test_nothing_is_proposed_in_place_of_a_limit_that_nobody_saw() -> None:
    """A service of minutes gets no default of its type, which may be below or far above its limit;
    one that can be sized is told that its limit is not known.
    """
    seen = history(END - STEP)
    reasons = {"shop/new": Reason.NOT_ENOUGH_HISTORY, "shop/old": Reason.LIMIT_UNKNOWN}
    for name, reason in reasons.items():
        context = Context(limits_unseen=frozenset({name}))
        table = recommend(seen.memory, signal=Resource.MEMORY, context=context)
        assert table.loc[name, "reason"] == reason
        (other,) = table.drop(index=name)["reason"]
        assert other in {Reason.UNLIMITED, Reason.TYPE_DEFAULT}
    assert table.loc["shop/old", "action"] == Action.SET
