"""How often limits break against what they cost, by policy and risk: the summary of a replay."""

from __future__ import annotations

import numpy as np
import pandas as pd

from capacity.sizing._context import RAISED_FROM, TOLERANCE
from capacity.sizing._policies.base import Floats

__all__ = ["frontier", "trailing_peaks"]

_WINDOW = pd.Timedelta("14D")


def trailing_peaks(usage: pd.DataFrame, times: pd.Index) -> pd.DataFrame:
    """Peak of the 14 days before each time: times x services."""
    index = usage.index
    return pd.DataFrame(
        {time: usage[(index >= time - _WINDOW) & (index < time)].max() for time in times}
    ).T


def frontier(
    replayed: pd.DataFrame, usage: pd.DataFrame, tolerance: float = TOLERANCE
) -> pd.DataFrame:
    """One row a policy and risk.

    Args:
        replayed: from `replay`.
        usage: what it was replayed on.
        tolerance: a limit is changed when the decision lies more than this share below what is in
            force, or more than a third of it above, as `recommend` does; 0 = at any difference.

    Returns:
        `breached` (share of service-weeks), `breach_minutes` (mean of a service-week), `total` (sum
        of limits over sum of trailing 14-day peaks), `typical` (geometric mean of limit over
        trailing peak), `slack` (mean, as Autopilot defines it), `changes` (share of decisions that
        would change the limit in force: churn), `weeks` (service-weeks judged).
    """
    columns = ["breached", "breach_minutes", "total", "typical", "slack", "changes", "weeks"]
    if replayed.empty:
        return pd.DataFrame(
            columns=columns, index=pd.MultiIndex.from_arrays([[], []], names=["policy", "risk"])
        )
    peaks = trailing_peaks(usage, pd.Index(replayed["time"].unique())).stack()  # noqa: PD013 - times and services as one index
    rows = replayed.assign(changed=_changed(replayed, tolerance))
    rows = rows.assign(
        base=peaks.reindex(pd.MultiIndex.from_frame(replayed[["time", "service"]])).to_numpy()
    )
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


def _changed(replayed: pd.DataFrame, tolerance: float) -> pd.Series[float]:
    """1 where a decision changes the limit in force by more than the tolerance, 0 where not; NaN
    for a service's first.
    """
    wide = replayed.pivot_table(
        index=["policy", "risk", "service"], columns="time", values="limit", sort=True
    )
    limits = wide.to_numpy(np.float64)
    changes: Floats = np.full(limits.shape, np.nan)
    in_force: Floats = np.full(len(limits), np.nan)
    for column, limit in enumerate(limits.T):
        known = np.isfinite(limit) & np.isfinite(in_force)
        moved = (limit > in_force * (1 + tolerance * RAISED_FROM)) | (
            limit < in_force * (1 - tolerance)
        )
        changes[:, column] = np.where(known, moved, np.nan)
        in_force = np.where(np.isfinite(limit) & (moved | np.isnan(in_force)), limit, in_force)
    rows = wide.index.get_indexer(pd.MultiIndex.from_frame(replayed[["policy", "risk", "service"]]))
    columns = wide.columns.get_indexer(pd.Index(replayed["time"]))
    return pd.Series(changes[rows, columns], index=replayed.index)
