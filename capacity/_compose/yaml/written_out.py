"""Plain values straight from the events of a text in which every value is written out: without
anchors, aliases and merge keys, and without nodes, so that tens of thousands of entries are read
in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from yaml.events import (  # type: ignore[import-untyped]  # PyYAML has no types
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
)

from capacity._common.plain_data import Plain
from capacity._compose.yaml.events import Origin, events, origin_of
from capacity._compose.yaml.nodes import Scalar
from capacity._compose.yaml.timestamps import Timestamp
from capacity._compose.yaml.values import resolved, scalar_value
from capacity.errors import ComposeError

__all__ = ["place_of", "read_written_out"]

_MOST_EVENTS = 200_000  # of what people write by hand; a second of work
_MOST_KEYS = 10_000  # each wrong one is an error of its own to who checks them


def read_written_out(text: str, file: str, most: int = _MOST_EVENTS) -> Plain:
    """The value of the one document in a text; dates as they are written.

    Args:
        text: to read.
        file: its name, for messages.
        most: events that it may have.

    Raises:
        ComposeError: no YAML, too much of it, several documents, an anchor, an alias or a merge
            key, a key that is no text or stands twice.
    """
    stream = events(text, file, most)
    result: Plain = None
    for number, event in enumerate(each for each in stream if type(each) is DocumentStartEvent):
        if number:
            raise _wrong(event, file, "a second document begins", "Remove it")
        result = _value(next(stream), stream, file)
    return result


def place_of(text: str, file: str, path: Sequence[str | int], most: int) -> Origin:
    """Where what a path of keys and numbers leads to begins, or the nearest thing above it.

    Args:
        text: that `read_written_out` has read.
        file: its name.
        path: names of keys and, in lists, numbers from 0.
        most: events that it may have.
    """
    stream = events(text, file, most)
    next(stream)  # the start of the document
    event = next(stream)
    for part in path:
        below = _child(event, part, stream)
        if below is None:
            break
        event = below
    return origin_of(event, file)


def _value(event: Any, stream: Iterator[Any], file: str) -> Any:
    if event.anchor is not None:  # of an alias too
        raise _wrong(event, file, "an anchor or an alias", "Write the value out")
    if type(event) is ScalarEvent:
        return _scalar(event, file)
    if type(event) is not MappingStartEvent:
        items = []
        while not isinstance(below := next(stream), CollectionEndEvent):
            items.append(_value(below, stream, file))
        return items
    found: dict[str, Any] = {}
    while not isinstance(key := next(stream), CollectionEndEvent):
        found[_key(key, found, file)] = _value(next(stream), stream, file)
    return found


def _scalar(event: Any, file: str) -> Any:
    text = event.value
    if event.tag is not None:
        value = scalar_value(
            Scalar(0, 0, origin_of(event, file), None, event.tag, text, event.style or "")
        )
    else:
        value = text if event.style else resolved(text)
    return text if isinstance(value, Timestamp) else value


def _key(event: Any, found: dict[str, Any], file: str) -> str:
    name = _value(event, iter(()), file) if type(event) in {ScalarEvent, AliasEvent} else None
    if not isinstance(name, str):
        raise _wrong(event, file, "a key that is no text", "Quote it")
    if name == "<<" and not event.style and event.tag is None:
        raise _wrong(event, file, "a merge key", "Write the values out")
    if name in found:
        raise _wrong(event, file, f"the key {name!r} stands twice", "Keep one of them")
    if len(found) == _MOST_KEYS:
        raise _wrong(event, file, f"more than {_MOST_KEYS} keys in one mapping", "Correct it")
    return name


def _child(event: Any, part: str | int, stream: Iterator[Any]) -> Any:
    """The event of a key's value or of an item below an event; None where there is none."""
    number = 0
    while isinstance(event, CollectionStartEvent):
        below = next(stream)
        if isinstance(below, CollectionEndEvent):
            return None
        if isinstance(event, MappingStartEvent):
            found, below = below.value == part, next(stream)
        else:
            found, number = number == part, number + 1
        if found:
            return below
        depth = int(isinstance(below, CollectionStartEvent))
        while depth:
            below = next(stream)
            depth += isinstance(below, CollectionStartEvent) - isinstance(below, CollectionEndEvent)
    return None


def _wrong(event: Any, file: str, cause: str, hint: str) -> ComposeError:
    origin = origin_of(event, file)
    return ComposeError(f"{origin}: {cause}", hint, origin=origin)
