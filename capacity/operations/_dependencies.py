"""What needs what, by the labels that Compose puts on containers, and the order in which services
start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from capacity._compose.declared import DeclaredProject
from capacity._docker.containers import Container, Inventory
from capacity.errors import InputError

__all__ = ["COMPLETED", "conditions", "dependencies", "in_order", "jobs", "not_awaited"]

COMPLETED = "service_completed_successfully"
"""The condition of a service that waits for a job's end."""


def conditions(
    container: Container, projects: Mapping[str, DeclaredProject] | None = None
) -> dict[str, str]:
    """Service of its project -> what the container was made to wait for: `service_started`,
    `service_healthy`, ...

    The label reads `db:service_healthy:false,cache:service_started:true`. Compose leaves it empty
    where it made one service alone (`--no-deps`), as we do: then the compose files tell.

    Args:
        container: the container.
        projects: what the files declare, from `declarations`.
    """
    parts = (
        part.split(":")
        for part in container.labels.get("com.docker.compose.depends_on", "").split(",")
        if part
    )
    said = {name: rest[0] if rest else "service_started" for name, *rest in parts}
    declared = (projects or {}).get(container.project)
    service = declared.service(container.service) if declared is not None and not said else None
    return said if service is None else dict(service.depends_on)


def dependencies(
    containers: Iterable[Container], projects: Mapping[str, DeclaredProject] | None = None
) -> dict[str, list[str]]:
    """Service -> what it depends on."""
    return {
        container.key: [f"{container.project}/{name}" for name in conditions(container, projects)]
        for container in containers
    }


def jobs(
    containers: Iterable[Container], projects: Mapping[str, DeclaredProject] | None = None
) -> set[str]:
    """Services whose end is what others wait for: they are well when they have ended with 0, and
    need no second run.
    """
    needs = [(container.project, conditions(container, projects)) for container in containers]
    return {
        f"{project}/{name}"
        for project, wanted in needs
        for name, what in wanted.items()
        if what == COMPLETED
    }


def not_awaited(
    container: Container,
    lines: Iterable[str],
    inventory: Inventory,
    declared: Mapping[str, str] | None = None,
) -> dict[str, str | None]:
    """Services that a container needs whose health is checked and not waited for -> the present
    condition, None = none.

    Args:
        container: the container; what it needs are the services of its label, and those of its
            project that the lines name.
        lines: what it said when it ended.
        inventory: everything that runs.
        declared: what its compose file makes it wait for; by default the label's, which a start
            without dependencies loses.
    """
    said, text = conditions(container) if declared is None else declared, "\n".join(lines)
    needs = dependencies(inventory.containers)
    found: dict[str, str | None] = {}
    for other in inventory.containers:
        name = other.service
        beside = (other.project, other.host) == (
            container.project,
            container.host,
        ) and name != container.service
        named = (
            name in said or re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None
        )
        early = said.get(name) in {None, "service_started"}
        if (
            beside
            and other.health
            and named
            and early
            and container.key not in _needed_by(other.key, needs)
        ):
            found[name] = said.get(name)
    return found


def _needed_by(key: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Everything that a service needs, at any distance: none of it may wait for the service."""
    found: set[str] = set()
    open_ends = [key]
    while open_ends:
        more = set(needs.get(open_ends.pop(), ())) - found
        found |= more
        open_ends += more
    return found


def in_order(services: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Dependencies before dependents (depth first)."""
    order: list[str] = []
    path: list[str] = []

    def visit(key: str) -> None:
        if key in order:
            return
        if key in path:
            raise InputError(
                f"The services depend on each other in a circle: {' -> '.join([*path, key])}",
                "Break it",
            )
        path.append(key)
        for each in needs.get(key, ()):
            visit(each)
        path.pop()
        order.append(key)

    for service in services:
        visit(service)
    return order
