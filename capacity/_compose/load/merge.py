"""One file over another: Compose's rules for what is merged, what is replaced and what may stand
only once.
"""

from __future__ import annotations

import collections.abc
import math
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from capacity._compose.load.short_syntax import parse_volume
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Items, Map, Path, clone, matches
from capacity.errors import ComposeError

__all__ = ["extend_service", "go_text", "is_unique", "merge_models", "unique"]


def _patterns(*names: str) -> tuple[Path, ...]:
    return tuple(("services", "*", *name.split(".")) for name in names)


_REPLACED = _patterns("command", "entrypoint", "healthcheck.test")
_LISTED = (
    *_patterns(
        "annotations",
        "build.args",
        "build.additional_contexts",
        "build.labels",
        "deploy.labels",
        "dns",
        "dns_opt",
    ),
    *_patterns("dns_search", "env_file", "label_file", "environment", "labels", "sysctls", "tmpfs"),
    ("networks", "*", "labels"),
    ("volumes", "*", "labels"),
)
_HOSTS = _patterns("extra_hosts", "build.extra_hosts")
_KEYED = (
    *_patterns(
        "annotations",
        "build.args",
        "build.additional_contexts",
        "build.platform",
        "build.tags",
        "build.labels",
    ),
    *_patterns(
        "cap_add",
        "cap_drop",
        "deploy.labels",
        "dns",
        "dns_opt",
        "dns_search",
        "environment",
        "labels",
        "links",
    ),
    *_patterns("networks.*.aliases", "networks.*.link_local_ips", "profiles", "sysctls", "tmpfs"),
    ("networks", "*", "labels"),
    ("networks", "*", "ipam", "options"),
)


def merge_models(base: Any, over: Any, path: Path = (), origin: Origin | None = None) -> Any:
    """`over` laid on `base`; neither may be used afterwards.

    Raises:
        ComposeError: a mapping or a list would be replaced by something else.
    """
    special = _special(path)
    if special is not None:
        return _placed(partial(special, base, over, path), origin)
    if over is None or _is_hollow(base, over):
        return base
    if isinstance(base, Map):
        if not isinstance(over, Map):
            raise _cannot(path, origin)
        return _merge_maps(base, over, path)
    if isinstance(base, list):
        if not isinstance(over, list):
            raise _cannot(path, origin)
        return _joined(base, over)
    return over


def _placed(rule: Callable[[], Any], origin: Origin | None) -> Any:
    """What a rule gives; its error names the place when it does not yet."""
    try:
        return rule()
    except ComposeError as error:
        if error.origin is not None or origin is None:
            raise
        raise ComposeError(f"{origin}: {error.message}", error.hint, origin=origin) from error


def _cannot(path: Path, origin: Origin | None) -> ComposeError:
    place = f"{origin}: " if origin else ""
    return ComposeError(
        f"{place}cannot override {'.'.join(path)}",
        "Use the same kind of value in both files",
        origin=origin,
    )


def _special(path: Path) -> Callable[[Any, Any, Path], Any] | None:
    table: tuple[tuple[tuple[Path, ...], Callable[[Any, Any, Path], Any]], ...] = (
        (_REPLACED, lambda _base, over, _path: over),
        (
            _LISTED,
            lambda base, over, _path: (
                None if _is_hollow(base, over) else _joined(_listed(base), _listed(over))
            ),
        ),
        (_HOSTS, _merge_hosts),
        (_patterns("build"), _merge_build),
        (_patterns("depends_on"), _merge_depends_on),
        (_patterns("networks"), _merge_networks),
        (_patterns("logging"), _merge_logging),
        (_patterns("ulimits.*"), lambda _base, over, _path: over),
        ((("networks", "*", "ipam", "config"),), _merge_ipam),
    )
    return next(
        (rule for patterns, rule in table if any(matches(path, pattern) for pattern in patterns)),
        None,
    )


def _merge_maps(base: Map, over: Map, path: Path) -> Map:
    for name, value in over.items():
        origin = over.origin(name)
        if name in base and not name.startswith("x-"):
            here = (*path, name)
            known = _as_list(base[name], here, base.origin(name))
            merged = merge_models(known, _as_list(value, here, origin), here, origin)
            base.put(
                name,
                merged,
                base.origin(name) if value is None or isinstance(merged, (Map, list)) else origin,
            )
        else:
            base.put(name, value, origin)
    return base


