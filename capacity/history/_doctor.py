"""What can be reached, which metrics are there, and what to do about what is missing."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from capacity._common.files import write_text
from capacity._common.history_milestones import history_milestones
from capacity._common.text.counting import counted
from capacity.errors import CapacityError
from capacity.history._archive.archive import Archive
from capacity.history._fetch.first_samples import days_back, first_sample, memory_series
from capacity.history._metrics.profiles import POD_LABELS, Profile, find_profile, profiles_in
from capacity.history._metrics.query_rendering import label_name, render_query
from capacity.history._metrics.signals import CATALOGUE, Query, SignalScope, choose_query
from capacity.history._prometheus.client import PrometheusSource
from capacity.model import Signal
from capacity.settings._load import COLLECTED

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.settings import Settings

__all__ = ["DoctorCheck", "examine"]

_SKEW = 30.0  # seconds between this clock and the server's that are worth a word
_RECENT = 3600
_LATE = 3  # steps without a sample from which on the collector seems to have ended
_COLLECT = "Let `capacity collect` or `capacity monitor --collect` run"
_MOSTLY = 0.5  # containers without memory from here on mean that the signal is of no use
_VERSIONS = (
    ("cadvisor_version_info", "cadvisorVersion", ""),
    ("alloy_build_info", "version", " in Grafana Alloy"),
)
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
    servers = settings.servers() or {"": settings}
    collected = _collected(settings)
    checks = [_archive(settings.archive.path), *collected]
    for name, its in servers.items():
        checks += [
            replace(check, what=f"{name}: {check.what}") if name else check
            for check in _server(its, collects=bool(collected))
        ]
    return checks


def _archive(path: Path) -> DoctorCheck:
    try:
        write_text(path / "doctor", "")
        (path / "doctor").unlink()
        sources = Archive(path).sources()
    except CapacityError as error:
        return DoctorCheck("archive", "fail", error.message, error.hint)
    except OSError as error:
        return DoctorCheck("archive", "fail", str(error), "Correct archive.path or its permissions")
    return DoctorCheck("archive", "ok", f"{path} holds {counted(len(sources), 'source')}")


def _collected(settings: Settings) -> list[DoctorCheck]:
    """How far the collector's samples reach, where it has ever run."""
    archive, step = Archive(settings.archive.path), settings.report.step
    width = CATALOGUE[Signal.MEMORY].step(step)
    try:
        record = archive.source(COLLECTED)
        query = record.queries.get(str(Signal.MEMORY)) if record is not None else None
        if query is None:
            return []
        day = datetime.min.replace(tzinfo=UTC)
        first = archive.begins(COLLECTED, Signal.MEMORY, query, width, after=day)
        last = archive.ends(COLLECTED, Signal.MEMORY, query, width)
    except CapacityError as error:
        return [DoctorCheck("collector", "fail", error.message, error.hint or "")]
    if first is None or last is None:
        return [
            DoctorCheck("collector", "warn", f"nothing is sampled every {step} s yet", _COLLECT)
        ]
    now, wanted = time.time(), settings.report.window_days
    seen = f"samples from {_moment(first)} to {_moment(last)}"
    if now - last > _LATE * step:
        return [DoctorCheck("collector", "warn", f"{seen}, none since", _COLLECT)]
    milestones = history_milestones(first, now, step, wanted)
    return [DoctorCheck("collector", "warn" if milestones else "ok", seen, milestones)]


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _server(settings: Settings, *, collects: bool) -> list[DoctorCheck]:
    if settings.prometheus.url is None:
        if collects:
            seen = "no metrics server is set; the collector's samples are used"
            return [DoctorCheck("server", "ok", seen)]
        hint = (
            "Give --source URL, or set prometheus.url or [sources]; `capacity collect` measures "
            "without one, `capacity report weekly --sample` needs neither"
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
        profile = find_profile(names, settings.metrics, settings.prometheus.profile)
        checks.append(_profile(source, profile, names, settings))
        checks += [_signal(signal, profile, names, settings) for signal in Signal]
        checks += _memory_accounting(source, profile, settings, names)
        return checks + _containers(source, profile, settings, names, now)
    except CapacityError as error:
        return [DoctorCheck("server", "fail", error.message, _other_advice(error.hint))]


def _other_advice(hint: str | None) -> str:
    """A next step that is not to run what is running."""
    other = re.sub(r"[;,]?\s*`capacity doctor` [^;]*;?\s*", " ", hint or "").strip()
    return other[:1].upper() + other[1:] or "Look at the log of that server"


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


def _profile(
    source: PrometheusSource, profile: Profile, names: frozenset[str], settings: Settings
) -> DoctorCheck:
    """Who measures the containers, and which signals of them that gives and lacks."""
    entries = [profile.entry(signal) for signal in Signal]
    of_containers = [entry for entry in entries if entry.scope is SignalScope.SERVICE]
    given = [
        str(entry.signal)
        for entry in of_containers
        if choose_query(entry, names, settings.metrics) is not None
    ]
    lacked = [str(entry.signal) for entry in of_containers if str(entry.signal) not in given]
    seen = f"{profile.title}{_version(source, names)}: gives {', '.join(given) or 'nothing'}"
    seen += f"; lacks {', '.join(lacked)}" if lacked else ""
    others = [other for other in profiles_in(names, settings.metrics) if _another(other, profile)]
    if others:
        advice = f"To use the other, set prometheus.profile to {others[0].name}"
        seen += f"; there is also {', '.join(other.title for other in others)}"
        return DoctorCheck("profile", "warn", seen, advice)
    return DoctorCheck("profile", "ok" if given else "fail", seen, profile.note)


def _another(other: Profile, profile: Profile) -> bool:
    """Whether two profiles measure with other metrics; those of cAdvisor are one."""
    return other.name != profile.name and not (other.cadvisor and profile.cadvisor)


def _version(source: PrometheusSource, names: frozenset[str]) -> str:
    """The versions that exporters say they are, oldest first."""
    for metric, label, within in _VERSIONS:
        if metric in names:
            said = {labels.get(label, "") for labels, _ in source.instant(metric)}
            return f"{within} {', '.join(sorted(filter(None, said)))}".rstrip()
    return ""


def _signal(
    signal: Signal, profile: Profile, names: frozenset[str], settings: Settings
) -> DoctorCheck:
    entry = profile.entry(signal)
    chosen = choose_query(entry, names, settings.metrics)
    if chosen is not None:
        return DoctorCheck(
            f"signal {signal}",
            "ok",
            ", ".join(settings.metrics.get(name, name) for name in chosen.metrics),
        )
    if entry.optional:
        return DoctorCheck(f"signal {signal}", "ok", "not exported; nothing depends on it alone")
    if not entry.queries:
        return DoctorCheck(f"signal {signal}", "warn", f"{profile.title} has no metric of it")
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
    source: PrometheusSource, profile: Profile, settings: Settings, names: frozenset[str]
) -> list[DoctorCheck]:
    """Whether the kernel accounts the memory of containers; without it cAdvisor says 0 B."""
    series = memory_series(profile, settings, names)
    if series is None:
        return []
    total = source.instant(f"count({series})")
    zero = source.instant(f"count(({series}) == 0)")
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


