"""`capacity.errors`."""

from __future__ import annotations

import re

import pytest

from capacity import errors


def test_the_drawn_tree_is_the_tree() -> None:
    """Every exception stands in the drawing of the docstring, under its parent."""
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│ ]*(?:[├└]── )?)(\w+Error|\w+)(?:\s{2,}|$)", line)
        if found and found[2] in errors.__all__:
            depth = len(found[1]) // 4
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
    assert drawn == {name: getattr(errors, name).__base__.__name__ for name in errors.__all__}


@pytest.mark.parametrize("name", errors.__all__)
def test_the_exit_code_tells_usage_from_work(name: str) -> None:
    """2 for what was asked wrongly, 1 for work that failed."""
    kind = getattr(errors, name)
    assert kind("x").exit_code == (2 if issubclass(kind, errors.UsageError) else 1)


def test_the_text_is_cause_and_next_step() -> None:
    """The message and the hint make one line."""
    assert str(errors.NoHistory("Nothing there", "Fetch first")) == "Nothing there. Fetch first"
    assert str(errors.NoHistory("Nothing there")) == "Nothing there"
