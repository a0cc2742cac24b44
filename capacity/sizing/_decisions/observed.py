"""What one look at the samples of some services says of each: all that is decided on later.

Nothing here knows of other services, so that a fleet may be looked at in blocks of any size: the
parts, joined, are the whole to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from capacity.model import Resource
from capacity.sizing._context import Context
from capacity.sizing._decisions.action_and_reason import type_defaults
from capacity.sizing._policies.base import Floats
from capacity.sizing._policies.capacity import present_level_samples, steady_peak
from capacity.sizing._replay.evidence import add_baselines
from capacity.sizing._usage.diagnostics import regime_since, step_of
from capacity.sizing._usage.stats import describe, describe_cache, describe_past
from capacity.sizing._usage.throttling import Periods, count_periods, join_periods

__all__ = ["RIVALS", "Observed", "join", "observe"]

RIVALS = ("krr", "vpa")


@dataclass(frozen=True)
class Observed:
    """What was seen of some services.

    Attributes:
        table: one row a service: `current`, the columns of `describe` and `describe_past`,
            `default`, `moved` (when its level last moved for good, UTC; NaT = not), `seen`,
            `steady` (steady peak) and what `RIVALS` would set.
        days: days x services x `STATS`; NaN without a forecast.
        begin: first moment of the usage; NaT without any.
        end: last moment of the usage.
        step: seconds between samples.
        periods: what was seen of throttled periods; None for memory.
        recent: samples x services of the last fourteen days at the present level; None where no
            budget is shared.
    """

    table: pd.DataFrame
    days: Floats
    begin: pd.Timestamp
    end: pd.Timestamp
    step: int
    periods: Periods | None
    recent: Floats | None


def observe(
    usage: pd.DataFrame,
    life: pd.DataFrame,
    resource: Resource,
    context: Context,
    current: pd.Series[float],
    days: Floats,
    *,
    horizon: float,
    thinned: int,
    keep_recent: bool,
) -> Observed:
    """Look at some services.

    Args:
        usage: UTC grid x services, in the hours that count.
        life: usage in all hours: what tells starts and jobs.
        resource: which limit.
        context: events and house rules; of other services too.
        current: limit in force by service; NaN = none.
        days: days x services x `STATS`; NaN without a forecast.
        horizon: days ahead.
        thinned: of samples that tell about throttling, each so many-th is kept.
        keep_recent: whether recent samples are needed later.
    """
    # summed along time, service by service: one alone gives the same bytes as one among many
    usage = _by_service(usage)
    table = pd.DataFrame(index=pd.Index(usage.columns, name="service", dtype=object))
    table["current"] = current.reindex(table.index)
    describe(table, usage, resource, context, life)
    describe_past(table, usage, context, horizon)
    describe_cache(table, usage, resource, context)
    table["default"] = type_defaults(table, usage, resource, context)
    table["moved"] = regime_since(usage)
    table["seen"] = usage.notna().any()
    step = max(1, round(step_of(usage).total_seconds()))
    recent = present_level_samples(usage.to_numpy(np.float64), step, days)
    table["steady"] = steady_peak(recent)
    kills = context.oom_kills if resource is Resource.MEMORY else None
    in_force = np.asarray(table["current"], np.float64)
    rivals = add_baselines(usage, resource, in_force, RIVALS, kills=kills)
    table[list(rivals.columns)] = rivals
    periods = None
    if resource is Resource.CPU:
        frame = pd.DataFrame(recent, usage.index[len(usage) - len(recent) :], usage.columns)
        periods = count_periods(
            frame,
            table["current"],
            context.throttled,
            step=step,
            target=context.throttle_target,
            thinned=thinned,
        )
    return Observed(
        table,
        days,
        usage.index.min(),
        usage.index.max(),
        step,
        periods,
        recent if keep_recent else None,
    )


def join(parts: Sequence[Observed]) -> Observed:
    """Several parts of a fleet as one, in the order given."""
    first = parts[0]
    if len(parts) == 1:
        return first
    periods = [part.periods for part in parts if part.periods is not None]
    recent = [part.recent for part in parts if part.recent is not None]
    table = pd.concat([part.table for part in parts])
    table.index = table.index.astype(object)
    return replace(
        first,
        table=table,
        days=np.concatenate([part.days for part in parts], axis=1),
        periods=join_periods(periods) if periods else None,
        recent=np.concatenate(recent, axis=1) if recent else None,
    )


def _by_service(usage: pd.DataFrame) -> pd.DataFrame:
    """The same frame, the samples of a service side by side in memory."""
    values = np.asfortranarray(usage.to_numpy(np.float64))
    return pd.DataFrame(values, usage.index, usage.columns, copy=False)
