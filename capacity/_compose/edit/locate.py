"""Put values into a service's mapping: replace what stands there, add what does not."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from capacity._common.plain_data import Plain, PlainMapping
from capacity._compose.edit.splice import (
    Splice,
    Style,
    column,
    content_end,
    flow,
    insert_lines,
    line_end,
    render_block,
    scalar_text,
)
from capacity._compose.yaml.nodes import Alias, Mapping, Node, Scalar, Sequence
from capacity._compose.yaml.values import scalar_value

__all__ = [
    "Branch",
    "Impossible",
    "Keyed",
    "Leaf",
    "ListEdit",
    "Placing",
    "place_beside",
    "place_values",
    "plain_values",
]


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


def place_values(work: Placing, key: Scalar, body: Node, tree: Branch, effective: Any) -> Any:
    """Add the splices that put `tree` under `key`.

    Args:
        work: the attempt, extended in place.
        key: the node of the key that the body belongs to.
        body: its value.
        tree: what to set.
        effective: what the body means at present, merge keys and aliases included.

    Returns:
        What the body will mean.

    Raises:
        Impossible: the body is something that cannot hold the values.
    """
    if isinstance(body, Alias):
        return _copy_of_alias(work, body, tree, effective)
    if isinstance(body, Scalar) and scalar_value(body) is None:
        return _fill_null(work, key, body, tree)
    if not isinstance(body, Mapping):
        raise Impossible
    result = dict(effective)
    missing: dict[str, Plain] = {}
    for name, wanted in tree.items():
        node = body.get(name)
        if node is None:
            missing[name] = _added(work, wanted, effective.get(name))
            result[name] = missing[name]
        elif isinstance(wanted, Leaf):
            result[name] = _replace(work, node, wanted)
        elif isinstance(wanted, ListEdit):
            result[name] = _edit_list(work, key, node, wanted, effective.get(name))
        elif isinstance(wanted, Keyed):
            result[name] = _key_list(work, body.key(name), node, wanted)
        else:
            name_node = body.key(name)
            assert name_node is not None
            work.in_flow = body.flow
            result[name] = place_values(work, name_node, node, wanted, effective.get(name))
    if missing:
        _insert(work, key, body, missing)
    return result


def place_beside(
    work: Placing, key: Scalar, body: Node, tree: Branch, effective: PlainMapping
) -> Any:
    """Add `tree` to a service without adding it to the anchor that other services merge.

    The body becomes the value of a merge key that carries the anchor, one column to its left, so
    that no line of it changes.

    Raises:
        Impossible: the body has no anchor, or no column is free.
    """
    if not isinstance(body, Mapping) or body.flow or not body.anchor or body.key("<<") is not None:
        raise Impossible
    indent = column(work.text, key.start) + 1
    mark = re.compile(rf"[ \t]*&{re.escape(body.anchor)}(?=[ \t\r\n])").search(
        work.text, key.end, body.entries[0][0].start
    )
    if mark is None or column(work.text, body.entries[0][0].start) <= indent:
        raise Impossible
    changed = {name: _added(work, wanted, effective.get(name)) for name, wanted in tree.items()}
    lines = [
        " " * indent + f"{scalar_text(name)}: {flow(value)}" for name, value in changed.items()
    ]
    work.splices.append(Splice(mark.start(), mark.end(), ""))
    work.splices.append(
        insert_lines(work.text, mark.end(), [*lines, " " * indent + f"<<: &{body.anchor}"])
    )
    return {**effective, **changed}


def _added(work: Placing, wanted: Any, inherited: Any) -> Any:
    """What to write for a key that the mapping itself has not: with all that a merge key had given
    it.
    """
    if isinstance(wanted, Leaf):
        return wanted.value
    if isinstance(wanted, ListEdit):
        raise Impossible
    if isinstance(wanted, Keyed):
        work.copied = True
        return wanted.value
    if isinstance(inherited, dict) and _overlay(inherited, wanted) != plain_values(wanted):
        work.copied = True
        return _overlay(inherited, wanted)
    return plain_values(wanted)


def plain_values(tree: Branch) -> dict[str, Plain]:
    """What a tree says, as a model.

    Raises:
        Impossible: it changes items of a list, which only a file that has the list can say.
    """
    return _overlay(None, tree)


def _overlay(base: Any, tree: Branch) -> dict[str, Plain]:
    if base is not None and not isinstance(base, dict):
        raise Impossible
    result: dict[str, Plain] = deepcopy(base or {})
    for name, item in tree.items():
        if isinstance(item, ListEdit):
            raise Impossible
        if isinstance(item, (Leaf, Keyed)):
            result[name] = item.value
        else:
            result[name] = _overlay(result.get(name), item)
    return result


def _copy_of_alias(work: Placing, body: Alias, tree: Branch, effective: Any) -> Any:
    """Write `{<<: *name, key: ...}` in the place of `*name`."""
    if not isinstance(effective, dict):
        raise Impossible
    work.copied = True
    changed = {name: _added(work, wanted, effective.get(name)) for name, wanted in tree.items()}
    quote = work.style.quote
    inner = "".join(f", {flow({name: value}, quote)[1:-1]}" for name, value in changed.items())
    work.splices.append(Splice(body.start, body.end, f"{{<<: *{body.name}{inner}}}"))
    return {**effective, **changed}


def _fill_null(work: Placing, key: Scalar, body: Scalar, tree: Branch) -> Any:
    values = plain_values(tree)
    if body.tag or body.anchor:
        raise Impossible
    if body.start != body.end or work.in_flow:
        lead = "" if body.start != body.end else " "
        work.splices.append(Splice(body.start, body.end, lead + flow(values, work.style.quote)))
        return values
    indent = column(work.text, key.start) + work.style.step
    lines = [
        line
        for name, value in values.items()
        for line in render_block(name, value, indent, work.style.step)
    ]
    work.splices.append(insert_lines(work.text, body.end, lines))
    return values


def _replace(work: Placing, node: Node, leaf: Leaf) -> Any:
    """Write the leaf over a value, in the quotes that stand there."""
    if isinstance(node, Alias):
        work.splices.append(Splice(node.start, node.end, scalar_text(leaf.value)))
        return leaf.value
    if (
        isinstance(leaf.value, (list, dict))
        or not isinstance(node, Scalar)
        or node.style in {"|", ">"}
    ):
        return _replace_whole(work, node, leaf)
    start, end, lead = node.start, node.end, ""
    if node.tag:  # a tag says what the new value says by itself
        if node.anchor or node.tag in {"!reset", "!override"}:
            raise Impossible
        work.splices.append(Splice(start, end, scalar_text(leaf.value)))
        return leaf.value
    if node.anchor:
        start += len(node.anchor) + 1
        start += len(work.text[start:end]) - len(work.text[start:end].lstrip())
    if start == end:
        lead = " "
    if not node.style and leaf.bare is not None and start != end:
        work.splices.append(Splice(start, end, scalar_text(leaf.bare)))
        return leaf.bare
    style = node.style or work.style.quote if isinstance(leaf.value, str) else ""
    work.splices.append(Splice(start, end, lead + scalar_text(leaf.value, style)))
    return leaf.value


def _replace_whole(work: Placing, node: Node, leaf: Leaf) -> Any:
    """Write the leaf in flow style over a value of any kind that stands on its key's line."""
    if node.anchor or node.tag or (isinstance(node, Mapping) and not node.flow):
        raise Impossible
    end = content_end(work.text, node)
    first = work.text.rfind("\n", 0, node.start)
    if not work.text[first + 1 : node.start].strip(" -"):
        before = len(work.text[: node.start].rstrip())
        work.splices.append(Splice(before, end, " " + flow(leaf.value, work.style.quote)))
    else:
        work.splices.append(Splice(node.start, end, flow(leaf.value, work.style.quote)))
    return leaf.value


