"""Arithmetic on one number a service that knows NaN: unknown bounds bind nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["at_least", "at_most", "by_service", "round_down", "round_up"]


def at_least(values: pd.Series[float], floor: pd.Series[float]) -> pd.Series[float]:
    """The larger of the two; the known one where only one is known."""
    return pd.Series(np.fmax(values.to_numpy(), floor.to_numpy()), index=values.index)


def at_most(values: pd.Series[float], top: pd.Series[float]) -> pd.Series[float]:
    """The smaller of the two; the known one where only one is known."""
    return pd.Series(np.fmin(values.to_numpy(), top.to_numpy()), index=values.index)


def by_service(values: pd.Series[float] | float | None, services: pd.Index[Any]) -> pd.Series[float]:
    """One number a service; NaN where nothing was said."""
    if isinstance(values, pd.Series):
        return values.reindex(services).astype(float)
    return pd.Series(np.nan if values is None else float(values), index=services)


def round_up(values: pd.Series[float], grain: float) -> pd.Series[float]:
    """To the next whole grain; a quotient such as 57.00000000001 must not climb a whole step by its last bit."""
    return (values / grain).round(6).apply(np.ceil).mul(grain).round(6)


def round_down(values: pd.Series[float], grain: float) -> pd.Series[float]:
    """To the last whole grain."""
    return (values / grain).round(6).apply(np.floor).mul(grain).round(6)
