"""`capacity.forecasting._block_files`: what a block knows between two passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capacity.errors import StorageError
from capacity.forecasting import Forecaster
from capacity.forecasting._block_files import (
    read_blend,
    read_candidates,
    write_blend,
    write_candidates,
)
from capacity.forecasting._fitting import blend_chunk, chunk_losses, pooled_losses

LEVELS = np.array([0.1, 0.5, 0.9])


def test_a_block_is_read_as_it_was_written(usage: pd.DataFrame, tmp_path: Path) -> None:
    """Candidates and blend come back array by array."""
    part = Forecaster(quantiles=tuple(LEVELS)).prepare(usage)
    assert part.prepared is not None
    write_candidates(tmp_path / "candidates.npz", part.prepared)
    kept = read_candidates(tmp_path / "candidates.npz")
    assert {back: set(by) for back, by in kept.tables.items()} == {
        back: set(by) for back, by in part.prepared.tables.items()
    }
    for back, by_name in part.prepared.tables.items():
        for name, table in by_name.items():
            assert np.array_equal(kept.tables[back][name], table)
    losses = pooled_losses([chunk_losses(kept)])
    blend = blend_chunk(kept, losses, LEVELS)
    write_blend(tmp_path / "blend.npz", blend, kept.scaled)
    again, centre, spread = read_blend(tmp_path / "blend.npz")
    assert np.array_equal(again.misses.scaled, blend.misses.scaled, equal_nan=True)
    assert np.array_equal(again.forecast, blend.forecast)
    assert np.array_equal(centre, part.prepared.scaled.centre)
    assert np.array_equal(spread, part.prepared.scaled.spread)


def test_a_file_that_another_machine_keeps_is_named(tmp_path: Path) -> None:
    """A worker that does not see the folder of the run says what must be shared; a damaged file is
    named too.
    """
    with pytest.raises(StorageError, match="is not there") as caught:
        read_candidates(tmp_path / "candidates.npz")
    assert "same archive folder" in caught.value.hint
    (tmp_path / "candidates.npz").write_bytes(b"PK half a file")
    with pytest.raises(StorageError, match="cannot be read"):
        read_candidates(tmp_path / "candidates.npz")
