"""Golden properties of forecasts: what must hold whatever the numbers are."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_info, threadpool_limits

from capacity.errors import InputError, WorkError
from capacity.forecasting import Forecaster
from tests.fixtures.frames import times_of
from tests.unit.forecasting.conftest import fleet, grid


def single(values: np.ndarray, index: pd.DatetimeIndex, name: str = "shop/it") -> pd.DataFrame:
    """A frame of one service."""
    return pd.DataFrame({name: values}, index=index)


def test_shapes_and_names(usage: pd.DataFrame) -> None:
    """The future grid follows the history at its step, columns are service x quantile."""
    fitted = Forecaster().fit(usage)
    future = fitted.predict("7D")
    assert future.shape == (168, 42)
    assert future.columns.names == ["service", "quantile"]
    assert future.index[0] == usage.index[-1] + pd.Timedelta("1h")
    assert times_of(future).freq == times_of(usage).freq
    assert fitted.predict_peak("7D").shape == (6, 7)
    assert fitted.predict("7D", every="6h").index[-1] == future.index[-1]


def test_thinning_keeps_the_forecast(usage: pd.DataFrame) -> None:
    """A thinned forecast is the full forecast at those timestamps."""
    fitted = Forecaster().fit(usage)
    full, thin = fitted.predict("2D"), fitted.predict("2D", every="4h")
    pd.testing.assert_frame_equal(thin, full.loc[thin.index], check_freq=False)


def test_scale_equivariance(usage: pd.DataFrame) -> None:
    """Use in other units gives the forecast in other units."""
    plain, scaled = Forecaster().fit(usage), Forecaster().fit(usage * 1024.0)
    np.testing.assert_allclose(scaled.predict("7D"), plain.predict("7D") * 1024, rtol=1e-5)
    np.testing.assert_allclose(
        scaled.predict_peak("7D"), plain.predict_peak("7D") * 1024, rtol=1e-5
    )


def test_shift_equivariance() -> None:
    """A constant on top of use moves the forecast by that constant, as long as the kind of the
    service stays the same.
    """
    busy = fleet() * 20.0 + 50.0
    before, after = Forecaster().fit(busy), Forecaster().fit(busy + 8.0)
    np.testing.assert_allclose(after.predict("7D"), before.predict("7D") + 8, atol=0.05)


def test_permuting_columns_permutes_results(usage: pd.DataFrame) -> None:
    """The order of the columns means nothing."""
    turned = usage[usage.columns[::-1]]
    first, second = Forecaster().fit(usage), Forecaster().fit(turned)
    np.testing.assert_allclose(second.predict("7D")[usage.columns], first.predict("7D"), rtol=1e-5)
    np.testing.assert_allclose(
        second.predict_peak("7D").loc[usage.columns], first.predict_peak("7D"), rtol=1e-5
    )


def test_another_service_moves_others_little(usage: pd.DataFrame) -> None:
    """A newcomer moves the median by at most a tenth of a service's spread: only the shared
    calibration and weights can move.
    """
    more = usage.assign(**{"shop/new": np.random.default_rng(5).gamma(0.3, 1.0, len(usage))})
    alone, together = Forecaster().fit(usage).predict("7D"), Forecaster().fit(more).predict("7D")
    spread = usage.quantile(0.95) - usage.quantile(0.05)
    moved = (together[usage.columns] - alone).abs().max()
    for service in usage.columns:
        assert moved[service, 0.5] <= 0.1 * spread[service]
        assert moved[service, 0.95] <= 0.3 * spread[service]


def test_quantiles_never_cross() -> None:
    """Each quantile is at least the one below, over time and for peaks."""
    wild = np.random.default_rng(1).pareto(1.2, (24 * 28, 20))
    fitted = Forecaster().fit(
        pd.DataFrame(wild, index=grid(28), columns=[f"a/{i}" for i in range(20)])
    )
    over_time = fitted.predict("7D").to_numpy().reshape(168, 20, 7)
    assert (np.diff(over_time, axis=2) >= 0).all()
    assert (np.diff(fitted.predict_peak("7D").to_numpy(), axis=1) >= 0).all()


def test_peak_is_at_least_its_parts(usage: pd.DataFrame) -> None:
    """A quantile of the maximum is no less than that quantile at any time."""
    fitted = Forecaster().fit(usage)
    highest = fitted.predict("7D").max().to_numpy().reshape(6, 7)
    assert (fitted.predict_peak("7D").to_numpy() >= highest - 1e-6).all()


def test_sine_is_recovered() -> None:
    """A pure daily sine is forecast to within a few percent of its swing."""
    index = grid(35)
    values = 10 + 3 * np.sin(2 * np.pi * np.arange(len(index)) / 24)
    past = single(values[: 28 * 24], index[: 28 * 24])
    middle = Forecaster().fit(past).predict("7D")["shop/it", 0.5]
    assert np.abs(middle.to_numpy() - values[28 * 24 :]).max() < 0.3


def test_ramp_is_extrapolated() -> None:
    """A straight climb goes on climbing."""
    index = grid(28)
    values = 1 + np.arange(len(index)) / 24.0 + np.random.default_rng(0).normal(0, 0.05, len(index))
    middle = Forecaster().fit(single(values, index)).predict("7D")["shop/it", 0.5]
    assert middle.iloc[-1] == pytest.approx(36, abs=1.5)


def test_white_noise_is_not_extrapolated() -> None:
    """Noise has the same forecast on every day: its own quantiles."""
    values = np.random.default_rng(3).normal(10, 1, (24 * 28, 30))
    usage = pd.DataFrame(values, index=grid(28), columns=[f"n/{i}" for i in range(30)])
    future = Forecaster().fit(usage).predict("7D")
    middle = future.xs(0.5, axis=1, level="quantile")
    assert np.abs(middle.to_numpy() - 10).mean() < 0.25
    assert np.abs(middle.iloc[:24].mean() - middle.iloc[-24:].mean()).max() < 0.5


def test_same_bytes_in_another_process() -> None:
    """The same input gives the same bytes, in this process and in another."""
    code = (
        "import hashlib;from tests.unit.forecasting.conftest import fleet;from "
        "capacity.forecasting import Forecaster;"
        "f=Forecaster().fit(fleet(9,21));"
        "print(hashlib.sha256(f.predict('7D').to_numpy().tobytes()+f.predict_peak('7D').to_numpy().tobytes()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(said) == 1


def test_scikit_conventions(usage: pd.DataFrame) -> None:
    """Parameters can be read, set, cloned; a trained forecaster can be pickled."""
    made = Forecaster(quantiles=(0.5, 0.9), random_state=3)
    copy = clone(made)
    assert copy.get_params() == made.get_params()
    assert copy.set_params(random_state=4).random_state == 4
    with pytest.raises(InputError, match="no parameter 'depth'"):
        made.set_params(depth=3)
    fitted = made.fit(usage)
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.predict("1D"), fitted.predict("1D"))


def test_before_fit() -> None:
    """Asking before learning says what to do."""
    with pytest.raises(WorkError, match="Call fit"):
        Forecaster().predict("7D")


@pytest.mark.parametrize("levels", [(), (0.0, 0.5), (0.9, 0.5), (0.5, 0.5), (0.5, 1.0)])
def test_bad_quantiles(levels: tuple[float, ...], usage: pd.DataFrame) -> None:
    """Levels that do not increase between 0 and 1 are refused."""
    with pytest.raises(InputError, match="cannot be forecast"):
        Forecaster(quantiles=levels).fit(usage)


def test_coverage_on_noise() -> None:
    """On data never seen, asked and realised coverage agree."""
    values = np.random.default_rng(8).gamma(4, 1, (24 * 35, 150))
    index = grid(35)
    names = [f"g/{i}" for i in range(150)]
    past, future = (
        pd.DataFrame(values[part], index=index[part], columns=names)
        for part in (slice(672), slice(672, None))
    )
    fitted = Forecaster().fit(past)
    forecast = fitted.predict("7D").to_numpy().reshape(168, 150, 7)
    peak = fitted.predict_peak("7D")
    for number, level in enumerate(fitted.quantiles):
        assert (future.to_numpy() <= forecast[:, :, number]).mean() == pytest.approx(
            level, abs=0.02
        )
    assert (future.max() <= peak[0.9]).mean() == pytest.approx(0.9, abs=0.08)


@pytest.mark.parametrize("step", ["10min", "1h", "6h"])
def test_phase_is_kept_at_any_step(step: str) -> None:
    """A daily pattern is forecast at the hours it had, whatever the step."""
    index = grid(35, step)
    hours = np.asarray((index - index[0]) / pd.Timedelta("1h"), float)
    usage = single(10 + 5 * np.cos(2 * np.pi * hours / 24), index)
    cut = len(usage) * 28 // 35
    middle = Forecaster().fit(usage.iloc[:cut]).predict("7D")["shop/it", 0.5]
    assert np.abs(middle.to_numpy() - usage["shop/it"].to_numpy()[cut:]).mean() < 0.5


class Counting:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def start(self, what: str, total: int) -> None:
        """The beginning."""
        self.said.append((what, total))

    def advance(self, note: str = "") -> None:
        """A step."""
        self.said.append(note)

    def finish(self) -> None:
        """The end."""
        self.said.append("end")


class Interrupted(Counting):
    """Ctrl-C at the first step."""

    def advance(self, note: str = "") -> None:
        """A step."""
        raise KeyboardInterrupt(note)


def test_progress_is_told(usage: pd.DataFrame) -> None:
    """Each part of the fleet and the fleet as a whole are a step, and the end is told whatever
    happens.
    """
    told = Counting()
    Forecaster().fit(usage, progress=told)
    assert told.said == [
        ("Learning forecasts", 2),
        "1 of 1 parts of the fleet",
        "the fleet as a whole",
        "end",
    ]
    interrupted = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        Forecaster().fit(usage, progress=interrupted)
    assert interrupted.said[-1] == "end"


def test_linear_algebra_stays_on_its_thread_while_learning(
    usage: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit keeps BLAS to one thread, and gives back what was there before."""
    seen: set[int] = set()
    solve = np.linalg.solve

    def counted(terms: np.ndarray, right: np.ndarray) -> np.ndarray:
        seen.update(blas_threads())
        return np.asarray(solve(terms, right))

    monkeypatch.setattr(np.linalg, "solve", counted)
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        Forecaster().fit(usage)
        assert blas_threads() == before
    assert seen == {1}


def blas_threads() -> set[int]:
    """How many threads each loaded BLAS may use."""
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}
