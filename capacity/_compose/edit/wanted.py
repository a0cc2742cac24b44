"""What an edit is to write, and one attempt to find its place in a text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from capacity._common.plain_data import PlainMapping
from capacity._compose.edit.splice import (
    Splice,
    Style,
)

__all__ = ["Branch", "Impossible", "Keyed", "Leaf", "ListEdit", "Placing"]


class Impossible(Exception):
    """There is no place for the value in this text."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value to write; `bare` may stand in its place where the file has it without quotes."""

    value: Any
    bare: Any = None


@dataclass(frozen=True, slots=True)
class ListEdit:
    """Items of a list to change, by their number, and texts to append."""

    changed: dict[int, Leaf | Branch]
    added: list[str]


@dataclass(frozen=True, slots=True)
class Keyed:
    """A mapping to write where the file has a list of its keys, or has a mapping that lacks some of
    it.
    """

    value: PlainMapping


Branch: TypeAlias = "dict[str, Leaf | ListEdit | Keyed | Branch]"
"""What is to be written below a key: nested mappings with the values at their ends."""


@dataclass
class Placing:
    """One attempt: the splices so far, and whether it had to write down again what came from an
    alias or a merge key.
    """

    text: str
    style: Style
    lines: int = 4
    at_start: bool = False
    copied: bool = False
    in_flow: bool = False
    splices: list[Splice] = field(default_factory=list)
