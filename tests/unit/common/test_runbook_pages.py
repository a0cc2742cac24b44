"""The runbooks' pages: current, complete, and every command and link in them works."""

from __future__ import annotations

import re

import pytest

from capacity.compliance import load_rules
from capacity.model import Reason
from tools.reference import commands
from tools.runbooks import RUNBOOKS, causes, moved, pages

CODES = {
    "reasons.md": [*map(str, Reason)],
    "causes.md": causes(),
    "rules.md": [rule.id for rule in load_rules()],
}
NAMES = ["README.md", *CODES]
COMMANDS = commands()


def test_the_list_is_complete() -> None:
    """A page each for rules, reasons and causes, with a section a code; the index has all."""
    assert {path.name for path in RUNBOOKS.glob("*.md")} == {*NAMES, *moved()}
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    for name, codes in CODES.items():
        headings = re.findall(
            r"^## (.+)", (RUNBOOKS / name).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert [heading for heading in headings if " " not in heading] == codes
        assert all(f"[{code}]({name}#{code.lower()})" in index for code in codes)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    """`python -m tools.runbooks` writes it again without a change."""
    assert (RUNBOOKS / name).read_text(encoding="utf-8") == pages()[name]


@pytest.mark.parametrize("name", CODES)
def test_shared_text_is_on_a_page_once(name: str) -> None:
    """Sections that several runbooks need are linked, and every link has its section."""
    text = (RUNBOOKS / name).read_text(encoding="utf-8")
    headings = [
        found.lower().replace(" ", "-") for found in re.findall(r"^## (.+)", text, re.MULTILINE)
    ]
    assert len(headings) == len({*headings})
    links = {*re.findall(r"\]\(#([^)]+)\)", text)}
    assert links == {heading for heading in headings if heading.startswith("how-to-")}


@pytest.mark.parametrize("name", NAMES)
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


def headings_of(name: str) -> list[str]:
    """The titles of a page's sections, in its order."""
    return re.findall(r"(?m)^## (.+)", (RUNBOOKS / name).read_text(encoding="utf-8"))
