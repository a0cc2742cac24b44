"""What Compose refuses after everything is merged: values that contradict each other, names that nothing declares."""

from __future__ import annotations

from typing import Any

from capacity.errors import ComposeError
from capacity.inventory.compose.tree import Map

__all__ = ["check_consistency"]

# A service's own key, and where under `deploy` the same is said.
_TWICE = (
    ("cpus", "limits", "cpus"),
    ("mem_limit", "limits", "memory"),
    ("mem_reservation", "reservations", "memory"),
    ("pids_limit", "limits", "pids"),
)


def check_consistency(tree: Map, model: dict[str, Any]) -> None:
    """Refuse a project that Compose would not start.

    Args:
        tree: the merged model, with the places of its values.
        model: the same as Compose prints it.

    Raises:
        ComposeError: the first contradiction, with its place.
    """
    for name, service in model["services"].items():
        origin = tree["services"].origin(name)
        for cause, hint in (*_own(service), *_references(service, tree), *_limits(service, tree["services"][name])):
            raise ComposeError(f"{origin or name}: service {name!r} {cause}", hint, origin=origin)
    for name, secret in (tree.get("secrets") or {}).items():
        if not secret.get("external") and not {*secret} & {"file", "environment"}:
            raise ComposeError(f"secret {name!r} must declare either file or environment", "Say where the secret comes from")
    _check_cycles(model["services"], tree["services"])


def _own(service: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    if not service.get("image") and "build" not in service:
        found.append(("has neither an image nor a build context", "Name an image"))
    platforms = service.get("build", {}).get("platforms", [])
    if platforms and service.get("platform", platforms[0]) not in platforms:
        found.append((f"has a platform {service['platform']!r} that build.platforms lacks", "Add it there"))
    if "network_mode" in service and service.get("networks"):
        found.append(("declares both network_mode and networks", "Keep one of them"))
    test = service.get("healthcheck", {}).get("test") or ["NONE"]
    if test[0] not in {"CMD", "CMD-SHELL", "NONE"}:
        found.append(("has a healthcheck.test that begins with none of CMD, CMD-SHELL and NONE", "Begin it with CMD"))
    if service.get("scale", service.get("deploy", {}).get("replicas", 1)) > 1 and service.get("container_name"):
        found.append(("has a container_name and several replicas", "Remove the container_name"))
    return found


def _references(service: dict[str, Any], tree: Map) -> list[tuple[str, str]]:
    found = [
        (f"refers to undefined network {name}", "Declare it under networks")
        for name in service.get("networks") or {}
        if name not in (tree.get("networks") or {})
    ]
    found += [
        (f"depends on undefined service {name!r}", "Declare it, or switch its profile on")
        for name, wanted in service.get("depends_on", {}).items()
        if name not in tree["services"] and wanted.get("required", True)
    ]
    found += [
        (f"refers to undefined volume {volume['source']}", "Declare it under volumes")
        for volume in service.get("volumes", [])
        if volume["type"] == "volume" and volume.get("source") and volume["source"] not in (tree.get("volumes") or {})
    ]
    found += [
        (f"refers to undefined {section[:-1]} {item.get('source')}", f"Declare it under {section}")
        for section in ("configs", "secrets")
        for item in service.get(section, [])
        if item.get("source") not in (tree.get(section) or {})
    ]
    return found


def _limits(service: dict[str, Any], declared: Map) -> list[tuple[str, str]]:
    found = []
    if "scale" in declared and _at(declared, "deploy", "replicas") not in {None, declared["scale"]}:
        found.append(("sets distinct values on scale and deploy.replicas", "Keep one of them"))
    for own, block, name in _TWICE:
        resource = _at(service, "deploy", "resources", block)
        if service.get(own) and resource is not None and str(resource.get(name)) != str(service[own]):
            cause = f"sets distinct values on {own} and deploy.resources.{block}.{name}"
            found.append((cause, "Give both the same value, or keep one of them"))
    return found


def _at(model: Any, *path: str) -> Any:
    for name in path:
        model = model.get(name) if isinstance(model, dict) else None
    return model


def _check_cycles(services: dict[str, Any], tree: Map) -> None:
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            circle = " -> ".join([*above[above.index(name) :], name])
            origin = tree.origin(name)
            raise ComposeError(f"{origin}: dependency cycle detected: {circle}", "Remove one of the dependencies", origin=origin)
        if name in services and name not in done:
            for other in services[name].get("depends_on", {}):
                visit(other, (*above, name))
            done.add(name)

    for name in services:
        visit(name, ())
