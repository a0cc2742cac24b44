"""What the documentation names exists, and what exists is documented."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from capacity.errors import UsageError
from capacity.settings import Settings
from tests.fixtures.paths import ROOT
from tools.reference import PAGES, REFERENCE, commands, settings

PROSE = sorted(
    [
        ROOT / "README.md",
        *(path for path in (ROOT / "docs").rglob("*.md") if path.parent != REFERENCE),
    ]
)


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_what_the_code_says(page: str) -> None:
    """`python -m tools.reference` writes the page again without a change."""
    assert (REFERENCE / page).read_text(encoding="utf-8") == PAGES[page]()


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.name)
def test_commands_in_the_docs_exist(page: Path) -> None:
    """Every `capacity ...` line in a code block names a command and options that it has."""
    known = commands()
    for line in code_lines(page, "sh", "ini", "cron"):
        for words in re.findall(r"(?:^|[ /])capacity ((?:(?![|&;#]).)+)", line):
            parts = words.split()
            name = next(
                (
                    full
                    for size in (2, 1)
                    if (full := " ".join(["capacity", *parts[:size]])) in known
                ),
                None,
            )
            assert name or parts[0].startswith("--"), f"{page.name}: {line}"
            options = (
                {option for part in known[name].params for option in part.opts}
                if name
                else {"--help", "--version"}
            )
            used = {part.partition("=")[0] for part in parts if part.startswith("--")}
            assert used <= options | {"--help"}, f"{page.name}: {line}"


@pytest.mark.parametrize("page", PROSE, ids=lambda path: path.name)
def test_settings_in_the_docs_exist(page: Path) -> None:
    """Every TOML block is a valid settings file, and every CAPACITY_ variable is a setting."""
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        Settings(**tomllib.loads(block))
    for variable in re.findall(r"CAPACITY_([A-Z_]+)", page.read_text(encoding="utf-8")):
        assert variable.lower().replace("__", ".", 1) in settings()


def test_every_command_is_shown_at_work() -> None:
    """Each command appears in a code block of the README or the docs."""
    shown = "\n".join(line for page in PROSE for line in code_lines(page, "sh", "ini", "cron"))
    assert [name for name in commands() if name not in shown] == []


def test_links_inside_the_docs_lead_somewhere() -> None:
    """Relative links of the README and the docs point to files that exist."""
    for page in [*PROSE, *REFERENCE.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_error_tells_its_exit_code() -> None:
    """Usage errors end with 2, failed work with 1."""
    assert UsageError("x").exit_code == 2
    assert str(UsageError("What", "Do this")) == "What. Do this"


def code_lines(page: Path, *languages: str) -> list[str]:
    """Lines of the fenced blocks of these languages, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(rf"```(?:{'|'.join(languages)})\n(.*?)```", text, re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]
