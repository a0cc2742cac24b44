"""Who measures the containers: the names of metrics and labels that each kind of exporter has.

The catalogue (`capacity.history._metrics.signals`) is written in cAdvisor's names. A profile says
what gives the same signals where something else measures; signals that it lacks are missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from capacity.errors import SettingsError
from capacity.history._metrics.signals import (
    CATALOGUE,
    Query,
    SignalQuery,
    SignalScope,
    choose_query,
    restarts_query,
)
from capacity.model import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from capacity.settings import IdentitySettings

__all__ = ["CADVISOR", "POD_LABELS", "PROFILES", "Profile", "find_profile", "in_compose_labels"]
__all__ += ["known_metrics", "profiles_in"]


@dataclass(frozen=True)
class Profile:
    """One kind of exporter.

    Attributes:
        name: what `prometheus.profile` calls it.
        title: what people call it.
        queries: signals of containers, where they differ from cAdvisor's.
        labels: fields of `[identity]` -> the label that it has, where that differs.
        note: what to know of its numbers.
        cadvisor: whether it has cAdvisor's metrics, so the catalogue holds for what is not in
            `queries`.
        pods: whether containers may be in pods; it has the same metrics as another then.
    """

    name: str
    title: str
    queries: Mapping[Signal, tuple[Query, ...]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    cadvisor: bool = False
    pods: bool = False

    def entry(self, signal: Signal) -> SignalQuery:
        """The catalogue's entry of a signal with the queries that this exporter answers."""
        usual = CATALOGUE[signal]
        if self.cadvisor or usual.scope is not SignalScope.SERVICE:
            return replace(usual, queries=self.queries.get(signal, usual.queries))
        return replace(usual, queries=self.queries.get(signal, ()))

    def identity(self, own: IdentitySettings) -> IdentitySettings:
        """The labels that name a container: those of the settings, else this exporter's."""
        chosen = own.model_dump(exclude_defaults=True)
        return own.model_copy(update={**self.labels, **chosen})


_COMPOSE_LABELS = {
    "project": "com_docker_compose_project",
    "service": "com_docker_compose_service",
    "number": "com_docker_compose_container_number",
    "oneoff": "com_docker_compose_oneoff",
}
_OF_KUBERNETES = ("kubelet_", "kube_")
POD_LABELS = ["namespace", "pod", "container"]


def _of_pods(query: Query) -> Query:
    """A query of containers, some of which are in pods."""
    identity = ",".join(["$identity", *POD_LABELS])
    return replace(query, expression=query.expression.replace("$identity", identity))


CADVISOR = Profile("cadvisor", "cAdvisor", cadvisor=True)

_KUBERNETES = Profile(
    "kubernetes",
    "cAdvisor, also in Kubernetes' kubelet",
    queries={
        Signal.RESTARTS: tuple(_of_pods(query) for query in CATALOGUE[Signal.RESTARTS].queries)
    },
    cadvisor=True,
    note="A container of a pod is the service `namespace/container`, its pod the replica",
    pods=True,
)

_TELEGRAF_CPU, _TELEGRAF_MEMORY = "docker_container_cpu_usage_total", "docker_container_mem_usage"
_TELEGRAF_PERIODS = "docker_container_cpu_throttling_periods"
_TELEGRAF_THROTTLED = "docker_container_cpu_throttling_throttled_periods"
_TOTAL = '{$containers,cpu="cpu-total"}'

_TELEGRAF = Profile(
    "telegraf",
    "Telegraf's docker input",
    queries={
        Signal.CPU: (Query(f"rate(${_TELEGRAF_CPU}{_TOTAL}[$window]) / 1e9", (_TELEGRAF_CPU,)),),
        Signal.MEMORY: (
            Query(
                f"max_over_time(${_TELEGRAF_MEMORY}{{$containers}}[$window])", (_TELEGRAF_MEMORY,)
            ),
        ),
        Signal.MEMORY_LIMIT: (
            # a container without a limit is said to have all of the host
            Query(
                "$docker_container_mem_limit{$containers} < on ($host) group_left () "
                "max by ($host) ($docker_memory_total)",
                ("docker_container_mem_limit", "docker_memory_total"),
            ),
        ),
        Signal.THROTTLED: (
            Query(
                f"rate(${_TELEGRAF_THROTTLED}{_TOTAL}[$window])"
                f" / (rate(${_TELEGRAF_PERIODS}{_TOTAL}[$window]) > 0)",
                (_TELEGRAF_THROTTLED, _TELEGRAF_PERIODS),
            ),
        ),
        Signal.RESTARTS: (restarts_query(_TELEGRAF_CPU, _TELEGRAF_MEMORY),),
        Signal.HOST_CORES: (
            *CATALOGUE[Signal.HOST_CORES].queries,
            Query("max by ($host) ($docker_n_cpus)", ("docker_n_cpus",)),
        ),
        Signal.HOST_MEMORY_TOTAL: (
            *CATALOGUE[Signal.HOST_MEMORY_TOTAL].queries,
            Query("max by ($host) ($docker_memory_total)", ("docker_memory_total",)),
        ),
    },
    labels={**_COMPOSE_LABELS, "name": "container_name"},
    note="No CPU limits and no OOM kills",
)


