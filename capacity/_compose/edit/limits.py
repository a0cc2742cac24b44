"""Which keys of a service say a limit, and how its value is written there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from capacity._common.setting_values import CPUSET, RESTART_POLICY
from capacity._common.units import MIB, parse_memory
from capacity._compose.edit.locate import Leaf
from capacity._compose.edit.reasons import EditReason, refuse
from capacity.errors import InputError

__all__ = ["SETTINGS", "at", "says", "trees"]

_SMALLEST = 6 * MIB  # what the Engine accepts as a memory limit
_UNITS = (("g", 1024**3), ("m", 1024**2), ("k", 1024), ("b", 1))

_TEXTS = {"cpuset": CPUSET, "restart": RESTART_POLICY}

# What can be said in two places: under `deploy.resources`, and by a key of the service itself.
_DEPLOY = {
    "memory": ("deploy", "resources", "limits", "memory"),
    "cpus": ("deploy", "resources", "limits", "cpus"),
    "pids": ("deploy", "resources", "limits", "pids"),
    "memory_reservation": ("deploy", "resources", "reservations", "memory"),
    "cpus_reservation": ("deploy", "resources", "reservations", "cpus"),
}
_SERVICE = {
    "memory": "mem_limit",
    "cpus": "cpus",
    "pids": "pids_limit",
    "memory_reservation": "mem_reservation",
    "memswap": "memswap_limit",
    "cpuset": "cpuset",
    "restart": "restart",
}
_LIMITS = ("memory", "cpus", "pids")
SETTINGS = frozenset({*_DEPLOY, *_SERVICE})


def at(model: Any, *path: str) -> Any:
    """The value at a path of keys, None where it ends early."""
    for name in path:
        model = model.get(name) if isinstance(model, dict) else None
    return model


def trees(
    service: str,
    model: dict[str, Any],
    wanted: Mapping[str, Any],
    version: Any,
    extended: dict[str, Any],
) -> list[dict[str, Any]]:
    """What to put into a service's mapping, the most natural way first.

    Args:
        service: its name, for refusals.
        model: what the service means at present.
        wanted: settings with their values, those of `SETTINGS` only.
        version: the file's top-level `version`.
        extended: the same with what it takes over by `extends`; Compose wants one value in both of
            the places that it knows.

    Raises:
        EditRefused: a value that the Engine would not take, or that stands in a variable.
    """
    for name, value in wanted.items():
        _check_value(service, name, value)
    homes = {name: _homes(extended, name, version) for name in wanted}
    choices = [_tree(service, model, wanted, homes)]
    other = {name: _service_home(extended, name) or paths for name, paths in homes.items()}
    if other != homes:
        choices.append(_tree(service, model, wanted, other))
    return choices


def _homes(model: dict[str, Any], name: str, version: Any) -> list[tuple[str, ...]]:
    """The paths that a setting is to be written to."""
    deploy, own = _DEPLOY.get(name), _SERVICE.get(name)
    if deploy is None or own is None:
        return [deploy or (str(own),)]
    block = at(model, *deploy[:-1])
    in_deploy, in_service = isinstance(block, dict) and deploy[-1] in block, own in model
    if in_service:  # beside any limits block Compose wants the same value in both
        return [deploy, (own,)] if block is not None else [(own,)]
    if in_deploy or block is not None:
        return [deploy]
    return [(own,)] if _uses_service_keys(model, name, version) else [deploy]


def _uses_service_keys(model: dict[str, Any], name: str, version: Any) -> bool:
    """Beside `mem_limit`, `cpus` or `pids_limit` a new limits block would be refused: it would lack
    their value.
    """
    names = _LIMITS if name in _LIMITS else ("memory_reservation",)
    return any(model.get(_SERVICE[other]) is not None for other in names) or str(
        version
    ).startswith("2")


def _service_home(model: dict[str, Any], name: str) -> list[tuple[str, ...]] | None:
    """The service's own key, where Compose allows it: no limits block stands beside it."""
    deploy, own = _DEPLOY.get(name), _SERVICE.get(name)
    if deploy is None or own is None or at(model, *deploy[:-1]) is not None:
        return None
    return [(own,)]


def _tree(
    service: str,
    model: dict[str, Any],
    wanted: Mapping[str, Any],
    homes: Mapping[str, list[tuple[str, ...]]],
) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in sorted(wanted, key=lambda name: (name != "cpus", name != "memory")):
        for path in homes[name]:
            present = at(model, *path)
            if isinstance(present, str) and "$" in present:
                raise refuse(EditReason.INTERPOLATED, service, f"{'.'.join(path)}: {present}")
            if isinstance(present, (dict, list)):
                raise refuse(EditReason.SHAPE, service, ".".join(path))
            if present is not None and says(name, present) == says(name, wanted[name]):
                continue
            branch = tree
            for part in path[:-1]:
                branch = branch.setdefault(part, {})
            branch[path[-1]] = _leaf(name, wanted[name], in_deploy=len(path) > 1)
    return tree


def _leaf(name: str, value: Any, *, in_deploy: bool) -> Leaf:
    if name in {"memory", "memory_reservation", "memswap"}:
        return Leaf(-1 if value == -1 else _memory(int(value)))
    if name in {"cpus", "cpus_reservation"}:
        number: Any = int(value) if float(value).is_integer() else float(value)
        return Leaf(_decimal(value), number) if in_deploy else Leaf(number)
    return Leaf(value)


def _memory(size: int) -> str:
    """Bytes in the largest unit that divides them: `512m`."""
    unit, factor = next((unit, factor) for unit, factor in _UNITS if size % factor == 0)
    return f"{size // factor}{unit}"


def _decimal(cores: float) -> str:
    return (
        str(int(cores)) if float(cores).is_integer() else format(Decimal(repr(float(cores))), "f")
    )


def says(name: str, value: Any) -> Any:
    """What a written value amounts to: bytes, cores or the text itself."""
    try:
        if name in {"memory", "memory_reservation", "memswap"}:
            return value if isinstance(value, int) else parse_memory(str(value))
        if name in {"cpus", "cpus_reservation"}:
            return float(value)
    except (InputError, ValueError):
        return None
    return value


def _check_value(service: str, name: str, value: Any) -> None:
    if name in {"memory", "memory_reservation", "memswap"}:
        unlimited = name == "memswap" and value == -1
        whole = (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and math.isfinite(value)
            and value == int(value)
        )
        if not unlimited and not (whole and _SMALLEST <= value < 2**63):
            raise refuse(
                EditReason.BAD_VALUE,
                service,
                f"{name} must be whole bytes of at least 6 MiB, not {value!r}",
            )
    elif name in {"cpus", "cpus_reservation"}:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and 0.001 <= value < 1e6):
            raise refuse(
                EditReason.BAD_VALUE,
                service,
                f"{name} must be a positive number of cores, not {value!r}",
            )
    elif name == "pids":
        if not isinstance(value, int) or isinstance(value, bool) or (value <= 0 and value != -1):
            raise refuse(
                EditReason.BAD_VALUE,
                service,
                f"pids must be a whole number above zero, not {value!r}",
            )
    elif not isinstance(value, str) or not _TEXTS[name].fullmatch(value):
        example = "0-3,8" if name == "cpuset" else "on-failure:3"
        raise refuse(
            EditReason.BAD_VALUE, service, f"{name} must read like {example}, not {value!r}"
        )