def _as_list(value: Any, path: Path, origin: Origin | None) -> Any:
    """A text in place of a list as one of one item, which keeps the place of the text."""
    if isinstance(value, str) and any(matches(path, pattern) for pattern in _LISTED):
        return Items([value], [origin])
    return value


def _is_hollow(base: Any, over: Any) -> bool:
    """Whether an empty list follows an empty list, which Compose has made nothing of."""
    return base is None and isinstance(over, Items) and not over


def _joined(base: list[Any], over: list[Any]) -> Items:
    origins = [
        *getattr(base, "origins", [None] * len(base)),
        *getattr(over, "origins", [None] * len(over)),
    ]
    return Items([*base, *over], origins)


def _listed(value: Any) -> Items:
    """`NAME=value` items of a mapping, in the order of names; a text becomes a list of one."""
    if isinstance(value, Items):
        return value
    result = Items()
    if isinstance(value, Map):
        found: list[tuple[str, Origin | None]] = []
        for name, item in value.items():
            many = item if isinstance(item, list) else [item]
            found += [
                (name if item is None else f"{name}={go_text(item)}", value.origin(name))
                for item in many
            ]
        for text, origin in sorted(found, key=lambda pair: pair[0]):
            result.add(text, origin)
    elif isinstance(value, str):
        result.add(value, None)
    return result


def go_text(value: Any) -> str:
    """A scalar as Go prints it: `true`, `1.5`, `1e+06`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value):
        return _go_float(value)
    return "<nil>" if value is None else str(value)


def _go_float(value: float) -> str:
    """The fewest digits that make the number, with an exponent where Go's `%v` writes one."""
    sign, digits, _ = Decimal(repr(value)).normalize().as_tuple()
    exponent = Decimal(repr(value)).adjusted() if value else 0
    if -4 <= exponent < 6:
        return repr(value).removesuffix(".0")
    first, rest = str(digits[0]), "".join(map(str, digits[1:]))
    return f"{'-' * sign}{first}{'.' * bool(rest)}{rest}e{exponent:+03d}"


def _mapped(
    value: Any, path: Path, default: collections.abc.Mapping[str, object] | None = None
) -> Map:
    """A mapping, or the names of a list with one value each; Compose takes anything else for
    nothing.
    """
    if isinstance(value, Map):
        return value
    result = Map()
    if isinstance(value, Items):
        for item, origin in zip(value, value.origins, strict=True):
            if not isinstance(item, str):
                raise _cannot(path, origin)
            result.put(item, None if default is None else Map(default), origin)
    return result


def _merge_hosts(base: Any, over: Any, _path: Path) -> Items | None:
    if _is_hollow(base, over):
        return None
    first, second = _listed(base), _listed(over)
    fresh = [
        (item, origin)
        for item, origin in zip(second, second.origins, strict=True)
        if item not in first
    ]
    return _joined(first, Items([item for item, _ in fresh], [origin for _, origin in fresh]))


def _merge_networks(base: Any, over: Any, path: Path) -> Map:
    return _merge_maps(_mapped(base, path), _mapped(over, path), path)


def _merge_build(base: Any, over: Any, path: Path) -> Map:
    first, second = (
        Map({"context": value}) if isinstance(value, str) else _mapped(value, path)
        for value in (base, over)
    )
    return _merge_maps(first, second, path)


def _merge_depends_on(base: Any, over: Any, path: Path) -> Map:
    started = {"condition": "service_started", "required": True}
    return _merge_maps(_mapped(base, path, started), _mapped(over, path, started), path)


def _merge_logging(base: Any, over: Any, path: Path) -> Map:
    if not isinstance(base, Map) or not isinstance(over, Map):
        raise _cannot(path, None)
    if "driver" not in base or "driver" not in over or base["driver"] == over["driver"]:
        return _merge_maps(base, over, path)
    return over


