"""How often limits break against what they cost, by policy and risk: the summary of a replay."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["frontier", "trailing_peaks"]

_WINDOW = pd.Timedelta("14D")


def trailing_peaks(usage: pd.DataFrame, times: pd.Index) -> pd.DataFrame:
    """Peak of the 14 days before each time: times x services."""
    index = usage.index
    return pd.DataFrame({time: usage[(index >= time - _WINDOW) & (index < time)].max() for time in times}).T


def frontier(replayed: pd.DataFrame, usage: pd.DataFrame) -> pd.DataFrame:
    """One row a policy and risk.

    Args:
        replayed: from `replay`.
        usage: what it was replayed on.

    Returns:
        `breached` (share of service-weeks), `breach_minutes` (mean of a service-week), `total` (sum of limits over sum of
        trailing 14-day peaks), `typical` (geometric mean of limit over trailing peak), `slack` (mean, as Autopilot defines it),
        `changes` (share of limits changed from one decision to the next: churn), `weeks` (service-weeks judged).
    """
    columns = ["breached", "breach_minutes", "total", "typical", "slack", "changes", "weeks"]
    if replayed.empty:
        return pd.DataFrame(columns=columns, index=pd.MultiIndex.from_arrays([[], []], names=["policy", "risk"]))
    peaks = trailing_peaks(usage, pd.Index(replayed["time"].unique())).stack()  # noqa: PD013 - times and services as one index
    rows = replayed.assign(base=peaks.reindex(pd.MultiIndex.from_frame(replayed[["time", "service"]])).to_numpy())
    rows = rows[rows["base"] > 0]
    # a limit of nothing would make the geometric mean nothing
    rows = rows.assign(ratio=np.log(np.maximum(rows["limit"], 0.01 * rows["base"]) / rows["base"]))
    groups = rows.groupby(["policy", "risk"], sort=False)
    table = pd.DataFrame(
        {
            "breached": groups["breached"].mean(),
            "breach_minutes": groups["breach_minutes"].mean(),
            "total": groups["limit"].sum() / groups["base"].sum(),
            "typical": np.exp(groups["ratio"].mean()),
            "slack": groups["slack"].mean(),
            "changes": groups["changed"].mean(),
            "weeks": groups["breached"].size(),
        }
    )
    return table[columns]
