"""Live limits against declared ones: the next `up` would undo what only the Engine knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from capacity._compose.declared import DeclaredProject, declarations, declared_value
from capacity._docker.containers import Inventory, cpus_of, live_value
from capacity.model import Setting, Value

__all__ = ["Drift", "drift"]

_COMPARED = (
    Setting.MEMORY,
    Setting.MEMORY_SWAP,
    Setting.CPUS,
    Setting.CPUSET,
    Setting.RESERVATION,
    Setting.PIDS,
    Setting.RESTART_POLICY,
)
_CORES_APART = 0.001


@dataclass(frozen=True)
class Drift:
    """A setting that is not in force as declared; `where` is file, line and column, empty where no
    file says it.
    """

    service: str
    host: str
    container: str
    what: Setting
    live: Value
    declared: Value
    where: str


def drift(
    inventory: Inventory, projects: Mapping[str, DeclaredProject] | Mapping[str, Path] | None = None
) -> list[Drift]:
    """Every setting of every service that differs from its compose files, by service; what cannot
    be read is left out.

    Args:
        inventory: from `snapshot`.
        projects: what `declarations` gave, or project -> compose file where files lie elsewhere
            than the containers say.
    """
    known = {
        name: project
        for name, project in (projects or {}).items()
        if isinstance(project, DeclaredProject)
    }
    paths = {
        name: project for name, project in (projects or {}).items() if isinstance(project, Path)
    }
    known = known or declarations(inventory.containers, paths)
    rows = []
    for container in inventory.containers:
        service = (
            known[container.project].service(container.service)
            if container.project in known and not container.oneoff
            else None
        )
        if service is None:
            continue
        for what in _COMPARED:
            declared, origin = declared_value(service, what)
            live = live_value(container, what)
            if what is Setting.MEMORY_SWAP and declared is None:
                continue  # the Engine then chooses it
            if not _same(what, live, declared, inventory.host(container.host).cores):
                rows.append(
                    Drift(
                        container.key,
                        container.host,
                        container.name,
                        what,
                        live,
                        declared,
                        str(origin or service.where() or ""),
                    )
                )
    return sorted(rows, key=lambda row: (row.service, row.host, row.container, row.what))


def _same(what: Setting, live: Value, declared: Value, cores: int) -> bool:
    if what is Setting.RESTART_POLICY:
        return (live or "no") == (declared or "no")
    if what is Setting.CPUSET:
        return cpus_of(live) == cpus_of(declared) or (
            not declared and cpus_of(live) == set(range(cores))
        )
    if what is Setting.CPUS:
        whole = float(
            cores
        )  # a limit of all cores is none, and the only way to lift one without a new container
        number, other = (
            float(value) if isinstance(value, (int, float)) else whole for value in (live, declared)
        )
        return abs(min(number, whole) - min(other, whole)) < _CORES_APART
    return live == declared
