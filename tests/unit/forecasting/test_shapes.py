"""Whatever the frame looks like: a defined answer or a typed reason, never a crash, never NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capacity.errors import InputError
from capacity.forecasting import Forecaster
from tests.fixtures.frames import float_at
from tests.unit.forecasting.conftest import fleet, grid

PATTERNS = (
    "full",
    "nothing",
    "constant",
    "zero",
    "ten samples",
    "late",
    "early end",
    "hole",
    "spike",
    "sparse",
    "huge",
    "tiny",
)


def column(pattern: str, count: int, a_day: int, draw: np.random.Generator) -> np.ndarray:
    """One service of a kind."""
    values = draw.gamma(2, 1, count)
    if pattern == "nothing":
        values[:] = np.nan
    elif pattern in {"constant", "zero"}:
        values[:] = 3.3 if pattern == "constant" else 0.0
    elif pattern == "ten samples":
        values[10:] = np.nan
    elif pattern == "late":
        values[: count * 2 // 3] = np.nan
    elif pattern == "early end":
        values[count // 2 :] = np.nan
    elif pattern == "hole":
        values[count // 3 : count // 3 + 2 * a_day] = np.nan
    elif pattern == "spike":
        values[count // 2] = 1e18
    elif pattern == "sparse":
        values[draw.random(count) < 0.9] = np.nan
    elif pattern in {"huge", "tiny"}:
        values *= 1e14 if pattern == "huge" else 1e-12
    return values


def check(fitted: Forecaster, usage: pd.DataFrame) -> None:
    """All services are offered or skipped, and what is offered is finite, ordered and not
    negative.
    """
    assert set(fitted.services_) | set(fitted.skipped_) == set(usage.columns)
    assert set(fitted.skipped_.values()) <= {"no-data", "not-enough-history"}
    for frame in (
        fitted.predict("7D", every="1h"),
        fitted.predict_peak("7D"),
        fitted.predict("30D", every="12h"),
    ):
        values = frame.to_numpy()
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    for service in fitted.services_:
        fitted.explain(str(service))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    patterns=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=6),
    step=st.sampled_from(["5min", "10min", "15min", "30min", "1h"]),
    days=st.floats(0.3, 30),
    seed=st.integers(0, 99),
)
def test_any_frame_is_answered(patterns: list[str], step: str, days: float, seed: int) -> None:
    """Steps, lengths and gaps of all kinds are answered."""
    index = grid(days, step)
    draw = np.random.default_rng(seed)
    a_day = round(pd.Timedelta("1D") / pd.Timedelta(step))
    usage = pd.DataFrame(
        {f"x/{i}": column(p, len(index), a_day, draw) for i, p in enumerate(patterns)}, index=index
    )
    check(Forecaster().fit(usage), usage)


@settings(max_examples=10, deadline=None)
@given(
    holes=st.lists(st.tuples(st.integers(0, 671), st.integers(1, 200)), max_size=5),
    seed=st.integers(0, 9),
)
def test_any_holes_are_answered(holes: list[tuple[int, int]], seed: int) -> None:
    """Holes anywhere are answered."""
    usage = fleet(3, seed=seed)
    for start, length in holes:
        usage.iloc[start : start + length, seed % 3] = np.nan
    check(Forecaster().fit(usage), usage)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_among_others(pattern: str) -> None:
    """Each odd service is answered or skipped by its reason, and others are not disturbed."""
    usage = fleet(5)
    usage["shop/odd"] = column(pattern, len(usage), 24, np.random.default_rng(0))
    fitted = Forecaster().fit(usage)
    check(fitted, usage)
    assert fitted.skipped_.get("shop/odd") == {
        "nothing": "no-data",
        "ten samples": "not-enough-history",
    }.get(pattern)
    if pattern in {"constant", "zero"}:
        level = 3.3 if pattern == "constant" else 0.0
        np.testing.assert_allclose(fitted.predict("7D")["shop/odd"], level, atol=1e-12)
        np.testing.assert_allclose(
            float_at(fitted.predict_peak("7D"), "shop/odd", 0.5), level, rtol=0.1
        )


def test_a_spike_does_not_lift_the_middle() -> None:
    """One absurd sample leaves the median alone."""
    usage = fleet(4)
    spoilt = usage.copy()
    spoilt.iloc[300, 0] = 1e12
    before, after = Forecaster().fit(usage).predict("7D"), Forecaster().fit(spoilt).predict("7D")
    np.testing.assert_allclose(after["shop/s0", 0.5], before["shop/s0", 0.5], rtol=0.2)


def test_one_minute_steps() -> None:
    """A minute's grid of two days is forecast minute by minute."""
    fitted = Forecaster().fit(fleet(2, 2, "1min"))
    assert fitted.predict("1D").shape == (1440, 14)


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_almost_nothing(rows: int) -> None:
    """Frames too short to learn from give empty forecasts and reasons."""
    usage = fleet(2, 1, "5min").iloc[:rows]
    fitted = Forecaster().fit(usage)
    assert fitted.predict("1D").shape[1] == 0
    assert len(fitted.skipped_) == 2
    assert Forecaster().fit(usage.iloc[:, :0]).predict_peak("1D").empty


def test_unusable_frames_are_named() -> None:
    """A frame that is no usage frame is refused with what is wrong."""
    usage = fleet(2, 3)
    with pytest.raises(InputError, match="DataFrame"):
        Forecaster().fit(usage.to_numpy())  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(InputError, match="DatetimeIndex"):
        Forecaster().fit(usage.reset_index(drop=True))
    with pytest.raises(InputError, match="UTC"):
        Forecaster().fit(usage.tz_localize(None))
    with pytest.raises(InputError, match="regular"):
        Forecaster().fit(usage.iloc[[0, 1, 5, 6]])
    with pytest.raises(InputError, match="once"):
        Forecaster().fit(pd.concat([usage, usage], axis=1))
    with pytest.raises(InputError, match="shorter than the step"):
        Forecaster().fit(usage).predict("1min")


@pytest.mark.parametrize("text", ["soon", "7", "0D", "-7D"])
def test_lengths_of_time_are_lengths(text: str) -> None:
    """A horizon or a step that is no length of time is refused, wherever it is asked for."""
    usage = fleet(2, 3)
    fitted = Forecaster().fit(usage)
    asked: tuple[Callable[[], object], ...] = (
        lambda: fitted.predict(text),
        lambda: fitted.predict("1D", every=text),
        lambda: fitted.predict_peak(text),
        lambda: Forecaster().backtest(usage, text),
    )
    for ask in asked:
        with pytest.raises(InputError, match="is no length of time"):
            ask()


def test_infinities_are_gaps() -> None:
    """An infinite sample (a ratio to no limit) is no sample."""
    usage = fleet(3)
    spoilt, gaps = usage.copy(), usage.copy()
    spoilt.iloc[5:9, 0], gaps.iloc[5:9, 0] = np.inf, np.nan
    pd.testing.assert_frame_equal(
        Forecaster().fit(spoilt).predict("1D"), Forecaster().fit(gaps).predict("1D")
    )
