"""One question to the server about every service, as of now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from capacity.history._metrics.profiles import find_profile, in_compose_labels
from capacity.history._metrics.query_rendering import render_query
from capacity.history._metrics.signals import choose_query
from capacity.history._service_series import service_of

if TYPE_CHECKING:
    from capacity.history._prometheus.client import PrometheusSource
    from capacity.model import Signal
    from capacity.settings import Settings

__all__ = ["ask_containers"]

_DAY = 86_400


def ask_containers(
    source: PrometheusSource, settings: Settings, signal: Signal, window: int, over: str = "{}"
) -> tuple[dict[str, float], str]:
    """The highest value of a signal by service, in its unit, and the PromQL that was asked.

    Args:
        source: the server.
        settings: names of metrics and labels.
        signal: one of containers.
        window: seconds that the signal's query looks back.
        over: PromQL around that query, which stands for `{}`.

    Raises:
        SourceError: the server does not answer.
    """
    now = int(time.time())
    present = source.metric_names(now - max(window, _DAY), now)
    profile = find_profile(present, settings.metrics, settings.prometheus.profile)
    entry, identity = profile.entry(signal), profile.identity(settings.identity)
    query = choose_query(entry, present, settings.metrics)
    if query is None:
        return {}, ""
    asked = over.replace("{}", render_query(query, identity, settings.metrics, window))
    found: dict[str, float] = {}
    for labels, value in source.instant(asked):
        known = in_compose_labels(labels, identity)
        if known is not None:
            key = str(service_of(known, identity)[0])
            found[key] = max(found.get(key, value), value)
    return found, asked
