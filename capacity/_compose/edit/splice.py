"""Splices into YAML text: what to write where, so that every other line stays as it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from capacity._compose.yaml.nodes import Mapping, Node, Origin, Scalar, Sequence
from capacity._compose.yaml.values import scalar_value

__all__ = [
    "Splice",
    "Style",
    "apply_splices",
    "column",
    "content_end",
    "flow",
    "insert_lines",
    "line_end",
    "newline",
    "render_block",
    "scalar_text",
]

# What a reader of any YAML version takes for the text it is, in block and in flow style.
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+@%=-]*(:[A-Za-z0-9_./+@%=-]+)*", re.ASCII)
_AMBIGUOUS = re.compile(
    r"(?i)y|n|yes|no|on|off|[-+.0-9_:]+(e[-+]?\d+)?|0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+|\d+-\d+-\d+.*",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Splice:
    """Put `new` in the place of `text[start:end]`."""

    start: int
    end: int
    new: str


@dataclass(frozen=True, slots=True)
class Style:
    """How a file is written: spaces a level, and the quote its keys stand in within flow mappings
    (empty for none).
    """

    step: int = 2
    quote: str = ""


def apply_splices(text: str, splices: list[Splice]) -> str:
    """The text with all splices made; those at one place are written in the order of the list."""
    places: dict[int, list[Splice]] = {}
    for splice in splices:
        places.setdefault(splice.start, []).append(splice)
    for start in sorted(places, reverse=True):
        here = places[start]
        text = (
            text[:start]
            + "".join(splice.new for splice in here)
            + (text[max(splice.end for splice in here) :])
        )
    return text


def newline(text: str, position: int) -> str:
    """The line break of the line at `position`, or of the file when that line has none."""
    for start in (position, 0):
        found = text.find("\n", start)
        if found >= 0:
            return "\r\n" if text[found - 1 : found] == "\r" else "\n"
    return "\n"


def line_end(text: str, position: int) -> int:
    """Offset behind the line break of the line at `position`; the length of the text when it has
    none.
    """
    found = text.find("\n", position)
    return len(text) if found < 0 else found + 1


def column(text: str, position: int) -> int:
    """How many characters stand before `position` in its line; byte order marks are none."""
    start = text.rfind("\n", 0, position) + 1
    return len(text[start:position].lstrip("\ufeff"))


def content_end(text: str, node: Node) -> int:
    """Offset behind the last character that a node's value is made of."""
    if isinstance(node, Mapping) and not node.flow and node.entries:
        return content_end(text, node.entries[-1][1])
    if isinstance(node, Sequence) and not node.flow and node.items:
        return content_end(text, node.items[-1])
    if isinstance(node, Scalar) and node.style in {"|", ">"}:
        header = text[node.start : line_end(text, node.start)].split("#", 1)[0]
        block = text[node.start : node.end]
        return node.end - (0 if "+" in header else len(block) - len(block.rstrip()))
    return node.end


def scalar_text(value: Any, style: str = "") -> str:
    """A value as a YAML scalar: in the quotes of `style`, or plain where a reader of any YAML
    version takes it for what it is.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if style == "'" and isinstance(value, str) and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if style == '"' or (isinstance(value, str) and not _safe(value)):
        return json.dumps(str(value), ensure_ascii=False)
    return str(value)


def _safe(value: str) -> bool:
    if not _PLAIN.fullmatch(value) or _AMBIGUOUS.fullmatch(value):
        return False
    read: Any = scalar_value(Scalar(0, 0, Origin("", 0, 0), text=value))
    return bool(read == value)


def flow(value: Any, quote: str = "") -> str:
    """A value in flow style on one line; keys and texts in `quote`, if any."""
    if isinstance(value, dict):
        inner = ", ".join(
            f"{_key(name, quote)}: {flow(item, quote)}" for name, item in value.items()
        )
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, quote) for item in value) + "]"
    return scalar_text(value, quote if isinstance(value, str) else "")


def _key(name: str, quote: str) -> str:
    return name if name == "<<" else scalar_text(name, quote)


def render_block(name: str, value: Any, indent: int, step: int) -> list[str]:
    """Lines, without breaks, of an entry in block style; lists and empty mappings inside stay on
    one line.
    """
    head = " " * indent + _key(name, "") + ":"
    if isinstance(value, dict) and value:
        return [
            head,
            *(
                line
                for key, item in value.items()
                for line in render_block(key, item, indent + step, step)
            ),
        ]
    return [f"{head} {flow(value)}"]


def insert_lines(text: str, position: int, lines: list[str]) -> Splice:
    """Put lines behind the line at `position`; a file without a final line break stays one
    without.
    """
    end, stop = line_end(text, position), newline(text, position)
    joined = stop.join(lines)
    if end == len(text) and not text.endswith("\n"):
        return Splice(end, end, stop + joined)
    return Splice(end, end, joined + stop)
