"""Arithmetic on one number a service that knows NaN: unknown bounds bind nobody; and events on the
grid of the usage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from capacity.sizing._policies.base import Floats

__all__ = ["at_least", "at_most", "by_service", "counted_on"]


def at_least(values: pd.Series[float], floor: pd.Series[float]) -> pd.Series[float]:
    """The larger of the two; the known one where only one is known."""
    return pd.Series(np.fmax(values.to_numpy(), floor.to_numpy()), index=values.index)


def at_most(values: pd.Series[float], top: pd.Series[float]) -> pd.Series[float]:
    """The smaller of the two; the known one where only one is known."""
    return pd.Series(np.fmin(values.to_numpy(), top.to_numpy()), index=values.index)


def by_service(
    values: pd.Series[float] | Mapping[Any, float] | float | None, services: pd.Index[Any]
) -> pd.Series[float]:
    """One number a service; NaN where nothing was said."""
    if isinstance(values, Mapping):
        values = pd.Series(dict(values), dtype=float)
    if isinstance(values, pd.Series):
        return values.reindex(services).astype(float)
    return pd.Series(np.nan if values is None else float(values), index=services)


def counted_on(usage: pd.DataFrame, events: pd.DataFrame | None) -> Floats | None:
    """Counts of events at the samples of a usage frame, each at the first sample at or after it:
    samples x services.
    """
    if events is None or not len(usage.index):
        return None
    counts = np.zeros(usage.shape)
    known = events.reindex(columns=usage.columns).fillna(0.0).to_numpy(np.float64)
    places = pd.DatetimeIndex(usage.index).searchsorted(pd.DatetimeIndex(events.index))
    inside = (places < len(usage.index)) & (events.index >= usage.index[0])
    np.add.at(counts, places[inside], known[inside])
    return counts
