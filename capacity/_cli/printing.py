"""Everything that reaches a terminal: lines, tables for people, JSON for programs. Nothing else in
the program writes to one, so that no name, label or answer can.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from capacity._common.text.printable import visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "VisibleFormatter",
    "print_rows",
    "print_table",
    "say",
    "say_block",
    "say_crash",
    "show_text",
]


def say(line: str, *, err: bool = False) -> None:
    """One line; what a terminal would obey, also a line feed, is shown in its place."""
    typer.echo(visible(line, keep="\t"), err=err)


def say_block(text: str) -> None:
    """Several lines on standard error, such as a help."""
    typer.echo(visible(text, keep="\n\t"), err=True)


def show_text(text: str) -> None:
    """Several lines of a format that has its own escaper: as they are for a file or a program,
    visible on a terminal.
    """
    if not text:
        return
    ended = text if text.endswith("\n") else f"{text}\n"
    typer.echo(visible(ended, keep="\n\t") if sys.stdout.isatty() else ended, nl=False)


def say_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback of what nobody foresaw, its message visible."""
    say_block("".join(traceback.format_exception(kind, error, trace)).rstrip("\n"))


class VisibleFormatter(logging.Formatter):
    """Log lines as `say` writes them."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the lines of a traceback where there is one."""
        return visible(super().format(record), keep="\n\t" if record.exc_info else "\t")


def print_table(table: pd.DataFrame, resource: str, *, as_json: bool, title: str) -> None:
    """A frame by service: raw numbers as JSON, numbers for people otherwise."""
    from capacity._common.text.units import format_cores, format_memory

    rows: list[dict[str, object]] = []
    shares = {"breach_now", "breach_after", "confidence"}
    show = format_cores if resource == "cpu" else format_memory
    measured = [
        str(name)
        for name in table.columns
        if name not in shares and any(isinstance(value, float) for value in table[name])
    ]
    for service, row in zip(table.index, table.to_dict("records"), strict=True):
        cells: dict[str, object] = {"service": str(service)}
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
    units = dict.fromkeys(measured, "cores") if resource == "cpu" else {}
    print_rows(rows, as_json=as_json, title=title, units=units)


def print_rows(
    rows: Sequence[Mapping[str, object]],
    *,
    as_json: bool,
    title: str,
    units: Mapping[str, str] | None = None,
) -> None:
    """Rows as a table, or as JSON.

    Args:
        rows: name of the column -> cell.
        as_json: as a program reads it, without title and units.
        title: of the table.
        units: column -> unit of the numbers in it, where the cells do not say it.
    """
    if as_json:
        show_text(json.dumps(rows, indent=1, allow_nan=False))
        return
    if not rows:
        say(f"{title}: nothing" if title else "nothing")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(visible(title), style="table.title"), box=SIMPLE_HEAD)
    for position, name in enumerate(rows[0]):
        unit = f" ({units[name]})" if units and name in units else ""
        table.add_column(f"{name}{unit}", no_wrap=position == 0, overflow="fold")
    for row in rows:
        # Text: a service's name is no markup
        table.add_row(*(Text("-" if cell is None else visible(str(cell))) for cell in row.values()))
    console = Console()
    wide = console if console.is_terminal else Console(width=200)
    wide.print(table)
