"""Every reason, every cause and every rule has its page, and what the pages say can be done."""

from __future__ import annotations

import re

import pytest

from capacity.compliance import load_rules
from capacity.model import Reason
from tools.reference import commands
from tools.runbooks import HEADINGS, RUNBOOKS, causes, pages

CODES = [*map(str, Reason), *causes(), *(rule.id for rule in load_rules())]
NAMES = sorted(f"{code}.md" for code in CODES)
COMMANDS = commands()


def test_the_list_is_complete() -> None:
    """One page each, and none for what does not exist any more; no code is that of two things."""
    assert len(CODES) == len({*CODES})
    assert sorted(path.name for path in RUNBOOKS.glob("*.md")) == sorted([*NAMES, "README.md"])


@pytest.mark.parametrize("name", sorted([*NAMES, "README.md"]))
def test_a_page_is_what_the_code_says(name: str) -> None:
    """`python -m tools.runbooks` writes it again without a change."""
    assert (RUNBOOKS / name).read_text(encoding="utf-8") == pages()[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_four_parts(name: str) -> None:
    """What it means, how to look, how to mend, how to undo: each with something in it, on one short
    page.
    """
    text = (RUNBOOKS / name).read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## (.+)\n\n((?:(?!^## ).*\n?)*)", text, re.MULTILINE))
    assert tuple(parts) == HEADINGS
    assert all(len(part.split()) >= 3 for part in parts.values())
    assert 12 <= len(text.splitlines()) <= 40


@pytest.mark.parametrize("name", [*NAMES, "README.md"])
def test_commands_of_a_page_exist(name: str) -> None:
    """Each names a command of the program with options that it has."""
    lines = re.findall(
        r"^capacity (.+)$", (RUNBOOKS / name).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert lines
    for line in lines:
        words = line.partition("#")[0].split()
        found = [
            full for size in (2, 1) if (full := " ".join(["capacity", *words[:size]])) in COMMANDS
        ]
        assert found, line
        known = {
            option
            for part in COMMANDS[found[0]].params
            for option in [*part.opts, *part.secondary_opts]
        }
        assert {word for word in words if word.startswith("--")} <= known, line