def _open_telemetry(
    name: str, title: str, names: tuple[str, str, str, str], labels: Mapping[str, str]
) -> Profile:
    """The docker_stats receiver; `names` are those of CPU, memory, throttled periods, periods."""
    cpu, memory, throttled, periods = names
    return Profile(
        name,
        title,
        queries={
            Signal.CPU: (Query(f"rate(${cpu}{{$containers}}[$window]) / 1e9", (cpu,)),),
            Signal.MEMORY: (Query(f"max_over_time(${memory}{{$containers}}[$window])", (memory,)),),
            Signal.THROTTLED: (
                Query(
                    f"rate(${throttled}{{$containers}}[$window])"
                    f" / (rate(${periods}{{$containers}}[$window]) > 0)",
                    (throttled, periods),
                ),
            ),
            Signal.RESTARTS: (restarts_query(cpu, memory),),
        },
        labels=labels,
        note="It cannot tell a memory limit from none, so limits are left unknown; throttling only "
        "where the metrics of throttling_data are switched on",
    )


_OTEL = _open_telemetry(
    "opentelemetry",
    "OpenTelemetry's docker_stats receiver",
    (
        "container_cpu_usage_nanoseconds_total",
        "container_memory_usage_total_bytes",
        "container_cpu_throttling_data_throttled_periods_total",
        "container_cpu_throttling_data_periods_total",
    ),
    {**_COMPOSE_LABELS, "name": "container_name"},
)

_OTEL_NAMES = _open_telemetry(
    "opentelemetry-utf8",
    "OpenTelemetry's docker_stats receiver, names as OpenTelemetry writes them",
    (
        "container.cpu.usage.total",
        "container.memory.usage.total",
        "container.cpu.throttling_data.throttled_periods",
        "container.cpu.throttling_data.periods",
    ),
    {
        "project": "com.docker.compose.project",
        "service": "com.docker.compose.service",
        "number": "com.docker.compose.container-number",
        "oneoff": "com.docker.compose.oneoff",
        "name": "container.name",
    },
)

_PODMAN_CPU = "podman_container_cpu_seconds_total"
_PODMAN_MEMORY = "podman_container_mem_usage_bytes"
_PODMAN_LIMIT = "podman_container_mem_limit_bytes"
_PODMAN_STARTED = "podman_container_started_seconds"
_PODMAN_INFO = "podman_container_info"
_MACHINE = '"machine", "$1", "$host", "(.+?)(:[0-9]+)?"'  # an address without its port
_NAMED = (
    " * on ($host, id) group_left ($labels) "
    f"max by ($host, id, $labels) (${_PODMAN_INFO}{{$containers}})"
)

_PODMAN = Profile(
    "podman",
    "prometheus-podman-exporter",
    queries={
        Signal.CPU: (Query(f"rate(${_PODMAN_CPU}[$window]){_NAMED}", (_PODMAN_CPU, _PODMAN_INFO)),),
        Signal.MEMORY: (
            Query(
                f"max_over_time(${_PODMAN_MEMORY}[$window]){_NAMED}",
                (_PODMAN_MEMORY, _PODMAN_INFO),
            ),
        ),
        Signal.MEMORY_LIMIT: (
            # a container without a limit is said to have all of the host, or 0
            Query(
                f"(label_replace(${_PODMAN_LIMIT} > 0, {_MACHINE}) < on (machine) group_left () "
                f"max by (machine) (label_replace($node_memory_MemTotal_bytes, {_MACHINE})))"
                f"{_NAMED}",
                (_PODMAN_LIMIT, "node_memory_MemTotal_bytes", _PODMAN_INFO),
            ),
        ),
        Signal.RESTARTS: (
            Query(f"changes(${_PODMAN_STARTED}[$window]){_NAMED}", (_PODMAN_STARTED, _PODMAN_INFO)),
        ),
    },
    labels={**_COMPOSE_LABELS, "name": "name"},
    note="No throttling, no OOM kills and no CPU limits; run it with --collector.store_labels, or "
    "services are read from the containers' names",
)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (_KUBERNETES, CADVISOR, _TELEGRAF, _OTEL, _OTEL_NAMES, _PODMAN)
}


@cache
def known_metrics() -> frozenset[str]:
    """Usual names of all metrics that a signal uses, in any profile."""
    return frozenset(
        metric
        for profile in PROFILES.values()
        for signal in Signal
        for query in profile.entry(signal).queries
        for metric in query.metrics
    )


def profiles_in(present: AbstractSet[str], renamed: Mapping[str, str]) -> list[Profile]:
    """The profiles whose CPU metrics are among the names of a server, the first is to be used."""
    return [
        profile
        for profile in PROFILES.values()
        if choose_query(profile.entry(Signal.CPU), present, renamed) is not None
        and (not profile.pods or any(name.startswith(_OF_KUBERNETES) for name in present))
    ]


def find_profile(
    present: AbstractSet[str], renamed: Mapping[str, str], chosen: str | None
) -> Profile:
    """The profile that the settings choose, else the first that fits, else cAdvisor's.

    Args:
        present: names of the server's metrics.
        renamed: usual metric name -> name on this server.
        chosen: `prometheus.profile` of the settings.

    Raises:
        SettingsError: no profile has that name.
    """
    if chosen is not None:
        if chosen not in PROFILES:
            raise SettingsError(
                f"Setting prometheus.profile: there is no profile {chosen!r}",
                f"Choose one of {', '.join(PROFILES)}",
            )
        return PROFILES[chosen]
    return next(iter(profiles_in(present, renamed)), CADVISOR)


def in_compose_labels(
    labels: Mapping[str, str], identity: IdentitySettings
) -> Mapping[str, str] | None:
    """The labels of a container, where a pod's are written as Compose's; None for what is of a pod
    and of none of its containers.
    """
    pod = labels.get("pod")
    if not pod or labels.get(identity.service):
        return labels
    container = labels.get("container")
    if not container or container == "POD":
        return None
    place = {
        identity.project: labels.get("namespace", ""),
        identity.service: container,
        identity.number: pod,
    }
    return {**labels, **place}
