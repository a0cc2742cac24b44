"""Live limits against declared ones: the next `up` would undo what only the Engine knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from capacity._common.setting_values import CORES_APART
from capacity._compose.declared import DeclaredProject, declarations, declared_value
from capacity._compose.service import Service
from capacity._docker.containers import Container, Host, Inventory, cpus_of, live_value
from capacity.model import Setting, Value

__all__ = ["Drift", "drift"]

_COMPARED = (
    Setting.MEMORY,
    Setting.MEMORY_SWAP,
    Setting.CPUS,
    Setting.CPUSET,
    Setting.RESERVATION,
    Setting.PIDS,
    Setting.ULIMITS,
    Setting.RESTART_POLICY,
)


@dataclass(frozen=True)
class Drift:
    """A setting that is not in force as declared; `where` is file, line and column, empty where no
    file says it; `container` is empty where it is of all of them: their number.
    """

    service: str
    host: str
    container: str
    what: Setting
    live: Value
    declared: Value
    where: str

    @property
    def note(self) -> str:
        """What to know where no file is contradicted: a number of containers that none declares;
        empty for a difference.
        """
        if self.what is not Setting.REPLICAS or self.declared is not None:
            return ""
        return (
            f"{self.service} has {self.live} containers on {self.host}, and its compose files "
            f"declare no number: `scale: {self.live}` there keeps them, `docker compose up` "
            "without `--scale` leaves 1"
        )


def drift(
    inventory: Inventory, projects: Mapping[str, DeclaredProject] | Mapping[str, Path] | None = None
) -> list[Drift]:
    """Every setting of every service that differs from its compose files, by service; what cannot
    be read is left out. What no file contradicts has a `note`.

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
    rows: list[Drift] = []
    replicas: dict[tuple[str, str], list[Container]] = {}
    services: dict[str, Service] = {}
    for container in inventory.containers:
        if container.project not in known or container.oneoff:
            continue
        service = known[container.project].service(container.service)
        if service is not None:
            rows += _of_container(container, service, inventory.host(container.host))
            services[container.key] = service
            replicas.setdefault((container.host, container.key), []).append(container)
    for (_, key), found in replicas.items():
        rows += _of_replicas(found, services[key])
    return sorted(rows, key=lambda row: (row.service, row.host, row.container, row.what))


def _of_container(container: Container, service: Service, host: Host) -> Iterator[Drift]:
    for what in _COMPARED:
        declared, origin = declared_value(service, what)
        live = live_value(container, what)
        if what is Setting.MEMORY_SWAP and declared is None:
            continue  # the Engine then chooses it
        if what is Setting.ULIMITS and host.podman and isinstance(live, dict):
            named = declared if isinstance(declared, dict) else {}  # the rest is Podman's default
            live = {name: live[name] for name in named if name in live} or None
        if not _same(what, live, declared, host.cores):
            yield Drift(
                container.key,
                container.host,
                container.name,
                what,
                live,
                declared,
                str(origin or service.where() or ""),
            )


def _of_replicas(found: Sequence[Container], service: Service) -> Iterator[Drift]:
    """`up` counts what is stopped too, and makes or removes the rest."""
    declared, origin = declared_value(service, Setting.REPLICAS)
    if len(found) != service.replicas:
        yield Drift(
            found[0].key,
            found[0].host,
            "",
            Setting.REPLICAS,
            len(found),
            declared,
            str(origin or service.where() or ""),
        )


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
        return abs(min(number, whole) - min(other, whole)) < CORES_APART
    return live == declared
