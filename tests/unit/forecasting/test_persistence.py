"""Backtests, and trained models kept on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capacity.errors import InputError, StorageError
from capacity.forecasting import Forecaster, hash_of
from tests.unit.forecasting.conftest import fleet


def test_a_kept_model_predicts_the_same(usage: pd.DataFrame, tmp_path: Path) -> None:
    """What is saved and read again gives the same forecast, parameters and reasons."""
    fitted = Forecaster(ignore=(("*", "2026-01-06", "2026-01-07"),), exclude=("shop/s5",)).fit(
        usage
    )
    fitted.save(tmp_path / "model")
    again = Forecaster.load(tmp_path / "model", data_hash=hash_of(usage))
    np.testing.assert_array_equal(again.predict("7D"), fitted.predict("7D"))
    np.testing.assert_array_equal(again.predict_peak("7D"), fitted.predict_peak("7D"))
    assert again.skipped_ == fitted.skipped_
    assert list(again.predict("1D").columns) == list(fitted.predict("1D").columns)
    assert again.get_params() == fitted.get_params()
    assert again.explain("shop/s0") == fitted.explain("shop/s0")


def test_nothing_on_disk_is_a_pickle(usage: pd.DataFrame, tmp_path: Path) -> None:
    """The files are JSON and plain arrays."""
    Forecaster().fit(usage).save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.npz"]
    with np.load(tmp_path / "model.npz", allow_pickle=False) as kept:
        assert all(kept[name].dtype.kind in "fi" for name in kept.files)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "not a capacity forecaster"),
        ({"code": "0"}, "another version of the code"),
        ({"arrays": "0"}, "not those the model was saved with"),
        ({"step": "soon"}, "damaged"),
    ],
)
def test_old_and_foreign_models_are_refused(
    change: dict[str, str], said: str, usage: pd.DataFrame, tmp_path: Path
) -> None:
    """A model of another format, code or content is refused by name."""
    Forecaster().fit(usage).save(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(about | change))
    with pytest.raises(InputError, match=said) as refused:
        Forecaster.load(tmp_path)
    assert str(tmp_path) in str(refused.value)


def test_missing_and_other_data(usage: pd.DataFrame, tmp_path: Path) -> None:
    """No model, a model that is no JSON, and a model of other data are told apart."""
    with pytest.raises(InputError, match="no model"):
        Forecaster.load(tmp_path)
    Forecaster().fit(usage).save(tmp_path)
    with pytest.raises(InputError, match="other data"):
        Forecaster.load(tmp_path, data_hash=hash_of(usage * 2))
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        Forecaster.load(tmp_path)


def test_a_folder_that_cannot_be_written(usage: pd.DataFrame, tmp_path: Path) -> None:
    """Saving where a file stands is a storage error."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        Forecaster().fit(usage).save(tmp_path / "taken")


def test_backtest_has_a_row_a_service_and_origin(usage: pd.DataFrame) -> None:
    """Scores come with origin and chosen model, and see only what was known."""
    scores = Forecaster().backtest(usage, "3D", origins=2)
    assert len(scores) == 12
    assert {
        "service",
        "origin",
        "mase",
        "wql",
        "coverage_0.9",
        "coverage_0.95",
        "coverage_0.99",
        "model",
    } <= set(scores)
    assert scores["origin"].nunique() == 2
    assert scores[["mase", "wql"]].notna().all().all()
    assert scores["mase"].mean() < 1
    later = usage.copy()
    later.iloc[-3 * 24 :] *= 5
    first = Forecaster().backtest(later, "3D", origins=2).query("origin == origin.min()")
    pd.testing.assert_frame_equal(first, scores.query("origin == origin.min()"))


def test_backtest_of_too_little(usage: pd.DataFrame) -> None:
    """A history shorter than a backtest is refused."""
    with pytest.raises(InputError, match="shorter than one backtest"):
        Forecaster().backtest(usage.iloc[:24], "7D")
    with pytest.raises(InputError, match="at least a step"):
        Forecaster().backtest(usage, "1s")


def test_hash_sees_values_names_and_times() -> None:
    """Other values, names or times are other data."""
    usage = fleet(2, 2)
    others = (
        usage * 1.0000001,
        usage.rename(columns={"shop/s0": "shop/x"}),
        usage.shift(freq="1h"),
    )
    assert len({hash_of(frame) for frame in (usage, usage.copy(), *others)}) == 4
