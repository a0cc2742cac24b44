"""What one call decides on: usage, its distribution of the coming peak, and what was asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from capacity._common.lengths_of_time import in_days
from capacity.forecasting import Forecaster
from capacity.forecasting._models.daily_summaries import STATS
from capacity.model import Resource
from capacity.sizing._context import Context, risk_of_class
from capacity.sizing._policies.base import Floats
from capacity.sizing._policies.capacity import PEAK_LEVELS, Allocation, Capacity
from capacity.sizing._policies.registry import Past
from capacity.sizing._throttling import Throttling, learn_throttling
from capacity.sizing._usage.diagnostics import in_business_hours, regime_since, step_of

__all__ = ["PEAK_QUANTILES", "Fleet", "hours_that_count", "make_fleet"]

PEAK_QUANTILES = PEAK_LEVELS
"""The quantiles of the peak that a forecaster for sizing is fitted with."""


@dataclass(frozen=True)
class Fleet:
    """What one call decides on.

    Attributes:
        usage: UTC grid x services, in the hours that count.
        resource: what is limited.
        context: events and house rules.
        skipped: services without a forecast -> why.
        past: what policies see.
        allocation: limits at the risks asked, and the distribution of the peak; None = no usage.
        risks: accepted by each service.
        asked: the different risks, falling.
        copies: replicas that a limit is set on, by service.
        throttling: how use and limit lead to throttled periods; None for memory.
        moved: when the level of each service last moved for good; NaT = not.
    """

    usage: pd.DataFrame
    resource: Resource
    context: Context
    skipped: dict[str, str]
    past: Past
    allocation: Allocation | None
    risks: pd.Series[float]
    asked: list[float]
    copies: pd.Series[float]
    throttling: Throttling | None
    moved: pd.Series[pd.Timestamp]

    def chances(self, limits: pd.Series[float]) -> Floats | float:
        """Chance that the coming peak passes each limit; NaN = unknown."""
        if self.allocation is None:
            return np.nan
        return self.allocation.peaks.exceedance(np.asarray(limits, np.float64))


def hours_that_count(
    usage: pd.DataFrame, resource: Resource, context: Context
) -> tuple[pd.DataFrame, Forecaster, Context]:
    """Usage in the hours that limits are sized for, a forecaster of just these, and the context
    without what was seen in others.
    """
    forecaster = context.forecaster
    if resource is Resource.CPU:
        open_hours = in_business_hours(usage, context)
        if open_hours is not usage:
            context = _within_hours(context)
            if forecaster is not None:  # it has learned from all hours
                forecaster = Forecaster(**forecaster.get_params()).fit(open_hours)
        usage = open_hours
    return usage, forecaster or Forecaster(quantiles=PEAK_QUANTILES).fit(usage), context


def _within_hours(context: Context) -> Context:
    """The context of services with business hours: throttling in these alone, and no peaks of whole
    days before the window.
    """
    throttled, peaks = context.throttled, context.past_peaks
    if throttled is not None:
        throttled = in_business_hours(throttled, context)
    if peaks is not None:
        whole_day = [context.rule(name).business_hours is None for name in peaks.columns]
        peaks = peaks.loc[:, whole_day]
    return replace(context, throttled=throttled, past_peaks=peaks)


def make_fleet(
    usage: pd.DataFrame,
    resource: Resource,
    context: Context,
    forecaster: Forecaster,
    current: pd.Series[float],
    most: pd.Series[float],
    horizon: str,
    risk: float,
) -> Fleet:
    services = current.index
    risks = pd.Series(
        [risk_of_class(risk, context.rule(name).risk_class) for name in services],
        index=services,
        dtype=np.float64,
    )
    copies = pd.Series(
        [max(1.0, float(context.replicas.get(str(name), 1))) for name in services],
        index=services,
        dtype=np.float64,
    )
    past = _past(usage, resource, current, most, forecaster, horizon)
    asked = sorted({risk, *risks}, reverse=True)
    allocation = Capacity().allocate(past, asked) if usage.size else None
    return Fleet(
        usage,
        resource,
        context,
        forecaster.skipped_,
        past,
        allocation,
        risks,
        asked,
        copies,
        _throttling(usage, past, allocation, current, context),
        regime_since(usage),
    )


def _throttling(
    usage: pd.DataFrame,
    past: Past,
    allocation: Allocation | None,
    current: pd.Series[float],
    context: Context,
) -> Throttling | None:
    """What the last fourteen days, at the level each service has now, say of throttling."""
    if past.resource is not Resource.CPU:
        return None
    recent = usage
    if allocation is not None:
        values = allocation.recent
        recent = pd.DataFrame(values, usage.index[len(usage) - len(values) :], usage.columns)
    return learn_throttling(
        recent, current, context.throttled, step=past.step, target=context.throttle_target
    )


def _past(
    usage: pd.DataFrame,
    resource: Resource,
    current: pd.Series[float],
    most: pd.Series[float],
    forecaster: Forecaster,
    horizon: str,
) -> Past:
    step = max(1, round(step_of(usage).total_seconds()))
    where = pd.Index(forecaster.services_).get_indexer(usage.columns)
    peaks = forecaster.peak_distribution(horizon).of(where).within(np.asarray(most, np.float64))
    days = np.full((len(forecaster.daily_summaries()), len(where), len(STATS)), np.nan)
    days[:, where >= 0] = forecaster.daily_summaries()[:, where[where >= 0]]
    return Past(
        usage.to_numpy(np.float64),
        step,
        resource,
        np.asarray(current, np.float64),
        days=days,
        peaks=peaks,
        horizon=in_days(horizon),
    )
