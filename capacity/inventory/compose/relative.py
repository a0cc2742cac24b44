"""Relative paths made absolute, in the places where Compose does."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any

from capacity.errors import ComposeError
from capacity.inventory.compose.tree import Items, Map

__all__ = ["absolute", "resolve_paths"]

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@", "service:")


def absolute(name: str, folder: Path) -> Path:
    """A path as seen from a folder, with `~` for the home directory."""
    return Path(_joined(name, folder))


def _joined(name: str, folder: Path) -> str:
    if name.startswith("~"):
        name = posixpath.join(os.path.expanduser("~"), name[1:].lstrip("/"))  # noqa: PTH111 - a path that need not exist
    return posixpath.normpath(posixpath.join(str(folder), name)) if not name.startswith("/") else name


def resolve_paths(model: Map, folder: Path) -> Map:
    """The model with absolute paths, changed in place.

    Raises:
        ComposeError: a bind mount without a source.
    """
    for service in (model.get("services") or {}).values():
        if isinstance(service, Map):
            _service(service, folder)
    for section in ("configs", "secrets"):
        for resource in (model.get(section) or {}).values():
            if isinstance(resource, Map) and isinstance(resource.get("file"), str):
                dict.__setitem__(resource, "file", _unix(resource["file"], folder))
    for volume in (model.get("volumes") or {}).values():
        options = volume.get("driver_opts") if isinstance(volume, Map) and volume.get("driver") == "local" else None
        if options and options.get("o") == "bind" and isinstance(options.get("device"), str):
            dict.__setitem__(options, "device", _unix(options["device"], folder))
    return model


def _service(service: Map, folder: Path) -> None:
    _build(service.get("build"), folder)
    for items, name in ((service.get("env_file"), "path"), ((service.get("develop") or {}).get("watch"), "path")):
        for item in items or []:
            if isinstance(item, Map) and isinstance(item.get(name), str):
                path = _joined(item[name], folder)
                dict.__setitem__(item, name, path if items is service.get("env_file") else os.path.realpath(path))
    labels = service.get("label_file")
    if isinstance(labels, Items):
        labels[:] = [_joined(name, folder) for name in labels]
    for volume in service.get("volumes") or []:
        if isinstance(volume, Map) and volume.get("type") == "bind":
            if "source" not in volume:
                raise ComposeError("invalid mount config for type bind: field Source must not be empty", "Name the source")
            dict.__setitem__(volume, "source", _unix(volume["source"], folder))


def _build(build: Any, folder: Path) -> None:
    if not isinstance(build, Map):
        return
    for holder, name in (
        (build, "context"),
        *((build["additional_contexts"], key) for key in build.get("additional_contexts") or {}),
    ):
        if isinstance(holder.get(name), str) and not _is_remote(holder[name]):
            dict.__setitem__(holder, name, _joined(holder[name], folder) if holder[name] else "")


def _is_remote(context: str) -> bool:
    return "://" in context or context.startswith(_REMOTE)


def _unix(path: Any, folder: Path) -> Any:
    if not isinstance(path, str) or path[1:3] in {":\\", ":/"} or path.startswith("\\\\"):
        return path
    return _joined(path, folder)
