"""docs/reference/rules.md is what the rule book and the checks say."""

from __future__ import annotations

from tools.reference import REFERENCE
from tools.rules_reference import render


def test_the_page_is_current() -> None:
    """`python -m tools.rules_reference` writes it again without a change."""
    assert (REFERENCE / "rules.md").read_text(encoding="utf-8") == render()
