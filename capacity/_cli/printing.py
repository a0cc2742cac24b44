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
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "VisibleFormatter",
    "print_rows",
    "print_table",
    "say",
    "say_block",
    "say_crash",
    "show_text",
]

_WIDE = 200  # columns of a file or a pipe
_WIDEST = 10_000
_LONG = 24  # characters of a cell that is a text, and may stand on several lines


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
    from rich.console import Console
    from rich.measure import Measurement
    from rich.text import Text

    headers = [_header(name, (units or {}).get(name, "")) for name in rows[0]]
    # Text: a service's name is no markup
    cells = [
        [Text("-" if cell is None else visible(str(cell))) for cell in row.values()] for row in rows
    ]
    console = Console()
    if title:
        console.print(Text(visible(title), style="table.title"))
    if console.is_terminal:
        console.print(_fitting(console, headers, cells))
        return
    # in a file or a pipe a row stays a row
    table = _as_table(headers, cells, tight=False)
    least = Measurement.get(console, console.options.update(width=_WIDEST), table).minimum
    Console(width=max(_WIDE, least)).print(table)


def _header(name: str, unit: str) -> str:
    """The name of a column for people, with its unit where the cells do not say it."""
    if name.endswith("_mib"):
        name, unit = name.removesuffix("_mib"), "MiB"
    return name.replace("_", " ") + (f" ({unit})" if unit else "")


def _fitting(
    console: Console, headers: Sequence[str], cells: Sequence[Sequence[Text]]
) -> Table | Group:
    """A table where a console has room for one with whole words, paragraphs otherwise."""
    from rich.console import Group
    from rich.measure import Measurement
    from rich.padding import Padding
    from rich.text import Text

    unbounded = console.options.update(width=_WIDEST)
    for tight in (False, True):
        table = _as_table(headers, cells, tight=tight)
        if Measurement.get(console, unbounded, table).minimum <= console.width:
            return table
    parts: list[Text | Padding] = []
    for first, *rest in cells:
        facts = [Text(f"{name}: ") + cell for name, cell in zip(headers[1:], rest, strict=True)]
        parts += [first, Padding(Text("; ").join(facts), (0, 0, 0, 2), expand=False)]
    return Group(*parts)


def _as_table(headers: Sequence[str], cells: Sequence[Sequence[Text]], *, tight: bool) -> Table:
    """A table whose columns of short cells do not wrap, and of the others none within a word."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0) if tight else (0, 1), pad_edge=not tight)
    for position, header in enumerate(headers):
        named = Text(header.replace(" ", "\n") if tight else header)
        column = [row[position] for row in cells]
        wraps = position > 0 and max(text.cell_len for text in column) > _LONG
        parts = [part for text in column for part in (text.split(" ") if wraps else [text])]
        least = max(part.cell_len for part in [*parts, *named.split()])
        table.add_column(named, no_wrap=not wraps, min_width=least, overflow="fold")
    for row in cells:
        table.add_row(*row)
    return table
