"""Relative paths made absolute, in the places where Compose does."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capacity._compose.load.short_syntax import clean
from capacity._compose.yaml.tree import Items, Map
from capacity.errors import ComposeError

__all__ = ["absolute", "resolve_paths"]

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@", "service:")
_WINDOWS = re.compile(
    r"[A-Za-z]:[/\\]|[/\\]{2}[^/\\.][^/\\]*[/\\][^/\\.][^/\\]*[/\\]"
)  # a drive, or a server and its share


@dataclass(frozen=True, slots=True)
class _Place:
    """The folder that paths are relative to, and the home directory that `~` stands for; without
    one `~` is a name.
    """

    folder: Path
    user_home: str
    project: Path | None = None

    def joined(self, name: str) -> str:
        """A path as seen from the folder."""
        if name.startswith("~") and self.user_home:
            name = clean(posixpath.join(self.user_home, name[1:].lstrip("/")))
        return name if name.startswith("/") else clean(posixpath.join(str(self.folder), name))

    def env_file(self, path: Any) -> Any:
        """A path as seen from the project's folder if that is given: files are the same only if
        their paths, as Compose sees them then, are.
        """
        if self.project is None or not isinstance(path, str) or path.startswith(("/", "~")):
            return self.filled(path)
        return os.path.relpath(self.joined(path), self.project) if path else path

    def filled(self, path: Any) -> Any:
        """The same; an empty path stays empty."""
        return self.joined(path) if isinstance(path, str) and path else path

    def unix(self, path: Any) -> Any:
        """The same, an empty path too, but paths of Windows stay as they are."""
        return self.joined(path) if isinstance(path, str) and not _WINDOWS.match(path) else path

    def context(self, path: Any) -> Any:
        """The same, but what a builder fetches from elsewhere stays as it is."""
        return (
            path
            if isinstance(path, str) and ("://" in path or path.startswith(_REMOTE))
            else self.filled(path)
        )


def absolute(name: str, folder: Path, user_home: str = "") -> Path:
    """A path as seen from a folder, with `~` for the home directory."""
    return Path(_Place(folder, user_home).joined(name))


def resolve_paths(model: Map, folder: Path, user_home: str, project: Path | None = None) -> Map:
    """The model with absolute paths, changed in place.

    Args:
        model: of a file.
        folder: that its paths are relative to.
        user_home: what `~` stands for.
        project: the project's folder where a service of it extends the file: env files stay
            relative, but to that.

    Raises:
        ComposeError: a bind mount without a source.
    """
    place = _Place(folder, user_home, project)
    for service in _maps(model.get("services")):
        _service(service, place)
    for section in ("configs", "secrets"):
        for resource in _maps(model.get(section)):
            _put(resource, "file", place.unix)
    for volume in _maps(model.get("volumes")):
        options = volume.get("driver_opts") if volume.get("driver") == "local" else None
        if isinstance(options, Map) and options.get("o") == "bind":
            _put(options, "device", place.unix)
    return model


def _maps(value: Any) -> list[Map]:
    """The mappings in a list or a mapping; a base of `extends` may hold anything else beside
    them.
    """
    items = (
        list(value.values())
        if isinstance(value, Map)
        else value
        if isinstance(value, Items)
        else []
    )
    return [item for item in items if isinstance(item, Map)]


def _put(holder: Map, name: str, rule: Callable[[Any], Any]) -> None:
    """Rewrite a value and leave its origin; dict's own way, because nothing else about it
    changes.
    """
    if name in holder:
        dict.__setitem__(holder, name, rule(holder[name]))


def _service(service: Map, place: _Place) -> None:
    _build(service.get("build"), place)
    for item in _maps(service.get("env_file")):
        _put(item, "path", place.env_file)
    develop = service.get("develop")
    for watch in _maps(develop.get("watch") if isinstance(develop, Map) else None):
        _put(
            watch,
            "path",
            lambda path: (
                os.path.realpath(place.joined(path)) if isinstance(path, str) and path else path
            ),
        )
    if isinstance(service.get("label_file"), Items):
        service["label_file"][:] = [place.filled(name) for name in service["label_file"]]
    for volume in _maps(service.get("volumes")):
        if volume.get("type") == "bind":
            if not isinstance(volume.get("source"), str):
                origin = volume.origin("type")
                raise ComposeError(
                    f"{origin or 'volumes'}: a bind mount has no source",
                    "Name the source",
                    origin=origin,
                )
            _put(volume, "source", place.unix)


def _build(build: Any, place: _Place) -> None:
    if not isinstance(build, Map):
        return
    _put(build, "context", place.context)
    for name, rule in (("additional_contexts", place.context), ("ssh", place.unix)):
        if isinstance(build.get(name), Map):
            for key in build[name]:
                _put(build[name], key, rule)
