"""The merged model finished: variables of the environment, env files, implied networks and
dependencies, profiles.
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

from capacity._compose.load.dotenv import read_env_file
from capacity._compose.load.interpolate import Variables
from capacity._compose.load.merge import go_text
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Items, Map
from capacity.errors import ComposeError

__all__ = ["key_values", "settle"]

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")


def settle(model: Map, project: str, variables: Variables, profiles: tuple[str, ...]) -> Map:
    """The model as Compose would act on it, changed in place: only services of the profiles asked
    for.

    Raises:
        ComposeError: an env file that must be there and is not.
    """
    model["name"] = project
    services = model.get("services") or Map()
    model["services"] = services
    for service in services.values():
        _imply_networks(service)
        _imply_dependencies(service)
        _texts(service, variables)
    _imply_default(model)
    for name in list(services):
        if not _is_on(services[name], profiles):
            del services[name]
    for service in services.values():
        _read_env_files(service, variables)
        _read_label_files(service)
    for section in ("networks", "volumes", "configs", "secrets"):
        _name_resources(model, section, project)
    return model


def _is_on(service: Map, profiles: tuple[str, ...]) -> bool:
    return (
        not service.get("profiles") or "*" in profiles or bool({*service["profiles"]} & {*profiles})
    )


def _imply_networks(service: Map) -> None:
    apart = "network_mode" in service or "provider" in service  # a provider runs no container
    if not apart and not service.get("networks"):
        service["networks"] = Map({"default": None})


def _imply_default(model: Map) -> None:
    used = any(
        "default" in (service.get("networks") or {})
        for service in model["services"].values()
        if "network_mode" not in service
    )
    if used and "default" not in (model.get("networks") or {}):
        networks = model.get("networks") or Map()
        networks["default"] = None
        model["networks"] = networks


def _imply_dependencies(service: Map) -> None:
    needed: dict[str, bool] = {}
    for link in service.get("links") or []:
        needed.setdefault(link.split(":")[0] if link.count(":") == 1 else link, True)
    for name in _NAMESPACES:
        value = service.get(name)
        if isinstance(value, str) and value.startswith("service:"):
            needed.setdefault(value.removeprefix("service:"), True)
    for source in service.get("volumes_from") or []:
        if not source.startswith("container:"):
            needed.setdefault(source.split(":")[0], False)
    if not needed:
        return
    depends_on = service.setdefault("depends_on", Map())
    for name, restart in needed.items():
        depends_on.setdefault(
            name,
            Map(
                {
                    "condition": "service_started",
                    "required": True,
                    **({"restart": True} if restart else {}),
                }
            ),
        )


def _texts(service: Map, variables: Variables) -> None:
    _build_texts(service.get("build"), variables)
    if "environment" in service:
        service.put(
            "environment",
            _filled(key_values(service["environment"]), variables, keep=True),
            service.origin("environment"),
        )
    for holder, name in (
        (service, "labels"),
        (service, "annotations"),
        (service.get("deploy") or Map(), "labels"),
    ):
        if name in holder:
            holder.put(name, key_values(holder[name], empty=""), holder.origin(name))
    for volume in service.get("volumes") or []:
        if isinstance(volume, Map) and isinstance(volume.get("target"), str):
            volume["target"] = posixpath.normpath(volume["target"])
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"


def _build_texts(build: Any, variables: Variables) -> None:
    if not isinstance(build, Map):
        return
    build.setdefault("context", ".")
    if build.get("dockerfile") is None and build.get("dockerfile_inline") is None:
        build["dockerfile"] = "Dockerfile"
    if "args" in build:
        build["args"] = _filled(key_values(build["args"]), variables, keep=False)
    if "labels" in build:
        build["labels"] = key_values(build["labels"], empty="")


def key_values(value: Any, *, empty: str | None = None) -> Map:
    """Names and texts of a mapping or of NAME=value items; a name alone has the value `empty`."""
    result = Map()
    if isinstance(value, Map):
        for name, item in value.items():
            result.put(name, empty if item is None else go_text(item), value.origin(name))
    elif isinstance(value, Items):
        for item, origin in zip(value, value.origins, strict=True):
            name, sign, text = str(item).partition("=")
            result.put(name, text if sign else empty, origin)
    return result


def _filled(values: Map, variables: Variables, *, keep: bool) -> Map:
    for name in list(values):
        if values[name] is None and name in variables:
            values[name] = variables[name]
        elif values[name] is None and not keep:
            del values[name]
    return values


def _read_env_files(service: Map, variables: Variables) -> None:
    """Values of env files below those of `environment`; a later file wins over an earlier one."""
    found: dict[str, str] = {}
    origin = service.origin("env_file")
    origins: dict[str, Origin | None] = {}
    for item, place in _located(service, "env_file"):
        path = Path(item["path"])
        try:
            if item["required"] is True or (item["path"] and path.exists()):
                said = read_env_file(path, {**found, **variables}, item.get("format") or "")
                found.update(said)
                origins.update(dict.fromkeys(said, place))
        except ComposeError as error:
            raise ComposeError(f"{origin}: {error.message}", error.hint, origin=origin) from error
    if found:
        own = service.get("environment") or Map()
        merged = Map({**found, **own}, {**origins, **own.origins})
        service.put("environment", merged, service.origin("environment"))


def _located(service: Map, key: str) -> list[tuple[Any, Origin | None]]:
    """A list taken out of the service: its items, each with its own place or the list's."""
    items, whole = service.pop(key, None) or [], service.origin(key)
    places = getattr(items, "origins", [None] * len(items))
    return [(item, place or whole) for item, place in zip(items, places, strict=True)]


def _read_label_files(service: Map) -> None:
    """Labels of files below the service's own; a file may refer to labels of the files before
    it.
    """
    found: dict[str, str] = {}
    origin = service.origin("label_file")
    origins: dict[str, Origin | None] = {}
    for name, place in _located(service, "label_file"):
        try:
            said = read_env_file(Path(name), found)
            found.update(said)
            origins.update(dict.fromkeys(said, place))
        except ComposeError as error:
            raise ComposeError(
                f"{origin}: {error.message}", "Create it, one NAME=value a line", origin=origin
            ) from error
    if found:
        own = service.get("labels") or Map()
        merged = Map({**found, **own}, {**origins, **own.origins})
        service.put("labels", merged, service.origin("labels"))


def _name_resources(model: Map, section: str, project: str) -> None:
    resources = model.get(section) or Map()
    for name in list(resources):
        resource = resources[name] if resources[name] is not None else Map()
        if resource.get("name") is None:
            resource["name"] = name if resource.get("external") is True else f"{project}_{name}"
        if "labels" in resource:
            resource["labels"] = key_values(resource["labels"], empty="")
        dict.__setitem__(resources, name, resource)
