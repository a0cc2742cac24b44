"""How each signal is measured: PromQL for a Docker/Compose fleet seen by cAdvisor and
node_exporter.

A sample at time t speaks of the step that ends at t. Expressions return raw series: replicas,
re-created containers and per-CPU counters are merged in the client
(`capacity.history._service_series`), which is cheaper for the server and never counts twice. Slow
signals (limits, events, sizes) are asked for once an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from capacity.model import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

__all__ = [
    "CATALOGUE",
    "HOUR",
    "Query",
    "SignalQuery",
    "SignalScope",
    "choose_query",
    "restarts_query",
]

HOUR = 3600


class SignalScope(StrEnum):
    """What one column of a signal's frame stands for."""

    SERVICE = "service"
    HOST = "host"
    CORE = "core"
    TARGET = "target"


@dataclass(frozen=True)
class Query:
    """A PromQL template and the metrics it cannot do without.

    `$name` of a metric becomes its name on this server, `$containers` the selector of containers,
    `$window` the look-back, `$twice` two of them, `$pieces` it in steps of five minutes, and
    `$identity` the labels that say which container it is.
    """

    expression: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class SignalQuery:
    """One signal: its unit, what its columns stand for and the queries that give it, the first
    possible one wins. Nobody is told that an optional one is not there.
    """

    signal: Signal
    unit: Literal["cores", "bytes", "share", "events"]
    scope: SignalScope
    queries: tuple[Query, ...]
    text: str
    hourly: bool = False
    optional: bool = False
    combine: Literal["max", "sum"] = "max"

    def step(self, step: int) -> int:
        """Seconds between samples of this signal when usage is sampled every `step` seconds."""
        return max(step, HOUR) if self.hourly else step


_CPU = "container_cpu_usage_seconds_total"
_MEMORY = "container_memory_working_set_bytes"
_RSS = "container_memory_rss"
_CACHE = "container_memory_cache"
_ACTIVE_FILE = "container_memory_total_active_file_bytes"
_INACTIVE_FILE = "container_memory_total_inactive_file_bytes"
_SWAP = "container_memory_swap"
_NODE_CPU = "node_cpu_seconds_total"


def restarts_query(cpu: str, memory: str) -> Query:
    """Restarts from a CPU counter that a restart sets to 0, and a memory series that a re-creation
    begins anew.
    """
    return Query(
        f"sum by ($identity) (max without (cpu) (resets(${cpu}{{$containers}}[$twice])"
        f" - (resets(${cpu}{{$containers}}[$window] offset $window) or "
        f"resets(${cpu}{{$containers}}[$twice]) * 0)))"
        f" + (count by ($identity) (max_over_time(${memory}{{$containers}}[$twice]))"
        f" - (count by ($identity) (max_over_time(${memory}{{$containers}}[$window] "
        f"offset $window))"
        f" or count by ($identity) (max_over_time(${memory}{{$containers}}[$window])) * 0 "
        f"+ 1))",
        (cpu, memory),
    )


def _pressure(signal: Signal, kind: str, text: str) -> SignalQuery:
    """Pressure stall information of the kernel, cgroup v2."""
    metric = f"container_pressure_{kind}_seconds_total"
    expression = f"max_over_time(rate(${metric}{{$containers}}[5m])[$pieces])"
    return SignalQuery(
        signal,
        "share",
        SignalScope.SERVICE,
        (Query(expression, (metric,)),),
        f"{text}, the worst five minutes of the hour (cgroup v2)",
        hourly=True,
        optional=True,
    )


