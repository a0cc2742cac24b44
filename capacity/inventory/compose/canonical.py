"""Every short spelling written out, so that merging and reading meet one form only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from capacity.errors import ComposeError
from capacity.inventory.compose.nodes import Origin
from capacity.inventory.compose.short import parse_device, parse_ports, parse_volume
from capacity.inventory.compose.tree import Items, Map

__all__ = ["canonical", "defaults"]


def canonical(model: Map) -> Map:
    """The model in long syntax, changed in place.

    Raises:
        ComposeError: a short spelling that means nothing.
    """
    for service in _maps(model, "services"):
        for name, rule in _SERVICE.items():
            if name in service:
                dict.__setitem__(service, name, _located(rule, service[name], service.origin(name)))
        if not service.get("dns", True):
            del service["dns"]
    for section in ("volumes", "networks", "secrets", "configs"):
        for resource in _maps(model, section):
            _external(resource)
    return model


def _maps(model: Map, section: str) -> list[Map]:
    return [value for value in (model.get(section) or {}).values() if isinstance(value, Map)]


def _located(rule: Callable[[Any], Any], value: Any, origin: Origin | None) -> Any:
    try:
        return rule(value)
    except ComposeError as error:
        if error.origin is not None or origin is None:
            raise
        raise ComposeError(f"{origin}: {error.message}", error.hint, origin=origin) from error


def _each(rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(items: Any) -> Any:
        if not isinstance(items, Items):
            return items
        found = [_located(rule, item, origin) for item, origin in zip(items, items.origins, strict=True)]
        return Items(found, items.origins)

    return apply


def _listed(value: Any) -> Any:
    return Items([value]) if isinstance(value, str) else value


def _build(value: Any) -> Any:
    build = Map({"context": value}) if isinstance(value, str) else value
    if isinstance(build, Map) and isinstance(build.get("secrets"), Items):
        dict.__setitem__(build, "secrets", _each(_mount)(build["secrets"]))
    contexts = build.get("additional_contexts") if isinstance(build, Map) else None
    if isinstance(contexts, list):
        dict.__setitem__(build, "additional_contexts", Map(dict(item.split("=", 1) for item in contexts)))
    ssh = build.get("ssh") if isinstance(build, Map) else None
    if isinstance(ssh, list):
        dict.__setitem__(build, "ssh", Map({name: path or None for name, _, path in (item.partition("=") for item in ssh)}))
    return build


def _depends_on(value: Any) -> Any:
    result = Map()
    if isinstance(value, Items):
        for name, origin in zip(value, value.origins, strict=True):
            result.put(str(name), Map({"condition": "service_started", "required": True}), origin)
        return result
    for name, wanted in value.items():
        if not isinstance(wanted, Map):
            raise ComposeError(
                f"depends_on.{name} must be a mapping", "Write condition: service_started", origin=value.origin(name)
            )
        wanted.setdefault("condition", "service_started")
        wanted.setdefault("required", True)
    return value


def _env_file(value: Any) -> Any:
    items = _listed(value)
    return _each(lambda item: Map({"required": True, **({"path": item} if isinstance(item, str) else item)}))(items)


def _networks(value: Any) -> Any:
    if not isinstance(value, Items):
        return value
    result = Map()
    for name, origin in zip(value, value.origins, strict=True):
        result.put(str(name), None, origin)
    return result


def _ports(value: Any) -> Any:
    result = Items()
    for item, origin in zip(value, value.origins, strict=True):
        if isinstance(item, Map):
            result.add(item, origin)
        else:
            for port in _located(lambda spec: parse_ports(str(spec)), item, origin):
                result.add(Map(port), origin)
    return result


def _volume(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return Map({name: Map(item) if isinstance(item, dict) else item for name, item in parse_volume(value).items()})


def _mount(value: Any) -> Any:
    return Map({"source": value}) if isinstance(value, str) else value


def _external(resource: Map) -> None:
    external = resource.get("external")
    if isinstance(external, Map):
        dict.__setitem__(resource, "external", True)
        if "name" in external:
            resource.setdefault("name", external["name"])


_SERVICE: dict[str, Callable[[Any], Any]] = {
    "build": _build,
    "configs": _each(_mount),
    "depends_on": _depends_on,
    "devices": _each(lambda item: Map(parse_device(item)) if isinstance(item, str) else item),
    "dns": _listed,
    "env_file": _env_file,
    "extends": lambda value: Map({"service": value}) if isinstance(value, str) else value,
    "label_file": _listed,
    "networks": _networks,
    "ports": _ports,
    "secrets": _each(_mount),
    "volumes": _each(_volume),
}


def defaults(model: Map) -> Map:
    """What Compose fills in where a file is silent, changed in place."""
    for service in _maps(model, "services"):
        if isinstance(service.get("build"), Map):
            service["build"].setdefault("context", ".")
        for secret in service.get("secrets") or []:
            secret.setdefault("target", f"/run/secrets/{secret.get('source')}")
        for port in service.get("ports") or []:
            port.setdefault("protocol", "tcp")
            port.setdefault("mode", "ingress")
        devices = ((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
        for device in [*(devices.get("devices") or []), *(service.get("gpus") or [])]:
            if "count" not in device and "device_ids" not in device:
                device["count"] = "all"
    return model
