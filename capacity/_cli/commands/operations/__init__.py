"""Commands of fleet operations, each in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity._cli.commands.operations import emergency, pool, schedule
from capacity._cli.commands.operations.affinity import affinity
from capacity._cli.commands.operations.restarts import restarts
from capacity._cli.commands.operations.timeline import timeline

if TYPE_CHECKING:
    import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (restarts, affinity, timeline):
        app.command()(command)
    pool.register(app)
    emergency.register(app)
    schedule.register(app)
