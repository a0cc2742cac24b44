"""New entries of mappings and lists, in the style of those that are there."""

from __future__ import annotations

import re

from capacity._common.plain_data import Plain
from capacity._compose.edit.splice import (
    Splice,
    column,
    content_end,
    flow,
    insert_lines,
    line_end,
    render_block,
    scalar_text,
)
from capacity._compose.edit.wanted import Impossible, Placing
from capacity._compose.yaml.nodes import Mapping, Scalar, Sequence

__all__ = ["append_items", "insert_entries"]


def append_items(work: Placing, node: Sequence, added: list[str]) -> None:
    """Add texts to a list that is there, behind its last item."""
    if not node.items:
        if node.anchor or node.tag or work.text[node.start : node.end].strip("[ ]"):
            raise Impossible
        work.splices.append(Splice(node.start, node.end, flow(list(added), work.style.quote)))
        return
    first, last = node.items[0], node.items[-1]
    style = first.style if isinstance(first, Scalar) and first.style in {"'", '"'} else ""
    if node.flow:
        work.splices.append(
            Splice(
                last.end,
                last.end,
                "".join(", " + scalar_text(text, style or '"') for text in added),
            )
        )
        return
    start = work.text.rfind("\n", 0, first.start) + 1
    lead = re.compile(r"[ ]*-[ ]+").match(work.text, start, first.start)
    if lead is None:
        raise Impossible
    lines = [lead.group() + scalar_text(text, style) for text in added]
    work.splices.append(insert_lines(work.text, content_end(work.text, last), lines))


def insert_entries(work: Placing, key: Scalar, body: Mapping, missing: dict[str, Plain]) -> None:
    """Add keys to a mapping that is there, behind its last entry."""
    if body.flow:
        _insert_flow(work, body, missing)
        return
    indent, step = column(work.text, body.entries[0][0].start), work.style.step
    lines = [
        line for name, value in missing.items() for line in render_block(name, value, indent, step)
    ]
    if len(lines) > work.lines:
        lines = [
            " " * indent + f"{scalar_text(name)}: {flow(value)}" for name, value in missing.items()
        ]
    work.splices.append(insert_lines(work.text, _behind(work, key, body), lines))


def _behind(work: Placing, key: Scalar, body: Mapping) -> int:
    """Offset in the line to insert behind: the last of the content, unless that is the file's last
    and has no line break.
    """
    ends = [key.end, *(content_end(work.text, value) for _, value in body.entries)]
    if work.at_start:
        return ends[0]
    unfinished = line_end(work.text, ends[-1]) == len(work.text) and not work.text.endswith("\n")
    return (
        ends[-2]
        if unfinished
        else _behind_comments(work.text, ends[-1], column(work.text, body.entries[0][0].start))
    )


def _behind_comments(text: str, position: int, indent: int) -> int:
    """Offset in the last of the comment lines that belong to the value above: deeper than its key,
    or an item of its list.
    """
    # the last line of a file without a final break stays the last, or it would change too
    inside = re.compile(rf"(?: {{{indent + 1},}}#| {{{indent}}}#+ *- )[^\n]*(?=\n)")
    while (found := inside.match(text, line_end(text, position))) is not None:
        position = found.end()
    return position


def _insert_flow(work: Placing, body: Mapping, missing: dict[str, Plain]) -> None:
    quote = _quote_of(body)
    parts = [flow({name: value}, quote)[1:-1] for name, value in missing.items()]
    if not body.entries:
        start = work.text.rindex("{", body.start, body.end)
        inside = work.text[start + 1 : body.end - 1]
        if inside.strip():
            raise Impossible
        work.splices.append(Splice(start + 1, body.end - 1, ", ".join(parts)))
        return
    last_key, last = body.entries[-1]
    lead = _line_lead(work.text, last_key.start)
    separator = ", " if lead is None else "," + lead
    comma = re.compile(r"\s*,").match(work.text, last.end)
    if comma:  # a trailing comma stays one
        new = "".join(separator[1:] + part + "," for part in parts)
        work.splices.append(Splice(comma.end(), comma.end(), new))
        return
    work.splices.append(Splice(last.end, last.end, "".join(separator + part for part in parts)))


def _quote_of(body: Mapping) -> str:
    key = body.entries[0][0] if body.entries else None
    return key.style if isinstance(key, Scalar) and key.style in {"'", '"'} else ""


def _line_lead(text: str, position: int) -> str | None:
    """The line break and the spaces before a key that stands first in its line, else None."""
    start = text.rfind("\n", 0, position)
    if start < 0 or text[start + 1 : position].strip():
        return None
    return ("\r" if text[start - 1 : start] == "\r" else "") + text[start:position]
