"""Our policy: monotone in the risk, free of units, and no stranger to small fleets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.forecasting._models.peak_distribution import MARGINS
from capacity.model import Resource
from capacity.sizing._policies.budget import within_budget
from capacity.sizing._policies.capacity import Capacity
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
    """For every service, calm or wild."""
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
    """A thousand times the usage is a thousand times the limit, nearly to the bit."""
    seen = past(30)
    thousand = Past(seen.values * 1024.0, seen.step, seen.resource, seen.current)
    assert Capacity().limits(thousand, RISKS) == pytest.approx(
        1024.0 * Capacity().limits(seen, RISKS), rel=1e-3
    )


def test_the_same_input_gives_the_same_limits() -> None:
    """Two runs agree to the byte."""
    assert (
        Capacity().limits(past(20), RISKS).tobytes() == Capacity().limits(past(20), RISKS).tobytes()
    )


@pytest.mark.parametrize(("services", "days"), [(1, 2), (1, 60), (3, 10), (5, 28)])
def test_small_fleets_and_short_histories_get_an_answer(services: int, days: int) -> None:
    """After little history, limits are finite, above the median day, and monotone."""
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


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2), st.floats(0.5, 6.0), st.integers(0, 2**31))
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
    allocation = Capacity().allocate(seen, (0.1,))
    steady = np.quantile(seen.last(14), 0.98, axis=0)
    assert allocation.steady == pytest.approx(steady)
    for times in (0.6, 1.0, 1.005, 1.03, 1.5):
        limits = allocation.within(times * float(steady.sum()))
        assert limits.sum() <= times * float(steady.sum()) * (1 + 1e-9)
        assert (limits >= steady * (1 - 1e-9)).all() == (times >= 1)
    taken = np.where(np.arange(60) < 3, 0.0, 1.0)
    assert np.isnan(allocation.within(1e11, taken)[:3]).all()
    assert np.isnan(allocation.within(1e11, np.zeros(60))).all()


@given(seed=st.integers(0, 1000), services=st.sampled_from([10, 60]))
@settings(max_examples=15, deadline=None)
def test_a_short_budget_spares_those_that_would_stay_above_their_limit(
    seed: int, services: int
) -> None:
    """Half of the services are near their peak all day, half for an hour: where not all can have
    theirs, the first are not written down before the second.
    """
    rng = np.random.default_rng(seed)
    hours = np.arange(24 * 28)[:, None] % 24
    spiky = np.arange(services) % 2 == 1
    level = np.where(spiky & (hours != 12), 0.5, 1.0)
    values = 1e9 * level * (1 + 0.02 * rng.random((len(hours), services)))
    seen = Past(values, 3600, Resource.MEMORY, np.full(services, np.nan))
    limits = Capacity().allocate(seen, (0.1,)).within(0.9e9 * services)
    above = (values > limits).mean(axis=0)
    assert above[~spiky].max() <= 0.02
    assert above[spiky].max() <= 0.06


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