_ENTRIES = (
    SignalQuery(
        Signal.CPU,
        "cores",
        SignalScope.SERVICE,
        (Query(f"rate(${_CPU}{{$containers}}[$window])", (_CPU,)),),
        "CPU used, mean over the step",
    ),
    SignalQuery(
        Signal.MEMORY,
        "bytes",
        SignalScope.SERVICE,
        (Query(f"max_over_time(${_MEMORY}{{$containers}}[$window])", (_MEMORY,)),),
        "Working set, the maximum within the step: an instant sample misses the peak between two "
        "steps",
    ),
    SignalQuery(
        Signal.MEMORY_RSS,
        "bytes",
        SignalScope.SERVICE,
        (Query(f"max_over_time(${_RSS}{{$containers}}[$window])", (_RSS,)),),
        "Memory that the kernel cannot reclaim without swapping, the maximum within the hour",
        hourly=True,
        optional=True,
    ),
    SignalQuery(
        Signal.MEMORY_CACHE,
        "bytes",
        SignalScope.SERVICE,
        (
            Query(
                f"max_over_time(${_ACTIVE_FILE}{{$containers}}[$window])"
                f" + max_over_time(${_INACTIVE_FILE}{{$containers}}[$window])",
                (_ACTIVE_FILE, _INACTIVE_FILE),
            ),
            Query(f"max_over_time(${_CACHE}{{$containers}}[$window])", (_CACHE,)),
        ),
        "Page cache, that the kernel reclaims when memory is short; its active part counts as "
        "working set",
        hourly=True,
        optional=True,
    ),
    SignalQuery(
        Signal.MEMORY_SWAP,
        "bytes",
        SignalScope.SERVICE,
        (Query(f"max_over_time(${_SWAP}{{$containers}}[$window])", (_SWAP,)),),
        "Memory that was swapped out, the maximum within the hour",
        hourly=True,
        optional=True,
    ),
    SignalQuery(
        Signal.CPU_LIMIT,
        "cores",
        SignalScope.SERVICE,
        (
            Query(
                "($container_spec_cpu_quota{$containers} > 0) / "
                "$container_spec_cpu_period{$containers}",
                ("container_spec_cpu_quota", "container_spec_cpu_period"),
            ),
        ),
        "CPU limit in force; absent means unlimited",
        hourly=True,
    ),
    SignalQuery(
        Signal.MEMORY_LIMIT,
        "bytes",
        SignalScope.SERVICE,
        # 0 is how cAdvisor spells unlimited; some versions give the kernel's huge number instead
        (
            Query(
                "($container_spec_memory_limit_bytes{$containers} > 0) < 1e15",
                ("container_spec_memory_limit_bytes",),
            ),
        ),
        "Memory limit in force; absent means unlimited",
        hourly=True,
    ),
    SignalQuery(
        Signal.THROTTLED,
        "share",
        SignalScope.SERVICE,
        (
            Query(
                "rate($container_cpu_cfs_throttled_periods_total{$containers}[$window])"
                " / (rate($container_cpu_cfs_periods_total{$containers}[$window]) > 0)",
                ("container_cpu_cfs_throttled_periods_total", "container_cpu_cfs_periods_total"),
            ),
        ),
        "Share of the scheduler's periods in which the CPU limit held the container back",
    ),
    _pressure(
        Signal.CPU_WAITING,
        "cpu_waiting",
        "Share of time in which a task of the container waited for CPU, its own limit's hold "
        "included",
    ),
    _pressure(
        Signal.MEMORY_WAITING,
        "memory_waiting",
        "Share of time in which a task of the container waited for memory to be reclaimed",
    ),
    _pressure(
        Signal.MEMORY_STALLED,
        "memory_stalled",
        "Share of time in which all tasks of the container waited for memory: seen before a kill",
    ),
    SignalQuery(
        Signal.OOM_KILLS,
        "events",
        SignalScope.SERVICE,
        (
            Query(
                "increase($container_oom_events_total{$containers}[$window])",
                ("container_oom_events_total",),
            ),
        ),
        "Kills for memory within the hour; cAdvisor misses those that end the container itself",
        hourly=True,
        combine="sum",
    ),
    SignalQuery(
        Signal.RESTARTS,
        "events",
        SignalScope.SERVICE,
        # A restart in place resets the counters of a series, a re-creation (or another restartcount
        # label) starts a new one. Both show between two scrapes that may lie in two hours, so each
        # hour is what two hours hold less the first of them.
        (restarts_query(_CPU, _MEMORY),),
        "Restarts and re-creations within the hour",
        hourly=True,
        combine="sum",
    ),
    SignalQuery(
        Signal.HOST_CPU,
        "cores",
        SignalScope.HOST,
        (
            Query(
                f'sum by ($host) (rate(${_NODE_CPU}{{mode!~"idle|iowait|steal"}}[$window]))',
                (_NODE_CPU,),
            ),
            Query(f'sum by ($host) (rate(${_CPU}{{id="/"}}[$window]))', (_CPU,)),
        ),
        "CPU used on the host",
    ),
    SignalQuery(
        Signal.HOST_CORES,
        "cores",
        SignalScope.HOST,
        (
            Query(f'count by ($host) (${_NODE_CPU}{{mode="idle"}})', (_NODE_CPU,)),
            Query("$machine_cpu_cores", ("machine_cpu_cores",)),
        ),
        "Cores of the host",
        hourly=True,
    ),
    SignalQuery(
        Signal.HOST_MEMORY,
        "bytes",
        SignalScope.HOST,
        (
            Query(
                "$node_memory_MemTotal_bytes - "
                "min_over_time($node_memory_MemAvailable_bytes[$window])",
                ("node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"),
            ),
            Query(f'max_over_time(${_MEMORY}{{id="/"}}[$window])', (_MEMORY,)),
        ),
        "Memory not available on the host, the maximum within the step",
    ),
    SignalQuery(
        Signal.HOST_MEMORY_TOTAL,
        "bytes",
        SignalScope.HOST,
        (
            Query("$node_memory_MemTotal_bytes", ("node_memory_MemTotal_bytes",)),
            Query("$machine_memory_bytes", ("machine_memory_bytes",)),
        ),
        "Memory of the host",
        hourly=True,
    ),
    SignalQuery(
        Signal.CORE_BUSY,
        "share",
        SignalScope.CORE,
        (Query(f'1 - rate(${_NODE_CPU}{{mode="idle"}}[$window])', (_NODE_CPU,)),),
        "How busy each core is",
        hourly=True,
    ),
    SignalQuery(
        Signal.UP,
        "share",
        SignalScope.TARGET,
        (Query("avg_over_time($up[$window])", ("up",)),),
        "Share of scrapes that a target answered",
        hourly=True,
    ),
)

CATALOGUE: dict[Signal, SignalQuery] = {entry.signal: entry for entry in _ENTRIES}


def choose_query(
    entry: SignalQuery, present: AbstractSet[str], renamed: Mapping[str, str]
) -> Query | None:
    """First query of `entry` whose metrics are all among the server's `present` names; None if
    there is none.
    """
    for query in entry.queries:
        if all(renamed.get(metric, metric) in present for metric in query.metrics):
            return query
    return None
