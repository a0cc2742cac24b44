"""Suggestions of names that a person may have meant."""

from __future__ import annotations

import pytest

from capacity._common.text.suggest import closest_names, no_such_service
from capacity.errors import InputError

KNOWN = ["ai/catalog", "shop/catalog", "shop/web", "shop/worker"]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("catalog", ["ai/catalog", "shop/catalog"]),
        ("shop/wrker", ["shop/worker", "shop/web"]),
        ("wrker", ["shop/worker"]),
        ("zzz", []),
        ("", []),
    ],
)
def test_the_part_behind_the_slash_and_slips_of_the_pen(said: str, found: list[str]) -> None:
    """A project left out, a letter left out, and nothing where nothing is near."""
    assert closest_names(said, KNOWN) == found


def test_the_error_names_what_was_meant() -> None:
    """Or where the names can be seen."""
    assert isinstance(no_such_service("catalog", KNOWN), InputError)
    assert no_such_service("catalog", KNOWN).hint == "Did you mean ai/catalog or shop/catalog?"
    assert "lists the services" in no_such_service("zzz", KNOWN).hint
