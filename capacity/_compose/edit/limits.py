"""Which keys of a service say a limit, and how its value is written there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from capacity._common.setting_values import COMPOSE_NAMES, CPUSET, RESTART_POLICY
from capacity._common.text.units import MIB, parse_memory
from capacity._compose.edit.reasons import EditReason, refuse
from capacity._compose.edit.wanted import Branch, Leaf
from capacity._compose.setting_paths import SETTING_PATHS, at, period_of, policy_name
from capacity.errors import InputError

__all__ = ["HOMES_BY_NAME", "SETTINGS", "Homes", "home_choices", "says", "set_paths", "tree_of"]

Homes = Mapping[str, "list[tuple[str, ...]]"]
"""Setting -> the places in a service that it is to be written to."""

_SMALLEST = 6 * MIB  # what the Engine accepts as a memory limit
_UNITS = (("g", 1024**3), ("m", 1024**2), ("k", 1024), ("b", 1))
_SIZES = frozenset({"memory", "memory_reservation", "memswap"})
_CORES = frozenset({"cpus", "cpus_reservation"})

_TEXTS = {"cpuset": CPUSET, "restart": RESTART_POLICY}
_LIMITS = ("memory", "cpus", "pids")
_POLICY = ("deploy", "restart_policy")
_QUOTA = ("cpu_quota",)
SETTINGS = frozenset({*_LIMITS, *_SIZES, *_CORES, *_TEXTS, "replicas"})

HOMES_BY_NAME = {name: SETTING_PATHS[what] for what, name in COMPOSE_NAMES.items()}
_PATHS = {name: [tuple(home.split(".")) for home in homes] for name, homes in HOMES_BY_NAME.items()}
# What can be said in two places: under `deploy`, and by a key of the service itself.
_DEPLOY = {
    name: _POLICY if name == "restart" else path
    for name, paths in _PATHS.items()
    if (path := paths[0])[0] == "deploy"
}
_SERVICE = {
    name: own[0][0]
    for name, paths in _PATHS.items()
    if (own := [path for path in paths if len(path) == 1])
}


def home_choices(
    whole: Mapping[str, object], wanted: Mapping[str, object], version: Any
) -> list[Homes]:
    """The places that settings are to be written to, the most natural choice first.

    Args:
        whole: the service with all that it takes over; Compose wants one value in both of the
            places that it knows.
        wanted: settings, those of `SETTINGS` only.
        version: the file's top-level `version`.
    """
    homes = {name: _homes(whole, name, version) for name in wanted}
    other = {name: _service_home(whole, name) or paths for name, paths in homes.items()}
    return [homes] if other == homes else [homes, other]


def _homes(model: Mapping[str, object], name: str, version: Any) -> list[tuple[str, ...]]:
    """The paths that a setting is to be written to."""
    deploy, own = _DEPLOY.get(name), _SERVICE.get(name)
    if deploy is None or own is None:
        return [deploy or (str(own),)]
    if name == "restart":  # the block wins over the key, whatever that says
        return [deploy] if at(model, *deploy) is not None else [(own,)]
    block = at(model, *deploy[:-1])
    in_deploy, in_service = isinstance(block, Mapping) and deploy[-1] in block, own in model
    if name == "replicas" and (in_service or in_deploy):  # either speaks for both
        return [home for home, stands in ((deploy, in_deploy), ((own,), in_service)) if stands]
    if name == "cpus" and not in_deploy and not in_service and _in_quota(model):
        return [_QUOTA]
    if in_service:  # beside any limits block Compose wants the same value in both
        return [deploy, (own,)] if block is not None else [(own,)]
    if in_deploy or block is not None:
        return [deploy]
    return [(own,)] if _uses_service_keys(model, name, version) else [deploy]


def _in_quota(model: Mapping[str, object]) -> bool:
    """Whether the Engine is told CPU as a quota a period, which it refuses beside cores."""
    return any(model.get(key) for key in ("cpu_quota", "cpu_period"))


def _uses_service_keys(model: Mapping[str, object], name: str, version: Any) -> bool:
    """Beside `mem_limit`, `cpus` or `pids_limit` a new limits block would be refused: it would lack
    their value.
    """
    names = _LIMITS if name in _LIMITS else (name,)
    return any(model.get(_SERVICE[other]) is not None for other in names) or str(
        version
    ).startswith("2")


def _service_home(model: Mapping[str, object], name: str) -> list[tuple[str, ...]] | None:
    """The service's own key, where Compose allows it: no limits block stands beside it."""
    deploy, own = _DEPLOY.get(name), _SERVICE.get(name)
    if deploy is None or own is None or at(model, *deploy[:-1]) is not None:
        return None
    return None if name == "cpus" and _in_quota(model) else [(own,)]


