"""What can be reached, which metrics are there, and what to do about what is missing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from capacity._common.files import write_text
from capacity.errors import CapacityError
from capacity.history._archive import Archive
from capacity.history._prometheus.client import PrometheusSource
from capacity.history._signals import CATALOGUE, choose_query
from capacity.model import Signal

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.settings import Settings

__all__ = ["DoctorCheck", "examine"]

_SKEW = 30.0  # seconds between this clock and the server's that are worth a word
_RECENT = 3600
_DAY = 86_400
_MOSTLY = 0.5  # containers without memory from here on mean that the signal is of no use
_ADVICE = {
    "container_oom_events_total": "cAdvisor has it from 0.40 on, and needs /dev/kmsg",
    "container_spec_cpu_quota": "appears once a container has a CPU limit",
    "container_cpu_cfs_periods_total": "appears once a container has a CPU limit",
    "node_cpu_seconds_total": "run node_exporter on each host and scrape it",
    "node_memory_MemTotal_bytes": "run node_exporter on each host and scrape it",
    "machine_memory_bytes": "run cAdvisor or node_exporter on each host and scrape it",
}


@dataclass(frozen=True)
class DoctorCheck:
    """One thing looked at: what, how it is (`ok`, `warn`, `fail`), what was seen, what to do."""

    what: str
    status: Literal["ok", "warn", "fail"]
    seen: str
    advice: str = ""


def examine(settings: Settings) -> list[DoctorCheck]:
    """Look at the archive, the server, its metrics and labels; failures become checks, nothing is
    raised.
    """
    return [_archive(settings.archive.path), *_server(settings)]


def _archive(path: Path) -> DoctorCheck:
    try:
        write_text(path / "doctor", "")
        (path / "doctor").unlink()
        sources = Archive(path).sources()
    except CapacityError as error:
        return DoctorCheck("archive", "fail", error.message, error.hint)
    except OSError as error:
        return DoctorCheck("archive", "fail", str(error), "Correct archive.path or its permissions")
    return DoctorCheck("archive", "ok", f"{path} holds {len(sources)} sources")


def _server(settings: Settings) -> list[DoctorCheck]:
    if settings.prometheus.url is None:
        hint = (
            "Give --source URL or set prometheus.url; `capacity report weekly --sample` needs none"
        )
        return [DoctorCheck("server", "warn", "no metrics server is set", hint)]
    try:
        source = PrometheusSource(settings.prometheus)
        kind = source.kind()
        ((_, server_time),) = source.instant("time()")
        now = int(server_time)
        names = source.metric_names(now - _RECENT, now)
        checks = [
            DoctorCheck("server", "ok", f"{source.address} answers as {kind}"),
            _clock(server_time),
        ]
        checks += [_signal(signal, names, settings) for signal in Signal]
        checks += _memory_accounting(source, settings, names)
        return checks + _containers(source, settings, names, now)
    except CapacityError as error:
        return [DoctorCheck("server", "fail", error.message, error.hint)]


def _clock(server_time: float) -> DoctorCheck:
    skew = server_time - time.time()
    if abs(skew) > _SKEW:
        ahead = "ahead of" if skew > 0 else "behind"
        return DoctorCheck(
            "clock",
            "warn",
            f"the server is {abs(skew):.0f} s {ahead} this machine",
            "Synchronise both with NTP",
        )
    return DoctorCheck("clock", "ok", f"{abs(skew):.1f} s from the server's")


def _signal(signal: Signal, names: frozenset[str], settings: Settings) -> DoctorCheck:
    entry = CATALOGUE[signal]
    chosen = choose_query(entry, names, settings.metrics)
    if chosen is not None:
        return DoctorCheck(
            f"signal {signal}",
            "ok",
            ", ".join(settings.metrics.get(name, name) for name in chosen.metrics),
        )
    if entry.optional:
        return DoctorCheck(f"signal {signal}", "ok", "not exported; nothing depends on it alone")
    wanted = entry.queries[0].metrics
    missing = [name for name in wanted if settings.metrics.get(name, name) not in names]
    advice = next(
        (_ADVICE[name] for name in missing if name in _ADVICE),
        "scrape cAdvisor, or name the metric in [metrics]",
    )
    essential = signal in {Signal.CPU, Signal.MEMORY}
    return DoctorCheck(
        f"signal {signal}",
        "fail" if essential else "warn",
        f"no {', '.join(missing)} in the last hour",
        advice,
    )


def _memory_accounting(
    source: PrometheusSource, settings: Settings, names: frozenset[str]
) -> list[DoctorCheck]:
    """Whether the kernel accounts the memory of containers; without it cAdvisor says 0 B."""
    usual = "container_memory_working_set_bytes"
    metric = settings.metrics.get(usual, usual)
    if metric not in names:
        return []
    series = f'{metric}{{{settings.identity.name}!=""}}'
    total = source.instant(f"count({series})")
    zero = source.instant(f"count({series} == 0)")
    if not total or not zero:
        return []
    share = zero[0][1] / total[0][1]
    return [
        DoctorCheck(
            "memory accounting",
            "fail" if share > _MOSTLY else "warn",
            f"{zero[0][1]:.0f} of {total[0][1]:.0f} running containers use 0 B by their metrics; "
            "such samples are dropped",
            "Switch on the memory controller of the hosts (cgroup_enable=memory, then a restart), "
            "and look for cAdvisor's --disable_metrics",
        )
    ]


def _containers(
    source: PrometheusSource, settings: Settings, names: frozenset[str], now: int
) -> list[DoctorCheck]:
    """Whether containers can be told apart, and how far back they were measured."""
    metric = settings.metrics.get(
        "container_memory_working_set_bytes", "container_memory_working_set_bytes"
    )
    if metric not in names:
        return []
    identity = settings.identity
    found = source.instant(
        f'count by ({identity.project}, {identity.service}) ({metric}{{{identity.name}!=""}})'
    )
    labelled = sum(count for labels, count in found if labels.get(identity.service))
    total = sum(count for _, count in found)
    if not total:
        advice = f"Set identity.name to the label that holds it; now it is {identity.name}"
        checks = [DoctorCheck("containers", "fail", "no series names its container", advice)]
    elif labelled < total:
        seen = (
            f"{total - labelled:.0f} of {total:.0f} containers have no Compose labels; their names "
            "are used"
        )
        labels = ",".join(
            f"com.docker.compose.{name}" for name in ("project", "service", "container-number")
        )
        advice = f"cAdvisor: --whitelisted_container_labels={labels}"
        checks = [DoctorCheck("containers", "warn", seen, advice)]
    else:
        checks = [
            DoctorCheck("containers", "ok", f"{total:.0f} containers of {len(found)} services")
        ]
    wanted = settings.report.window_days
    oldest = max(
        (
            days
            for days in (1, 7, 14, wanted)
            if source.instant(f"count({metric})", now - days * _DAY)
        ),
        default=0,
    )
    if oldest < wanted:
        seen = f"samples reach back {oldest} of {wanted} days"
        advice = (
            "Raise the server's retention, or fetch every week: the archive keeps what it has seen"
        )
        return [*checks, DoctorCheck("history", "warn", seen, advice)]
    return [*checks, DoctorCheck("history", "ok", f"samples reach back {wanted} days")]
