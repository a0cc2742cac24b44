"""The rivals answer what they answer in their own tests and papers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.units import MIB
from capacity.model import Resource
from capacity.sizing._baselines.autopilot import Autopilot, load_adjusted, margin
from capacity.sizing._baselines.histogram import (
    CPU_BUCKETS,
    MEMORY_BUCKETS,
    Buckets,
    decay,
    exponential,
    linear,
    percentile,
    weigh,
)
from capacity.sizing._baselines.krr import Krr, round_up
from capacity.sizing._baselines.linear_plan import LinearPlan, adjusted
from capacity.sizing._baselines.vpa import (
    Vpa,
    confidence,
    daily_peaks,
    oom_sample,
    scaled,
    with_margin,
)
from capacity.sizing._policies.base import Past, Policy, column_max, column_quantile
from capacity.sizing._policies.registry import POLICIES

MB = 1e6
GIB = 1024 * MIB
NAN = np.nan
RULES: dict[str, Callable[[], Policy]] = {
    **POLICIES,
    "krr-limit": lambda: Krr("krr-limit", 0.96),
    "vpa-lower": lambda: Vpa("vpa-lower", "lower"),
    "vpa-upper": lambda: Vpa("vpa-upper", "upper"),
    "autopilot-low": lambda: Autopilot("autopilot-low", "low"),
    "autopilot-intermediate": lambda: Autopilot("autopilot-intermediate", "intermediate"),
}


def past(
    values: list[float] | np.ndarray, resource: Resource, step: int = 300, current: float = NAN
) -> Past:
    """The past of one service."""
    return Past(np.asarray(values, dtype=float).reshape(-1, 1), step, resource, np.array([current]))


def quantile(
    buckets: Buckets, samples: list[tuple[float, float]], level: float, epsilon: float = 1e-4
) -> float:
    """The percentile of one service's weighted samples."""
    weights = weigh(
        buckets,
        np.array([[value] for value, _ in samples]),
        np.array([[weight] for _, weight in samples]),
    )
    return float(percentile(buckets, weights, level, epsilon)[0])


# --- KRR
# -----


@pytest.mark.parametrize(
    ("value", "resource", "expected"),
    [
        (0.0341, Resource.CPU, 0.035),
        (0.004, Resource.CPU, 0.010),
        (0.57, Resource.CPU, 0.570),
        (500 * 1.15 * MIB, Resource.MEMORY, 575 * MIB),
        (10.0 * MIB, Resource.MEMORY, 100 * MIB),
        (512.2 * MIB, Resource.MEMORY, 513 * MIB),
    ],
)
def test_krr_rounds_up_to_its_units_and_floors(
    value: float, resource: Resource, expected: float
) -> None:
    """Millicores and MiB, at least 10 and 100."""
    assert round_up(np.array([value]), resource)[0] == pytest.approx(expected, rel=1e-12)


def test_krr_memory_is_the_maximum_and_its_buffer() -> None:
    """400 and 500 MiB give 575; what is older than 14 days does not count."""
    day = 288
    values = np.full(20 * day, 400.0 * MIB)
    values[-day] = 500 * MIB
    values[0] = 5000 * MIB
    limit = RULES["krr"]().limits(past(values, Resource.MEMORY), (0.1,))[0]
    assert limit[0] == 575 * MIB


def test_krr_cpu_is_a_percentile_and_needs_a_hundred_samples() -> None:
    """95 for the request of `simple`, 96 for the limit of `simple_limit`, linear between
    samples.
    """
    values = np.arange(1.0, 201.0) / 100
    assert RULES["krr"]().limits(past(values, Resource.CPU), (0.1,))[0, 0] == pytest.approx(
        np.ceil(np.percentile(values, 95) * 1000) / 1000
    )
    assert RULES["krr-limit"]().limits(past(values, Resource.CPU), (0.1,))[0, 0] == pytest.approx(
        np.ceil(np.percentile(values, 96) * 1000) / 1000
    )
    assert np.isnan(RULES["krr"]().limits(past(values[:99], Resource.CPU), (0.1,))[0, 0])


