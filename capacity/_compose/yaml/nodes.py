"""YAML text as nodes that know their place: the events of libyaml, with aliases, merge keys and
marks kept.

A loader needs the values, an editor needs the places; neither may lose what the other needs, so
both start here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from yaml.events import (  # type: ignore[import-untyped]  # PyYAML has no types
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from capacity._compose.yaml.events import Origin, events, origin_of
from capacity.errors import ComposeError

__all__ = [
    "Alias",
    "Mapping",
    "Node",
    "Origin",
    "Scalar",
    "Sequence",
    "children",
    "parse_documents",
    "target",
]


_MOST_EVENTS = 500_000
_MOST_NODES = 1_000_000  # nine lines of aliases can stand for a billion nodes


@dataclass(frozen=True, slots=True)
class _Placed:
    """A node from `start` to `end` (offsets into the text); `anchor` and `tag` stand before it."""

    start: int
    end: int
    origin: Origin
    anchor: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Scalar(_Placed):
    """One value; `style` is `'`, `"`, `|`, `>` or empty for a plain one."""

    text: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class Mapping(_Placed):
    """Keys and values in the order of the text."""

    entries: tuple[tuple[Node, Node], ...] = ()
    flow: bool = False

    def get(self, name: str) -> Node | None:
        """The node of this very mapping's own key, merge keys not followed."""
        return next(
            (value for key, value in self.entries if isinstance(key, Scalar) and key.text == name),
            None,
        )

    def key(self, name: str) -> Scalar | None:
        """The node of the key itself."""
        return next(
            (key for key, _ in self.entries if isinstance(key, Scalar) and key.text == name), None
        )


@dataclass(frozen=True, slots=True)
class Sequence(_Placed):
    """Items in the order of the text."""

    items: tuple[Node, ...] = ()
    flow: bool = False


@dataclass(frozen=True, slots=True)
class Alias(_Placed):
    """`*name`, with the node it stands for."""

    name: str = ""
    target: Node | None = field(default=None, repr=False)


Node = Scalar | Mapping | Sequence | Alias


def target(node: Node | None) -> Scalar | Mapping | Sequence | None:
    """The node itself, or what an alias stands for."""
    while isinstance(node, Alias):
        node = node.target
    return node


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below, keys included; an alias has none."""
    if isinstance(node, Mapping):
        for key, value in node.entries:
            yield key
            yield value
    elif isinstance(node, Sequence):
        yield from node.items


@lru_cache(maxsize=8)  # one edit after the other reads the same few texts again and again
def parse_documents(text: str, file: str) -> tuple[Node, ...]:
    """The root node of every document in the text; an empty document is a null scalar.

    Raises:
        ComposeError: no YAML, or too much of it.
    """
    return tuple(_Reader(text, file).documents())


class _Reader:
    """Nodes from the events of one text."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._events = events(text, file, _MOST_EVENTS)
        self._shift = int(text.startswith("\ufeff"))  # libyaml does not count the mark
        self._anchors: dict[str, Node] = {}

    def documents(self) -> Iterator[Node]:
        """The root nodes."""
        first = True
        for event in self._events:
            if type(event) is not DocumentStartEvent:
                continue
            if not (first or event.explicit):  # YAML 1.2 lets it begin so, go-yaml does not
                origin = origin_of(event, self._file)
                raise ComposeError(
                    f"{origin}: no YAML: a document behind ... begins without ---",
                    "Remove the line of dots",
                    origin=origin,
                )
            first = False
            self._anchors = {}
            node = self._node(next(self._events))
            if self._anchors and _written_out(node, {}) > _MOST_NODES:
                raise ComposeError(
                    f"{self._file}: the aliases would make a document without end", "Remove them"
                )
            yield node

    def _node(self, event: Any) -> Node:
        start = event.start_mark.index + self._shift
        end = event.end_mark.index + self._shift
        origin = origin_of(event, self._file)
        kind = type(event)
        if kind is AliasEvent:
            if event.anchor not in self._anchors:
                raise ComposeError(
                    f"{origin}: *{event.anchor} names no anchor", "Correct the name", origin=origin
                )
            found = self._anchors[event.anchor]
            return Alias(start, end, origin, name=event.anchor, target=found)
        node: Node
        if kind is ScalarEvent:
            node = Scalar(
                start, end, origin, event.anchor, event.tag, event.value, event.style or ""
            )
        elif kind is MappingStartEvent:
            entries, end = self._entries(event, start)
            flow = bool(event.flow_style)
            node = Mapping(start, end, origin, event.anchor, event.tag, entries, flow)
        else:
            items, end = self._items(event, start)
            flow = bool(event.flow_style)
            node = Sequence(start, end, origin, event.anchor, event.tag, items, flow)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _entries(self, begun: Any, start: int) -> tuple[tuple[tuple[Node, Node], ...], int]:
        """What stands in a mapping, and where it ends."""
        found: list[tuple[Node, Node]] = []
        while type(event := next(self._events)) is not MappingEndEvent:
            key = self._node(event)
            found.append((key, self._beside(key, self._node(next(self._events)))))
        last = found[-1][1].end if found else start
        return tuple(found), self._end(begun, event, max(start, last))

    def _items(self, begun: Any, start: int) -> tuple[tuple[Node, ...], int]:
        """What stands in a sequence, and where it ends."""
        found: list[Node] = []
        while type(event := next(self._events)) is not SequenceEndEvent:
            found.append(self._node(event))
        return tuple(found), self._end(begun, event, max(start, found[-1].end if found else start))

    def _end(self, begun: Any, ended: Any, last: int) -> int:
        """Where a collection ends; libyaml's own mark of a block is where the next thing starts."""
        return ended.end_mark.index + self._shift if begun.flow_style else last

    def _beside(self, key: Node, value: Node) -> Node:
        """An empty value stands behind its colon, wherever libyaml puts it."""
        if value.start != value.end or not isinstance(value, Scalar):
            return value
        colon = self._text.find(":", key.end, value.start) + 1
        return replace(value, start=colon, end=colon) if colon else value


def _written_out(node: Node, known: dict[int, int]) -> int:
    """How many nodes there are once every alias is written out."""
    if isinstance(node, Alias) and node.target is not None:
        return _written_out(node.target, known)
    if id(node) not in known:
        known[id(node)] = 1 + sum(_written_out(child, known) for child in children(node))
    return known[id(node)]