def _merge_ipam(base: Any, over: Any, path: Path) -> Items:
    if (
        not isinstance(base, Items)
        or not isinstance(over, Items)
        or not all(isinstance(item, Map) for item in [*base, *over])
    ):
        raise _cannot(path, None)
    result: list[Map] = []
    for original in base:
        for item in over:
            left, right = clone(item), clone(original)
            if left.get("subnet") != right.get("subnet") and not any(
                known.get("subnet") == left.get("subnet") for known in result
            ):
                result.append(left)
                continue
            merged = _merge_maps(right, left, path)
            result = [known for known in result if known.get("subnet") != merged.get("subnet")] + [
                merged
            ]
    return Items(result)


def extend_service(base: Map, over: Map) -> Map:
    """A service laid on the one that it extends."""
    merged = merge_models(base, over, ("services", "x"))
    assert isinstance(merged, Map)
    return merged


def is_unique(path: Path) -> bool:
    """Whether the items of the list at a path may stand there only once."""
    return _index(path) is not None


def unique(value: Any, path: Path = ()) -> Any:
    """Of list items that say the same thing twice only the last, in the place of the first.

    Raises:
        ComposeError: an item that is neither text nor what Compose expects there.
    """
    if isinstance(value, Map):
        for name in value:
            dict.__setitem__(value, name, unique(value[name], (*path, name)))
        return value
    if not isinstance(value, list) or (index := _index(path)) is None:
        return value
    result, places = Items(), dict[str, int]()
    for item, origin in zip(value, getattr(value, "origins", [None] * len(value)), strict=True):
        name = _placed(partial(index, item, path), origin)
        if name in places:
            result[places[name]], result.origins[places[name]] = item, origin
        else:
            places[name] = len(result)
            result.add(item, origin)
    return result


def _index(path: Path) -> Callable[[Any, Path], str] | None:
    if len(path) == 3 and path[0] == "services":
        by_name: dict[str, Callable[[Any, Path], str]] = {
            "volumes": _by_target,
            "devices": _by_device,
            "configs": lambda item, path: _by_mount(item, path, ""),
            "secrets": lambda item, path: _by_mount(item, path, "/run/secrets"),
            "env_file": lambda item, _path: str(
                item.get("path") if isinstance(item, Map) else item
            ),
            "expose": _by_number,
            "ports": _by_port,
        }
        if path[2] in by_name:
            return by_name[path[2]]
    return _by_key if any(matches(path, pattern) for pattern in _KEYED) else None


def _by_key(item: Any, path: Path) -> str:
    if not isinstance(item, str):
        raise ComposeError(f"{'.'.join(path)}: {item!r} is no text", "Quote it")
    return item.split("=", 1)[0]


def _by_target(item: Any, path: Path) -> str:
    if isinstance(item, str):
        return str(parse_volume(item)["target"])
    if not isinstance(item, Map) or not isinstance(item.get("target"), str):
        raise ComposeError(
            f"{'.'.join(path)}: a volume is missing its target", "Name where it is mounted"
        )
    return str(item["target"])


def _by_device(item: Any, path: Path) -> str:
    if isinstance(item, Map):
        return _by_target(item, path)
    parts = str(item).split(":")
    return parts[min(1, len(parts) - 1)]


def _by_number(item: Any, path: Path) -> str:
    if isinstance(item, (bool, float)) or not isinstance(item, (str, int)):
        raise ComposeError(
            f"{'.'.join(path)}: {item!r} is no port", "Write a whole number or a text"
        )
    return str(item)


def _by_mount(item: Any, path: Path, folder: str) -> str:
    if isinstance(item, Map):
        return str(item["target"]) if "target" in item else f"{folder}/{item.get('source')}"
    if not isinstance(item, str):
        raise ComposeError(
            f"{'.'.join(path)}: {item!r} is neither a name nor a mapping",
            "Name the secret or config",
        )
    return f"{folder}/{item}"


def _by_port(item: Any, path: Path) -> str:
    if not isinstance(item, Map):
        return str(item)
    if "target" not in item:
        raise ComposeError(
            f"{'.'.join(path)}: a port is missing its target", "Name the container's port"
        )
    published = item.get("published", "%!s(<nil>)")
    address = item.get("host_ip", "0.0.0.0")  # noqa: S104 - Compose's own default
    return f"{address}:{published}:{item['target']}/{item.get('protocol', 'tcp')}"
