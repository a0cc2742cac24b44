"""Every short spelling written out, so that merging and reading meet one form only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from capacity._compose.load.short_syntax import parse_device, parse_ports, parse_volume
from capacity._compose.render.go_values import boolean
from capacity._compose.render.model import RenderedPort
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Items, Map
from capacity.errors import ComposeError

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
    for section in ("volumes", "networks", "secrets", "configs"):
        for name, resource in _mapping(model.get(section)).items():
            if resource is not None:
                _located(_external, resource, model[section].origin(name))
    return model


def _mapping(value: Any) -> Map:
    return value if isinstance(value, Map) else Map()


def _maps(model: Map, section: str) -> list[Map]:
    return [value for value in _mapping(model.get(section)).values() if isinstance(value, Map)]


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
        found = [
            _located(rule, item, origin) for item, origin in zip(items, items.origins, strict=True)
        ]
        return Items(found, items.origins)

    return apply


def _listed(value: Any) -> Any:
    return Items([value]) if isinstance(value, str) else value


def _dns(value: Any) -> Any:
    """Servers that a variable left empty are none."""
    items = _listed(value)
    if not isinstance(items, Items):
        return items
    kept = [
        (item, origin)
        for item, origin in zip(items, items.origins, strict=True)
        if item not in (None, "")
    ]
    return Items([item for item, _ in kept], [origin for _, origin in kept])


def _build(value: Any) -> Any:
    if not isinstance(value, Map):
        return Map({"context": value}) if isinstance(value, str) else value
    for name, rule in _BUILD.items():
        if name in value:
            dict.__setitem__(value, name, _located(rule, value[name], value.origin(name)))
    return value


def _contexts(value: Any) -> Any:
    contexts = _named(
        value, lambda item: f"additional context {item!r} has no =", lambda _item: False
    )
    for name, place in _mapping(contexts).items():
        if not isinstance(place, str):
            raise ComposeError(
                f"additional context {name!r} is no text", "Quote it", origin=contexts.origin(name)
            )
    return contexts


def _ssh(value: Any) -> Any:
    return _named(value, lambda item: f"ssh key {item!r} has no =", lambda item: item == "default")


def _named(value: Any, cause: Callable[[str], str], may_be_bare: Callable[[str], bool]) -> Any:
    """A mapping from NAME=VALUE items; a name alone only where it may be."""
    if not isinstance(value, Items):
        return value
    result = Map()
    for item, origin in zip(value, value.origins, strict=True):
        name, sign, text = str(item).partition("=")
        if not sign and not may_be_bare(name):
            raise ComposeError(f"{origin}: {cause(name)}", "Write NAME=VALUE", origin=origin)
        result.put(name, text if sign else None, origin)
    return result


def _depends_on(value: Any) -> Any:
    result = Map()
    if isinstance(value, Items):
        for name, origin in zip(value, value.origins, strict=True):
            result.put(str(name), Map({"condition": "service_started", "required": True}), origin)
        return result
    for name, wanted in _mapping(value).items():
        if not isinstance(wanted, Map):
            raise ComposeError(
                f"depends_on.{name} must be a mapping",
                "Write condition: service_started",
                origin=value.origin(name),
            )
        wanted.setdefault("condition", "service_started")
        wanted.setdefault("required", True)
    return value


def _env_file(value: Any) -> Any:
    return _each(
        lambda item: (
            Map({"path": item, "required": True}) if isinstance(item, str) else _required(item)
        )
    )(_listed(value))


def _required(item: Any) -> Any:
    if isinstance(item, Map):
        wanted = item.setdefault("required", True)
        if isinstance(wanted, str):
            dict.__setitem__(item, "required", boolean(wanted))
    return item


def _networks(value: Any) -> Any:
    if not isinstance(value, Items):
        return value
    result = Map()
    for name, origin in zip(value, value.origins, strict=True):
        result.put(str(name), None, origin)
    return result


def _ports(value: Any) -> Any:
    if not isinstance(value, Items):
        return value
    result = Items()
    for item, origin in zip(value, value.origins, strict=True):
        if isinstance(item, Map):
            result.add(item, origin)
        else:
            for port in _located(_short_ports, item, origin):
                result.add(Map(port), origin)
    return result


def _short_ports(value: Any) -> list[RenderedPort]:
    if isinstance(value, float):
        raise ComposeError(f"port {value!r} is no whole number", "Quote it, for example '8080:80'")
    return parse_ports(str(value))


def _volume(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return Map(
        {
            name: Map(item) if isinstance(item, dict) else item
            for name, item in parse_volume(value).items()
        }
    )


def _mount(value: Any) -> Any:
    return Map({"source": value}) if isinstance(value, str) else value


def _external(resource: Any) -> None:
    if not isinstance(resource, Map):
        raise ComposeError(f"{resource!r} is no mapping", "Write keys and values below the name")
    external = resource.get("external")
    if not isinstance(external, Map):
        return
    dict.__setitem__(resource, "external", True)
    if "name" in external and resource.setdefault("name", external["name"]) != external["name"]:
        raise ComposeError("name and external.name contradict each other", "Use name alone")


_BUILD: dict[str, Callable[[Any], Any]] = {
    "additional_contexts": _contexts,
    "secrets": _each(_mount),
    "ssh": _ssh,
}
_SERVICE: dict[str, Callable[[Any], Any]] = {
    "build": _build,
    "configs": _each(_mount),
    "depends_on": _depends_on,
    "devices": _each(lambda item: Map(parse_device(item)) if isinstance(item, str) else item),
    "dns": _dns,
    "env_file": _env_file,
    "extends": lambda value: Map({"service": value}) if isinstance(value, str) else value,
    "gpus": lambda value: Items([Map({"count": "all"})]) if isinstance(value, str) else value,
    "label_file": _listed,
    "models": _networks,
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