@given(st.lists(st.floats(0, 1e6) | st.just(NAN), min_size=1, max_size=40), st.floats(0, 1))
def test_column_quantile_is_numpys(values: list[float], level: float) -> None:
    """The vectorised quantile equals numpy's on the samples that exist."""
    found = column_quantile(np.array(values)[:, None], level)[0]
    known = [value for value in values if np.isfinite(value)]
    assert found == pytest.approx(np.quantile(known, level)) if known else np.isnan(found)


# --- VPA: histograms
# -----


def test_vpa_linear_buckets() -> None:
    """Upstream's cases of linear options."""
    buckets = linear(5, 0.3)
    assert buckets.count == 18
    assert buckets.starts()[17] == pytest.approx(5.1)
    assert buckets.find(np.array([-1.0, 0.0, 1.3, 100.0])).tolist() == [0, 0, 4, 17]


def test_vpa_exponential_buckets() -> None:
    """Upstream's cases of exponential options."""
    buckets = exponential(500, 40, 1.5)
    assert buckets.count == 6
    assert buckets.starts().tolist() == pytest.approx([0, 40, 100, 190, 325, 527.5])
    assert buckets.find(np.array([-1.0, 39.99, 40.0, 100.0, 900.0])).tolist() == [0, 0, 1, 2, 5]


def test_vpa_default_buckets() -> None:
    """176 buckets each; their edges, and the rounding of the logarithm that moves 0.0205 one
    down.
    """
    starts = CPU_BUCKETS.starts()
    assert CPU_BUCKETS.count == MEMORY_BUCKETS.count == 176
    assert starts[:6].tolist() == pytest.approx(
        [0, 0.01, 0.0205, 0.031525, 0.04310125, 0.0552563125]
    )
    for number, start in (
        (50, 2.093479957),
        (100, 26.100251569),
        (150, 301.395499211),
        (175, 1021.109408905),
    ):
        assert starts[number] == pytest.approx(start, rel=1e-9)
        assert MEMORY_BUCKETS.starts()[number] == pytest.approx(start * 1e9, rel=1e-9)
    assert CPU_BUCKETS.find(np.array([0.0205])).tolist() == [1]


@pytest.mark.parametrize(
    ("value", "edge"),
    [
        (0.1, 0.110265643),
        (0.25, 0.258403664),
        (0.5, 0.511134538),
        (1, 1.016281389),
        (2, 2.093479957),
        (3, 3.027156617),
        (4, 4.124698514),
        (16, 16.75337666),
    ],
)
def test_vpa_answers_with_the_upper_edge(value: float, edge: float) -> None:
    """One sample's percentile is the end of its bucket, CPU and memory alike."""
    assert quantile(CPU_BUCKETS, [(value, 1.0)], 0.9) == pytest.approx(edge, rel=1e-8)


@pytest.mark.parametrize(("value", "edge"), [(262144000, 281323846), (8 * 1024**3, 8790737608)])
def test_vpa_answers_with_the_upper_edge_of_memory(value: float, edge: float) -> None:
    """The same in bytes."""
    assert np.trunc(quantile(MEMORY_BUCKETS, [(value, 1.0)], 0.9)) == edge


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.0, 2),
        (0.1, 2),
        (0.2, 3),
        (0.3, 3),
        (0.4, 4),
        (0.5, 4),
        (0.6, 4),
        (0.7, 5),
        (0.8, 5),
        (0.9, 5),
        (1.0, 5),
    ],
)
def test_vpa_percentiles_of_weighted_samples(level: float, expected: float) -> None:
    """Samples 1 to 4 with their own value as weight."""
    assert (
        quantile(linear(10, 1), [(value, value) for value in (1.0, 2.0, 3.0, 4.0)], level)
        == expected
    )


