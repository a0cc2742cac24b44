"""`capacity monitor`: the compliance monitor as a small service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from capacity._cli.options import Config, Source, settings_of
from capacity._cli.printing import say

__all__ = ["register"]


def monitor(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Compose files or folders with them.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port to listen at; default monitor.port.")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen at; default monitor.host.")
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine/--no-engine", help="Look at the Engines of the settings.")
    ] = True,
    collect: Annotated[
        bool,
        typer.Option("--collect", help="Also sample the Engines, as `capacity collect` does."),
    ] = False,
    source: Source = None,
    config: Config = None,
) -> None:
    """Watch: evaluate the rules on a schedule and on engine events, show the result, tell when it
    changes.
    """
    from capacity._monitor.evaluate import MonitorTargets
    from capacity._monitor.serve import serve
    from capacity.settings import override

    settings = settings_of(config, source)
    for name, value in (("port", port), ("host", host)):
        settings = settings if value is None else override(settings, f"monitor__{name}", value)
    serve(
        MonitorTargets(settings, tuple(paths or ()), engine, collect),
        lambda address: say(f"capacity: the monitor is at {address}; Ctrl-C ends it", err=True),
    )


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(monitor)
