"""The recent peak of a service's memory, asked of the metrics server just before a limit is
lowered.
"""

from __future__ import annotations

from contextlib import closing

from capacity.changes._apply.lowering_check import Peaks
from capacity.model import Signal
from capacity.settings import Settings

__all__ = ["peaks_from"]

_DAY = 86_400


def peaks_from(settings: Settings) -> Peaks | None:
    """The highest working set of the last day by service, in bytes; None where the settings name no
    server.

    Raises:
        SourceError: a server does not answer: a limit is not lowered blindly when there is
            somebody to ask.
    """
    if not settings.servers():
        return None
    from capacity.history._fetch.instant_query import ask_containers
    from capacity.history._prometheus.client import PrometheusSource

    highest: dict[str, float] = {}
    for its in settings.servers().values():
        with closing(PrometheusSource(its.prometheus)) as source:
            found, _ = ask_containers(source, its, Signal.MEMORY, _DAY)
        for name, peak in found.items():
            highest[name] = max(peak, highest.get(name, peak))
    return highest.get