def test_vpa_percentiles_outside_and_of_nothing() -> None:
    """Levels beyond 0 and 1 give the outermost buckets; nothing gives 0."""
    samples = [(0.1, 0.1), (0.2, 0.2)]
    assert quantile(linear(1, 0.1), samples, -0.1) == pytest.approx(0.2)
    assert quantile(linear(1, 0.1), samples, 1.1) == pytest.approx(0.3)
    more = [*samples, (0.0, 0.1), (1.0, 0.2)]
    assert quantile(linear(1, 0.1), more, -0.1) == pytest.approx(0.1)
    assert quantile(linear(1, 0.1), more, 1.1) == pytest.approx(1.0)
    for level in (-0.5, 0.0, 0.5, 1.0, 1.5):
        assert percentile(linear(10, 1), np.zeros((1, 11)), level)[0] == 0.0


def decayed(samples: list[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """(value, weight, hour) as (value, weight decayed to the latest hour), half-life one hour."""
    latest = max(hour for _, _, hour in samples)
    return [
        (value, weight * float(decay(np.array(latest - hour), 1.0)))
        for value, weight, hour in samples
    ]


def test_vpa_decay() -> None:
    """Twenty hours turn a weight of 1000 into less than one; a hundred and one hours into
    nothing.
    """
    samples = decayed([(2, 1000, 0), (1, 1, 20)])
    assert quantile(linear(10, 1), samples, 0.999) == 2
    assert quantile(linear(10, 1), samples, 1.0, epsilon=1e-9) == 3
    assert quantile(linear(10, 1), decayed([(2, 1, 0), (1, 1, 101)]), 1.0) == 2


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.0, 2), (0.02, 2), (0.03, 3), (0.10, 3), (0.11, 4), (0.34, 4), (0.35, 5), (1.0, 5)],
)
def test_vpa_decayed_percentiles(level: float, expected: float) -> None:
    """Samples 1 to 4, each an hour after the last, with their own value as weight."""
    samples = decayed([(float(value), float(value), value - 1) for value in (1, 2, 3, 4)])
    assert quantile(linear(10, 1), samples, level) == expected


@pytest.mark.parametrize(("level", "millicores"), [(0.2, 1016), (0.5, 2093), (0.9, 3027)])
def test_vpa_estimates(level: float, millicores: int) -> None:
    """One, two and three cores."""
    assert np.trunc(quantile(CPU_BUCKETS, [(1, 1), (2, 1), (3, 1)], level) * 1000) == millicores


# --- VPA: margin, confidence, kills
# --------------------------------------------------------------------------------------


def test_vpa_margin_in_whole_units() -> None:
    """3.14 cores and 3.14e9 bytes with 10 %."""
    assert with_margin(np.array([3140.0, 3.14e9]), 0.1).tolist() == [3454, 3.454e9]


def test_vpa_confidence_and_bounds() -> None:
    """Nine samples two minutes apart give 0.00625; bounds widen with doubt and shrink with
    history.
    """
    nine = np.ones((9, 1))
    assert confidence(nine, 120)[0] == pytest.approx(min(16 / 1440, 9 * 2 / 1440))
    assert scaled(np.array([1e3]), np.array([0.5]), "upper")[0] == 3000
    assert scaled(np.array([1e3]), np.array([1.0]), "upper")[0] == 2000
    assert scaled(np.array([1e6]), np.array([7.0]), "upper")[0] == pytest.approx(
        1.142857e6, rel=1e-5
    )
    assert scaled(np.array([1e3]), np.array([0.0]), "upper")[0] == 1e14
    assert scaled(np.array([1e3]), np.array([0.0]), "lower")[0] == 0
    for minutes, share in ((5, 0.603), (30, 0.910), (60, 0.954), (7 * 1440, 0.9997)):
        assert scaled(np.array([1e6]), np.array([minutes / 1440]), "lower")[
            0
        ] / 1e6 == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(
    ("used", "expected"), [(1, 101), (100, 200), (500, 600), (1000, 1200), (3000, 3600)]
)
def test_vpa_counts_a_kill_as_a_larger_sample(used: float, expected: float) -> None:
    """100 MiB more, or a fifth where that is more."""
    assert oom_sample(np.array([used * MIB]))[0] == pytest.approx(expected * MIB)


