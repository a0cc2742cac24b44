"""What usage and events tell of a service."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from capacity.sizing._usage.diagnostics import startup_peaks

INDEX = pd.date_range("2026-11-01", periods=12 * 24 * 7, freq="5min", tz="UTC")


@given(hour=st.integers(24, 100), minute=st.sampled_from(range(5, 61, 5)))
def test_a_restart_counted_by_the_hour_was_in_that_hour(hour: int, minute: int) -> None:
    """The count speaks of the hour that ends at it: the peak of the start is found wherever in it
    the start was, and what comes an hour later is none.
    """
    usage = pd.DataFrame({"web": np.full(len(INDEX), 100.0)}, index=INDEX)
    moment = INDEX[0] + pd.Timedelta(hours=hour - 1, minutes=minute)
    usage.loc[moment, "web"] = 400.0
    usage.loc[INDEX[0] + pd.Timedelta(hours=hour, minutes=45), "web"] = 900.0
    hours = pd.date_range(INDEX[0], INDEX[-1], freq="1h")
    restarts = pd.DataFrame({"web": 0.0}, index=hours)
    restarts.loc[INDEX[0] + pd.Timedelta(hours=hour)] = 1.0
    assert startup_peaks(usage, restarts)["web"] == 400.0
