"""What of a history is there: last samples, coverage and gaps of each service."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["last_seen", "quality"]


def last_seen(frame: pd.DataFrame) -> pd.Series[pd.Timestamp]:
    """Time of each column's last sample, UTC; NaT where there is none."""
    known = frame.notna().to_numpy()
    if not known.size:
        return pd.Series(pd.NaT, index=frame.columns, dtype="datetime64[s, UTC]")
    last = len(known) - 1 - known[::-1].argmax(axis=0)
    times = pd.DatetimeIndex(frame.index)[last].where(known.any(axis=0))
    return pd.Series(times, index=frame.columns)


def quality(
    known: np.ndarray, index: pd.DatetimeIndex, names: list[str], step: pd.Timedelta
) -> pd.DataFrame:
    """Coverage, first and last sample and longest gap of each service; `known` is of the shape
    (times, services).
    """
    points = max(len(index), 1)
    any_sample = known.any(axis=0)
    first = np.where(any_sample, known.argmax(axis=0), 0)
    last = np.where(any_sample, len(index) - 1 - known[::-1].argmax(axis=0), 0)
    alive = np.where(any_sample, last - first + 1, 1)
    positions = np.arange(len(index))[:, None]
    previous = np.maximum.accumulate(np.where(known, positions, -1), axis=0)
    inside = known[1:] & (previous[:-1] >= 0)
    gap = np.where(inside, positions[1:] - previous[:-1] - 1, 0).max(axis=0, initial=0)
    return pd.DataFrame(
        {
            "coverage": known.sum(axis=0) / points,
            "alive": known.sum(axis=0) / alive,
            "first": index[first].where(np.asarray(any_sample)) if len(index) else pd.NaT,
            "last": index[last].where(np.asarray(any_sample)) if len(index) else pd.NaT,
            "longest_gap": gap * step,
        },
        index=pd.Index(names, name="service", dtype=object),
    )
