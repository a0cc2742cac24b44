"""Dicts and lists that remember where each value stands, while a loader merges and rewrites
them.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterator
from typing import Any

from capacity._compose.yaml.nodes import Alias, Mapping, Node, Origin, Scalar, Sequence, target
from capacity._compose.yaml.timestamps import Timestamp
from capacity._compose.yaml.values import entries, scalar_value
from capacity.errors import ComposeError

__all__ = [
    "Items",
    "Map",
    "Path",
    "build",
    "clone",
    "matches",
    "remove_node",
    "reset_paths",
    "where",
]

Path = tuple[str, ...]


class Map(dict[str, Any]):
    """A dict with the origin of each key's value; that of a service is where its name stands."""

    __slots__ = ("origins",)

    def __init__(
        self,
        values: collections.abc.Mapping[str, object] | None = None,
        origins: dict[str, Origin | None] | None = None,
    ) -> None:
        super().__init__(values or {})
        self.origins: dict[str, Origin | None] = dict(origins or {})

    def put(self, name: str, value: Any, origin: Origin | None) -> None:
        """Set a value that stands at `origin`."""
        self[name] = value
        self.origins[name] = origin

    def origin(self, name: str) -> Origin | None:
        """Where the key's value stands."""
        return self.origins.get(name)


class Items(list[Any]):
    """A list with the origin of each item."""

    __slots__ = ("origins",)

    def __init__(
        self, values: list[Any] | None = None, origins: list[Origin | None] | None = None
    ) -> None:
        super().__init__(values or [])
        self.origins: list[Origin | None] = (
            list(origins) if origins is not None else [None] * len(self)
        )

    def add(self, value: Any, origin: Origin | None) -> None:
        """Append a value that stands at `origin`."""
        self.append(value)
        self.origins.append(origin)


def matches(path: Path, pattern: Path) -> bool:
    """Whether a path of keys fits a pattern in which `*` stands for any one key or item."""
    return len(path) == len(pattern) and all(
        want in {"*", name} for name, want in zip(path, pattern, strict=True)
    )


def build(node: Node, path: Path = (), above: tuple[int, ...] = ()) -> Any:
    """The value of a node, without what `!reset` cuts out.

    Raises:
        ComposeError: a key that is no text, a key twice, a bad merge, an alias that contains
            itself.
    """
    found = target(node)
    assert found is not None
    if id(found) in above:
        raise ComposeError(
            f"{node.origin}: the alias contains itself", "Remove the alias", origin=node.origin
        )
    if isinstance(found, Scalar):
        return scalar_value(found)
    above = (*above, id(found))
    if isinstance(found, Sequence):
        kept = [(number, item) for number, item in enumerate(found.items) if not _is_reset(item)]
        return Items(
            [build(item, (*path, str(number)), above) for number, item in kept],
            [item.origin for _, item in kept],
        )
    return _map(found, path, above)


def _map(node: Mapping, path: Path, above: tuple[int, ...]) -> Map:
    result = Map()
    for name, (key, value) in entries(node, lambda value: not _is_reset(value)).items():
        if not isinstance(name, str) or isinstance(name, Timestamp):
            where_ = "in " + ".".join(path) if path else "at the top"
            raise ComposeError(
                f"{key.origin}: {name!r} {where_} is no text and cannot be a key",
                "Quote it",
                origin=key.origin,
            )
        origin = key.origin if path == ("services",) else value.origin  # at its name
        result.put(name, build(value, (*path, name), above), origin)
    return result


def _is_reset(node: Node) -> bool:
    found = target(node)
    return found is not None and found.tag == "!reset"


def reset_paths(node: Node, path: Path = (), *, is_cut: bool = False) -> Iterator[Path]:
    """The paths that `!reset` and `!override` name below a node that `build` has read.

    What stands below a merge key belongs to the mapping that it is merged into.

    Args:
        node: where to look.
        path: of the node.
        is_cut: whether it is reached by an alias: Compose has cut each `!reset` below out where the
            anchor stands, and finds only `!override` again.
    """
    found = target(node)
    assert found is not None
    if found.tag == "!override" or (found.tag == "!reset" and not is_cut):
        yield path
    if found.tag in {"!override", "!reset"}:
        return
    is_cut = is_cut or isinstance(node, Alias)
    if isinstance(found, Sequence):
        for number, item in enumerate(found.items):
            yield from reset_paths(item, (*path, str(number)), is_cut=is_cut)
    elif isinstance(found, Mapping):
        for key, value in found.entries:
            if isinstance(key, Scalar):
                below = path if key.text == "<<" else (*path, key.text)
                yield from reset_paths(value, below, is_cut=is_cut)


def remove_node(model: Any, resets: list[Path], path: Path = ()) -> None:
    """Remove in place everything that a path of `resets` names; list items are not removed, Compose
    does not either.
    """
    if isinstance(model, Map):
        for name in list(model):
            if any(matches((*path, name), pattern) for pattern in resets):
                del model[name]
            else:
                remove_node(model[name], resets, (*path, name))


def clone(value: Any) -> Any:
    """A copy that shares nothing."""
    if isinstance(value, Map):
        return Map({name: clone(item) for name, item in value.items()}, value.origins)
    if isinstance(value, list):
        return Items([clone(item) for item in value], getattr(value, "origins", None))
    return value


def where(model: Any, path: list[str]) -> Origin | None:
    """Where the value at a path stands; None when there is none, or when no file wrote it."""
    origin: Origin | None = None
    for name in path:
        if isinstance(model, Map) and name in model:
            origin, model = model.origin(name) or origin, model[name]
        elif isinstance(model, Items) and name.isdecimal() and int(name) < len(model):
            origin, model = model.origins[int(name)] or origin, model[int(name)]
        else:
            return None
    return origin
