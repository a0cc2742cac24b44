"""What services take over from each other by `extends`, and by anchors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from capacity._common.plain_data import PlainMapping
from capacity._compose.load.load import reader_of
from capacity._compose.yaml.nodes import Alias, Node, Scalar, children, parse_documents, target
from capacity._compose.yaml.nodes import Mapping as MappingNode

__all__ = ["bases_of", "extended", "extenders"]

_OWN_NAMES = {f"{stem}.{end}" for stem in ("compose", "docker-compose") for end in ("yaml", "yml")}


def extended(services: PlainMapping, name: str, file: str | None) -> PlainMapping:
    """A service with what it takes over from others of the file, mappings merged.

    Args:
        services: the file's services.
        name: of the service.
        file: the file's name; None for any of Compose's own.
    """
    whole: PlainMapping = {}
    seen: set[str] = set()
    base: str | None = name
    while base is not None and base not in seen:
        seen.add(base)
        said = services.get(base)
        whole = _under(whole, said) if isinstance(said, dict) else whole
        base = _base(said, file)
    return whole


def extenders(services: PlainMapping, base: str, file: str | None) -> Iterator[str]:
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


def _under(above: PlainMapping, below: PlainMapping) -> PlainMapping:
    """Two mappings in one, the first has the last word."""
    merged = {**below, **above}
    for key, value in above.items():
        under = below.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            merged[key] = _under(value, under)
    return merged


def bases_of(files: Iterable[Path], texts: Mapping[Path, str]) -> dict[str, set[str]]:
    """Service -> all services that it may take values over from, at any distance; a heir has more
    of them than any of its bases.

    Args:
        files: every compose file of a project.
        texts: file -> text that stands for what is on disk.

    Raises:
        ComposeError: a file is unreadable.
    """
    direct: dict[str, set[str]] = {}
    for path in files:
        for root in map(target, parse_documents(reader_of(texts)(path), str(path))):
            services = target(root.get("services")) if isinstance(root, MappingNode) else None
            if isinstance(services, MappingNode):
                for name, found in _direct(services):
                    direct.setdefault(name, set()).update(found - {name})
    return {name: _closure(direct, name) - {name} for name in direct}


def _direct(services: MappingNode) -> Iterator[tuple[str, set[str]]]:
    bodies = {key.text: body for key, body in services.entries if isinstance(key, Scalar)}
    for name, body in bodies.items():
        found = {
            other
            for alias in _aliases(body)
            for other, place in bodies.items()
            if alias.target is not None and place.start <= alias.target.start < place.end
        }
        said = target(body.get("extends")) if isinstance(body, MappingNode) else None
        base = target(said.get("service")) if isinstance(said, MappingNode) else said
        yield name, found | ({base.text} if isinstance(base, Scalar) else set())


def _aliases(node: Node) -> Iterator[Alias]:
    if isinstance(node, Alias):
        yield node
    for child in children(node):
        yield from _aliases(child)


def _closure(direct: Mapping[str, set[str]], name: str) -> set[str]:
    found: set[str] = set()
    open_ends = [name]
    while open_ends:
        end = open_ends.pop()
        if end not in found:
            found.add(end)
            open_ends += direct.get(end, ())
    return found
