"""A rule book's Markdown: which heading each machine-readable block stands under, and in which
line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from capacity.errors import InputError

__all__ = ["RuleBlock", "rule_blocks"]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*(.*?)[ \t]*")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
_RULE_ID = re.compile(r"([A-Z]{2,10}[0-9]{3,})\b[\s:.·\u2013\u2014-]*")
_HINT = "Write one block ```yaml rule under each rule's heading"


@dataclass(frozen=True, slots=True)
class RuleBlock:
    """A `yaml rule` block: `line` is that of its first line of YAML, counted from 1."""

    heading: str
    text: str
    line: int

    @property
    def promised_id(self) -> str:
        """The id that the heading begins with, empty if it begins with none."""
        match = _RULE_ID.match(self.heading)
        return match[1] if match else ""

    @property
    def title(self) -> str:
        """The heading without its id."""
        return _RULE_ID.sub("", self.heading, count=1)


def rule_blocks(text: str, file: str) -> list[RuleBlock]:
    """The rule blocks of a rule book.

    Raises:
        InputError: a block without a heading of its own, a misspelt or unclosed one, a rule's
            heading without a block.
    """
    found: list[RuleBlock] = []
    heading, line_of_heading, filled = "", 0, True
    for kind, line, words, body in _parts(text.splitlines(), file):
        if kind == "heading":
            _refuse_empty(file, line_of_heading, heading, filled=filled)
            heading, line_of_heading, filled = words, line, False
        elif "rule" in words.lower():
            if words.split() != ["yaml", "rule"]:
                raise InputError(f"{file}:{line}: a block of {words!r} is no rule block", _HINT)
            if filled:
                raise InputError(f"{file}:{line}: a rule block without a heading of its own", _HINT)
            found.append(RuleBlock(heading, body, line + 1))
            filled = True
    _refuse_empty(file, line_of_heading, heading, filled=filled)
    return found


def _refuse_empty(file: str, line: int, heading: str, *, filled: bool) -> None:
    if not filled and _RULE_ID.match(heading):
        raise InputError(f"{file}:{line}: no rule block stands under {heading!r}", _HINT)


def _parts(lines: list[str], file: str) -> Iterator[tuple[str, int, str, str]]:
    """Headings and fenced blocks: kind, line, its words, the block's text. What stands in comments
    is not there.
    """
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.lstrip(" ").startswith("<!--"):
            number = _end_of_comment(lines, number)
        elif (fence := _FENCE.fullmatch(line)) and not ("`" in fence[2] and fence[1][0] == "`"):
            end = _end_of_fence(lines, number, fence[1], file)
            yield "fence", number + 1, fence[2], "\n".join(lines[number + 1 : end])
            number = end + 1
        else:
            if heading := _HEADING.fullmatch(line):
                yield "heading", number + 1, heading[2], ""
            number += 1


def _end_of_comment(lines: list[str], start: int) -> int:
    return next(
        (number + 1 for number in range(start, len(lines)) if "-->" in lines[number]), len(lines)
    )


def _end_of_fence(lines: list[str], start: int, fence: str, file: str) -> int:
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")
    for number in range(start + 1, len(lines)):
        if closing.fullmatch(lines[number]):
            return number
    raise InputError(f"{file}:{start + 1}: the block is not closed", f"End it with a line {fence}")
