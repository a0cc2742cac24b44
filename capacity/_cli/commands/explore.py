"""`capacity explore`: the notebook to think in."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from capacity._cli.printing import say
from capacity._common.bundled import bundled
from capacity._common.files import storage_error
from capacity.errors import InputError

__all__ = ["register"]

_NAME = "explore.ipynb"


def explore(
    folder: Annotated[
        Path, typer.Argument(help="Where the notebook goes; one that is there is kept.")
    ] = Path(),
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in JupyterLab.")] = True,
) -> None:
    """Put the notebook to explore a fleet with into a folder and open it in JupyterLab."""
    place = folder / _NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            shutil.copyfile(bundled(f"notebooks/{_NAME}"), place)
    except OSError as error:
        raise storage_error(place, error) from error
    say(str(place))
    if not open_:
        return
    if importlib.util.find_spec("jupyterlab") is None:
        raise InputError(
            "JupyterLab is not installed",
            f"pip install 'capacity-notebooks[explore]', or open {place} in an editor that runs "
            "notebooks",
        )
    sys.stdout.flush()
    # in a container everybody is root; it listens at loopback, and asks for a token
    root = ["--allow-root"] if os.geteuid() == 0 else []
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *root, str(place)])  # noqa: S606 - this very interpreter


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(explore)
