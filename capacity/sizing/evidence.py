"""What a limit would have done to the window: breaches, minutes, slack; and what other policies would say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.sizing.policies import POLICIES, Past
from capacity.sizing.policies.base import Floats
from capacity.sizing.signs import step_of

__all__ = ["judge", "others"]


def judge(usage: pd.DataFrame, limits: pd.Series[float], busy: pd.Series[float], suffix: str = "") -> pd.DataFrame:
    """The window replayed under each limit; `busy` is the 95th percentile of each service's usage.

    Returns:
        one row a service: `breaches` (episodes above the limit), `breach_minutes`, `slack` (share of the limit that the
        95th percentile leaves free); NaN without a limit.
    """
    step_minutes = step_of(usage) / pd.Timedelta("1min")
    above = usage.to_numpy() > limits.reindex(usage.columns).to_numpy()
    starts = above[:1].sum(axis=0) + (above[1:] & ~above[:-1]).sum(axis=0)
    unknown = limits.reindex(usage.columns).isna().to_numpy()
    return pd.DataFrame(
        {
            f"breaches{suffix}": np.where(unknown, np.nan, starts),
            f"breach_minutes{suffix}": np.where(unknown, np.nan, above.sum(axis=0) * step_minutes),
            f"slack{suffix}": 1 - busy / limits.reindex(usage.columns),
        },
        index=usage.columns,
    )


def others(usage: pd.DataFrame, resource: Resource, current: Floats, names: Sequence[str] = ("krr", "vpa")) -> pd.DataFrame:
    """What other policies would set: services x names."""
    step = max(1, round(step_of(usage).total_seconds()))
    past = Past(usage.to_numpy(np.float64), step, resource, current)
    if not len(usage.columns) or not len(usage.index):
        return pd.DataFrame(index=usage.columns, columns=pd.Index(list(names)), dtype=np.float64)
    return pd.DataFrame({name: POLICIES[name]().limits(past, (0.02,))[0] for name in names}, index=usage.columns)
