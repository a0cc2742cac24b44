"""Every report has the options that all have, and its own before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from capacity._cli.commands.report import _Asked, _with_options, register
from capacity.errors import InputError

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


@pytest.mark.parametrize("kind", ["compliance", "quarterly"])
@pytest.mark.parametrize("place", ["nowhere", "nowhere/compose.yaml", "empty"])
def test_paths_without_a_project_are_refused_before_a_notebook_runs(
    kind: str, place: str, tmp_path: Path
) -> None:
    """By name, and no report is begun."""
    (tmp_path / "empty").mkdir()
    asked = ["report", kind, str(tmp_path / place), "--sample", "--out", str(tmp_path / "reports")]
    app = typer.Typer()
    register(app)
    with pytest.raises(InputError, match=place):
        typer.main.get_command(app)(asked, standalone_mode=False)
    assert not (tmp_path / "reports").exists()
