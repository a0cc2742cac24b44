"""No module needs one that needs it, imports for types alone included."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.fixtures.paths import ROOT


def modules() -> dict[str, Path]:
    """All modules of the package by name."""
    found = {}
    for path in (ROOT / "capacity").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a file imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                name if (name := f"{node.module}.{alias.name}") in known else node.module
                for alias in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & known.keys()


def test_no_import_goes_in_a_circle() -> None:
    """The modules can be put in an order in which each needs only those before it."""
    known = modules()
    needs = {name: imported(path, known) - {name} for name, path in known.items()}
    assert len(needs) > 200
    assert len([*TopologicalSorter(needs).static_order()]) == len(needs)
