"""Whole units of limits, and the smallest that Docker takes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capacity._common.text.units import MIB
from capacity.model import Resource

__all__ = ["GRAIN", "SMALLEST", "round_down", "round_up"]

GRAIN = {Resource.CPU: 0.01, Resource.MEMORY: float(MIB)}
"""Limits are whole hundredths of a core and whole MiB."""
SMALLEST = {Resource.CPU: 0.01, Resource.MEMORY: 6.0 * MIB}
"""Docker refuses less."""


def round_up(values: pd.Series[float], grain: float) -> pd.Series[float]:
    """To the next whole grain; a quotient such as 57.00000000001 must not climb a whole step by its
    last bit.
    """
    return (values / grain).round(6).apply(np.ceil).mul(grain).round(6)


def round_down(values: pd.Series[float], grain: float) -> pd.Series[float]:
    """To the last whole grain."""
    return (values / grain).round(6).apply(np.floor).mul(grain).round(6)
