"""How far back a server's samples of containers reach, asked with a few small queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity.history._metrics.query_rendering import render_query
from capacity.history._metrics.signals import Query, choose_query
from capacity.model import Signal

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from capacity.history._metrics.profiles import Profile
    from capacity.history._prometheus.client import PrometheusSource
    from capacity.settings import Settings

__all__ = ["days_back", "first_sample", "memory_series"]

_DAY = 86_400
_RECENT_SAMPLES = 300  # seconds, as far as an instant query looks back


def memory_series(profile: Profile, settings: Settings, names: AbstractSet[str]) -> str | None:
    """The containers' memory as an instant vector; None where the server has none.

    Args:
        profile: what the server's exporter calls things.
        settings: `[metrics]` and `[identity]`.
        names: metrics that the server has.
    """
    entry, identity = profile.entry(Signal.MEMORY), profile.identity(settings.identity)
    query = choose_query(entry, frozenset(names), settings.metrics)
    if query is None:
        return None
    if profile.cadvisor:
        query = Query(f"${query.metrics[0]}{{$containers}}", query.metrics)
    return render_query(query, identity, settings.metrics, _RECENT_SAMPLES)


def days_back(source: PrometheusSource, series: str, at: float, wanted: int) -> int:
    """The most of 1, 7, 14 and the wanted days before `at` at which there are samples; 0 without
    any.

    Raises:
        SourceError: the server refused, or is gone.
    """
    asked = (wanted, *(days for days in (14, 7, 1) if days < wanted))
    return next((days for days in asked if source.instant(f"count({series})", at - days * _DAY)), 0)


def first_sample(source: PrometheusSource, series: str, at: float) -> float | None:
    """When there was a sample first in the day before `at`, Unix seconds, to a minute; None without
    any.

    Raises:
        SourceError: the server refused, or is gone.
    """
    found = source.instant(f"min(min_over_time(timestamp({series})[1d:1m]))", at)
    return found[0][1] if found else None
