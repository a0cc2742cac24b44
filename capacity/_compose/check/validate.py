"""Which keys Compose knows, and what kind of value each must have: a model held against Compose's
schema.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from capacity._compose.check.schema import ROOT, SchemaNode
from capacity._compose.load.merge import go_text
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.timestamps import Timestamp
from capacity._compose.yaml.tree import Items, Map
from capacity._compose.yaml.tree import Path as Keys
from capacity.errors import ComposeError

__all__ = ["check_shape", "hollow", "newer_keys"]

_KINDS = {
    "s": "text",
    "n": "a number",
    "i": "a whole number",
    "b": "true or false",
    "z": "nothing",
    "o": "a mapping",
}
_READ_OVER = frozenset({"build", "develop", "models", "networks", "provider", "volumes"})
_KEY = re.compile(r"[a-z][a-z0-9_]*")  # how Compose names its own
_SLIP = 0.75  # how alike a wrong key is to the one that was meant


def check_shape(model: Map) -> None:
    """Refuse keys that are missing, values of the wrong kind, and unknown keys where they could
    change what is read.

    Raises:
        ComposeError: the first of them, with its place.
    """
    _check(model, ROOT, (), None)


def newer_keys(model: Map) -> Iterator[tuple[Keys, Origin | None]]:
    """The keys of a model that passed `check_shape` and no table knows: a newer Compose may."""
    yield from _newer(model, ROOT, ())


def _newer(value: Any, shape: SchemaNode, path: Keys) -> Iterator[tuple[Keys, Origin | None]]:
    if isinstance(value, Map):
        for name, item in value.items():
            below = shape.values if shape.keys is None else shape.keys.get(name)
            if below is not None:
                yield from _newer(item, below, (*path, name))
            elif shape.keys is not None and not shape.loose and not name.startswith("x-"):
                yield (*path, name), value.origin(name)
    elif isinstance(value, Items) and shape.items is not None:
        for number, item in enumerate(value):
            yield from _newer(item, shape.items, (*path, str(number)))


def _may_be_newer(path: Keys, name: str, value: Map, shape: SchemaNode) -> bool:
    """Whether an unknown key may be one of a newer Compose: it stands where nothing is read or
    edited that it could change, and is no slip of the pen.
    """
    if path:
        apart = len(path) == 2 or (path[0] == "services" and path[2] in _READ_OVER)
    else:  # services at the top are those of version 1
        apart = not {"services", "include"}.isdisjoint(value)
    return bool(apart and _KEY.fullmatch(name)) and not get_close_matches(
        name, shape.keys or (), n=1, cutoff=_SLIP
    )


def hollow(model: Map, is_kept: Callable[[Keys], bool]) -> None:
    """Make nothing of empty lists before another file is laid on them, as Compose does, and then
    refuses them.

    Args:
        model: changed in place.
        is_kept: whether the list at a path is left alone.
    """
    _hollow(model, ROOT, (), is_kept)


def _hollow(value: Any, shape: SchemaNode, path: Keys, is_kept: Callable[[Keys], bool]) -> Any:
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


def _check(value: Any, shape: SchemaNode, path: Keys, origin: Origin | None) -> None:
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


def _check_keys(value: Map, shape: SchemaNode, path: Keys, origin: Origin | None) -> None:
    assert shape.keys is not None
    for name, item in value.items():
        known = shape.keys.get(name)
        if known is not None:
            _check(item, known, (*path, name), value.origin(name))
        elif (
            not shape.loose
            and not (shape.extensible and name.startswith("x-"))
            and not _may_be_newer(path, name, value, shape)
        ):
            hint = (
                "Correct its name, or begin it with x-" if shape.extensible else "Correct its name"
            )
            raise _wrong((*path, name), value.origin(name), "is no key that Compose knows", hint)
    for name in shape.required:
        if name not in value:
            raise _wrong(path, origin, f"lacks the key {name}", f"Add {name}")


def _check_values(value: Map, shape: SchemaNode, path: Keys) -> None:
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


def _check_items(value: Items, shape: SchemaNode, path: Keys, origin: Origin | None) -> None:
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
    if isinstance(value, Timestamp):  # printed where any scalar is
        return {*"snz"} <= {*kinds}
    if isinstance(value, str):
        fits = not shape.choices or value in shape.choices
        return "s" in kinds and (fits or bool(shape.form and shape.form.fullmatch(value)))
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


def _wrong(path: Keys, origin: Origin | None, cause: str, hint: str) -> ComposeError:
    where = f"{origin}: " if origin else ""
    return ComposeError(f"{where}{'.'.join(path)} {cause}", hint, origin=origin)
