"""The boosted model of the whole fleet: when it is made, and what it must not disturb."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd

from capacity.forecasting import Forecaster
from tests.unit.forecasting.conftest import fleet


def boosted_share(usage: pd.DataFrame) -> float:
    """Mean weight of the boosted model."""
    state = Forecaster().fit(usage).state_
    return float(state.weights[:, :, -1].mean())


def test_it_needs_five_weeks_and_some_services() -> None:
    """Without enough to learn from and to be judged by it has no weight; with it, some."""
    assert boosted_share(fleet(30, 28)) == 0.0
    assert boosted_share(fleet(3, 36)) == 0.0
    assert 0 < boosted_share(fleet(30, 36)) < 0.9


def test_permuting_columns_permutes_results() -> None:
    """The order of the columns means nothing to it."""
    usage = fleet(30, 36)
    turned = usage[usage.columns[::-1]]
    first, second = Forecaster().fit(usage).predict("7D"), Forecaster().fit(turned).predict("7D")
    np.testing.assert_allclose(second[usage.columns], first, rtol=1e-4)


def test_same_bytes_in_another_process() -> None:
    """The same input gives the same bytes whatever the number of threads."""
    code = (
        "import hashlib;from tests.unit.forecasting.conftest import fleet;from "
        "capacity.forecasting import Forecaster;"
        "f=Forecaster().fit(fleet(30,36));print(hashlib.sha256(f.predict('7D').to_numpy().tobytes()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"OMP_NUM_THREADS": threads, "PATH": "", "PYTHONPATH": "."},
        ).stdout
        for threads in ("1", "2")
    }
    assert len(said) == 1
