"""Trained models on disk: arrays in `model.npz`, everything else in `model.json`. No pickle is
written or read.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd

from capacity.errors import InputError, StorageError
from capacity.forecasting._state import FittedForecaster, FittedState

if TYPE_CHECKING:
    pass

__all__ = ["FORMAT", "code_version", "hash_of", "load_forecaster", "save_forecaster"]

FORMAT = "capacity-forecaster"
_F = TypeVar("_F", bound=FittedForecaster)


def hash_of(usage: pd.DataFrame) -> str:
    """SHA-256 of the grid, the names and the values of a usage frame."""
    digest = hashlib.sha256(json.dumps([str(name) for name in usage.columns]).encode())
    digest.update(np.ascontiguousarray(pd.DatetimeIndex(usage.index).as_unit("ns").asi8).tobytes())
    for start in range(0, usage.shape[1], 512):
        digest.update(
            np.ascontiguousarray(usage.iloc[:, start : start + 512].to_numpy(np.float64)).data
        )
    return digest.hexdigest()


def code_version() -> str:
    """SHA-256 of this package's modules, which decide what a trained model means."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def save_forecaster(forecaster: FittedForecaster, folder: Path) -> None:
    """Write both files; the JSON comes last and names the hash of the arrays, so a half-written
    model is refused.
    """
    state = forecaster.state_
    about = {
        "format": FORMAT,
        "code": code_version(),
        "data": forecaster.data_hash_,
        "params": {name: _plain(value) for name, value in forecaster.get_params().items()},
        "services": [str(name) for name in forecaster.services_],
        "skipped": forecaster.skipped_,
        "step": forecaster.step_.isoformat(),
        "end": None if forecaster.end_ is None else forecaster.end_.isoformat(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "model.npz", allow_pickle=False, **state.arrays())
        about["arrays"] = hashlib.sha256((folder / "model.npz").read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")
    except OSError as bad:
        raise StorageError(
            f"The model cannot be written to {folder}: {bad}", "Name a folder that can be written"
        ) from bad


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def load_forecaster(kind: type[_F], folder: Path, data_hash: str | None) -> _F:
    """Read a model; InputError says which of format, code, data or arrays does not fit."""
    about = _about(folder)
    again = "Train again with fit(usage)"
    if about.get("code") != code_version():
        raise InputError(f"The model in {folder} was trained by another version of the code", again)
    if data_hash is not None and about.get("data") != data_hash:
        raise InputError(f"The model in {folder} was trained on other data", again)
    try:
        body = (folder / "model.npz").read_bytes()
        if hashlib.sha256(body).hexdigest() != about["arrays"]:
            raise InputError(
                f"The arrays in {folder} are not those the model was saved with", again
            )
        with np.load(folder / "model.npz", allow_pickle=False) as kept:
            state = FittedState.from_arrays(kept)
        params = {name: _tuples(value) for name, value in about["params"].items()}
        out = kind(**params)
        out.state_ = state
        out.services_ = pd.Index(about["services"], dtype="str")
        out.skipped_ = dict(about["skipped"])
        out.step_ = pd.Timedelta(about["step"])
        out.end_ = None if about["end"] is None else pd.Timestamp(about["end"])
        out.data_hash_ = str(about["data"])
        if len(state.forecast) != len(out.services_):
            raise InputError(f"The model in {folder} lacks arrays", again)
    except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as bad:
        raise InputError(f"The model in {folder} is damaged: {bad}", again) from bad
    return out


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / "model.json").read_text())
    except OSError as bad:
        raise InputError(f"There is no model in {folder}", "Train one and save it there") from bad
    except ValueError as bad:
        raise InputError(
            f"{folder / 'model.json'} is not JSON", "Train again with fit(usage)"
        ) from bad
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise InputError(
            f"{folder / 'model.json'} is not a capacity forecaster",
            "Name a folder written by Forecaster.save",
        )
    return about


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
