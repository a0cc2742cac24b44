"""Tables for people: whole words at any width of a terminal."""

from __future__ import annotations

import io
import re

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from capacity._cli.printing import _fitting

WORD = st.from_regex(re.compile(r"[a-z0-9/.%-]{1,14}", re.ASCII), fullmatch=True)
TEXT = st.lists(WORD, min_size=1, max_size=12).map(" ".join)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Headers and rows; the first column is a name."""
    headers = draw(st.lists(TEXT.filter(lambda text: len(text) < 20), min_size=1, max_size=8))
    row = st.tuples(WORD, *[TEXT] * (len(headers) - 1)).map(list)
    return headers, draw(st.lists(row, min_size=1, max_size=5))


@given(tables(), st.integers(20, 220))
def test_no_word_is_broken_and_no_line_too_long(
    table: tuple[list[str], list[list[str]]], width: int
) -> None:
    """As a table where there is room, as paragraphs otherwise; every word of every cell stands
    there whole.
    """
    headers, rows = table
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    cells = [[Text(cell) for cell in row] for row in rows]
    console.print(_fitting(console, headers, cells))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= width
    seen = set(re.split(r"[\s;:]+", shown))
    for row in rows:
        assert {word for cell in row for word in cell.split()} <= seen
