"""Values straight from the events are those of the nodes, and so are their places."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._common.text.yaml_text import yaml_text
from capacity._compose.yaml.nodes import Mapping, Node, Sequence, parse_documents
from capacity._compose.yaml.values import plain
from capacity._compose.yaml.written_out import place_of, read_written_out
from capacity.errors import ComposeError

MOST = 10_000
CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=20,
)
LINES = st.lists(
    st.sampled_from(
        ["a: 1", "b:", "- x", "- ", "  c: [1, {d: e}]", "f: 2020-01-01", "0777",
         "'a': !!str 1", "? x", ": y", "g: !!binary aGk=", "h: |", "  text", "---", "i: .inf"]
    ),
    max_size=6,
)  # fmt: skip


def of_nodes(text: str) -> Any:
    """What the nodes of a text say."""
    (root,) = parse_documents(text, "file") or (None,)
    return plain(root)


@given(CONTENT)
def test_it_reads_what_was_written(content: object) -> None:
    """Any plain data comes back."""
    assert read_written_out(yaml_text(content), "file", MOST) == content


@given(LINES)
def test_it_reads_what_the_nodes_say(lines: list[str]) -> None:
    """Whatever it accepts, it reads like the loader of compose files."""
    text = "\n".join(lines)
    with suppress(ComposeError):
        assert read_written_out(text, "file", MOST) == of_nodes(text)


@given(CONTENT, st.data())
def test_a_place_is_that_of_the_node(content: object, data: st.DataObject) -> None:
    """Every value's place is found by its path."""
    text = yaml_text(content)
    node: Node = parse_documents(text, "file")[0]
    path: list[str | int] = []
    while (isinstance(node, Mapping) and node.entries) or (
        isinstance(node, Sequence) and node.items
    ):
        if isinstance(node, Mapping):
            key, node = data.draw(st.sampled_from(node.entries))
            path.append(getattr(key, "text", ""))
        else:
            path.append(data.draw(st.integers(0, len(node.items) - 1)))
            node = node.items[int(path[-1])]
    place = place_of(text, "file", path, MOST)
    assert (place.line, place.column) == (node.origin.line, node.origin.column)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x 1\n", "file:1:4: an anchor"),
        ("a: 1\nb: *a\n", "file:2:4: an anchor or an alias"),
        ("? *a\n: 1\n", "alias"),
        ("<<: {a: 1}\n", "file:1:1: a merge key"),
        ("a: 1\na: 2\n", "file:2:1: the key 'a' stands twice"),
        ("? [a]\n: 1\n", "file:1:3: a key that is no text"),
        ("1: 1\n", "a key that is no text"),
        ("a: 1\n---\nb: 1\n", "file:2:1: a second document"),
        ("[" * 101, "file:1:101: more than 100 lists"),
        ("a: [" + "1," * MOST + "]", "more values than can be read"),
    ],
)
def test_what_is_not_written_out_is_refused_with_its_place(text: str, said: str) -> None:
    """Nobody has to look for an alias."""
    with pytest.raises(ComposeError, match=said.replace("[", r"\[")):
        read_written_out(text, "file", MOST)
