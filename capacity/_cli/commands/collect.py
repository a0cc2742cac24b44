"""`capacity collect`: measure containers where no metrics server does."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from capacity._cli.options import Config, settings_of
from capacity._cli.printing import say_block

__all__ = ["register"]


def collect(
    port: Annotated[
        int | None,
        typer.Option("--port", help="Port of the metrics, 0 for none; default collect.port."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to serve at; default collect.host.")
    ] = None,
    config: Config = None,
) -> None:
    """Sample what containers use into the archive, and serve it to Prometheus in cAdvisor's
    names.
    """
    from capacity._collect.serve import collect as run
    from capacity.settings import override

    settings = settings_of(config, None)
    for name, value in (("port", port), ("host", host)):
        settings = settings if value is None else override(settings, f"collect__{name}", value)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def ready(address: str) -> None:
        served = f", served at {address}" if address else ""
        say_block(f"Collecting into {settings.archive.path}{served}")

    run(settings, stop, ready)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(collect)