def test_vpa_heeds_kills() -> None:
    """A kill today counts as 1.2 times the limit in force where the peak was lower; one of another
    service counts nothing.
    """
    values = np.full((8 * 288, 2), 800.0 * MIB)
    kills = np.zeros_like(values)
    kills[-20, 0] = 1
    seen = Past(values, 300, Resource.MEMORY, np.array([1000.0, 1000.0]) * MIB)
    plain, killed = (
        RULES["vpa"]().limits(each, (0.1,))[0] for each in (seen, replace(seen, kills=kills))
    )
    assert killed[1] == plain[1]
    # today weighs half of all days: the 90th percentile is today's sample, in a bucket at most 5 %
    # wide
    assert 1200 * MIB * 1.15 <= killed[0] <= 1200 * MIB * 1.15 * 1.05


def test_vpa_whole() -> None:
    """Eight days at 0.2 core and daily peaks of 400 MB: target, lower and upper of both."""
    cpu, memory = np.full(8 * 1440, 0.2), np.full(8 * 1440, 400 * MB)
    expected = {
        "vpa": (0.247, 476450463),
        "vpa-lower": (0.246, 476331362),
        "vpa-upper": (0.277, 536011941),
    }
    for name, (cores, size) in expected.items():
        assert RULES[name]().limits(past(cpu, Resource.CPU, 60), (0.1,))[0, 0] == pytest.approx(
            cores, abs=1e-9
        )
        assert RULES[name]().limits(past(memory, Resource.MEMORY, 60), (0.1,))[
            0, 0
        ] == pytest.approx(size, rel=1e-5)


@pytest.mark.parametrize(("busy", "idle", "millicores"), [(6, 2, 1168), (4, 4, 126)])
def test_vpa_forgets_in_a_few_idle_days(busy: int, idle: int, millicores: int) -> None:
    """Two idle days after six busy ones keep the busy level, four after four lose it."""
    values = np.concatenate([np.full(busy * 1440, 1.0), np.full(idle * 1440, 0.1)])
    assert RULES["vpa"]().limits(past(values, Resource.CPU, 60), (0.1,))[0, 0] == pytest.approx(
        millicores / 1000, abs=1e-9
    )


def test_vpa_does_not_see_a_short_daily_burst() -> None:
    """2.4 hours a day at ten times the base are invisible to the target."""
    day = np.where(np.arange(1440) < 143, 1.0, 0.1)
    assert RULES["vpa"]().limits(past(np.tile(day, 8), Resource.CPU, 60), (0.1,))[
        0, 0
    ] == pytest.approx(0.126)


def test_vpa_floors() -> None:
    """25 millicores and 250 MiB, whatever was used."""
    assert RULES["vpa"]().limits(past(np.full(2000, 0.001), Resource.CPU), (0.1,))[0, 0] == 0.025
    assert (
        RULES["vpa"]().limits(past(np.full(2000, MB), Resource.MEMORY), (0.1,))[0, 0] == 262144000
    )


def test_vpa_daily_peaks() -> None:
    """The maximum of each day, counted back from the end; a day without samples has none."""
    values = np.arange(10.0)[:, None]
    values[4:8] = NAN
    assert daily_peaks(values, 86_400 // 4)[:, 0].tolist() == pytest.approx(
        [1.0, 3.0, 9.0], nan_ok=True
    )


# --- Autopilot
# -----


def test_autopilot_percentile_is_of_the_load() -> None:
    """Nine units at 1 and one at 10: the 90th percentile by load is 10 (figure 2)."""
    values = np.array([1.0] * 9 + [10.0])[:, None]
    assert load_adjusted(values, 0.9, 300, 1e12)[0] == 10
    assert load_adjusted(values, 0.4, 300, 1e12)[0] == 1


