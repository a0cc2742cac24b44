"""The model as `docker compose config --format json` prints it: sizes in bytes, durations as Go writes them, lists sorted."""

from __future__ import annotations

from typing import Any

from capacity.errors import CapacityError, ComposeError
from capacity.inventory.compose.merge import go_text
from capacity.inventory.compose.nodes import Origin
from capacity.inventory.compose.settle import pairs
from capacity.inventory.compose.short import parse_duration, split_words
from capacity.inventory.compose.tree import Map
from capacity.units import parse_memory

__all__ = ["render"]

_SIZES = {"mem_limit", "mem_reservation", "memswap_limit", "shm_size"}
_CHECK_DURATIONS = ("interval", "timeout", "start_period", "start_interval")
_NUMBERS = {"cpus", "cpu_percent"}


def render(model: Map) -> dict[str, Any]:
    """Plain dicts, lists and scalars in the form that Compose prints.

    Raises:
        ComposeError: a size, a number or a duration that is none.
    """
    result: dict[str, Any] = {"name": model["name"]}
    result["services"] = {
        name: _located(lambda service=service: _service(service), f"services.{name}", model["services"].origin(name))
        for name, service in model["services"].items()
    }
    used = _used(result["services"])
    for section, rule in (("networks", _network), ("volumes", _volume), ("secrets", _pruned), ("configs", _pruned)):
        kept = {name: rule(resource) for name, resource in (model.get(section) or {}).items() if name in used[section]}
        if kept:
            result[section] = kept
    result.update({name: _plain(value) for name, value in model.items() if name.startswith("x-")})
    return result


def _used(services: dict[str, Any]) -> dict[str, set[str]]:
    """Networks, volumes, secrets and configs that a service refers to; Compose leaves the others out."""
    used: dict[str, set[str]] = {"networks": set(), "volumes": set(), "secrets": set(), "configs": set()}
    for service in services.values():
        used["networks"].update(service.get("networks") or {})
        used["volumes"].update(mount.get("source", "") for mount in service.get("volumes", []) if mount.get("type") == "volume")
        used["configs"].update(item.get("source", "") for item in service.get("configs", []))
        secrets = [*service.get("secrets", []), *(service.get("build", {}).get("secrets") or [])]
        used["secrets"].update(item.get("source", "") for item in secrets)
    return used


def _located(rule: Any, path: str, origin: Origin | None) -> Any:
    try:
        return rule()
    except CapacityError as error:
        if isinstance(error, ComposeError) and error.origin is not None:
            raise
        raise ComposeError(f"{origin or path}: {path}: {error.message}", error.hint, origin=origin) from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _pruned(value: Any) -> dict[str, Any]:
    """Without empty values and extensions, as Go leaves them out."""
    return {
        name: item
        for name, item in _plain(value or {}).items()
        if not name.startswith("x-") and item not in (None, "", 0, [], {})
    }


def _service(service: Map) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in service.items():
        if name.startswith("x-") or name in {"command", "entrypoint"} or value is None:
            continue
        rule = _RULES.get(name)
        if name in _SIZES:
            rendered: Any = _located(lambda value=value: _size(value), name, service.origin(name))
        elif rule is not None:
            rendered = _located(lambda rule=rule, value=value: rule(value), name, service.origin(name))
        else:
            rendered = _plain(value)
        if rendered not in (None, "", 0, [], {}) or name in {"init", "scale", "deploy"}:
            result[name] = rendered
    if "scale" in result and "deploy" in result:
        result["deploy"]["replicas"] = result["scale"]
    for name in ("command", "entrypoint"):
        value = service.get(name)
        result[name] = split_words(value) if isinstance(value, str) else _plain(value)
    return result


def _size(value: Any) -> str | None:
    """Bytes as text; Compose keeps them in a text because some JSON readers round large numbers."""
    if isinstance(value, int):
        return str(value) if value else None
    text = str(value)
    size = int(text) if text.lstrip("-").isdecimal() else parse_memory(text)
    return str(size) if size else None


def _number(value: Any) -> float | int | None:
    try:
        number = float(value)
    except ValueError as error:
        raise ComposeError(f"{value!r} is no number", "Write for example 1.5") from error
    return int(number) if number.is_integer() else number


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, (str, float)) else value


def _texts(value: Any) -> dict[str, str]:
    return {name: "" if item is None else item for name, item in pairs(value).items()}


def _hosts(value: Any) -> list[str]:
    found: list[str] = []
    if isinstance(value, dict):
        for name, item in value.items():
            found += [f"{name}={_bare(str(one))}" for one in (item if isinstance(item, list) else [item])]
    else:
        for item in value:
            sign = "=" if "=" in item else ":"
            name, _, address = item.partition(sign)
            found.append(f"{name}={_bare(address)}")
    return sorted(found)


