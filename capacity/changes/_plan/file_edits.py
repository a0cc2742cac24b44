"""The edits of compose files that changes ask for, judged on the whole project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from capacity._common.setting_values import compose_settings
from capacity._compose import Project, Service
from capacity._compose.declared import DeclaredProject
from capacity._compose.edit.files import read_exactly
from capacity._compose.edit.project import edit_project, reload
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._docker.update import swap_with
from capacity.changes._plan.plan import PlannedChange
from capacity.errors import ChangeRefused
from capacity.model import ServiceKey, Setting, Value

__all__ = ["edit_service", "settings_of"]


def edit_service(
    declared: DeclaredProject,
    service: str,
    changes: Iterable[PlannedChange],
    texts: Mapping[Path, str] | None = None,
) -> dict[Path, tuple[str, str]]:
    """Compose file -> its text before and after some changes of one service.

    Args:
        declared: the service's project.
        service: `project/service`.
        changes: what to set on it.
        texts: file -> text to start from instead of what is on disk.

    Raises:
        EditRefused: the edit could not be made exactly; the message names file and service.
        ChangeRefused: the project cannot be loaded, or does not declare the service.
        StorageError: a file cannot be read.
    """
    name = ServiceKey.parse(service).service
    project = reload(declared, texts or {})
    found = project.services.get(name)
    if found is None:
        raise ChangeRefused(
            f"{service}: its compose files do not declare it", "Take a new snapshot"
        )
    settings = settings_of(
        project, name, [(change.what, change.before, change.after) for change in changes]
    )
    edited = edit_project(declared, project, name, settings, texts or {})
    start = {path: (texts or {}).get(path) for path in edited}
    return {
        path: (read_exactly(path) if (text := start[path]) is None else text, after)
        for path, after in edited.items()
    }


def settings_of(
    project: Project, name: str, wanted: list[tuple[Setting, Value, Value]]
) -> dict[str, Any]:
    """What `edit_compose` is to set for changes of a service, and what has to move with it.

    Raises:
        EditRefused: the Engine would refuse the values together, or Compose what is awaited.
    """
    service = project.services[name]
    _check_together(service, wanted)
    _check_awaited(project, name, wanted)
    return {
        **compose_settings(wanted),
        **_swap_beside(service, wanted),
        **_switched_on(service, wanted),
    }


def _check_together(service: Service, wanted: Iterable[tuple[Setting, Value, Value]]) -> None:
    """Refuse what the Engine would refuse at the next start, although each value is good by
    itself.
    """
    to = {what: after for what, _, after in wanted}
    resources = service.resources

    def size(what: Setting, present: int | None) -> float | None:
        value = to.get(what, present)
        return value if isinstance(value, (int, float)) else None

    limit, reserved = (
        size(Setting.MEMORY, resources.memory),
        size(Setting.RESERVATION, resources.memory_reservation),
    )
    swap = size(Setting.MEMORY_SWAP, None)
    if limit and reserved and limit < reserved:
        raise refuse(
            EditReason.BELOW_RESERVATION, service.name, f"{limit:.0f} < {reserved:.0f} bytes"
        )
    if limit and swap and 0 < swap < limit:
        raise refuse(EditReason.ABOVE_SWAP, service.name, f"{limit:.0f} > {swap:.0f} bytes")


def _check_awaited(
    project: Project, name: str, wanted: Iterable[tuple[Setting, Value, Value]]
) -> None:
    """Refuse to wait for what is not there, or for what waits for this service itself: Compose
    would take the file no more.
    """
    services = project.services
    for what, _, after in wanted:
        for other in after if what is Setting.DEPENDS_ON and isinstance(after, dict) else ():
            if other not in services:
                raise refuse(EditReason.BAD_VALUE, name, f"there is no service {other} to wait for")
            if name in _needs(services, other):
                raise refuse(EditReason.BAD_VALUE, name, f"{other} waits for {name}")


def _needs(services: Mapping[str, Service], name: str) -> set[str]:
    """A service and everything that it waits for, at any distance."""
    found: set[str] = set()
    open_ends = [name]
    while open_ends:
        end = open_ends.pop()
        if end not in found and end in services:
            found.add(end)
            open_ends += services[end].depends_on
    return found


def _swap_beside(
    service: Service, wanted: Iterable[tuple[Setting, Value, Value]]
) -> dict[str, int]:
    """A declared `memswap_limit` moves with the memory, as it does on the container."""
    swap = service.resources.memory_swap
    to = {what: after for what, _, after in wanted}
    memory = to.get(Setting.MEMORY)
    if not swap or swap == -1 or Setting.MEMORY_SWAP in to or not isinstance(memory, (int, float)):
        return {}
    return {"memswap": swap_with(service.resources.memory, swap, int(memory))}


def _switched_on(
    service: Service, wanted: Iterable[tuple[Setting, Value, Value]]
) -> dict[str, dict[str, object]]:
    """A health check that `disable` switches off needs more than a test to run."""
    check = next((after for what, _, after in wanted if what is Setting.HEALTH_CHECK), None)
    off = service.healthcheck is not None and service.healthcheck.disable
    if not off or not isinstance(check, dict) or "disable" in check:
        return {}
    return {"healthcheck": {**check, "disable": False}}
