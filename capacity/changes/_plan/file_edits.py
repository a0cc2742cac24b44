"""The edits of compose files that changes ask for, each in the file where the service's value
stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from capacity._common.setting_values import compose_settings
from capacity._compose import Service
from capacity._compose.declared import DeclaredProject, declared_value
from capacity._compose.edit.edit import edit_compose
from capacity._compose.edit.files import read_bytes
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._docker.update import swap_with
from capacity.changes._plan.plan import PlannedChange
from capacity.errors import ChangeRefused, EditRefused, StorageError
from capacity.model import ServiceKey, Setting, Value

__all__ = ["edit_service"]


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
        ChangeRefused: the service is not in the files.
        StorageError: a file cannot be read.
    """
    name = ServiceKey.parse(service).service
    found = declared.service(name)
    if found is None:
        raise ChangeRefused(
            f"{service}: its compose files do not declare it",
            declared.missing or "Take a new snapshot",
        )
    by_file: dict[Path, list[tuple[Setting, Value, Value]]] = {}
    for change in changes:
        origin = declared_value(found, change.what)[1] or found.where()
        path = Path(origin.file) if origin else declared.files[0]
        by_file.setdefault(path, []).append((change.what, change.before, change.after))
    _check_together(found, [change for part in by_file.values() for change in part])
    _check_awaited(declared, name, [change for part in by_file.values() for change in part])
    edited = {}
    for path, wanted in by_file.items():
        before = (texts or {}).get(path)
        before = _text(path) if before is None else before
        settings = {**compose_settings(wanted), **_swap_beside(found, wanted)}
        try:
            edited[path] = (before, edit_compose(before, {name: settings}, file=path.name))
        except EditRefused as error:
            raise EditRefused(
                f"{path}: {error.message}", error.hint, service=error.service, reason=error.reason
            ) from error
    return edited


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
    if Setting.CPUS in to and (service.model.get("cpu_quota") or service.model.get("cpu_period")):
        raise refuse(EditReason.CPU_QUOTA, service.name)


def _check_awaited(
    declared: DeclaredProject, name: str, wanted: Iterable[tuple[Setting, Value, Value]]
) -> None:
    """Refuse to wait for what is not there, or for what waits for this service itself: Compose
    would take the file no more.
    """
    services = declared.project.services if declared.project else {}
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


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is no UTF-8 text", "Edit it by hand") from error


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
