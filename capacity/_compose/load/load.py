"""From files to one merged model: interpolation, `extends`, `include`, overrides, in Compose's
order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from capacity._common.files import cause_of, read_bounded
from capacity._compose.check.consistency import check_resources
from capacity._compose.check.validate import check_shape, hollow
from capacity._compose.load.canonical import canonical, defaults
from capacity._compose.load.dotenv import read_env_file
from capacity._compose.load.interpolate import Variables, interpolate
from capacity._compose.load.merge import extend_service, is_unique, merge_models, unique
from capacity._compose.load.relative import absolute, resolve_paths
from capacity._compose.yaml.nodes import Origin, parse_documents
from capacity._compose.yaml.tree import Items, Map, build, clone, remove_node, reset_paths
from capacity._compose.yaml.tree import Path as Keys
from capacity.errors import ComposeError

__all__ = ["LoadOptions", "Reader", "load_model", "read_documents", "read_text", "reader_of"]

Reader = Callable[[Path], str]
"""Gives the text of a compose file, or raises `ComposeError`."""

_FILLED_IN = {"configs": "content", "secrets": "x-content"}  # files have no content of secrets
_SECTIONS = ("services", "volumes", "networks", "secrets", "configs")


def read_text(file: Path) -> str:
    """The text of a file.

    Raises:
        ComposeError: unreadable.
    """
    try:
        return read_bounded(file).decode().replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ComposeError(
            f"Cannot read {file}: {cause_of(error)}", "Name a compose file"
        ) from error


def reader_of(texts: Mapping[Path, str]) -> Reader:
    """A reader of texts, with the line breaks of any system, and of the disk for all other
    files.
    """

    def read(file: Path) -> str:
        text = texts.get(file)
        return read_text(file) if text is None else text.replace("\r\n", "\n").replace("\r", "\n")

    return read


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a set of files is read with: the folder that paths are relative to, the variables, and
    the files on the way here.

    `user_home` is what `~` stands for; empty when nobody says it. `read` gives the text of a file.
    """

    folder: Path
    variables: Variables
    included: tuple[Path, ...] = ()
    lookup: Path | None = None
    user_home: str = ""
    read: Reader = read_text

    @property
    def beside(self) -> Path:
        """The folder in which `extends` and `include` look for files."""
        return self.lookup or self.folder


@dataclass(frozen=True, slots=True)
class _Document:
    """A YAML document with its variables put in, and the paths that `!reset` and `!override`
    name.
    """

    model: Map
    resets: list[Keys]
    file: Path


def load_model(files: Iterable[Path], settings: LoadOptions) -> Map:
    """The merged model of files in their order, in long syntax with absolute paths.

    Raises:
        ComposeError: unreadable, or refused by Compose too.
    """
    model = Map()
    for file in files:
        for document in read_documents(file, settings):
            model = _laid_on(model, document, settings)
    if not model:
        raise ComposeError(f"{', '.join(map(str, files))}: empty compose file", "Declare services")
    check_resources(defaults(model))
    return resolve_paths(model, settings.folder, settings.user_home)


def read_documents(file: Path, settings: LoadOptions) -> list[_Document]:
    """The documents of a file.

    Raises:
        ComposeError: unreadable, no YAML, no mapping.
    """
    text = settings.read(file)
    version = re.search(r"^%YAML[ \t]+(\S+)", text, re.MULTILINE)
    if version and version[1] != "1.1":
        line = text.count("\n", 0, version.start()) + 1
        raise ComposeError(
            f"{file}:{line}: Compose reads no YAML {version[1]}", "Remove the %YAML line"
        )
    found = []
    for node in parse_documents(text, str(file)):
        model = build(node)
        if not isinstance(model, Map):
            raise ComposeError(
                f"{node.origin}: the top level must be a mapping",
                "Declare services",
                origin=node.origin,
            )
        resets = list(reset_paths(node))
        found.append(_Document(interpolate(model, settings.variables), resets, file))
    return found


def _laid_on(model: Map, document: _Document, settings: LoadOptions) -> Map:
    over = document.model
    _extend(document, settings)
    remove_node(model, document.resets)
    if "include" in over:
        _include(over, document.file, settings)
    hollow(model, is_unique)
    merged = unique(merge_models(model, over))
    check_shape(merged)
    merged.pop("version", None)
    result = unique(canonical(merged))
    assert isinstance(result, Map)
    return result


def _extend(document: _Document, settings: LoadOptions) -> None:
    services = document.model.get("services")
    if "services" not in document.model:
        return
    if not isinstance(services, Map):
        origin = document.model.origin("services")
        raise ComposeError(
            f"{origin}: services must be a mapping",
            "Write a name and a colon before each service",
            origin=origin,
        )
    for name in list(services):
        dict.__setitem__(services, name, _extended(name, services, document, settings, ()))


