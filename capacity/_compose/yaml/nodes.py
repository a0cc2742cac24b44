"""YAML text as nodes that know their place: the events of ruamel.yaml, with aliases, merge keys and
marks kept.

A loader needs the values, an editor needs the places; neither may lose what the other needs, so
both start here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

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


_MARK = "\ufeff"  # of the byte order
_DEEPEST = 100  # far below where Python's own stack ends, for every reader of the nodes
_MOST_NODES = 1_000_000  # nine lines of aliases can stand for a billion nodes


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a value stands: file, line and column, both counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


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


@dataclass(frozen=True, slots=True)
class _Source:
    """A file's name and its text."""

    file: str
    text: str


@lru_cache(maxsize=8)  # one edit after the other reads the same few texts again and again
def parse_documents(text: str, file: str) -> tuple[Node, ...]:
    """The root node of every document in the text; an empty document is a null scalar.

    Raises:
        ComposeError: no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    readable = _after_marks(text, file)
    source = _Source(file, text)
    while True:
        try:
            return tuple(
                _documents(_shallow(YAML(typ="safe", pure=True).parse(readable), file), source)
            )
        except YAMLError as error:
            spaced = _spaced(readable, error)
            if spaced is None:
                raise _unreadable(error, file) from error
            readable = spaced
        except (
            ValueError,
            RecursionError,
        ) as error:  # ruamel lets both through: `%YAML x`, ten thousand brackets
            raise ComposeError(f"{file} is no YAML: {error}", "Correct the file") from error


def _after_marks(text: str, file: str) -> str:
    """The text with a space for the second of two byte order marks: to Compose it is a character in
    front of the first key, and costs every further one its first letter.

    Raises:
        ComposeError: something else than a key stands there.
    """
    if not text.startswith(_MARK * 2):
        return text
    if text[2:3] in {"", "#", "\n", "\r"}:
        raise ComposeError(f"{file}:1: no YAML: two byte order marks", "Keep one of them")
    return f"{_MARK} {text[2:]}"


def _shallow(events: Iterable[Any], file: str) -> Iterator[Any]:
    """The events, until something stands too deep for any reader."""
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _DEEPEST:
            mark = event.start_mark
            origin = Origin(file, mark.line + 1, mark.column + 1)
            raise ComposeError(
                f"{origin}: more than {_DEEPEST} lists and mappings stand in each other",
                "Correct the file",
                origin=origin,
            )
        yield event


def _spaced(text: str, error: Any) -> str | None:
    """The text with spaces for what ruamel stumbled over and Compose does not: tabs behind
    something in their line, and a comment right behind the sign of a block scalar.
    """
    mark = getattr(error, "problem_mark", None)
    place = len(text) if mark is None else mark.index
    sign = text[place : place + 1]
    if sign == "#" and "indentation indicators" in str(error.problem):
        length = len(text[place:].partition("\n")[0])
    elif sign == "\t" and text[text.rfind("\n", 0, place) + 1 : place].strip(" -"):
        length = len(text[place:]) - len(text[place:].lstrip("\t"))
    else:
        return None
    return text[:place] + " " * length + text[place + length :]


def _unreadable(error: Any, file: str) -> ComposeError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    origin = Origin(file, mark.line + 1, mark.column + 1) if mark is not None else None
    return ComposeError(f"{origin or file}: no YAML: {problem}", "Correct that line", origin=origin)


def _documents(events: Iterator[Any], source: _Source) -> Iterator[Node]:
    from ruamel.yaml.events import DocumentStartEvent

    first = True
    for event in events:
        if isinstance(event, DocumentStartEvent):
            if not (first or event.explicit):  # YAML 1.2 lets it begin so, go-yaml does not
                mark = event.start_mark
                origin = Origin(source.file, mark.line + 1, mark.column + 1)
                raise ComposeError(
                    f"{origin}: no YAML: a document behind ... begins without ---",
                    "Remove the line of dots",
                    origin=origin,
                )
            first = False
            node = _node(next(events), events, source, {})
            if _written_out(node, {}) > _MOST_NODES:
                raise ComposeError(
                    f"{source.file}: the aliases would make a document without end", "Remove them"
                )
            yield node


def _written_out(node: Node, known: dict[int, int]) -> int:
    """How many nodes there are once every alias is written out."""
    if isinstance(node, Alias) and node.target is not None:
        return _written_out(node.target, known)
    if id(node) not in known:
        known[id(node)] = 1 + sum(_written_out(child, known) for child in children(node))
    return known[id(node)]


def _node(event: Any, events: Iterator[Any], source: _Source, anchors: dict[str, Node]) -> Node:
    from ruamel.yaml.events import AliasEvent, MappingStartEvent, ScalarEvent

    start, end = event.start_mark, event.end_mark
    tag = None if getattr(event, "tag", None) is None else str(event.tag)
    placed: dict[str, Any] = {
        "start": start.index,
        "end": end.index,
        "origin": Origin(source.file, start.line + 1, start.column + 1),
        "tag": tag,
    }
    if isinstance(event, AliasEvent):
        if event.anchor not in anchors:
            raise ComposeError(
                f"{placed['origin']}: *{event.anchor} names no anchor",
                "Correct the name",
                origin=placed["origin"],
            )
        return Alias(**placed, name=event.anchor, target=anchors[event.anchor])
    placed["anchor"] = event.anchor
    if isinstance(event, ScalarEvent):
        node: Node = Scalar(**placed, text=event.value, style=event.style or "")
    elif isinstance(event, MappingStartEvent):
        node = _mapping(placed, event, events, source, anchors)
    else:
        node = _sequence(placed, event, events, source, anchors)
    if event.anchor:
        anchors[event.anchor] = node
    return node


def _mapping(
    placed: dict[str, Any],
    event: Any,
    events: Iterator[Any],
    source: _Source,
    anchors: dict[str, Node],
) -> Mapping:
    from ruamel.yaml.events import MappingEndEvent

    entries: list[tuple[Node, Node]] = []
    ended = next(events)
    while not isinstance(ended, MappingEndEvent):
        key = _node(ended, events, source, anchors)
        entries.append(
            (key, _beside(key, _node(next(events), events, source, anchors), source.text))
        )
        ended = next(events)
    flow = bool(event.flow_style)
    placed["end"] = ended.end_mark.index if flow else _end(placed, [value for _, value in entries])
    return Mapping(**placed, entries=tuple(entries), flow=flow)


def _beside(key: Node, value: Node, text: str) -> Node:
    """An empty value stands behind its colon; ruamel puts it where the next thing begins."""
    if not isinstance(value, Scalar) or value.start != value.end:
        return value
    colon = text.find(":", key.end, value.start) + 1
    return replace(value, start=colon, end=colon) if colon else value


def _sequence(
    placed: dict[str, Any],
    event: Any,
    events: Iterator[Any],
    source: _Source,
    anchors: dict[str, Node],
) -> Sequence:
    from ruamel.yaml.events import SequenceEndEvent

    items: list[Node] = []
    ended = next(events)
    while not isinstance(ended, SequenceEndEvent):
        items.append(_node(ended, events, source, anchors))
        ended = next(events)
    flow = bool(event.flow_style)
    placed["end"] = ended.end_mark.index if flow else _end(placed, items)
    return Sequence(**placed, items=tuple(items), flow=flow)


def _end(placed: dict[str, Any], items: list[Node]) -> int:
    """Where the content of a block collection ends; ruamel's own mark is the start of whatever
    comes next.
    """
    start: int = placed["start"]
    return max(start, items[-1].end) if items else start
