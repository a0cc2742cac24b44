"""Throttled periods under a limit: learned from the fleet, and from how steady a service is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.sizing._policies.base import Floats
from capacity.sizing._usage.throttling import Throttling, count_periods, learn_throttling

PERIODS = 600  # a minute of tenths of a second
TARGET = 0.05
CAUTIOUS = 0.69  # share of the limit that the assumed curve allows


def learned(
    usage: pd.DataFrame,
    limits: pd.Series[float] | None = None,
    throttled: pd.DataFrame | None = None,
) -> Throttling:
    """What a minute's samples say."""
    known = pd.Series(dtype=float) if limits is None else limits
    periods = count_periods(usage, known, throttled, step=60, target=TARGET, thinned=1)
    return learn_throttling(periods, TARGET)


def test_the_curve_is_learned_and_inverted() -> None:
    """Where the fleet throttles from half its limit on, limits are twice what was wanted at busy
    times; without data caution is assumed.
    """
    rng = np.random.default_rng(0)
    usage = pd.DataFrame({"a": rng.uniform(0, 1, 3000), "b": rng.uniform(0, 2, 3000)})
    caps = pd.Series({"a": 1.0, "b": 2.0})
    found = learned(usage, caps, ((usage / caps) > 0.5).astype(float) * 0.4)
    assert (np.diff(found.curve) >= 0).all()
    need = found.smallest_limits
    wanted = 0.95 / 0.6  # of what was used while two periods in five were throttled
    assert need[0] == pytest.approx(wanted / 0.5, rel=0.1)
    assert (found.share(need) <= 0.1).all()
    assumed = learned(usage).curve
    assert assumed[0] == 0
    assert assumed[-1] == pytest.approx(1)


def periods(cores: float, spread: float, kind: str, rng: np.random.Generator) -> Floats:
    """Demand in each tenth of a second of 200 minutes, 200 x `PERIODS`, cores."""
    shape = (200, PERIODS)
    if kind == "independent":
        return np.asarray(cores * rng.gamma(1 / spread**2, spread**2, shape))
    minutes = cores * rng.gamma(1 / spread**2, spread**2, (200, 20))  # bursts of three seconds
    return np.asarray(np.repeat(minutes, PERIODS // 20, axis=1))


@settings(max_examples=30, deadline=None)
@given(
    cores=st.floats(1.1, 30),
    spread=st.floats(0.01, 0.5),
    kind=st.sampled_from(["independent", "bursts"]),
    seed=st.integers(0, 1000),
)
def test_a_steady_service_runs_nearer_its_limit_and_keeps_the_target(
    cores: float, spread: float, kind: str, seed: int
) -> None:
    """Where it is allowed more than the cautious share, no more periods want more than its limit
    than the target says; one that hardly varies gets no more than a fifth above its busy level.
    """
    wanted = periods(cores, spread, kind, np.random.default_rng(seed))
    usage = pd.DataFrame({"web": wanted.mean(axis=1)})
    found = learned(usage)
    (limit,) = found.smallest_limits
    if found.allowed[0] > CAUTIOUS + 0.01:
        assert (wanted > limit).mean() <= TARGET * 1.5
    assert found.share(np.array([limit]))[0] == pytest.approx(TARGET, abs=0.02)
    if spread < 0.05 and kind == "independent":
        assert limit < 1.2 * usage["web"].quantile(0.95)


def test_a_thread_that_works_by_turns_is_not_called_steady() -> None:
    """Half a core that is one thread half of the time keeps the cautious share of the fleet."""
    usage = pd.DataFrame({"scraper": np.full(200, 0.5), "encoder": np.full(200, 4.0)})
    found = learned(usage)
    assert found.allowed[0] == pytest.approx(CAUTIOUS, abs=0.02)
    assert found.allowed[1] == pytest.approx(1.0)


def test_measured_throttling_says_more_than_steadiness() -> None:
    """A service whose periods were throttled keeps the share that the curve says."""
    usage = pd.DataFrame({"held": np.full(200, 4.0)})
    throttled = pd.DataFrame({"held": np.full(200, 0.3)})
    assert learned(usage, throttled=throttled).allowed[0] == pytest.approx(CAUTIOUS, abs=0.02)


@given(limit=st.floats(4.0, 4.4))
def test_what_its_limit_holds_back_is_not_called_steady(limit: float) -> None:
    """A service at its limit is flat for that, also where nobody measures throttling; far from its
    limit, or without one, it is steady by itself.
    """
    usage = pd.DataFrame({"web": np.full(200, 4.0)})
    assert learned(usage, pd.Series({"web": limit})).allowed[0] == pytest.approx(CAUTIOUS, abs=0.02)
    assert learned(usage, pd.Series({"web": 2 * limit})).allowed[0] == pytest.approx(1.0)
    assert learned(usage, pd.Series({"web": np.nan})).allowed[0] == pytest.approx(1.0)