def _extended(
    name: str,
    services: Map,
    document: _Document,
    settings: LoadOptions,
    chain: tuple[tuple[Path, str], ...],
) -> Any:
    service, origin = services.get(name), services.origin(name)
    if service is None:
        return None
    if not isinstance(service, Map):
        raise ComposeError(
            f"{origin}: services.{name} must be a mapping", "Write its keys below it", origin=origin
        )
    if "extends" not in service:
        return service
    reference, other = _reference(service["extends"], origin)
    step = (document.file, name)
    if step in chain:
        raise ComposeError(
            f"{origin}: service {name!r} extends itself by way of others",
            "Break the circle",
            origin=origin,
        )
    source, source_services, beside = document, services, settings
    if other is not None:
        source, source_services, beside = _other_file(other, settings, origin)
    if reference not in source_services:
        raise ComposeError(
            f"{origin}: cannot extend service {reference!r} of {source.file}: not found",
            "Correct its name",
            origin=origin,
        )
    base = _extended(reference, source_services, source, beside, (*chain, step))
    if base is None:
        return service
    if not isinstance(base, Map):
        raise ComposeError(
            f"{origin}: the service {reference!r} is no mapping",
            "Write its keys below it",
            origin=origin,
        )
    inherited = clone(base)
    remove_node(Map({"services": Map({name: inherited})}), document.resets)
    merged = extend_service(inherited, service)
    merged.pop("extends", None)
    return merged


def _reference(wanted: Any, origin: Origin | None) -> tuple[str, str | None]:
    """The service that `extends` names, and the file when it is another one."""
    name, other = (
        (wanted.get("service"), wanted.get("file")) if isinstance(wanted, Map) else (wanted, None)
    )
    if not isinstance(name, str) or not isinstance(other, (str, type(None))):
        raise ComposeError(
            f"{origin}: extends must name a service, and a file at most",
            "Write service and file",
            origin=origin,
        )
    return name, other


def _other_file(
    name: str, settings: LoadOptions, origin: Origin | None
) -> tuple[_Document, Map, LoadOptions]:
    file = absolute(name, settings.beside)
    documents = read_documents(file, settings)
    services = documents[-1].model.get("services") if documents else None
    if not isinstance(services, Map):
        raise ComposeError(
            f"{origin}: {file} has no services to extend", "Correct the file's name", origin=origin
        )
    model = canonical(unique(documents[-1].model))
    resolve_paths(model, file.parent, settings.user_home, settings.folder)
    return replace(documents[-1], model=model), services, replace(settings, lookup=file.parent)


def _include(model: Map, file: Path, settings: LoadOptions) -> None:
    wanted, origin = model.pop("include"), model.origin("include")
    if wanted is not None and not isinstance(wanted, Items):
        raise ComposeError(
            f"{origin}: include must be a list", "Write one file an item", origin=origin
        )
    for entry in wanted or []:
        long = entry if isinstance(entry, Map) else Map({"path": entry})
        files = [absolute(path, settings.beside) for path in _texts(long, "path", origin)]
        if not files:  # Compose takes an entry without a path for none
            continue
        if any(path in {*settings.included, file} for path in files):
            raise ComposeError(
                f"{origin}: include cycle by way of {files[0]}", "Break the circle", origin=origin
            )
        folders = [
            absolute(path, settings.folder)
            for path in _texts(long, "project_directory", origin)
            if path
        ]
        folder = folders[0] if folders else files[0].parent
        names = [absolute(path, settings.folder) for path in _texts(long, "env_file", origin)]
        if not names and (folder / ".env").is_file():
            names = [folder / ".env"]
        variables = dict(settings.variables)
        for name in names:
            variables = {**read_env_file(name, variables), **variables}
        inner = replace(
            settings,
            folder=folder,
            variables=variables,
            included=(*settings.included, file),
            lookup=None,
        )
        _import(model, _filled_in(load_model(files, inner), variables), file)


def _filled_in(included: Map, variables: Variables) -> Map:
    """A model to include with the contents that variables give its secrets and configs: Compose
    compares them with those of the same names, and takes no config that says both.
    """
    for section, key in _FILLED_IN.items():
        for resource in (included.get(section) or {}).values():
            name = resource.get("environment")
            if name in variables:
                resource[key] = variables[name]
    return included


def _texts(holder: Map, name: str, origin: Origin | None) -> list[str]:
    """One text or several."""
    value = holder.get(name)
    items = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        cause = f"{origin}: {name} of an include must be text"
        raise ComposeError(cause, f"Write {name} as a text or a list of texts", origin=origin)
    return items


def _import(model: Map, included: Map, file: Path) -> None:
    for section in _SECTIONS:
        for name, resource in (included.get(section) or {}).items():
            into = model.setdefault(section, Map())
            if not isinstance(into, Map):
                raise ComposeError(
                    f"{file}: {section} must be a mapping", "Write names and values below it"
                )
            if name in into and into[name] != resource:
                origin = into.origin(name)
                raise ComposeError(
                    f"{origin or file}: {section}.{name} conflicts with an included one",
                    "Rename one of the two",
                    origin=origin,
                )
            into.put(name, resource, included[section].origin(name))
