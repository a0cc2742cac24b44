"""What of a history is there: last samples, coverage and gaps of each service."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["last_seen", "quality"]

_COLUMNS = 128


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
    return pd.DataFrame(
        {
            "coverage": known.sum(axis=0) / points,
            "alive": known.sum(axis=0) / alive,
            "first": index[first].where(np.asarray(any_sample)) if len(index) else pd.NaT,
            "last": index[last].where(np.asarray(any_sample)) if len(index) else pd.NaT,
            "longest_gap": _longest_gaps(known) * step,
        },
        index=pd.Index(names, name="service", dtype=object),
    )


def _longest_gaps(known: np.ndarray) -> np.ndarray:
    """Of each column the most steps without a sample between two that are there; some columns at a
    time, since positions take eight times the room of `known`.
    """
    longest = np.zeros(known.shape[1], dtype=np.int64)
    positions = np.arange(len(known))[:, None]
    for begin in range(0, known.shape[1], _COLUMNS):
        some = known[:, begin : begin + _COLUMNS]
        previous = np.maximum.accumulate(np.where(some, positions, -1), axis=0)[:-1]
        gaps = np.where(some[1:] & (previous >= 0), positions[1:] - previous - 1, 0)
        longest[begin : begin + _COLUMNS] = gaps.max(axis=0, initial=0)
    return longest
