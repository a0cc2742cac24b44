"""From series of containers to rows of services.

The worst replica stands for the service, because limits are per container. A re-created container
leaves two live series for up to five minutes; the maximum never counts it twice, a sum would.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from capacity._common.container_names import identify_container
from capacity.history._metrics.profiles import in_compose_labels
from capacity.history._metrics.signals import SignalQuery, SignalScope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from capacity.history._prometheus.parse import Answer
    from capacity.model import ServiceKey
    from capacity.settings import IdentitySettings

__all__ = [
    "SeriesBlock",
    "add_known",
    "hosts_at_the_end",
    "last_known",
    "merge_replicas",
    "service_of",
]


@dataclass(frozen=True)
class SeriesBlock:
    """Rows of one signal on one grid.

    Attributes:
        names: sorted column names: services, hosts, cores or targets.
        hosts: host of each name; several are joined by a comma.
        replicas: containers merged into each row.
        values: float64, names x points; NaN = no sample.
        uneven: name -> mean of its busiest replica over the mean of all, of those with several
            replicas.
    """

    names: list[str]
    hosts: list[str]
    replicas: list[int]
    values: NDArray[np.float64]
    uneven: Mapping[str, float] = field(default_factory=dict)


def service_of(labels: Mapping[str, str], identity: IdentitySettings) -> tuple[ServiceKey, str]:
    """Service and replica of a container's series, by the labels that the settings name."""
    kept = (identity.name, identity.project, identity.service, identity.number)
    return identify_container(*(labels.get(label, "") for label in kept))


def merge_replicas(answer: Answer, entry: SignalQuery, identity: IdentitySettings) -> SeriesBlock:
    """One row a service, host, core or target from the series of an answer.

    Counters kept per CPU are added up first, then the containers of one column are combined as the
    entry says.
    """
    column, replica = _namers(entry.scope, identity)
    containers: dict[frozenset[tuple[str, str]], list[int]] = defaultdict(list)
    known = _as_compose(answer, identity) if entry.scope is SignalScope.SERVICE else answer.labels
    for index, labels in enumerate(known):
        if labels is None:
            continue
        per_core = entry.scope is SignalScope.CORE
        containers[
            frozenset(item for item in labels.items() if per_core or item[0] != "cpu")
        ].append(index)

    rows: dict[str, NDArray[np.float64]] = {}
    hosts: dict[str, dict[str, int]] = defaultdict(dict)
    members: dict[str, dict[str, NDArray[np.float64]]] = defaultdict(dict)
    add = np.fmax if entry.combine == "max" else add_known
    for indices in containers.values():
        labels = known[indices[0]] or {}
        row = answer.values[indices[0]] if len(indices) == 1 else _over_cpus(answer, indices)
        name, host, member = column(labels), _host(labels, identity), replica(labels)
        rows[name] = add(rows[name], row) if name in rows else row
        hosts[name][host] = max(hosts[name].get(host, -1), last_known(row))
        earlier = members[name].get(member)
        members[name][member] = row if earlier is None else np.fmax(earlier, row)

    names = sorted(rows)
    points = answer.values.shape[1]
    values = np.stack([rows[name] for name in names]) if names else np.empty((0, points))
    return SeriesBlock(
        names,
        [hosts_at_the_end(hosts[name], points) for name in names],
        [len(members[name]) for name in names],
        values,
        _uneven(members) if entry.scope is SignalScope.SERVICE else {},
    )


def _as_compose(answer: Answer, identity: IdentitySettings) -> list[Mapping[str, str] | None]:
    return [in_compose_labels(labels, identity) for labels in answer.labels]


def last_known(row: NDArray[np.float64]) -> int:
    """Position of the last sample; -1 = none."""
    known = np.flatnonzero(np.isfinite(row))
    return int(known[-1]) if len(known) else -1


def hosts_at_the_end(last: Mapping[str, int], points: int) -> str:
    """Hosts with a sample in the last twenty-fourth of what is known: what has moved is on its new
    host alone.
    """
    since = max(last.values()) - max(1, points // 24)
    return ",".join(sorted(host for host, position in last.items() if position >= since))


def _uneven(members: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, float]:
    """Busiest replica over the mean one, of what has several for most of the time; a service that
    moved has one after the other.
    """
    found = {}
    for name, each in members.items():
        rows = np.stack(list(each.values()))
        known = np.isfinite(rows)
        together = known.sum(axis=0) > 1
        if not together.any() or 2 * together.sum() < known.any(axis=0).sum():
            continue
        seen = known[:, together]
        sums = np.where(seen, rows[:, together], 0.0).sum(axis=1)
        means = sums[seen.any(axis=1)] / seen.sum(axis=1)[seen.any(axis=1)]
        if means.sum() > 0:
            found[name] = round(float(means.max() / means.mean()), 3)
    return found


def _namers(
    scope: SignalScope, identity: IdentitySettings
) -> tuple[Callable[[Mapping[str, str]], str], Callable[[Mapping[str, str]], str]]:
    """Two functions of labels: the column, and what tells replicas of that column apart."""
    if scope is SignalScope.SERVICE:
        return (
            lambda labels: str(service_of(labels, identity)[0]),
            lambda labels: f"{_host(labels, identity)} {service_of(labels, identity)[1]}",
        )
    if scope is SignalScope.HOST:
        return lambda labels: _host(labels, identity), lambda labels: labels.get(identity.host, "")
    if scope is SignalScope.CORE:
        return (
            lambda labels: f"{_host(labels, identity)}/{labels.get('cpu', '')}",
            lambda labels: labels.get("cpu", ""),
        )
    return (
        lambda labels: f"{labels.get('job', '')}/{labels.get(identity.host, '')}",
        lambda labels: labels.get(identity.host, ""),
    )


def _host(labels: Mapping[str, str], identity: IdentitySettings) -> str:
    """Address without its port: cAdvisor and node_exporter of one host differ only there."""
    return _without_port(labels.get(identity.host, "")) or "unknown"


@lru_cache(maxsize=4096)
def _without_port(address: str) -> str:
    return re.sub(r":\d+$", "", address)


def _over_cpus(answer: Answer, indices: list[int]) -> NDArray[np.float64]:
    """One container's sum over its CPUs; a series that came twice counts once, and where there is a
    `total` it is the sum.
    """
    by_cpu: dict[str, NDArray[np.float64]] = {}
    for index in indices:
        cpu = answer.labels[index].get("cpu", "total")
        row = answer.values[index]
        by_cpu[cpu] = np.fmax(by_cpu[cpu], row) if cpu in by_cpu else row
    total = by_cpu.pop("total", None)
    if total is not None and not by_cpu:
        return total
    added = _sum_known(np.stack(list(by_cpu.values())))
    return added if total is None else np.where(np.isnan(total), added, total)


def _sum_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over rows; NaN only where every row is NaN."""
    total: NDArray[np.float64] = np.where(
        np.isnan(values).all(axis=0), np.nan, np.nansum(values, axis=0)
    )
    return total


def add_known(first: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of two rows; NaN only where both are NaN."""
    return _sum_known(np.stack([first, other]))
