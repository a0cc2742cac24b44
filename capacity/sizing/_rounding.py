"""Whole units of limits, and the smallest that Docker takes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capacity._common.text.units import MIB
from capacity.model import Resource

__all__ = ["SMALLEST", "grains", "round_down", "round_up"]

SMALLEST = {Resource.CPU: 0.01, Resource.MEMORY: 6.0 * MIB}
"""Docker refuses less."""


def grains(values: pd.Series[float], resource: Resource) -> pd.Series[float]:
    """The unit each limit is a whole number of: hundredths of a core, thousandths of less than a
    core, MiB; so fine that rounding alone moves no limit by much.
    """
    if resource is Resource.MEMORY:
        return pd.Series(float(MIB), index=values.index)
    return pd.Series(np.where(values < 1, 0.001, 0.01), index=values.index)


def round_up(values: pd.Series[float], resource: Resource) -> pd.Series[float]:
    """To the next whole grain; a quotient such as 57.00000000001 must not climb a whole step by its
    last bit.
    """
    grain = grains(values, resource)
    return (values / grain).round(6).apply(np.ceil).mul(grain).round(6)


def round_down(values: pd.Series[float], resource: Resource) -> pd.Series[float]:
    """To the last whole grain."""
    grain = grains(values, resource)
    return (values / grain).round(6).apply(np.floor).mul(grain).round(6)
