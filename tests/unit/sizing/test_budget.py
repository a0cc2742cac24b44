"""A budget trades risk between services, and none of the rules that keep services safe."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capacity._common.text.units import MIB
from capacity.errors import InputError
from capacity.model import Action, Reason, Resource
from capacity.sizing import Context, ServiceRule, recommend
from capacity.sizing._decisions.budget import totals
from tests.fixtures.fleets.flat_usage import GIB, INDEX, steady
from tests.fixtures.frames import float_at, times_of


def in_force(table: pd.DataFrame) -> pd.Series:
    """The limits after the proposals."""
    return table["limit"].fillna(table["current"])


def test_a_service_that_was_killed_is_raised_within_a_budget_too() -> None:
    """By half at least, with the kill as its reason; the others give what it takes."""
    usage = steady("killed", "web", "db")
    usage["killed"] = usage["killed"].clip(upper=100 * MIB)
    kills = pd.DataFrame(0.0, index=INDEX, columns=["killed"])
    kills.iloc[-30] = 1.0
    table = recommend(
        usage,
        current={"killed": 100.0 * MIB},
        budget=400 * MIB,
        context=Context(oom_kills=kills),
    )
    assert float_at(table, "killed", "limit") == 150 * MIB
    assert table.loc["killed", "reason"] == Reason.OOM_KILLED
    assert in_force(table).sum() <= 400 * MIB


def test_a_budget_lowers_by_one_step_at_most() -> None:
    """Half of a limit and no more, however much the budget would like to have of it."""
    usage = steady("large", "web")
    table = recommend(usage, current={"large": 2.0 * GIB}, budget=1.2 * GIB)
    assert float_at(table, "large", "limit") == GIB
    with pytest.raises(InputError, match=r"large 1 GiB \(largest step down\)") as refused:
        recommend(usage, current={"large": 2.0 * GIB}, budget=GIB)
    assert "again" in str(refused.value.hint)


def test_what_was_changed_lately_or_moved_is_not_lowered_for_a_budget() -> None:
    """A cooldown and a new level hold as they do without one."""
    usage = steady("cooling", "moved", "web", level=800 * MIB)
    usage.loc[usage.index[-72:], "moved"] *= 0.5
    current = dict.fromkeys(usage.columns, 1.5 * GIB)
    context = Context(limit_since=pd.Series({"cooling": INDEX[-24]}))
    table = recommend(usage, current=current, budget=4 * GIB, context=context)
    assert table["reason"].to_dict() == {
        "cooling": Reason.COOLDOWN,
        "moved": Reason.REGIME_CHANGE,
        "web": Reason.BUDGET,
    }


def test_a_budget_gives_every_service_its_steady_peak() -> None:
    """One below is refused with what is missing, never shared out by writing services off."""
    usage = steady("a", "b", "c", "d")
    floor = np.ceil(usage.iloc[-14 * 24 :].quantile(0.98) / MIB) * MIB
    table = recommend(usage, budget=float(floor.sum()))
    assert (table["limit"] >= floor).all()
    assert table["least"].to_dict() == pytest.approx(floor.to_dict(), abs=MIB)
    assert set(table["least_because"]) == {"steady peak"}
    with pytest.raises(InputError, match="too much") as refused:
        recommend(usage, budget=300 * MIB)
    assert "(steady peak)" in str(refused.value)
    assert "Raise the budget to" in str(refused.value.hint)


def test_own_bounds_pins_hosts_and_leaks_hold_within_a_budget() -> None:
    """Each floor is named by what sets it; a leak is not chased, and no limit passes its host."""
    usage = steady("least", "pinned", "leak", "host", "web")
    usage["leak"] = np.linspace(50, 400, len(INDEX)) * MIB
    usage["host"] = steady("host", level=GIB)["host"].clip(upper=GIB)
    rules = {
        "least": ServiceRule(least={Resource.MEMORY: 700.0 * MIB}),
        "pinned": ServiceRule(pinned=True),
    }
    table = recommend(
        usage,
        current={"least": 1000.0 * MIB, "pinned": 512.0 * MIB, "leak": 450.0 * MIB},
        ceiling={"host": GIB},
        budget=3.2 * GIB,
        context=Context(rules=rules),
    )
    assert float_at(table, "least", "limit") == 700 * MIB
    assert float_at(table, "host", "limit") == GIB
    assert in_force(table)["leak"] <= np.ceil(1.25 * 450) * MIB
    assert table["least_because"].to_dict() == {
        "least": "minimum in the settings",
        "pinned": "pinned",
        "leak": "leak",
        "host": "host ceiling",
        "web": "steady peak",
    }
    assert table.loc["pinned", "action"] == Action.NONE


def test_a_budget_for_cpu_lets_services_start_and_run_unthrottled() -> None:
    """A throttled service is raised first, whatever the budget prefers."""
    usage = steady("held", "web", level=1.0)
    usage["held"] = usage["held"].clip(upper=1.0)
    throttled = pd.DataFrame({"held": 0.6, "web": 0.0}, index=times_of(usage))
    table = recommend(
        usage,
        signal="cpu",
        current={"held": 1.0},
        budget=8.0,
        context=Context(throttled=throttled),
    )
    assert float_at(table, "held", "limit") >= 1.5
    assert table.loc["held", "reason"] == Reason.THROTTLED


def test_totals_say_what_a_budget_became() -> None:
    """Before, after, and what is left, every replica counted, and how many had no limit."""
    usage = steady("a", "b")
    budget = GIB
    table = recommend(
        usage, current={"a": 400.0 * MIB}, budget=budget, context=Context(replicas={"a": 2})
    )
    told = totals(table, {"a": 2}, budget)
    assert told.before == 800 * MIB
    assert (told.unlimited_before, told.unlimited_after) == (1, 0)
    assert told.proposed == 2 * in_force(table)["a"] + in_force(table)["b"]
    assert told.left == budget - told.proposed >= 0


@pytest.mark.parametrize("way", ["pinned", "stopped"])
@pytest.mark.parametrize("current", [{"large": 512.0 * MIB}, {}])
def test_what_a_service_does_not_take_goes_to_the_others(
    way: str, current: dict[str, float]
) -> None:
    """One that is pinned or stopped far below its need leaves nothing of a budget unspent, while
    others would be passed for want of it.
    """
    rng = np.random.default_rng(1)
    usage = pd.DataFrame(
        {
            name: size
            * GIB
            * (0.5 + 0.3 * rng.random(len(INDEX)))
            * rng.lognormal(0, 0.2, len(INDEX))
            for name, size in (("large", 4.0), ("web", 1.0), ("db", 1.0))
        },
        index=INDEX,
    )
    context = (
        Context(rules={"large": ServiceRule(pinned=True)})
        if way == "pinned"
        else Context(running=pd.Series({"large": False, "web": True, "db": True}))
    )
    table = recommend(usage, current=current, budget=4 * GIB, context=context)
    assert 0.95 * 4 * GIB < in_force(table).sum() <= 4 * GIB
    assert (table["breach_after"].drop("large") < 0.5).all()


def test_a_budget_is_kept_beside_pinned_limits_and_minima_or_refused() -> None:
    """What rules of the settings hold is taken off what the others share; where it takes all of it,
    somebody must decide.
    """
    usage = steady(*(f"s{number}" for number in range(6)))
    names = list(usage.columns)
    current = pd.Series(2.0 * GIB, index=names)
    rules = {
        names[0]: ServiceRule(pinned=True),
        names[1]: ServiceRule(least={Resource.MEMORY: GIB}),
    }
    table = recommend(usage, current=current, budget=8 * GIB, context=Context(rules=rules))
    assert table["limit"].fillna(table["current"]).sum() <= 8 * GIB
    assert table.loc[names[0], "current"] == 2 * GIB
    assert float_at(table, names[1], "limit") >= GIB
    with pytest.raises(InputError, match="cannot be kept"):
        recommend(usage, current=current, budget=2.5 * GIB, context=Context(rules=rules))


def test_a_budget_that_pinned_limits_just_pass_is_refused_at_once() -> None:
    """A hair too much is too much, a rounding error is none, and neither takes many rounds."""
    usage = steady("a", "b", "c", level=0.05)
    names = [str(name) for name in usage]
    rules = {name: ServiceRule(pinned=True) for name in names}
    pinned = {"signal": "cpu", "current": dict.fromkeys(names, 0.1)}
    context = Context(rules=rules, replicas=dict.fromkeys(names, 3))
    table = recommend(usage, budget=0.9, context=context, **pinned)  # type: ignore[arg-type]  # a mapping of words
    assert set(table["reason"]) == {Reason.PINNED}
    with pytest.raises(InputError, match=r"0\.90 cores at least, 0\.001 cores too much"):
        recommend(usage, budget=0.8991, context=context, **pinned)  # type: ignore[arg-type]  # the same


def test_a_limit_without_history_counts_in_a_budget() -> None:
    """It stays in force whatever the default for its type is."""
    usage = steady("web")
    usage["new"] = np.nan
    with pytest.raises(InputError, match=r"new 12 GiB \(no data\)"):
        recommend(usage, current={"new": 12 * GIB}, budget=5 * GIB)


def test_a_budget_counts_every_replica() -> None:
    """Limits times replicas keep the budget, and one that is spent by defaults is refused in its
    own unit.
    """
    usage = steady("web", "db", "cache")
    replicas = {"web": 5}
    table = recommend(usage, budget=1.2 * 7 * 110 * MIB, context=Context(replicas=replicas))
    spent = sum(limit * replicas.get(str(name), 1) for name, limit in table["limit"].items())
    assert 0.9 * 1.2 * 7 * 110 * MIB < spent <= 1.2 * 7 * 110 * MIB
    usage["new"] = usage["web"].where(usage.index >= usage.index[-6])
    with pytest.raises(InputError, match=r"the rules demand 1\.\d+ GiB at least") as refused:
        recommend(usage, budget=800 * MIB)
    assert "new 1 GiB (type default)" in str(refused.value)


def test_a_budget_is_kept_and_shared() -> None:
    """All limits together fit, also after rounding, and more money breaks less."""
    usage = steady(*(f"s{number}" for number in range(6)), spread=0.25)
    poor, rich = (recommend(usage, budget=size * GIB) for size in (1.5, 3))
    assert poor["limit"].sum() <= 1.5 * GIB
    assert rich["limit"].sum() <= 3 * GIB
    assert rich["breach_after"].sum() < poor["breach_after"].sum()
    assert set(poor["reason"]) == {Reason.BUDGET}
    with pytest.raises(InputError, match="budget"):
        recommend(usage, budget=1e9, policy="krr")
