"""The events of YAML text, as libyaml reads it: Compose's own parser is its port to Go, and it is
ten times as fast as one in Python.

How deep and how many things may stand in a text is bounded here, before anything is built of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from capacity.errors import ComposeError

__all__ = ["Origin", "events", "origin_of"]

_MARK = "\ufeff"  # of the byte order
_DEEPEST = 100  # far below where Python's own stack ends, for every reader of the nodes


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a value stands: file, line and column, both counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def origin_of(event: Any, file: str) -> Origin:
    """Where an event begins."""
    mark = event.start_mark
    return Origin(file, mark.line + 1, mark.column + 1)


def events(text: str, file: str, most: int) -> Iterator[Any]:
    """The events of the documents in a text, without those of the stream.

    Args:
        text: to read.
        file: its name, for messages.
        most: events.

    Raises:
        ComposeError: no YAML, or too deep, or too much of it.
    """
    import yaml  # type: ignore[import-untyped]  # PyYAML has no types

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(_after_marks(text, file))
    except ValueError as error:  # half of a surrogate pair is no text
        raise ComposeError(f"{file} is no YAML: {error}", "Correct the file") from error
    starts = {yaml.MappingStartEvent, yaml.SequenceStartEvent}
    ends = {yaml.MappingEndEvent, yaml.SequenceEndEvent}
    depth = count = 0
    try:
        loader.get_event()  # the start of the stream
        while type(event := loader.get_event()) is not yaml.StreamEndEvent:
            count += 1
            if type(event) in starts:
                depth += 1
            elif type(event) in ends:
                depth -= 1
            if depth > _DEEPEST or count > most:
                raise _unbounded(depth, origin_of(event, file))
            yield event
    except yaml.YAMLError as error:
        raise _unreadable(error, file) from error
    except (ValueError, RecursionError) as error:
        raise ComposeError(f"{file} is no YAML: {error}", "Correct the file") from error
    finally:
        loader.dispose()


def _unbounded(depth: int, origin: Origin) -> ComposeError:
    if depth > _DEEPEST:
        cause, hint = f"more than {_DEEPEST} lists and mappings stand in each other", "Correct it"
    else:
        cause, hint = "the file has more values than can be read", "Split it"
    return ComposeError(f"{origin}: {cause}", hint, origin=origin)


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


def _unreadable(error: Any, file: str) -> ComposeError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    origin = Origin(file, mark.line + 1, mark.column + 1) if mark is not None else None
    return ComposeError(f"{origin or file}: no YAML: {problem}", "Correct that line", origin=origin)
