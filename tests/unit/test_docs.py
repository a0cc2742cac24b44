"""What the documentation names exists, and what exists is documented."""

from __future__ import annotations

import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from capacity.errors import UsageError
from capacity.settings import Settings
from tests.fixtures.paths import ROOT
from tools.reference import PAGES, PUBLIC, REFERENCE, commands, settings
from tools.runbooks import moved

TOP = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PROSE = sorted(
    [
        *TOP,
        *(path for path in (ROOT / "docs").rglob("*.md") if path.parent != REFERENCE),
    ]
)
WRITTEN = [*PROSE, REFERENCE / "glossary.md", ROOT / "data" / "rules.md"]
_REPLACED = re.compile(
    r"\b(mend(s|ed|ing)?|rules of the house|the house's|witness(es)?|deed|taken? back|way back)\b",
    re.IGNORECASE,
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
                {
                    option
                    for part in known[name].params
                    for option in (*part.opts, *part.secondary_opts)
                }
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
    for variable in re.findall(r"(?<!_)CAPACITY_([A-Z_]+)", page.read_text(encoding="utf-8")):
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


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.name)
def test_lines_of_prose_are_short(page: Path) -> None:
    """At most 100 columns; rows of a table cannot be broken."""
    text = page.read_text(encoding="utf-8")
    long = [line for line in text.splitlines() if len(line) > 100 and not line.startswith("|")]
    assert long == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: path.name)
def test_the_words_are_those_of_the_field(page: Path) -> None:
    """Fix, rule book and rollback; none of the words that they replace."""
    assert [found[0] for found in _REPLACED.finditer(page.read_text(encoding="utf-8"))] == []


def test_every_anchor_inside_the_docs_exists() -> None:
    """A link to a part of a page names a heading of it."""
    for page in [*PROSE, *REFERENCE.glob("*.md")]:
        for file, anchor in re.findall(
            r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8")
        ):
            target = page.parent / file if file else page
            assert anchor in anchors_of(target), f"{page.name} links to {file}#{anchor}"


def test_every_page_is_on_the_map() -> None:
    """docs/README.md leads to each page of the documentation."""
    docs = ROOT / "docs"
    text = (docs / "README.md").read_text(encoding="utf-8")
    linked = {(docs / target).resolve() for target in re.findall(r"\]\(([^)#:]+)", text)}
    forwarding = {docs / "runbooks" / name for name in moved()}
    assert {*docs.rglob("*.md")} - linked - forwarding == {docs / "README.md"}


def test_the_glossary_is_sorted_and_says_each_word_once() -> None:
    """One entry a word, in the order of the alphabet, each with a definition."""
    text = (REFERENCE / "glossary.md").read_text(encoding="utf-8")
    entries = [part for part in text.split("\n\n") if part.startswith("**")]
    words = [re.match(r"\*\*([a-z -]+)\*\*: \S", entry)[1] for entry in entries]  # type: ignore[index]
    assert words == sorted({*words})


def test_the_glossary_and_the_exported_names_agree() -> None:
    """What it gives as a Python name is public, and every public class has its word in it. Errors
    have a page of their own, and so have the tables of the settings.
    """
    text = (REFERENCE / "glossary.md").read_text(encoding="utf-8")
    parts = re.findall(r"Python:((?:\s+`\w+`[,.])+)", text)
    named = {name for part in parts for name in re.findall(r"`(\w+)`", part)}
    public: dict[str, object] = {}
    for module in map(import_module, PUBLIC):
        public |= {name: getattr(module, name) for name in module.__all__}
    assert named - {*public} == set()
    classes = {name for name, value in public.items() if inspect.isclass(value)}
    apart = {name for name in classes if name.endswith("Settings")}
    apart |= {*import_module("capacity.errors").__all__}
    assert classes - apart - named == set()


def test_the_folders_in_the_architecture_are_those_of_the_package() -> None:
    """Every folder of the package has its line, and every path named anywhere in it exists."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {
        *re.findall(r"`((?:capacity|tests|tools|docs|data|notebooks|benchmarks)/[^` ]*)`", text)
    }
    assert [path for path in named if not (ROOT / path).exists()] == []
    folders = {
        f"capacity/{path.parent.name}/" for path in (ROOT / "capacity").glob("*/__init__.py")
    }
    assert folders - named == set()


def test_the_paths_in_the_guide_to_contributing_exist() -> None:
    """A step that names a file names one that is there."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:capacity|tests|tools|docs|data|notebooks|benchmarks)/[^` ]*)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
