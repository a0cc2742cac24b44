"""The edits of compose files that changes ask for, each in the file where the service's value stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from capacity.changes.edit import edit_compose
from capacity.changes.files import read_bytes
from capacity.changes.limits import swap_with
from capacity.changes.plan import PlannedChange
from capacity.changes.values import compose_settings
from capacity.errors import ChangeRefused, EditRefused, StorageError
from capacity.inventory.compose import Service
from capacity.inventory.declared import Declared, declared_value
from capacity.model import ServiceKey, Value, What

__all__ = ["edit_service"]


def edit_service(
    declared: Declared, service: str, changes: Iterable[PlannedChange], texts: Mapping[Path, str] | None = None
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
        raise ChangeRefused(f"{service}: its compose files do not declare it", declared.missing or "Take a new snapshot")
    by_file: dict[Path, list[tuple[What, Value, Value]]] = {}
    for change in changes:
        origin = declared_value(found, change.what)[1] or found.where()
        path = Path(origin.file) if origin else declared.files[0]
        by_file.setdefault(path, []).append((change.what, change.before, change.after))
    edited = {}
    for path, wanted in by_file.items():
        before = (texts or {}).get(path)
        before = _text(path) if before is None else before
        settings = {**compose_settings(wanted), **_swap_beside(found, wanted)}
        try:
            edited[path] = (before, edit_compose(before, {name: settings}))
        except EditRefused as error:
            raise EditRefused(f"{path}: {error.message}", error.hint, service=error.service, reason=error.reason) from error
    return edited


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is no UTF-8 text", "Edit it by hand") from error


def _swap_beside(service: Service, wanted: Iterable[tuple[What, Value, Value]]) -> dict[str, int]:
    """A declared `memswap_limit` moves with the memory, as it does on the container."""
    swap = service.resources.memory_swap
    to = {what: after for what, _, after in wanted}
    memory = to.get(What.MEMORY)
    if not swap or swap == -1 or What.MEMORY_SWAP in to or not isinstance(memory, (int, float)):
        return {}
    return {"memswap": swap_with(service.resources.memory, swap, int(memory))}
