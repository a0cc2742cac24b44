"""Our policy: monotone in the risk, free of units, and no stranger to small fleets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.model import Resource
from capacity.sizing._policies.allocate import allocate, cost_of, most, within_budget
from capacity.sizing._policies.capacity import Capacity, PeakDistribution
from capacity.sizing._policies.daily_features import FEATURES, days_of, features
from capacity.sizing._policies.forest import MARGINS
from capacity.sizing._policies.registry import POLICIES, Past

RISKS = (0.2, 0.1, 0.05, 0.02, 0.01)
HOURS = 24 * 49


def past(services: int, seed: int = 0, days: int = 49) -> Past:
    """Hourly services, half of them calm and half of them wild."""
    rng = np.random.default_rng(seed)
    spread = np.where(np.arange(services) % 2, 0.6, 0.03)
    values = 1e9 * rng.lognormal(0, spread, (24 * days, services))
    return Past(values, 3600, Resource.MEMORY, np.full(services, np.nan))


def test_limits_never_fall_as_the_risk_falls() -> None:
    """For every service, also where the measured drift differs from risk to risk."""
    limits = POLICIES["capacity"]().limits(past(40), RISKS)
    assert (np.diff(limits, axis=0) >= 0).all()
    assert np.isfinite(limits).all()


def test_limits_never_fall_with_the_risk_from_one_call_to_the_next() -> None:
    """Asked one by one, at odd risks close together, on services of heavy tails; with others beside
    them or alone.
    """
    rng = np.random.default_rng(2)
    values = 1e9 * np.exp(np.cumsum(rng.standard_t(2, (24 * 42, 25)) * 0.01, axis=0))
    history, policy = Past(values, 3600, Resource.MEMORY, np.full(25, np.nan)), Capacity()
    risks = (0.6, 0.3, 0.21, 0.2, 0.17, 0.168, 0.057, 0.056, 0.03, 0.029, 0.011, 0.002, 0.0003)
    limits = np.concatenate([policy.limits(history, [risk]) for risk in risks])
    assert (np.diff(limits, axis=0) >= 0).all()
    assert policy.limits(history, risks) == pytest.approx(limits)


def test_one_service_that_jumps_does_not_raise_all_others() -> None:
    """Steady services keep limits near their peaks when a single one of them has had a peak of
    forty times its use.
    """
    rng = np.random.default_rng(7)
    values = (np.arange(12) % 7 + 1) * 3e8 * (1 + 0.03 * rng.standard_normal((24 * 28, 12)))
    values[24 * 20, 0] = 1.2e10
    limits = Capacity().limits(Past(values, 3600, Resource.MEMORY, np.full(12, np.nan)), RISKS)
    assert (limits / values[-24 * 14 :].max(axis=0))[:, 1:].max() < 3


def test_the_wild_get_the_margin() -> None:
    """A calm service's limit stays near its peak, a wild one's goes further beyond."""
    seen = past(60)
    limits = Capacity().limits(seen, (0.05,))[0] / seen.last(14).max(axis=0)
    assert np.median(limits[1::2]) > 1.15 * np.median(limits[::2])


def test_units_do_not_matter() -> None:
    """A thousand times the usage is a thousand times the limit, to the last bits."""
    seen = past(30)
    thousand = Past(seen.values * 1024.0, seen.step, seen.resource, seen.current)
    assert Capacity().limits(thousand, RISKS) == pytest.approx(
        1024.0 * Capacity().limits(seen, RISKS), rel=1e-6
    )


def test_the_same_input_gives_the_same_limits() -> None:
    """Two runs agree to the byte."""
    assert (
        Capacity().limits(past(20), RISKS).tobytes() == Capacity().limits(past(20), RISKS).tobytes()
    )


@pytest.mark.parametrize(("services", "days"), [(1, 2), (1, 60), (3, 10), (5, 28)])
def test_small_fleets_and_short_histories_get_an_answer(services: int, days: int) -> None:
    """Where there is little to learn from, the prior speaks: finite, above the median day,
    monotone.
    """
    seen = past(services, days=days)
    limits = Capacity().limits(seen, RISKS)
    assert np.isfinite(limits).all()
    assert (limits[-1] >= np.median(seen.values, axis=0)).all()
    assert (np.diff(limits, axis=0) >= 0).all()


def test_services_without_samples_get_none() -> None:
    """NaN for those never seen, and the others as if they were not there."""
    seen = past(30)
    values = np.concatenate([seen.values, np.full((len(seen.values), 1), np.nan)], axis=1)
    limits = Capacity().limits(Past(values, 3600, Resource.MEMORY, np.full(31, np.nan)), RISKS)
    assert np.isnan(limits[:, -1]).all()
    assert np.isfinite(limits[:, :-1]).all()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(Resource)), st.integers(1, 6), st.floats(0.005, 0.5), st.integers(0, 2**31)
)
def test_allocation_keeps_the_risk_at_no_more_cost_than_one_margin_for_all(
    resource: Resource, services: int, risk: float, seed: int
) -> None:
    """The mean chance is at most the risk, and no single common margin that keeps it is cheaper."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.05, 1.0, services)
    chances = np.minimum(1.0, np.exp(-np.maximum(MARGINS[None] + 0.5, 0) / scale[:, None]))
    peaks = rng.lognormal(0, 1, services)
    chosen = allocate(chances, peaks, risk, 1.0, resource=resource)
    rows, cost = np.arange(services), cost_of(peaks, resource)
    mean = chances[rows, chosen].mean()
    cheapest_possible = chances[:, -1].mean()
    assert mean <= max(risk, cheapest_possible) + 1e-12
    if mean <= risk:
        same = np.flatnonzero(chances.mean(axis=0) <= mean)[0]
        assert cost[rows, chosen].sum() <= cost[:, same].sum() + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.floats(0.005, 0.09), st.integers(0, 2**31))
