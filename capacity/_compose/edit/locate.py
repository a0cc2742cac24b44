"""Put values into a service's mapping: replace what stands there, add what does not."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from capacity._common.plain_data import Plain, PlainMapping
from capacity._compose.edit.insert import append_items, insert_entries
from capacity._compose.edit.splice import (
    Splice,
    column,
    content_end,
    flow,
    insert_lines,
    render_block,
    scalar_text,
)
from capacity._compose.edit.wanted import Branch, Impossible, Keyed, Leaf, ListEdit, Placing
from capacity._compose.yaml.nodes import Alias, Mapping, Node, Scalar, Sequence
from capacity._compose.yaml.values import scalar_value

__all__ = ["place_beside", "place_values", "plain_values"]


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
        insert_entries(work, key, body, missing)
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
        append_items(work, node, wanted.added)
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
