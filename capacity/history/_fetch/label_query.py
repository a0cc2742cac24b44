"""The value of one label of the containers of every service, as of now."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from capacity._common.container_names import exported_label
from capacity.history._metrics.profiles import POD_LABELS, find_profile, in_compose_labels
from capacity.history._metrics.query_rendering import label_name, render_query
from capacity.history._metrics.signals import Query, choose_query
from capacity.history._service_series import service_of
from capacity.model import Signal

if TYPE_CHECKING:
    from capacity.history._prometheus.client import PrometheusSource
    from capacity.settings import Settings

__all__ = ["ask_label"]

_DAY = 86_400


def ask_label(source: PrometheusSource, settings: Settings, label: str) -> dict[str, str]:
    """The value of a container's label by service; of several that most of its containers have.

    Args:
        source: the server.
        settings: names of metrics and labels.
        label: as the container has it, such as `com.example.team`.

    Raises:
        SourceError: the server does not answer.
    """
    now = int(time.time())
    present = source.metric_names(now - _DAY, now)
    profile = find_profile(present, settings.metrics, settings.prometheus.profile)
    identity = profile.identity(settings.identity)
    query = choose_query(profile.entry(Signal.MEMORY), present, settings.metrics)
    if query is None:
        return {}
    metric = query.metrics[-1]  # the one that has the labels, where they are apart from the use
    wanted = exported_label(label, identity.project)
    kept = ",".join(["$identity", *(POD_LABELS if profile.pods else []), label_name(wanted)])
    matchers = f'{{$containers,{label_name(wanted)}!=""}}'
    asked = Query(f"count by ({kept}) (${metric}{matchers})", (metric,))
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for labels, many in source.instant(render_query(asked, identity, settings.metrics, _DAY)):
        known = in_compose_labels(labels, identity)
        if known is not None and known.get(wanted):
            seen[str(service_of(known, identity)[0])][known[wanted]] += int(many)
    return {
        service: min(values, key=lambda value: (-values[value], value))
        for service, values in sorted(seen.items())
    }
