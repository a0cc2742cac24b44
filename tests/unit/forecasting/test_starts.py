"""Startups: told apart from steady state, kept in peaks, reported by `explain`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capacity.forecasting import Forecaster
from capacity.forecasting._diagnostics import starts
from tests.fixtures.frames import float_at
from tests.unit.forecasting.conftest import grid

A_DAY = 288


def started(
    days: int = 14, at: tuple[int, ...] = (3, 7, 11), peak: float = 60.0, seed: int = 0
) -> pd.DataFrame:
    """A service that restarts after two hours' gap and for half an hour uses `peak`, then 10
    again.
    """
    values = np.random.default_rng(seed).normal(10, 0.3, days * A_DAY)
    for day in at:
        values[day * A_DAY - 24 : day * A_DAY] = np.nan
        values[day * A_DAY : day * A_DAY + 6] = peak
    return pd.DataFrame({"shop/it": values}, index=grid(days, "5min"))


def test_a_planted_startup_is_reported() -> None:
    """Starts are counted, with the length and the peak of what came before steady state."""
    told = Forecaster().fit(started()).explain("shop/it")["starts"]
    assert told == {"count": 3.0, "startups": 3.0, "hours": 0.5, "peak": 60.0}


def test_low_startups_are_reported_too() -> None:
    """A service that starts below its steady use and climbs has a startup as well."""
    told = Forecaster().fit(started(peak=1.0)).explain("shop/it")["starts"]
    assert (told["startups"], told["hours"]) == (3.0, 0.5)


def test_steady_state_is_learned_without_startups() -> None:
    """The quantiles over time are those of the same service with the startups left out; its peak
    remembers them.
    """
    usage = started()
    clean = usage.mask(usage > 30)
    spoilt, bare = (Forecaster().fit(frame) for frame in (usage, clean))
    np.testing.assert_allclose(
        spoilt.predict("7D", every="1h"), bare.predict("7D", every="1h"), rtol=1e-6
    )
    assert float_at(spoilt.predict_peak("7D"), "shop/it", 0.99) > 55
    assert float_at(bare.predict_peak("7D"), "shop/it", 0.9) < 30


def test_a_first_appearance_is_a_start() -> None:
    """A service that appears late starts then."""
    usage = started(at=(4,))
    usage.iloc[: 4 * A_DAY] = np.nan
    assert Forecaster().fit(usage).explain("shop/it")["starts"]["startups"] == 1.0


@pytest.mark.parametrize("kind", ["no gap", "new level", "quiet start", "flapping", "as ever"])
def test_what_is_no_startup(kind: str) -> None:
    """High use without a start, a level that stays, a start like any hour, one that never settles
    and one like every other.
    """
    usage = started(at=())
    values = usage["shop/it"].to_numpy().copy()
    if kind == "no gap":
        values[1000:1006] = 60
    elif kind == "new level":
        values[1000:1024] = np.nan
        values[1024:] += 20
    elif kind == "quiet start":
        values[1000:1024] = np.nan
    elif kind == "as ever":
        for day in range(1, 14):
            values[day * A_DAY - 24 : day * A_DAY] = np.nan
            values[day * A_DAY : day * A_DAY + 40] = 60
        values[13 * A_DAY :] = np.nan
    else:
        values[(np.arange(len(values)) // 15) % 2 == 0] = np.nan
    found = starts.find_starts(values[:, None], 12)
    assert len(found.row) == 0
    assert found.table[0, 1] == 0
