"""Commands of fleet operations, each in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity.cli import emergency, pools
from capacity.cli.affinity import affinity
from capacity.cli.restarts import restarts
from capacity.cli.timeline import timeline

if TYPE_CHECKING:
    import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (restarts, affinity, timeline):
        app.command()(command)
    pools.register(app)
    emergency.register(app)
