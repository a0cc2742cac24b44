"""Every report has the options that all have, and its own before them."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from capacity._cli.commands.report import _Asked, _with_options, register

_SHARED = list(_Asked.__dataclass_fields__)


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("weekly", ["engine"]),
        ("monthly", []),
        ("quarterly", ["paths"]),
        ("compliance", ["paths", "engine"]),
    ],
)
def test_each_report_has_its_own_options_and_those_of_all(kind: str, own: list[str]) -> None:
    """In one order, each with a text for its help."""
    app = typer.Typer()
    register(app)
    group: Any = typer.main.get_command(app)
    parts = group.commands["report"].commands[kind].params
    assert [part.name for part in parts] == [*own, *_SHARED]
    assert all(part.help for part in parts)


def test_what_is_given_arrives_as_one_and_the_rest_by_name() -> None:
    """Shared options in one value, with the defaults that they were said with."""
    told = []

    def report(asked: _Asked, extra: int = 3) -> None:
        told.append((asked, extra))

    defaults = {name: getattr(_Asked(), name) for name in _SHARED}
    _with_options(report)(**{**defaults, "sample": True}, extra=4)
    assert told == [(_Asked(sample=True), 4)]
