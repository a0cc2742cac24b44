"""Services that run for a while and are gone in between."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.forecasting import Forecaster
from capacity.forecasting._diagnostics.runs import find_jobs
from tests.fixtures.frames import float_at

STEP = 300
A_DAY = 288
FIRST = 1_790_553_600.0  # a midnight


def fleet(there: np.ndarray) -> np.ndarray:
    """Samples of one service where it is there, beside one that always is."""
    return np.column_stack([np.where(there, 1.0, np.nan), np.ones(len(there))])


@given(
    hour=st.integers(0, 23),
    minutes=st.integers(5, 180),
    days=st.integers(4, 30),
    cut=st.integers(0, A_DAY),
)
def test_what_runs_once_a_day_is_a_job(hour: int, minutes: int, days: int, cut: int) -> None:
    """Whatever the hour, the length and the moment it is looked at; it waits for its next run."""
    second = np.arange(days * A_DAY - cut) * STEP
    there = (second - hour * 3600) % 86_400 < minutes * 60
    jobs = find_jobs(fleet(there), STEP, FIRST)
    assert 1 not in jobs
    if there.sum() and (np.diff(there.astype(int)) == 1).sum() >= 3:
        job = jobs[0]
        assert job.waiting
        assert job.rhythm.startswith("daily at ")


@given(seed=st.integers(0, 200), gaps=st.integers(0, 2))
def test_a_service_with_a_few_gaps_is_no_job(seed: int, gaps: int) -> None:
    """Redeployments and outages make no job."""
    rng = np.random.default_rng(seed)
    there = np.ones(14 * A_DAY, bool)
    for start in rng.integers(0, len(there), gaps):
        there[start : start + int(rng.integers(1, 4 * A_DAY))] = False
    assert 0 not in find_jobs(fleet(there), STEP, FIRST)


def test_an_outage_of_the_whole_fleet_ends_no_run() -> None:
    """Where nothing was measured, nothing stopped."""
    values = np.ones((20 * A_DAY, 3))
    for day in range(2, 18, 4):
        values[day * A_DAY : (day + 1) * A_DAY + 100] = np.nan
    assert find_jobs(values, STEP, FIRST) == {}


def test_a_job_that_is_overdue_no_longer_waits() -> None:
    """After one and a half of its longest gaps it has stopped."""
    second = np.arange(20 * A_DAY) * STEP
    there = (second % 86_400 < 1200) & (second < 17 * 86_400)
    assert not find_jobs(fleet(there), STEP, FIRST)[0].waiting


@pytest.mark.parametrize(
    ("every", "text"),
    [(6 * 3600, "every 6 h, for 20 min"), (7 * 86_400, "weekly at 00:00 UTC, for 20 min")],
)
def test_other_rhythms_have_names(every: int, text: str) -> None:
    """Hours, days and weeks."""
    second = np.arange(35 * A_DAY) * STEP
    assert find_jobs(fleet(second % every < 1200), STEP, FIRST)[0].rhythm == text


def test_the_forecaster_learns_from_a_job_that_ran_for_hours_in_all() -> None:
    """A peak every night says more than a day of samples in one piece."""
    index = pd.date_range("2026-10-27", periods=28 * A_DAY, freq="5min", tz="UTC", unit="s")
    rng = np.random.default_rng(3)
    usage = pd.DataFrame({"web": rng.lognormal(0, 0.1, len(index))}, index=index)
    usage["job"] = np.where((index.hour == 2) & (index.minute < 20), 5.0, np.nan)
    model = Forecaster().fit(usage)
    assert model.skipped_ == {}
    assert float_at(model.predict_peak("7D"), "job", 0.5) == pytest.approx(5.0, rel=0.05)
