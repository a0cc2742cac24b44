"""The recent peak of a service's memory, asked of the metrics server just before a limit is
lowered.
"""

from __future__ import annotations

from capacity.changes._apply.guard import Peaks
from capacity.model import Signal
from capacity.settings import Settings

__all__ = ["peaks_from"]

_DAY = 86_400


def peaks_from(settings: Settings) -> Peaks | None:
    """The highest working set of the last day by service, in bytes; None where the settings name no
    server.

    Raises:
        SourceError: the server does not answer: a limit is not lowered blindly when there is
            somebody to ask.
    """
    if settings.prometheus.url is None:
        return None
    from capacity.history._prometheus.client import PrometheusSource
    from capacity.history._services import service_of
    from capacity.history._signals import CATALOGUE, render_query

    identity = settings.identity
    query = render_query(CATALOGUE[Signal.MEMORY].queries[0], identity, settings.metrics, _DAY)
    answer = PrometheusSource(settings.prometheus).instant(
        f"max by ({identity.project},{identity.service},{identity.name}) ({query})"
    )
    found: dict[str, float] = {}
    for labels, value in answer:
        key = str(service_of(labels, identity)[0])
        found[key] = max(found.get(key, 0.0), value)
    return found.get
