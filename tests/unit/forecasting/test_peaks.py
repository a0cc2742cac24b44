"""Peaks: equal history for past and present, few services, long windows, kinds apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from capacity.forecasting import Forecaster
from capacity.forecasting._models.peaks import peak_quantiles
from tests.unit.forecasting.conftest import grid

LEVELS = np.array([0.5, 0.9, 0.95, 0.99])


def noise(services: int, days: float, seed: int = 0, shape: float = 4.0) -> np.ndarray:
    """Gamma noise: (hours, services)."""
    return np.random.default_rng(seed).gamma(shape, 1, (round(days * 24), services))


@pytest.mark.parametrize("services", [1, 5, 20])
def test_small_fleets_are_covered(services: int) -> None:
    """Fleets too small to show their own tail are covered at least as often as asked, within three
    points.
    """
    values = noise(160, 35, seed=4)
    index = grid(35)
    inside: list[np.ndarray] = []
    for start in range(0, 160, services):
        part = values[:, start : start + services]
        past = pd.DataFrame(
            part[:672], index=index[:672], columns=[f"g/{i}" for i in range(services)]
        )
        peak = Forecaster(quantiles=(0.5, 0.9, 0.95, 0.99)).fit(past).predict_peak("7D").to_numpy()
        inside.append(part[672:].max(axis=0)[:, None] <= peak)
    for level, share in zip(LEVELS[1:], np.concatenate(inside).mean(axis=0)[1:], strict=True):
        assert share >= level - 0.03


def test_no_jump_with_the_length_of_history() -> None:
    """A few days more or fewer of the same steady noise move the fleet's peaks little."""
    values, index = noise(40, 28, seed=1), grid(28)
    usage = pd.DataFrame(values, index=index, columns=[f"g/{i}" for i in range(40)])
    sums = [
        Forecaster().fit(usage.iloc[-days * 24 :]).predict_peak("7D").sum()[[0.5, 0.9]]
        for days in (8, 12, 15, 18, 21, 28)
    ]
    for level in (0.5, 0.9):
        found = [total[level] for total in sums]
        assert max(found) / min(found) < 1.25


def test_a_longer_window_has_a_higher_peak() -> None:
    """The maximum over more hours is at least that over fewer."""
    tops = np.ascontiguousarray(noise(30, 28).T, np.float32)
    kinds = np.full(30, 3)
    day, week, month = (
        peak_quantiles(tops, hours, kinds, LEVELS).mean(axis=0) for hours in (24, 168, 672)
    )
    assert (day[:3] <= week[:3]).all()
    assert (week[:3] <= month[:3]).all()


@pytest.mark.parametrize("window", [1, 2, 6, 7, 13, 100])
def test_any_window_is_answered(window: int) -> None:
    """Windows from an hour on give finite, ordered quantiles, even from a day of history."""
    for hours in (24, 50, 672):
        found = peak_quantiles(
            np.ascontiguousarray(noise(3, hours / 24).T, np.float32),
            window,
            np.zeros(3, int),
            LEVELS,
        )
        assert np.isfinite(found).all()
        assert (np.diff(found, axis=1) >= 0).all()


def test_bursty_services_do_not_lift_steady_ones() -> None:
    """Steady services among bursty ones keep their peaks near those they had."""
    draw = np.random.default_rng(3)
    steady, bursty = draw.normal(10, 1, (672, 60)), draw.pareto(1.5, (672, 60))
    usage = pd.DataFrame(
        np.hstack([steady, bursty]), index=grid(28), columns=[f"x/{i}" for i in range(120)]
    )
    peak = Forecaster().fit(usage).predict_peak("7D")[0.9] / usage.max()
    assert peak.iloc[:60].max() < 1.35
