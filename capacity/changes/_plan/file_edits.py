"""The edits of compose files that changes ask for, judged on the whole project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from capacity._common.setting_values import compose_settings
from capacity._compose import Project, Service
from capacity._compose.declared import DeclaredProject
from capacity._compose.edit.extends import bases_of
from capacity._compose.edit.files import read_exactly
from capacity._compose.edit.project import edit_project, edit_services_together, reload
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._docker.update import swap_with
from capacity.changes._plan.plan import PlannedChange
from capacity.errors import CapacityError, ChangeRefused, EditRefused
from capacity.model import ServiceKey, Setting, Value

__all__ = ["Edits", "edit_service", "edit_services", "settings_of"]


Edits = dict[Path, tuple[str, str]]
"""Compose file -> its text before and after."""


def edit_service(
    declared: DeclaredProject,
    service: str,
    changes: Iterable[PlannedChange],
    texts: Mapping[Path, str] | None = None,
) -> Edits:
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
    known = texts or {}
    project = reload(declared, known)
    name, settings = _settings(project, service, changes)
    return _beside(edit_project(declared, project, name, settings, known), known)


def edit_services(
    declared: DeclaredProject,
    changes: Mapping[str, Iterable[PlannedChange]],
    texts: Mapping[Path, str] | None = None,
) -> tuple[dict[str, Edits], dict[str, CapacityError]]:
    """The edits of some services of a project, each starting from the texts of the one before it,
    and those that could not be made, with the reason.

    All are judged at once, before and after; only when that fails are they halved until the one to
    blame is found. A service whose values others take over stands behind those others, and is
    tried again once another edit has succeeded: they may have values of their own by then.
    """
    known = texts or {}
    try:
        before = reload(declared, known)
        bases = bases_of(before.sources, known)
    except CapacityError as error:
        return {}, dict.fromkeys(changes, error)
    order = sorted(changes, key=lambda key: -len(bases.get(ServiceKey.parse(key).service, ())))
    done, refused = _halved(declared, before, {key: changes[key] for key in order}, known)
    while shared := [key for key, error in refused.items() if _is_shared(error)]:
        now = {**known, **_last(done)}
        again = {key: changes[key] for key in shared}
        more, still = _halved(declared, reload(declared, now), again, now)
        if not more:
            break
        done |= more
        refused = {key: error for key, error in refused.items() if key not in again} | still
    return done, refused


def _halved(
    declared: DeclaredProject,
    before: Project,
    changes: Mapping[str, Iterable[PlannedChange]],
    texts: Mapping[Path, str],
) -> tuple[dict[str, Edits], dict[str, CapacityError]]:
    """Some edits at once, else those of each half."""
    keys = [*changes]
    try:
        if len(keys) > 1:
            return _together(declared, before, changes, texts), {}
        return {key: edit_service(declared, key, changes[key], texts) for key in keys}, {}
    except CapacityError as error:
        if len(keys) == 1:
            return {}, {keys[0]: error}
    half = len(keys) // 2
    done, refused = _halved(declared, before, {key: changes[key] for key in keys[:half]}, texts)
    now = {**texts, **_last(done)}
    rest = {key: changes[key] for key in keys[half:]}
    more, too = _halved(declared, reload(declared, now) if done else before, rest, now)
    return {**done, **more}, {**refused, **too}


def _together(
    declared: DeclaredProject,
    before: Project,
    changes: Mapping[str, Iterable[PlannedChange]],
    texts: Mapping[Path, str],
) -> dict[str, Edits]:
    wanted = dict(_settings(before, key, some) for key, some in changes.items())
    edited = edit_services_together(declared, before, wanted, texts)
    now = dict(texts)
    done = {}
    for key, after in zip(changes, edited.values(), strict=True):
        done[key] = _beside(after, now)
        now |= after
    return done


def _settings(
    project: Project, key: str, changes: Iterable[PlannedChange]
) -> tuple[str, dict[str, object]]:
    """A service's name in its project, and what to set on it."""
    name = ServiceKey.parse(key).service
    if name not in project.services:
        raise ChangeRefused(f"{key}: its compose files do not declare it", "Take a new snapshot")
    wanted = [(change.what, change.before, change.after) for change in changes]
    return name, settings_of(project, name, wanted)


def _beside(edited: Mapping[Path, str], texts: Mapping[Path, str]) -> Edits:
    """The texts that some stand for, beside them."""
    return {
        path: (read_exactly(path) if (text := texts.get(path)) is None else text, after)
        for path, after in edited.items()
    }


def _last(done: Mapping[str, Edits]) -> dict[Path, str]:
    return {path: after for edits in done.values() for path, (_, after) in edits.items()}


def _is_shared(error: CapacityError) -> bool:
    return isinstance(error, EditRefused) and error.reason is EditReason.SHARED


def settings_of(
    project: Project, name: str, wanted: list[tuple[Setting, Value, Value]]
) -> dict[str, object]:
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
    sized = {Setting.MEMORY, Setting.RESERVATION} & to.keys()
    if sized and limit and reserved and limit < reserved:
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
