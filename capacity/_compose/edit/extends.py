"""What services of one file take over from each other by `extends`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

__all__ = ["extended", "extenders"]

_OWN_NAMES = {f"{stem}.{end}" for stem in ("compose", "docker-compose") for end in ("yaml", "yml")}


def extended(services: dict[str, Any], name: str, file: str | None) -> dict[str, Any]:
    """A service with what it takes over from others of the file, mappings merged.

    Args:
        services: the file's services.
        name: of the service.
        file: the file's name; None for any of Compose's own.
    """
    whole: dict[str, Any] = {}
    seen: set[str] = set()
    base: str | None = name
    while base is not None and base not in seen:
        seen.add(base)
        said = services.get(base)
        whole = _under(whole, said) if isinstance(said, dict) else whole
        base = _base(said, file)
    return whole


def extenders(services: dict[str, Any], base: str, file: str | None) -> Iterator[str]:
    """The other services that extend this one, at first hand."""
    return (
        name for name, service in services.items() if name != base and _base(service, file) == base
    )


def _base(service: Any, file: str | None) -> str | None:
    """The service of this very file that another extends."""
    said = service.get("extends") if isinstance(service, dict) else None
    if isinstance(said, dict):
        other = said.get("file")
        if other and not _is_this(str(other), file):
            return None
        said = said.get("service")
    return said if isinstance(said, str) else None


def _is_this(other: str, file: str | None) -> bool:
    path = PurePosixPath(other)
    return len(path.parts) == 1 and (path.name == file if file else path.name in _OWN_NAMES)


def _under(above: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
    """Two mappings in one, the first has the last word."""
    merged = {**below, **above}
    for key in above.keys() & below.keys():
        if isinstance(above[key], dict) and isinstance(below[key], dict):
            merged[key] = _under(above[key], below[key])
    return merged
