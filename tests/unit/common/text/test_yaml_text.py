"""Plain data as YAML that every reader understands alike."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from capacity._common.text.yaml_text import yaml_text

SCALARS: st.SearchStrategy[Any] = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.sampled_from(
        ["no", "1e3", "0o17", "1:30", "12_3", ".5", "1.", "~", "=", "<<", "2026-11-28"]
    )
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab-:#0e1", min_size=1), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text("xyz", min_size=1), VALUES))
@example({"a": "1e3", "b": "0o17", "c": "no"})
def test_what_is_written_is_read_back(content: dict[str, Any]) -> None:
    """By a reader of YAML 1.2, with the same types, and never through an alias."""
    text = yaml_text(content)
    assert text.isascii()
    assert YAML(typ="safe", pure=True).load(text) == content


def test_the_same_value_twice_is_written_twice() -> None:
    """Readers refuse anchors and aliases."""
    same = {"k": [1]}
    assert "&" not in yaml_text({"a": same, "b": same})