def _no_containers(
    source: PrometheusSource, profile: Profile, settings: Settings, names: frozenset[str]
) -> DoctorCheck:
    """Why no container is found: nothing was scraped of late, or nothing is named."""
    query = choose_query(profile.entry(Signal.MEMORY), names, settings.metrics)
    identity = profile.identity(settings.identity)
    if query is not None:
        present = Query(f"count(${query.metrics[0]})", query.metrics)
        if not source.instant(render_query(present, identity, settings.metrics, _RECENT)):
            return DoctorCheck(
                "containers",
                "fail",
                "no container has a sample of the last minutes, older ones are there",
                "Look at the server's targets: is what measures the containers still up?",
            )
    advice = f"Set identity.name to the label that holds it; now it is {identity.name}"
    return DoctorCheck("containers", "fail", "no series names its container", advice)


def _containers(
    source: PrometheusSource,
    profile: Profile,
    settings: Settings,
    names: frozenset[str],
    now: int,
) -> list[DoctorCheck]:
    """Whether containers can be told apart, and how far back they were measured."""
    series = memory_series(profile, settings, names)
    if series is None:
        return []
    identity = profile.identity(settings.identity)
    labels = [label_name(label) for label in (identity.project, identity.service)]
    labels += POD_LABELS if profile.pods else []
    found = source.instant(f"count by ({', '.join(labels)}) ({series})")
    labelled = sum(
        count for labels, count in found if labels.get(identity.service) or labels.get("pod")
    )
    total = sum(count for _, count in found)
    if not total:
        checks = [_no_containers(source, profile, settings, names)]
    elif labelled < total:
        seen = (
            f"{total - labelled:.0f} of {total:.0f} containers have no Compose labels; their names "
            "are used"
        )
        compose = ("project", "service", "container-number")
        wanted = [f"com.docker.compose.{name}" for name in compose]
        wanted_labels = ",".join([*wanted, *filter(None, [settings.owners.label])])
        advice = f"cAdvisor: --whitelisted_container_labels={wanted_labels}"
        advice = advice if profile.cadvisor else f"Let it export the labels {wanted_labels}"
        checks = [DoctorCheck("containers", "warn", seen, advice)]
    else:
        checks = [
            DoctorCheck(
                "containers",
                "ok",
                f"{counted(total, 'container')} of {counted(len(found), 'service')}",
            )
        ]
    return [*checks, _reach(source, series, settings, now)]


def _reach(source: PrometheusSource, series: str, settings: Settings, now: int) -> DoctorCheck:
    """How far back containers were measured, and from when on that is enough for what."""
    wanted = settings.report.window_days
    oldest = days_back(source, series, now, wanted)
    if oldest >= wanted:
        return DoctorCheck("history", "ok", f"samples reach back {wanted} days")
    first = first_sample(source, series, now) if not oldest else None
    if first is not None:
        seen = f"samples reach back {max(now - first, 0) / 60:.0f} minutes of {wanted} days"
        return DoctorCheck(
            "history", "warn", seen, history_milestones(first, now, settings.report.step, wanted)
        )
    return DoctorCheck(
        "history",
        "warn",
        f"samples reach back {oldest} of {wanted} days",
        "Raise the server's retention, or fetch every week: the archive keeps what it has seen",
    )
