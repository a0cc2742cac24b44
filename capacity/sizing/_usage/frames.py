"""What comes in: a usage frame, or an error that says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capacity.errors import InputError
from capacity.forecasting._preprocessing import check_usage, read_grid

__all__ = ["checked"]


def checked(usage: pd.DataFrame) -> pd.DataFrame:
    """A usage frame with float64 values.

    Raises:
        InputError: no frame, no regular UTC grid, names twice, or values that are no amounts.
    """
    check_usage(usage)
    if len(usage.index) > 1:
        read_grid(usage)
    if len(usage.columns) and not all(pd.api.types.is_numeric_dtype(kind) for kind in usage.dtypes):
        raise InputError("A usage frame holds numbers", "Use usage.astype(float)")
    usage = usage.astype(np.float64)
    values = usage.to_numpy()
    if np.isinf(values).any() or (values < 0).any():
        wrong = usage.columns[(np.isinf(values) | (values < 0)).any(axis=0)][0]
        raise InputError(
            f"{wrong} has negative or infinite usage", "Leave such samples out: NaN is no sample"
        )
    return usage
