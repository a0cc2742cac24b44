"""What one call decides on: usage, its distribution of the coming peak, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from capacity.forecasting import Forecaster
from capacity.forecasting._peak_forecast import PeakForecast
from capacity.model import Resource
from capacity.sizing._context import Context, risk_of_class
from capacity.sizing._decisions.observed import Observed
from capacity.sizing._policies.base import Floats
from capacity.sizing._policies.capacity import PEAK_LEVELS, Allocation, allocate
from capacity.sizing._usage.diagnostics import in_business_hours
from capacity.sizing._usage.throttling import Throttling, learn_throttling

__all__ = [
    "PEAK_QUANTILES",
    "Fleet",
    "asked_risks",
    "counted_hours",
    "hours_that_count",
    "make_fleet",
]

PEAK_QUANTILES = PEAK_LEVELS
"""The quantiles of the peak that a forecaster for sizing is fitted with."""


@dataclass(frozen=True)
class Fleet:
    """What one call decides on.

    Attributes:
        seen: what was observed of each service.
        resource: what is limited.
        context: house rules, and what is known by service.
        skipped: services without a forecast -> why.
        allocation: limits at the risks asked, and the distribution of the peak; None = no usage.
        rival: limits of another policy at the risks asked, risks x services; None = not asked for.
        risks: accepted by each service.
        asked: the different risks, falling.
        copies: replicas that a limit is set on, by service.
        throttling: how use and limit lead to throttled periods; None for memory.
    """

    seen: Observed
    resource: Resource
    context: Context
    skipped: Mapping[str, str]
    allocation: Allocation | None
    rival: Floats | None
    risks: pd.Series[float]
    asked: list[float]
    copies: pd.Series[float]
    throttling: Throttling | None

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
    open_hours, context = counted_hours(usage, resource, context)
    if open_hours is not usage and forecaster is not None:  # it has learned from all hours
        forecaster = Forecaster(**forecaster.get_params()).fit(open_hours)
    forecaster = forecaster or Forecaster(quantiles=PEAK_QUANTILES).fit(open_hours)
    return open_hours, forecaster, context


def counted_hours(
    usage: pd.DataFrame, resource: Resource, context: Context
) -> tuple[pd.DataFrame, Context]:
    """Usage in the hours that limits are sized for, the same frame where these are all, and the
    context without what was seen in others.
    """
    if resource is not Resource.CPU:
        return usage, context
    open_hours = in_business_hours(usage, context)
    return open_hours, context if open_hours is usage else _within_hours(context)


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
    seen: Observed,
    resource: Resource,
    context: Context,
    forecast: PeakForecast,
    most: pd.Series[float],
    risk: float,
    rival: Floats | None = None,
) -> Fleet:
    """What is decided on, once all services were looked at.

    Args:
        seen: of all services.
        resource: what is limited.
        context: house rules, and what is known by service.
        forecast: of their peaks.
        most: the most a limit may be, by service; NaN = unknown.
        risk: asked.
        rival: limits of another policy, see `asked_risks`.
    """
    services = seen.table.index
    risks, asked = asked_risks(services, context, risk)
    copies = pd.Series(
        [max(1.0, float(context.replicas.get(str(name), 1))) for name in services],
        index=services,
        dtype=np.float64,
    )
    allocation = None
    if len(services) and not pd.isna(seen.end):
        peaks = forecast.peaks_of(services).within(np.asarray(most, np.float64))
        steady = np.asarray(seen.table["steady"], np.float64)
        allocation = allocate(peaks, seen.days, steady, asked, seen.recent)
    throttling = None
    if seen.periods is not None:
        throttling = learn_throttling(seen.periods, context.throttle_target)
    return Fleet(
        seen,
        resource,
        context,
        forecast.skipped,
        allocation,
        rival,
        risks,
        asked,
        copies,
        throttling,
    )


def asked_risks(
    services: pd.Index[Any], context: Context, risk: float
) -> tuple[pd.Series[float], list[float]]:
    """The risk accepted by each service, and the different ones, falling."""
    risks = pd.Series(
        [risk_of_class(risk, context.rule(name).risk_class) for name in services],
        index=services,
        dtype=np.float64,
    )
    return risks, sorted({risk, *risks}, reverse=True)