def tree_of(
    service: str,
    model: Mapping[str, object],
    wanted: Mapping[str, object],
    homes: Homes,
    whole: Mapping[str, object],
) -> Branch:
    """What to put into a service's mapping.

    Args:
        service: its name, for refusals.
        model: what the service means at present in this text.
        wanted: settings with their values, those of `SETTINGS` only.
        homes: where to write them.
        whole: the service with all that it takes over.

    Raises:
        EditRefused: a value that the Engine would not take, or that stands in a variable.
    """
    tree: Branch = {}
    for name in sorted(wanted, key=lambda name: (name != "cpus", name != "memory")):
        _check_value(service, name, wanted[name])
        if name == "cpus" and _contradicts(whole):
            raise refuse(EditReason.CPU_QUOTA, service)
        leaves = {
            path: leaf
            for home in homes[name]
            for path, leaf in _leaves(name, wanted, home, model, whole).items()
        }
        for path, leaf in leaves.items():
            present = at(model, *path)
            if isinstance(present, str) and "$" in present:
                raise refuse(EditReason.INTERPOLATED, service, f"{'.'.join(path)}: {present}")
            if isinstance(present, (dict, list)):
                raise refuse(EditReason.SHAPE, service, ".".join(path))
            if present is not None and _same(name, present, leaf.value):
                continue
            _grow(tree, path, leaf)
    return tree


def _grow(tree: Branch, path: tuple[str, ...], leaf: Leaf) -> None:
    for part in path[:-1]:
        below = tree.setdefault(part, {})
        assert isinstance(below, dict)  # a home never lies below another's value
        tree = below
    tree[path[-1]] = leaf


def set_paths(home: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The paths of the values that say a setting at one of its homes."""
    return [(*home, "condition"), (*home, "max_attempts")] if home == _POLICY else [home]


def _contradicts(whole: Mapping[str, object]) -> bool:
    cores = whole.get("cpus") or at(whole, *_DEPLOY["cpus"])
    return bool(cores) and _in_quota(whole)


def _leaves(
    name: str,
    wanted: Mapping[str, object],
    home: tuple[str, ...],
    model: Mapping[str, object],
    whole: Mapping[str, object],
) -> dict[tuple[str, ...], Leaf]:
    """The values that say a setting at one of its homes."""
    value: Any = wanted[name]
    if home == _QUOTA:
        return {home: Leaf(round(float(value) * period_of(whole)))}
    if home == _DEPLOY["cpus_reservation"]:
        return {home: _leaf(name, value, in_deploy=True), **_repeated(wanted, model, whole)}
    if home != _POLICY:
        return {home: _leaf(name, value, in_deploy=len(home) > 1)}
    word, _, tries = str(value).partition(":")
    condition = {"no": "none", "always": "any"}.get(word, word)
    found: dict[tuple[str, ...], Leaf] = {(*home, "condition"): Leaf(condition)}
    tried = at(model, *home, "max_attempts"), at(whole, *home, "max_attempts")
    if tries or any(tried):
        found[*home, "max_attempts"] = Leaf(int(tries or 0))
    return found


def _repeated(
    wanted: Mapping[str, object], model: Mapping[str, object], whole: Mapping[str, object]
) -> dict[tuple[str, ...], Leaf]:
    """The memory that a service reserves by its own key, for the block in which CPU is reserved:
    Compose wants it in both.
    """
    path = _DEPLOY["memory_reservation"]
    own = model.get("mem_reservation", whole.get("mem_reservation"))
    if not own or at(whole, *path) is not None:
        return {}
    size = says("memory_reservation", wanted.get("memory_reservation", own))
    return {path: Leaf(_memory(size) if isinstance(size, int) else own)}


def _same(name: str, present: Any, value: Any) -> bool:
    if name == "restart" and isinstance(present, str) and isinstance(value, str):
        return policy_name(present) == policy_name(value)
    if name == "restart" and isinstance(value, int):
        return str(present) == str(value)
    return bool(says(name, present) == says(name, value))


def _leaf(name: str, value: Any, *, in_deploy: bool) -> Leaf:
    if name in _SIZES:
        return Leaf(-1 if value == -1 else _memory(int(value)))
    if name in _CORES:
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
        if name in _SIZES:
            return value if isinstance(value, int) else parse_memory(str(value))
        if name in _CORES:
            return float(value)
    except (InputError, ValueError):
        return None
    return value


def _check_value(service: str, name: str, value: Any) -> None:
    if name in _SIZES:
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
    elif name in _CORES:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and math.isfinite(value) and 0.001 <= value < 1e6):
            raise refuse(
                EditReason.BAD_VALUE,
                service,
                f"{name} must be a positive number of cores, not {value!r}",
            )
    elif name == "replicas":
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
            raise refuse(
                EditReason.BAD_VALUE, service, f"replicas must be a whole number, not {value!r}"
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
