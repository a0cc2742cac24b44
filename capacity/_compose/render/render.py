"""The model as `docker compose config --format json` prints it: sizes in bytes, durations as Go
writes them, lists sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from capacity._common.plain_data import PlainMapping
from capacity._compose.check.validate import newer_keys
from capacity._compose.render.go_values import (
    FieldRule,
    Misfit,
)
from capacity._compose.render.model import ProjectModel, RenderedHealthcheck, ServiceModel
from capacity._compose.render.shared_tables import FILE_OBJECT, NETWORK, VOLUME
from capacity._compose.render.tables import HEALTHCHECK, SERVICE
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Items, Map
from capacity._compose.yaml.tree import Path as Keys
from capacity.errors import ComposeError

__all__ = ["render_config", "render_healthcheck"]


def render_config(model: Map) -> ProjectModel:
    """Plain dicts, lists and scalars in the form that Compose prints.

    Raises:
        ComposeError: a size, a number or a duration that is none.
    """
    services: dict[str, ServiceModel] = _section(model, "services", _service)
    used = _used(services)
    kept: dict[str, Any] = {"name": model["name"], "services": services}
    rules: tuple[tuple[str, FieldRule], ...] = (
        ("networks", NETWORK),
        ("volumes", VOLUME),
        ("secrets", FILE_OBJECT),
        ("configs", _config),
    )
    for section, rule in rules:
        resources = _section(model, section, rule)
        found = {name: item for name, item in resources.items() if name in used[section]}
        kept |= {section: found} if found else {}
    kept |= {name: _plain(value) for name, value in model.items() if name.startswith("x-")}
    return cast(ProjectModel, kept)  # extensions have keys that no type can list


def render_healthcheck(values: PlainMapping) -> RenderedHealthcheck:
    """A service's health check alone, as Compose prints it.

    Raises:
        ComposeError: a duration or a number that is none.
    """
    listed = {
        name: Items([*value]) if isinstance(value, (list, tuple)) else value
        for name, value in values.items()
    }
    rendered: RenderedHealthcheck = _located(HEALTHCHECK, Map(listed), ("healthcheck",), None)
    return rendered


def _section(model: Map, section: str, rule: FieldRule) -> dict[str, Any]:
    resources = model.get(section) or Map()
    return {
        name: _located(rule, item, (section, name), resources.origin(name))
        for name, item in resources.items()
    }


def _located(rule: FieldRule, value: Any, path: tuple[str, ...], origin: Origin | None) -> Any:
    try:
        return rule(value)
    except ComposeError as error:
        where = ".".join(path)
        raise ComposeError(
            f"{origin or where}: {where}: {error.message}", error.hint, origin=origin
        ) from error
    except Misfit as misfit:
        place, where = misfit.origin or origin, ".".join((*path, *misfit.path))
        raise ComposeError(
            f"{place or where}: {where}: {misfit.error.message}", misfit.error.hint, origin=place
        ) from misfit.error


def _used(services: Mapping[str, ServiceModel]) -> dict[str, set[str]]:
    """Networks, volumes, secrets and configs that a service refers to; Compose leaves the others
    out.
    """
    used: dict[str, set[str]] = {
        "networks": set(),
        "volumes": set(),
        "secrets": set(),
        "configs": set(),
    }
    for service in services.values():
        used["networks"].update(service.get("networks") or {})
        used["volumes"].update(
            mount.get("source", "")
            for mount in service.get("volumes", [])
            if mount.get("type") == "volume"
        )
        used["configs"].update(item.get("source", "") for item in service.get("configs", []))
        secrets = [*service.get("secrets", []), *service.get("build", {}).get("secrets", [])]
        used["secrets"].update(item.get("source", "") for item in secrets)
    return used


def _plain(value: Any) -> Any:
    """An extension as it stands, but an empty list is nothing to Compose."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return ([_plain(item) for item in value] or None) if isinstance(value, list) else value


def _service(service: Map) -> dict[str, Any]:
    result: dict[str, Any] = SERVICE(service)
    result |= {name: _plain(service[name]) for (name, *more), _ in _beyond(service) if not more}
    if (
        "scale" in result
        and "deploy" in result
        and result["deploy"].setdefault("replicas", result["scale"]) != result["scale"]
    ):
        raise ComposeError("distinct values on scale and deploy.replicas", "Keep one of them")
    return result


def _beyond(service: Map) -> Iterator[tuple[Keys, Origin | None]]:
    """The keys of a service that only a newer Compose knows."""
    found = newer_keys(Map({"services": Map({"": service})}))
    return ((path[2:], origin) for path, origin in found)


def _config(value: Any) -> dict[str, Any]:
    """A config that a variable fills is printed by the variable's name."""
    result: dict[str, Any] = FILE_OBJECT(value)
    if "environment" in result:
        result.pop("content", None)
    return result
