"""What a limit would have done to the window: breaches, minutes, slack; and what other policies
would say.

Samples touch a limit and cannot pass it, so a window that ran into its limit shows no breach of it:
`find_limit_hits` counts that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from capacity._common.text.lengths_of_time import in_days
from capacity.model import Resource
from capacity.sizing._context import THROTTLED_TOO_MUCH
from capacity.sizing._policies.base import Floats
from capacity.sizing._policies.registry import POLICIES, Past
from capacity.sizing._usage.diagnostics import step_of
from capacity.sizing._usage.nan_math import counted_on

__all__ = ["LimitHits", "add_baselines", "add_replay", "find_limit_hits"]

_TOUCHING = 0.01  # share of a memory limit within which a sample is at it
_LINGERS = pd.Timedelta("2h")
_MINUTE = pd.Timedelta("1min")
_SERVICES = 128  # looked at together


@dataclass(frozen=True)
class LimitHits:
    """Where services ran into the limit of the time.

    Attributes:
        rows: one row a strike: `service`, `time`, `ceiling` (the limit it ran into), `kills`,
            `minutes` (held at the ceiling).
    """

    rows: pd.DataFrame

    def under(
        self,
        service: str,
        limit: float,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> tuple[float, float]:
        """Kills, and minutes held at the ceiling, that a limit would have met as well: one at or
        below that ceiling.

        Args:
            service: whose.
            limit: cores or bytes; NaN = none, which meets nothing.
            start: from here on.
            end: up to but without this moment.
        """
        where = self._places.get(service)
        if where is None:
            return 0.0, 0.0
        rows = self.rows.iloc[where]
        rows = rows[rows["ceiling"] >= limit]
        if start is not None:
            rows = rows[rows["time"] >= start]
        if end is not None:
            rows = rows[rows["time"] < end]
        return float(rows["kills"].sum()), float(rows["minutes"].sum())

    @cached_property
    def _places(self) -> dict[str, np.ndarray]:
        """Positions of each service's rows."""
        return {
            str(name): np.asarray(at) for name, at in self.rows.groupby("service").indices.items()
        }


def find_limit_hits(
    usage: pd.DataFrame,
    limits: pd.DataFrame,
    *,
    kills: pd.DataFrame | None = None,
    throttled: pd.DataFrame | None = None,
) -> LimitHits:
    """Every kill for memory, and every sample held back, of a window under the limits then in
    force.

    Args:
        usage: UTC grid x services, cores or bytes.
        limits: in force, times x services, of any step.
        kills: for memory: how many, times x services. A service is held where its use touches its
            limit.
        throttled: for CPU: share of throttled periods, times x services. A service is held where
            too many were.
    """
    frames = (usage, kills, throttled)
    names = sorted({str(name) for frame in frames if frame is not None for name in frame.columns})
    parts = [
        _hits_of(frozenset(names[begin : begin + _SERVICES]), limits, *frames)
        for begin in range(0, max(len(names), 1), _SERVICES)
    ]
    rows = pd.concat(parts, ignore_index=True).reindex(
        columns=["service", "time", "ceiling", "kills", "minutes"]
    )
    return LimitHits(rows.fillna({"kills": 0.0, "minutes": 0.0}))


def _hits_of(
    services: frozenset[str],
    limits: pd.DataFrame,
    usage: pd.DataFrame,
    kills: pd.DataFrame | None,
    throttled: pd.DataFrame | None,
) -> pd.DataFrame:
    """Those of some services: limits at every sample of a whole fleet would take as much room as
    its samples, several times.
    """
    usage = usage.loc[:, usage.columns.isin(services)]
    kills, throttled = (
        frame if frame is None else frame.loc[:, frame.columns.isin(services)]
        for frame in (kills, throttled)
    )
    parts = [] if kills is None else [_strikes(kills, limits, kills > 0, "kills")]
    if throttled is None:
        in_force = _at(limits, usage.index, usage.columns)
        minutes = _minutes(usage)
        parts.append(
            _strikes(minutes, limits, abs(usage - in_force) <= _TOUCHING * in_force, "minutes")
        )
    else:
        parts.append(
            _strikes(_minutes(throttled), limits, throttled > THROTTLED_TOO_MUCH, "minutes")
        )
    return pd.concat(parts, ignore_index=True)


def _strikes(
    counts: pd.DataFrame, limits: pd.DataFrame, struck: pd.DataFrame, name: str
) -> pd.DataFrame:
    """A row for each true cell of `struck` that had a limit."""
    times, services = np.nonzero(struck.to_numpy())
    in_force = _at(limits, counts.index, counts.columns).to_numpy()
    rows = pd.DataFrame(
        {
            "service": counts.columns.to_numpy()[services],
            "time": counts.index[times],
            "ceiling": in_force[times, services],
            name: counts.to_numpy(np.float64)[times, services],
        }
    )
    return rows[rows["ceiling"].notna()]


def _at(limits: pd.DataFrame, times: pd.Index, services: pd.Index) -> pd.DataFrame:
    """The limits in force at these times; one that was lifted does not linger for more than two
    hours.
    """
    known = limits.reindex(columns=services)
    if not len(known.index):
        return pd.DataFrame(np.nan, index=times, columns=services)
    steps = max(1, round(_LINGERS / (step_of(known) or _LINGERS)))
    return (
        known.ffill(limit=steps)
        .bfill(limit=steps)
        .reindex(times, method="ffill", tolerance=_LINGERS)
    )


def _minutes(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(step_of(frame) / _MINUTE, index=frame.index, columns=frame.columns)


def add_replay(
    usage: pd.DataFrame, limits: pd.Series[float], busy: pd.Series[float], suffix: str = ""
) -> pd.DataFrame:
    """The window replayed under each limit; `busy` is the 95th percentile of each service's usage.

    Returns:
        one row a service: `breaches` (episodes above the limit), `breach_minutes`, `slack` (share
        of the limit that the 95th percentile leaves free); NaN without a limit.
    """
    step_minutes = step_of(usage) / _MINUTE
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


def add_baselines(
    usage: pd.DataFrame,
    resource: Resource,
    current: Floats,
    names: Sequence[str] = ("krr", "vpa"),
    *,
    kills: pd.DataFrame | None = None,
    risk: float = 0.02,
    horizon: str = "7D",
) -> pd.DataFrame:
    """What policies would set at the end of a window: services x names.

    Args:
        usage: UTC grid x services.
        resource: which limit.
        current: limit in force by service; NaN = none.
        names: of the policies.
        kills: for memory under the limits in force, times x services.
        risk: asked of those that know one.
        horizon: how far ahead the limits must hold.
    """
    step = max(1, round(step_of(usage).total_seconds()))
    counts, days = counted_on(usage, kills), in_days(horizon)
    past = Past(usage.to_numpy(np.float64), step, resource, current, horizon=days, kills=counts)
    if not len(usage.columns) or not len(usage.index):
        return pd.DataFrame(index=usage.columns, columns=pd.Index(list(names)), dtype=np.float64)
    return pd.DataFrame(
        {name: POLICIES[name]().limits(past, (risk,))[0] for name in names}, index=usage.columns
    )
