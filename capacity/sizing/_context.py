"""What sizing knows beside usage: events, the forecaster, and the house's rules for single
services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from capacity.model import Resource
from capacity.sizing._rounding import SMALLEST
from capacity.sizing._service_types import TYPES, ServiceType

if TYPE_CHECKING:
    from capacity.forecasting import Forecaster

__all__ = [
    "RISK_CLASSES",
    "STALLED_TOO_MUCH",
    "THROTTLED_TOO_MUCH",
    "Context",
    "ServiceRule",
    "risk_of_class",
]

THROTTLED_TOO_MUCH = 0.25  # share of periods, at the 95th percentile of the window
STALLED_TOO_MUCH = 0.1  # share of time, at the 99th percentile of the window
TOLERANCE = 0.15  # share of a limit below which a change is not proposed
RAISED_FROM = 1 / 3  # share of the tolerance that a raise must exceed
_RAISED_TIMES = 2.0  # the chance that would be chosen now: below it a limit in force stays
EVEN_ODDS = 0.5  # a limit likelier to be passed than not is raised, whatever is accepted
RISK_CLASSES = {"critical": 0.25, "standard": 1.0, "batch": 4.0}  # multiples of the risk asked for


def risk_of_class(risk: float, risk_class: str) -> float:
    """The risk accepted for services of a class, a share; more than a half is a limit in name."""
    return min(0.5, risk * RISK_CLASSES[risk_class])


def raised_above(accepted: float) -> float:
    """The chance to be passed from which a limit in force is raised for that alone."""
    return min(_RAISED_TIMES * accepted, EVEN_ODDS)


@dataclass(frozen=True)
class ServiceRule:
    """What people decided for one service.

    Attributes:
        risk_class: name in `RISK_CLASSES`.
        least: no limit below, by resource; cores or bytes.
        most: no limit above.
        never_lower: raise only.
        pinned: leave the limits as they are.
        business_hours: (first hour, hour after the last), Monday to Friday, UTC, outside which
            slowness is accepted: CPU is sized for these hours alone.
    """

    risk_class: str = "standard"
    least: Mapping[Resource, float] = field(default_factory=dict)
    most: Mapping[Resource, float] = field(default_factory=dict)
    never_lower: bool = False
    pinned: bool = False
    business_hours: tuple[int, int] | None = None


@dataclass(frozen=True)
class Context:
    """What else is known beside usage.

    Attributes:
        forecaster: one already fitted on the same usage with `PEAK_QUANTILES`; fitted here when
            absent.
        throttled: share of throttled periods, times x services.
        oom_kills: kills, times x services.
        memory_stalled: share of time in which all tasks waited for memory, times x services.
        restarts: restarts, times x services: where startups begin.
        rss: memory that the kernel cannot reclaim without swapping, bytes, times x services.
        past_peaks: highest sample of days before the window, UTC days x services.
        running: service -> whether it ran at the window's end.
        unstable: services in a restart loop.
        limits_known: False when the source cannot tell which limits are in force.
        limits_unseen: services whose limit it has had no time to tell yet.
        limit_since: since when the limit in force is so, by service, UTC.
        replicas: service -> containers that its limit is set on; what is not named has one.
        uneven: service -> use of its worst replica over that of the mean one.
        rules: service -> what people decided for it.
        types: defaults for services without history, the first that fits.
        headroom: share added to what the risk asks for.
        tolerance: changes smaller than this share of the limit are not proposed.
        cooldown: a limit changed more recently than this is not lowered.
        largest_step_down: share of a limit that one change takes away at most.
        throttle_target: share of throttled periods, at busy times, that a CPU limit should keep.
        floors: smallest limit of each resource, cores and bytes.
    """

    forecaster: Forecaster | None = None
    throttled: pd.DataFrame | None = None
    oom_kills: pd.DataFrame | None = None
    memory_stalled: pd.DataFrame | None = None
    restarts: pd.DataFrame | None = None
    rss: pd.DataFrame | None = None
    past_peaks: pd.DataFrame | None = None
    running: pd.Series[bool] | None = None
    unstable: frozenset[str] = frozenset()
    limits_known: bool = True
    limits_unseen: frozenset[str] = frozenset()
    limit_since: pd.Series[pd.Timestamp] | None = None
    replicas: Mapping[str, int] = field(default_factory=dict)
    uneven: pd.Series[float] | None = None
    rules: Mapping[str, ServiceRule] = field(default_factory=dict)
    types: tuple[ServiceType, ...] = TYPES
    headroom: float = 0.0
    tolerance: float = TOLERANCE
    cooldown: pd.Timedelta = field(default_factory=lambda: pd.Timedelta("7D"))
    largest_step_down: float = 0.5
    throttle_target: float = 0.05
    floors: Mapping[Resource, float] = field(default_factory=lambda: dict(SMALLEST))

    def rule(self, service: object) -> ServiceRule:
        """What people decided for a service; the defaults where they said nothing."""
        return self.rules.get(str(service), _NO_RULE)


_NO_RULE = ServiceRule()
