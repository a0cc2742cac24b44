"""Which keys Compose knows, and what kind of value each must have: a model held against Compose's
schema.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from capacity._compose.check.schema import ROOT, SchemaNode
from capacity._compose.load.merge import go_text
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Items, Map
from capacity.errors import ComposeError

__all__ = ["check_shape", "hollow"]

_KINDS = {
    "s": "text",
    "n": "a number",
    "i": "a whole number",
    "b": "true or false",
    "z": "nothing",
    "o": "a mapping",
}
_Path = tuple[str, ...]


def check_shape(model: Map) -> None:
    """Refuse unknown keys, keys that are missing, and values of the wrong kind.

    Raises:
        ComposeError: the first of them, with its place.
    """
    _check(model, ROOT, (), None)


def hollow(model: Map, is_kept: Callable[[_Path], bool]) -> None:
    """Make nothing of empty lists before another file is laid on them, as Compose does, and then
    refuses them.

    Args:
        model: changed in place.
        is_kept: whether the list at a path is left alone.
    """
    _hollow(model, ROOT, (), is_kept)


def _hollow(value: Any, shape: SchemaNode, path: _Path, is_kept: Callable[[_Path], bool]) -> Any:
    if isinstance(value, Map):
        for name in value:
            below = shape.values if shape.keys is None else shape.keys.get(name)
            if below is not None:
                dict.__setitem__(value, name, _hollow(value[name], below, (*path, name), is_kept))
    elif isinstance(value, Items) and shape.items is not None:
        if not value and "z" not in shape.kinds and not is_kept(path):
            return None
        value[:] = [_hollow(item, shape.items, (*path, "[]"), is_kept) for item in value]
    return value


def _check(value: Any, shape: SchemaNode, path: _Path, origin: Origin | None) -> None:
    if isinstance(value, Map) and shape.keys is not None:
        _check_keys(value, shape, path, origin)
    elif isinstance(value, Map) and shape.values is not None:
        _check_values(value, shape, path)
    elif isinstance(value, Items) and shape.items is not None:
        _check_items(value, shape, path, origin)
    elif not _fits(value, shape):
        hint = (
            "Give it an item, or remove it"
            if value is None and shape.items is not None
            else "Correct the value"
        )
        raise _wrong(path, origin, f"must be {_wanted(shape)}", hint)


def _check_keys(value: Map, shape: SchemaNode, path: _Path, origin: Origin | None) -> None:
    assert shape.keys is not None
    for name, item in value.items():
        known = shape.keys.get(name)
        if known is not None:
            _check(item, known, (*path, name), value.origin(name))
        elif not shape.loose and not (shape.extensible and name.startswith("x-")):
            hint = (
                "Correct its name, or begin it with x-" if shape.extensible else "Correct its name"
            )
            raise _wrong((*path, name), value.origin(name), "is no key that Compose knows", hint)
    for name in shape.required:
        if name not in value:
            raise _wrong(path, origin, f"lacks the key {name}", f"Add {name}")


def _check_values(value: Map, shape: SchemaNode, path: _Path) -> None:
    assert shape.values is not None
    for name, item in value.items():
        if shape.names.match(name):
            _check(item, shape.values, (*path, name), value.origin(name))
        elif not shape.loose:
            raise _wrong(
                (*path, name),
                value.origin(name),
                "is no name that Compose takes",
                "Use letters, digits, . _ and -",
            )


def _check_items(value: Items, shape: SchemaNode, path: _Path, origin: Origin | None) -> None:
    assert shape.items is not None
    for number, (item, at) in enumerate(zip(value, value.origins, strict=True)):
        _check(item, shape.items, (*path, str(number)), at or origin)
    if shape.distinct and len({_identity(item) for item in value}) < len(value):
        raise _wrong(path, origin, "has the same item twice", "Keep one of them")


def _identity(value: Any) -> Any:
    """The same for the same, so that a text is no number and 1 is 1.0."""
    if isinstance(value, Map):
        return frozenset((name, _identity(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(_identity(item) for item in value)
    return value if isinstance(value, str) else (go_text(value),)


def _fits(value: Any, shape: SchemaNode) -> bool:
    kinds = shape.kinds
    if isinstance(value, str):
        return "s" in kinds and (not shape.choices or value in shape.choices)
    if value is None or isinstance(value, bool):
        return ("z" if value is None else "b") in kinds
    if isinstance(value, (int, float)):
        return _counts(value, kinds) and not _is_outside(value, shape)
    return isinstance(value, Map) and "o" in kinds


def _counts(value: float, kinds: str) -> bool:
    return math.isfinite(value) and ("n" in kinds or ("i" in kinds and float(value).is_integer()))


def _is_outside(value: float, shape: SchemaNode) -> bool:
    return (shape.least is not None and value < shape.least) or (
        shape.most is not None and value > shape.most
    )


def _wanted(shape: SchemaNode) -> str:
    if shape.choices:
        kinds = [f"one of {', '.join(sorted(shape.choices))}"]
    else:
        kinds = [name for kind, name in _KINDS.items() if kind in shape.kinds]
    if shape.least is not None or shape.most is not None:
        ends = (("at least", shape.least), ("at most", shape.most))
        kinds.append(" and ".join(f"{word} {end:g}" for word, end in ends if end is not None))
    if shape.items is not None:
        kinds.append("a list")
    if shape.keys is not None or shape.values is not None:
        kinds.append("a mapping")
    return " or ".join(kinds)


def _wrong(path: _Path, origin: Origin | None, cause: str, hint: str) -> ComposeError:
    where = f"{origin}: " if origin else ""
    return ComposeError(f"{where}{'.'.join(path)} {cause}", hint, origin=origin)
