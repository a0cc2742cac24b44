"""The host's paths that services of compose files mount."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from capacity.compliance._facts.facts import DeclaredService

__all__ = ["host_paths"]


def host_paths(declared: DeclaredService) -> Iterator[tuple[str, str]]:
    """The host's paths that a service mounts, each with its place in the service; those of the
    services whose volumes it takes stand at that.
    """
    yield from _own_host_paths(declared)
    for number, source in enumerate(declared.service.model.get("volumes_from", [])):
        for lender in _lenders(declared, source):
            for _, path in _own_host_paths(lender):
                yield f"volumes_from.{number}", path


def _lenders(declared: DeclaredService, source: str) -> Iterator[DeclaredService]:
    """The service that volumes are taken from, and those that it takes some from, each once."""
    waiting, known = [source], set[str]()
    while waiting:
        name = waiting.pop()
        other = declared.project.services.get(name.partition(":")[0])
        if other is None or other.name in known or name.startswith("container:"):
            continue
        known.add(other.name)
        yield replace(declared, service=other)
        waiting += other.model.get("volumes_from", [])


def _own_host_paths(declared: DeclaredService) -> Iterator[tuple[str, str]]:
    """By binds, by named volumes that bind one, and as configs and secrets."""
    model = declared.project.model
    for number, volume in enumerate(declared.service.volumes):
        path = volume.source
        if volume.type not in {"bind", "npipe"}:
            options = (model.get("volumes", {}).get(path) or {}).get("driver_opts") or {}
            path = str(options.get("device") or "")
        yield f"volumes.{number}", path
    service = declared.service.model
    for key, given, resources in (
        ("configs", service.get("configs", []), model.get("configs", {})),
        ("secrets", service.get("secrets", []), model.get("secrets", {})),
    ):
        for number, item in enumerate(given):
            yield f"{key}.{number}", resources.get(item.get("source", ""), {}).get("file", "")
