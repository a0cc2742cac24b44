"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["print_rows", "print_table"]


def print_table(table: pd.DataFrame, resource: str, *, as_json: bool, title: str) -> None:
    """A frame by service: raw numbers as JSON, numbers for people otherwise."""
    from capacity._common.units import format_cores, format_memory

    rows: list[dict[str, Any]] = []
    shares = {"breach_now", "breach_after", "confidence"}
    show = format_cores if resource == "cpu" else format_memory
    for service, row in zip(table.index, table.to_dict("records"), strict=True):
        cells: dict[str, Any] = {"service": str(service)}
        for name, value in row.items():
            if not isinstance(value, float):
                cells[str(name)] = value
            elif as_json:
                cells[str(name)] = value if math.isfinite(value) else None
            else:
                cells[str(name)] = (
                    ("-" if math.isnan(value) else f"{value:.0%}")
                    if name in shares
                    else show(value)
                )
        rows.append(cells)
    print_rows(rows, as_json=as_json, title=title)


def print_rows(rows: list[dict[str, Any]], *, as_json: bool, title: str) -> None:
    """Rows as a table, or as JSON."""
    if as_json:
        typer.echo(json.dumps(rows, indent=1, allow_nan=False))
        return
    if not rows:
        typer.echo(f"{title}: nothing" if title else "nothing")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=SIMPLE_HEAD)
    for position, name in enumerate(rows[0]):
        table.add_column(name, no_wrap=position == 0, overflow="fold")
    for row in rows:
        # Text: a service's name is no markup
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row.values()))
    console = Console()
    wide = console if console.is_terminal else Console(width=200)
    wide.print(table)