def _edit_list(
    work: Placing, key: Scalar, node: Node, wanted: ListEdit, effective: list[Any]
) -> list[Any]:
    if not isinstance(node, Sequence) or len(node.items) != len(effective):
        raise Impossible
    result = list(effective)
    for index, change in wanted.changed.items():
        item = node.items[index]
        result[index] = (
            _replace(work, item, change)
            if isinstance(change, Leaf)
            else place_values(work, key, item, change, effective[index])
        )
    if wanted.added:
        _append(work, node, wanted.added)
    return [*result, *wanted.added]


def _key_list(work: Placing, key: Scalar | None, node: Node, wanted: Keyed) -> dict[str, Plain]:
    """Write `name: {...}` in the place of each `- name`, so that comments beside and between stay
    where they are.
    """
    if key is None or not isinstance(node, Sequence) or node.anchor or node.tag:
        raise Impossible
    if node.flow and "#" in work.text[node.start : node.end]:
        raise Impossible  # a comment inside would be lost
    if node.flow or not node.items:
        return dict(_replace_whole(work, node, Leaf(wanted.value)))
    names = [
        item.text if isinstance(item, Scalar) and not (item.anchor or item.tag) else None
        for item in node.items
    ]
    deeper = ""
    for name, item in zip(names, node.items, strict=True):
        start = work.text.rfind("\n", 0, item.start) + 1
        dash = re.compile(r"([ ]*)-[ ]+").fullmatch(work.text, start, item.start)
        if name is None or dash is None:
            raise Impossible
        deeper = " " * work.style.step if len(dash[1]) <= column(work.text, key.start) else ""
        lead = dash[1] + deeper
        work.splices.append(
            Splice(start, item.end, f"{lead}{scalar_text(name)}: {flow(wanted.value[name])}")
        )
    added = [
        f"{lead}{scalar_text(name)}: {flow(value)}"
        for name, value in wanted.value.items()
        if name not in names
    ]
    if added:
        work.splices.append(insert_lines(work.text, content_end(work.text, node.items[-1]), added))
    return dict(wanted.value)


def _append(work: Placing, node: Sequence, added: list[str]) -> None:
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


def _insert(work: Placing, key: Scalar, body: Mapping, missing: dict[str, Plain]) -> None:
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
