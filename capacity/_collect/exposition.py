"""The latest look as a page that Prometheus scrapes, in cAdvisor's names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from capacity._collect.readings import HostReading, Look, Reading
from capacity._collect.sample import Sample
from capacity._common.container_names import exported_label
from capacity._common.text.escape import label_value
from capacity._common.version import VERSION
from capacity._docker.engine import moment

__all__ = ["render_page"]

_LABEL = "container_label_com_docker_compose_"
_PERIOD = 100_000  # microseconds; a limit in cores as a quota of the kernel's usual period
Point = tuple[str, str, float, float | None]  # metric, labels, value, Unix seconds


def render_page(look: Look, label: str = "") -> str:
    """Prometheus' text format. Samples carry the time of the look, so a rate is exact whenever it
    is scraped; limits and starts do not, as with cAdvisor. `label` of containers is kept too.
    """
    metrics: defaultdict[str, list[str]] = defaultdict(list)
    for reading in look.containers:
        for point in _container(reading, label):
            _append(metrics, point)
    for host in look.hosts:
        for point in _host(host):
            _append(metrics, point)
    _append(metrics, ("capacity_collect_build_info", f'version="{VERSION}"', 1, None))
    lines = []
    for name, samples in sorted(metrics.items()):
        lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}")
        lines += samples
    return "\n".join([*lines, ""])


def _append(metrics: defaultdict[str, list[str]], point: Point) -> None:
    name, labels, value, at = point
    stamp = "" if at is None else f" {at * 1000:.0f}"
    metrics[name].append(f"{name}{{{labels}}} {value:.15g}{stamp}")


def _container(reading: Reading, label: str) -> Iterator[Point]:
    container, labels = reading.container, _labels(reading, label)
    yield "container_oom_events_total", labels, reading.all_oom_kills, None
    yield "capacity_container_restarts_total", labels, reading.all_restarts, None
    yield "container_spec_memory_limit_bytes", labels, container.memory or 0, None
    if container.started_at:
        yield "container_start_time_seconds", labels, moment(container.started_at), None
    if container.cpus is not None:
        yield "container_spec_cpu_quota", labels, round(container.cpus * _PERIOD), None
        yield "container_spec_cpu_period", labels, _PERIOD, None
    if reading.sample is not None:
        yield from _sample(labels, reading.sample, throttling=container.cpus is not None)


def _sample(labels: str, sample: Sample, *, throttling: bool) -> Iterator[Point]:
    at = sample.at
    yield "container_cpu_usage_seconds_total", f'{labels},cpu="total"', sample.cpu, at
    for name, value in (
        ("usage_bytes", sample.usage),
        ("working_set_bytes", sample.memory),
        ("rss", sample.rss),
        ("cache", sample.cache),
        ("swap", sample.swap),
        ("total_active_file_bytes", sample.active_file),
        ("total_inactive_file_bytes", sample.inactive_file),
    ):
        yield f"container_memory_{name}", labels, value, at
    if throttling:
        yield "container_cpu_cfs_periods_total", labels, sample.periods, at
        yield "container_cpu_cfs_throttled_periods_total", labels, sample.throttled, at
    for name, seconds in sample.pressure.items():
        yield f"container_pressure_{name}_seconds_total", labels, seconds, at


def _host(reading: HostReading) -> Iterator[Point]:
    host, sample = reading.host, reading.sample
    labels = f'machine="{label_value(host.name)}"'
    yield "machine_cpu_cores", labels, host.cores, None
    yield "machine_memory_bytes", labels, host.memory, None
    if sample is not None:
        root = f'id="/",{labels}'
        yield "container_cpu_usage_seconds_total", f'{root},cpu="total"', sample.cpu, sample.at
        yield "container_memory_working_set_bytes", root, sample.memory, sample.at


def _labels(reading: Reading, label: str) -> str:
    container = reading.container
    labels = {
        "id": f"/docker/{container.id}",
        "image": container.image,
        "name": container.name,
        "machine": container.host,
    }
    if container.labels.get("com.docker.compose.service"):
        labels |= {
            f"{_LABEL}project": container.project,
            f"{_LABEL}service": container.service,
            f"{_LABEL}container_number": str(container.replica),
            f"{_LABEL}oneoff": str(container.oneoff),
        }
    if label in container.labels:
        labels[exported_label(label, f"{_LABEL}project")] = container.labels[label]
    return ",".join(f'{name}="{label_value(value)}"' for name, value in labels.items())