@pytest.mark.parametrize("resource", Resource)
def test_autopilot_keeps_the_highest_of_the_last_hour(resource: Resource) -> None:
    """What it says is the highest of what each of the last twelve moments and this one would have
    said alone.
    """
    rng = np.random.default_rng(3)
    values = rng.lognormal(0, 1, (16 * 288, 5)) * (GIB if resource is Resource.MEMORY else 1)
    values[-8 * 288 :, 4] = NAN
    for name in ("autopilot", "autopilot-low"):
        width, level, half_life = (7, 0.95, 12) if resource is Resource.CPU else (14, 0.98, 48)
        if resource is Resource.CPU and name == "autopilot-low":
            continue  # CPU knows no tolerance
        alone = []
        for end in range(len(values) - 12, len(values) + 1):
            window = values[end - width * 288 : end]
            of_load = load_adjusted(window, level, 300, half_life * 3600.0)
            base = (
                of_load
                if resource is Resource.CPU or name == "autopilot-low"
                else column_max(window)
            )
            alone.append(base * (1 + margin(base, resource)))
        current = np.full(5, NAN)
        assert RULES[name]().limits(Past(values, 300, resource, current), (0.1,))[
            0
        ] == pytest.approx(column_max(np.stack(alone)), nan_ok=True)


def test_autopilot_memory_by_tolerance() -> None:
    """Minimal takes the maximum, intermediate at least half of it, and the margin falls from 15 to
    10 %.
    """
    values = np.full((288 * 14, 1), 100.0 * MIB)
    values[100] = 1000 * MIB
    limits = {
        name: RULES[name]().limits(past(values, Resource.MEMORY), (0.1,))[0, 0]
        for name in RULES
        if name.startswith("auto")
    }
    assert limits["autopilot"] == pytest.approx(
        1000 * MIB * (1 + margin(np.array(1000.0 * MIB), Resource.MEMORY))
    )
    assert limits["autopilot-intermediate"] == pytest.approx(500 * MIB * 1.15, rel=0.01)
    assert limits["autopilot-low"] < 150 * MIB
    assert margin(np.array([0.0, 1e15]), Resource.MEMORY).tolist() == pytest.approx([0.15, 0.10])


# --- the plan's own rule
# -------------------------------------------------------------------------------------------------


def test_seed_moves_by_a_quarter_after_one_reading() -> None:
    """Under 30 % only what was seen before shrinks; over 85 % grows at once; between them nothing
    moves.
    """
    reading, limit = np.array([20.0, 50.0, 90.0]), np.array([100.0, 100.0, 100.0])
    assert adjusted(reading, limit, seen_before=False).tolist() == [100, 100, 125]
    assert adjusted(reading, limit, seen_before=True).tolist() == [75, 100, 125]


def test_seed_lowers_a_busy_service_because_of_one_quiet_reading() -> None:
    """The flaw it is kept for: night readings shrink the limit below the day's peak, and it never
    looks back.
    """
    day = np.where(np.arange(288) < 200, 800.0 * MB, 50.0 * MB)
    policy, limit = LinearPlan(), 1000 * MB
    for _ in range(4):
        limit = policy.limits(past(np.tile(day, 7), Resource.MEMORY, current=1000 * MB), (0.1,))[
            0, 0
        ]
    assert limit < 800 * MB


# --- all of them
# -----


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("resource", Resource)
def test_one_service_does_not_change_another(name: str, resource: Resource) -> None:
    """Answers are by column: beside others, without samples, and in any order."""
    rng = np.random.default_rng(1)
    values = rng.lognormal(0, 0.5, (288 * 15, 4)) * (1.0 if resource is Resource.CPU else 1e9)
    values[:, 2] = NAN
    whole = RULES[name]().limits(Past(values, 300, resource, np.full(4, NAN)), (0.1,))[0]
    assert np.isnan(whole[2])
    assert np.isfinite(whole[[0, 1, 3]]).all()
    turned = RULES[name]().limits(Past(values[:, ::-1], 300, resource, np.full(4, NAN)), (0.1,))[0]
    assert turned[::-1].tolist() == pytest.approx(whole.tolist(), nan_ok=True)