def test_no_service_runs_a_risk_far_above_the_one_asked(
    services: int, risk: float, seed: int
) -> None:
    """Each one's chance is ten times the risk at most, however dear it is beside the others."""
    rng = np.random.default_rng(seed)
    chances = np.minimum(
        1.0, np.exp(-np.maximum(MARGINS[None] + 0.5, 0) / rng.uniform(0.05, 0.4, services)[:, None])
    )
    chosen = allocate(chances, rng.lognormal(0, 4, services), risk, most(risk))
    assert (chances[np.arange(services), chosen] <= 10 * risk + 1e-12).all()


@pytest.mark.parametrize("resource", Resource)
def test_dearer_margins_cost_more(resource: Resource) -> None:
    """The cost rises along every row, and in the same money a large service's step costs more than
    a small one's.
    """
    cost = cost_of(np.array([1.0, 100.0]), resource)
    assert (np.diff(cost, axis=1) > 0).all()
    assert (np.diff(cost[1]) > np.diff(cost[0])).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.floats(0.5, 6.0), st.integers(0, 2**31))
def test_a_budget_is_spent_as_well_as_brute_force_would(
    services: int, times: float, seed: int
) -> None:
    """Never over the budget; no choice of margins breaks less than one a thousandth richer, whether
    by table or by price.
    """
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.05, 1.0, services)
    chances = np.minimum(1.0, np.exp(-np.maximum(MARGINS[None] + 0.5, 0) / scale[:, None]))
    peaks = rng.lognormal(0, 1, services)
    budget = times * float(peaks.sum())
    chosen = within_budget(chances, peaks, budget)
    every = np.stack(np.meshgrid(*[np.arange(len(MARGINS))] * services, indexing="ij")).reshape(
        services, -1
    )
    cost = (np.exp(MARGINS)[every] * peaks[:, None]).sum(axis=0)
    broken = chances[np.arange(services)[:, None], every].sum(axis=0)
    assert (np.exp(MARGINS)[chosen] * peaks).sum() <= budget * (1 + 1e-12)
    assert chances[np.arange(services), chosen].sum() <= broken[cost <= budget * 0.999].min() + 1e-9


def test_a_budget_with_room_gives_every_service_its_steady_peak() -> None:
    """The 98th percentile of the last two weeks, down to a budget of just those; one below starves
    some, and is kept too.
    """
    seen = past(60, seed=4)
    study = Capacity().allocate(seen, (0.1,))
    steady = np.quantile(seen.last(14), 0.98, axis=0)
    assert study.steady == pytest.approx(steady)
    for times in (0.6, 1.0, 1.005, 1.03, 1.5):
        limits = study.within(times * float(steady.sum()))
        assert limits.sum() <= times * float(steady.sum()) * (1 + 1e-9)
        assert (limits >= steady * (1 - 1e-9)).all() == (times >= 1)
    taken = np.where(np.arange(60) < 3, 0.0, 1.0)
    assert np.isnan(study.within(1e11, taken)[:3]).all()
    assert np.isnan(study.within(1e11, np.zeros(60))).all()


def test_a_limit_at_a_chance_is_the_lowest_of_its_kind() -> None:
    """Where the chances stand still, the foot of the step is taken."""
    flat = np.interp(MARGINS, [-1.0, 0.0, 1.0, 2.0], [1.0, 0.5, 0.5, 0.0])[None]
    outlook = PeakDistribution(np.array([8.0]), flat, np.array([-9.0]), np.array([4.0]), 1.0)
    assert outlook.limit(0, 0.5) == pytest.approx(8.0, rel=0.03)


def test_the_same_surprise_says_the_same_to_a_fleet_of_any_size() -> None:
    """What a bad week teaches about drift depends on the share of services it struck, not on how
    many there are.
    """
    small = past(60, seed=5)
    struck = small.values.copy()
    struck[-24 * 7 :, ::3] *= 4
    four = Past(np.tile(struck, 4), small.step, small.resource, np.full(240, np.nan))
    changed = Past(struck, small.step, small.resource, small.current)
    drifts = [Capacity().drift(each, (0.2, 0.1))[0] for each in (small, changed, four)]
    assert drifts[1] > 1.02 * drifts[0]
    assert drifts[2] == pytest.approx(drifts[1], rel=0.06)
    assert drifts[2] < 1.5 * drifts[0]


def test_a_budget_for_a_large_fleet_beats_one_margin_for_all() -> None:
    """Within the budget, and with fewer expected breaches than the same multiple everywhere."""
    rng = np.random.default_rng(3)
    scale = rng.uniform(0.05, 1.0, 500)
    chances = np.minimum(1.0, np.exp(-np.maximum(MARGINS[None] + 0.5, 0) / scale[:, None]))
    peaks = rng.lognormal(0, 1, 500)
    chosen = within_budget(chances, peaks, 1.5 * float(peaks.sum()))
    same = np.flatnonzero(np.exp(MARGINS) <= 1.5)[-1]
    assert (np.exp(MARGINS)[chosen] * peaks).sum() <= 1.5 * peaks.sum()
    assert chances[np.arange(500), chosen].sum() < 0.9 * chances[:, same].sum()


def test_features_are_named_and_finite_for_a_whole_history() -> None:
    """One column a name, in the order of the names."""
    days = days_of(past(5).values, 3600)
    table = features(days)
    assert table.shape == (5, len(FEATURES))
    assert np.isfinite(table).all()
    assert (
        table[:, FEATURES.index("spread of daily peaks")][1]
        > table[:, FEATURES.index("spread of daily peaks")][0]
    )