def _bare(address: str) -> str:
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


def _healthcheck(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    if isinstance(result.get("test"), str):
        result["test"] = ["CMD-SHELL", result["test"]]
    for name in _CHECK_DURATIONS:
        if name in result:
            result[name] = parse_duration(str(result[name]))
    return result


def _durations(value: Any, *names: str) -> dict[str, Any]:
    result = _pruned(value)
    for name in names:
        if name in result:
            result[name] = parse_duration(str(result[name]))
    return result


def _deploy(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    if value.get("replicas") is not None:
        result["replicas"] = _integer(value["replicas"])
    for name in ("update_config", "rollback_config"):
        if name in result:
            result[name] = _durations(value[name], "delay", "monitor")
    if "restart_policy" in result:
        result["restart_policy"] = _durations(value["restart_policy"], "delay", "window")
    resources = value.get("resources") or {}
    result["resources"] = {
        name: _resource(resources[name]) for name in ("limits", "reservations") if resources.get(name) is not None
    }
    result["placement"] = _pruned(value.get("placement"))
    return result


def _resource(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    if "memory" in result:
        result["memory"] = _located(lambda: _size(value["memory"]), "memory", value.origin("memory"))
    if "cpus" in result:
        result["cpus"] = _located(lambda: _number(value["cpus"]), "cpus", value.origin("cpus"))
    if "pids" in result:
        result["pids"] = _integer(value["pids"])
    if "devices" in result:
        result["devices"] = [_device_request(device) for device in value["devices"]]
    return {name: item for name, item in result.items() if item not in (None, 0)}


def _device_request(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    if result.get("count") == "all":
        result["count"] = -1
    return result


def _port(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    if "published" in result:
        result["published"] = str(result["published"])
    return {**result, "target": _integer(value.get("target"))}


def _mount(value: Map) -> dict[str, Any]:
    result = {
        name: item for name, item in _plain(value).items() if not name.startswith("x-") and item not in (None, "", False, [])
    }
    for name in ("bind", "volume", "tmpfs"):
        if isinstance(result.get(name), dict):
            result[name] = _pruned(result[name])
    if "tmpfs" in result and "size" in result["tmpfs"]:
        result["tmpfs"]["size"] = _size(result["tmpfs"]["size"])
    return result


def _build(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    if "shm_size" in result:
        result["shm_size"] = _size(result["shm_size"])
    if "extra_hosts" in result:
        result["extra_hosts"] = _hosts(result["extra_hosts"])
    return result


def _develop(value: Map) -> dict[str, Any]:
    """Compose prints an empty command with every watch."""
    watches = [{**_pruned(watch), "exec": {"command": None, **_pruned(watch.get("exec"))}} for watch in value.get("watch") or []]
    return {**_pruned(value), "watch": watches} if watches else _pruned(value)


def _networks(value: Map) -> dict[str, Any]:
    return {name: _pruned(item) if item else None for name, item in value.items()}


def _network(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    result["ipam"] = _pruned(value.get("ipam"))
    if "driver_opts" in result:
        result["driver_opts"] = {name: go_text(item) for name, item in result["driver_opts"].items()}
    return result


def _volume(value: Map) -> dict[str, Any]:
    result = _pruned(value)
    if "driver_opts" in result:
        result["driver_opts"] = {name: go_text(item) for name, item in result["driver_opts"].items()}
    return result


_RULES: dict[str, Any] = {
    "annotations": _plain,
    "build": _build,
    "cpu_percent": _number,
    "cpus": _number,
    "deploy": _deploy,
    "develop": _develop,
    "devices": lambda value: [_pruned(item) for item in value],
    "dns_search": lambda value: [value] if isinstance(value, str) else list(value),
    "expose": lambda value: [str(item) for item in value],
    "extra_hosts": _hosts,
    "group_add": lambda value: [str(item) for item in value],
    "healthcheck": _healthcheck,
    "logging": lambda value: {
        name: {key: go_text(item) for key, item in part.items()} if name == "options" else part
        for name, part in _pruned(value).items()
    },
    "networks": _networks,
    "pids_limit": _integer,
    "ports": lambda value: [_port(item) for item in value],
    "scale": _integer,
    "stop_grace_period": lambda value: parse_duration(str(value)),
    "sysctls": _texts,
    "tmpfs": lambda value: [value] if isinstance(value, str) else list(value),
    "volumes": lambda value: [_mount(item) for item in value],
    "configs": lambda value: [_pruned(item) for item in value],
    "secrets": lambda value: [_pruned(item) for item in value],
}
