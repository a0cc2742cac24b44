"""What Compose refuses after everything is merged: values that contradict each other, names that
nothing declares.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from capacity._compose.render.model import ProjectModel, ServiceModel
from capacity._compose.setting_paths import replicas_of
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Map
from capacity.errors import ComposeError

__all__ = ["check_consistency", "check_resources"]

# A service's own key, and where under `deploy` the same is said.
_TWICE = (
    ("cpus", "limits", "cpus"),
    ("mem_limit", "limits", "memory"),
    ("mem_reservation", "reservations", "memory"),
    ("pids_limit", "limits", "pids"),
)


_CONTENTS = {"secrets": ("file", "environment"), "configs": ("file", "environment", "content")}
_SERVICE = "service:"


def check_resources(tree: Map) -> None:
    """Refuse volumes, secrets, configs and devices that say both of two things, or neither.

    Raises:
        ComposeError: the first of them, with its place.
    """
    for name, volume in (tree.get("volumes") or {}).items():
        if volume is not None and volume.get("external") is True:
            _check_external(name, volume)
    for section, keys in _CONTENTS.items():
        for name, resource in (tree.get(section) or {}).items():
            cause = _contents(resource, keys)
            if cause:
                raise _refused(
                    f"{section}.{name} {cause}",
                    "Say once where it comes from",
                    tree[section].origin(name),
                )
    for name, service in (tree.get("services") or {}).items():
        reserved = _at(service, "deploy", "resources", "reservations", "devices") or []
        if any(
            "count" in device and "device_ids" in device
            for device in [*reserved, *(service.get("gpus") or [])]
        ):
            cause = f"services.{name} wants a device by count and by device_ids"
            raise _refused(cause, "Keep one of them", tree["services"].origin(name))


def _check_external(name: str, volume: Map) -> None:
    for key in volume:
        if key not in {"name", "external"} and not key.startswith("x-"):
            raise _refused(
                f"volumes.{name} is external and declares {key}",
                "Remove one of the two",
                volume.origin(key),
            )


def _contents(resource: Map, keys: tuple[str, ...]) -> str:
    said = [key for key in keys if key in resource]
    if len(said) > 1:
        return f"declares {' and '.join(said)}"
    return (
        ""
        if said or "driver" in resource or "external" in resource
        else f"must declare one of {', '.join(keys)}"
    )


def _refused(cause: str, hint: str, origin: Origin | None) -> ComposeError:
    return ComposeError(f"{origin}: {cause}" if origin else cause, hint, origin=origin)


def check_consistency(tree: Map, model: ProjectModel, declared: Collection[str]) -> None:
    """Refuse a project that Compose would not start.

    Args:
        tree: the merged model, with the places of its values.
        model: the same as Compose prints it.
        declared: the services of every profile.

    Raises:
        ComposeError: the first contradiction, with its place.
    """
    for name, service in model["services"].items():
        origin = tree["services"].origin(name)
        found = (
            *_own(service),
            *_references(service, tree, declared),
            *_limits(service),
            *_building(service, model["services"]),
        )
        for cause, hint in found:
            raise _refused(f"service {name!r} {cause}", hint, origin)
    for name, secret in (tree.get("secrets") or {}).items():
        if secret.get("external") is not True and not (
            secret.get("file") or secret.get("environment")
        ):
            cause = f"secret {name!r} must declare either file or environment"
            raise _refused(cause, "Say where the secret comes from", tree["secrets"].origin(name))
    _check_cycles(model["services"], tree["services"])


def _own(service: ServiceModel) -> list[tuple[str, str]]:
    found = []
    if not service.get("image") and "build" not in service and "provider" not in service:
        found.append(("has neither an image nor a build context", "Name an image"))
    platforms = service.get("build", {}).get("platforms", [])
    if platforms and service.get("platform", platforms[0]) not in platforms:
        found.append(
            (f"has a platform {service['platform']!r} that build.platforms lacks", "Add it there")
        )
    if "network_mode" in service and service.get("networks"):
        found.append(("declares both network_mode and networks", "Keep one of them"))
    test = service.get("healthcheck", {}).get("test") or ["NONE"]
    if test[0] not in {"CMD", "CMD-SHELL", "NONE"}:
        found.append(
            (
                "has a healthcheck.test that begins with none of CMD, CMD-SHELL and NONE",
                "Begin it with CMD",
            )
        )
    for watch in service.get("develop", {}).get("watch", []):
        if not watch["path"]:
            found.append(("watches an empty path", "Name the folder to watch"))
        if "target" not in watch and watch["action"] not in {"rebuild", "restart"}:
            found.append(
                (
                    f"lacks a target for {watch['action']} under develop.watch",
                    "Name a path in the container",
                )
            )
    if replicas_of(service) > 1 and service.get("container_name"):
        found.append(("has a container_name and several replicas", "Remove the container_name"))
    return found


def _references(
    service: ServiceModel, tree: Map, declared: Collection[str]
) -> list[tuple[str, str]]:
    found = [
        (f"refers to undefined network {name}", "Declare it under networks")
        for name in service.get("networks") or {}
        if name not in (tree.get("networks") or {})
    ]
    found += [
        (f"refers to undefined model {name}", "Declare it under models")
        for name in service.get("models") or {}
        if name not in (tree.get("models") or {})
    ]
    found += [
        (f"depends on undefined service {name!r}", "Declare it, or switch its profile on")
        for name, wanted in service.get("depends_on", {}).items()
        if name not in tree["services"] and (wanted["required"] or name not in declared)
    ]
    found += [
        (f"refers to undefined volume {volume['source']}", "Declare it under volumes")
        for volume in service.get("volumes", [])
        if volume.get("type") == "volume"
        and volume.get("source")
        and volume["source"] not in (tree.get("volumes") or {})
    ]
    found += [
        (
            f"refers to undefined {section[:-1]} {item.get('source', '')}",
            f"Declare it under {section}",
        )
        for section, given in (
            ("configs", service.get("configs", [])),
            ("secrets", service.get("secrets", [])),
            ("secrets", service.get("build", {}).get("secrets", [])),
        )
        for item in given
        if item.get("source", "") not in (tree.get(section) or {})
    ]
    return found


def _building(service: ServiceModel, services: dict[str, ServiceModel]) -> list[tuple[str, str]]:
    build = service.get("build", {})
    found = []
    if "dockerfile" in build and "dockerfile_inline" in build:
        found.append(
            ("declares both build.dockerfile and build.dockerfile_inline", "Keep one of them")
        )
    for name, context in build.get("additional_contexts", {}).items():
        other = context.removeprefix(_SERVICE)
        if other != context and "build" not in services.get(other, {}):
            found.append(
                (
                    f"takes the context {name} from {other!r}, which is no service that is built",
                    "Name one that is",
                )
            )
    return found


def _limits(service: ServiceModel) -> list[tuple[str, str]]:
    found = []
    for own, block, name in _TWICE:
        resource = _at(service, "deploy", "resources", block)
        said = _at(service, own)
        if said and resource is not None and resource.get(name) != said:
            cause = f"sets distinct values on {own} and deploy.resources.{block}.{name}"
            found.append((cause, "Give both the same value, or keep one of them"))
    return found


def _at(model: Any, *path: str) -> Any:
    for name in path:
        model = model.get(name) if isinstance(model, dict) else None
    return model


def _check_cycles(services: dict[str, ServiceModel], tree: Map) -> None:
    done: set[str] = set()
    for first in services:
        # what is being visited, with what each still waits for; a chain may be as long as the file
        above: dict[str, Iterator[str]] = {}
        waiting = iter([first])
        while True:
            name = next(waiting, None)
            if name is None:
                if not above:
                    break
                ended, _ = above.popitem()
                done.add(ended)
                waiting = above[last] if (last := next(reversed(above), None)) else iter(())
                continue
            if name in above:
                raise _circle([*above], name, tree)
            if name in services and name not in done:
                waiting = iter(services[name].get("depends_on", {}))
                above[name] = waiting


def _circle(above: list[str], name: str, tree: Map) -> ComposeError:
    circle = " -> ".join([*above[above.index(name) :], name])
    origin = tree.origin(name)
    return ComposeError(
        f"{origin}: dependency cycle detected: {circle}",
        "Remove one of the dependencies",
        origin=origin,
    )
