"""Words and tables that several parts of a page use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from capacity._common.text.escape import html_text
from capacity._common.text.units import count_cores, format_cores, format_memory
from capacity.model import Resource
from capacity.reporting._html.html import Column, Html, join, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "AMOUNT",
    "COUNTED",
    "MOST_ROWS",
    "NAMES",
    "OF_USE",
    "PRINT",
    "days",
    "length",
    "long_table",
    "pairs",
    "table_rows",
]

AMOUNT = "cores or bytes"
OF_USE = "of use"  # of errors: the loss over what was used
MOST_ROWS = 15
_MOST_FOLDED = 100
NAMES = {Resource.CPU: "CPU", Resource.MEMORY: "memory"}
PRINT: dict[Resource, Callable[[float], str]] = {
    Resource.CPU: format_cores,
    Resource.MEMORY: format_memory,
}
COUNTED: dict[Resource, Callable[[float], str]] = {  # where no heading has the unit
    Resource.CPU: count_cores,
    Resource.MEMORY: format_memory,
}


def table_rows(frame: pd.DataFrame) -> Iterable[tuple[str, Resource, Any]]:
    """Service, resource and cells of each row."""
    for service, row in zip(frame.index, frame.to_dict("records"), strict=True):
        yield str(service), Resource(str(row["resource"])), row


def long_table(
    caption: str,
    columns: list[Column],
    rows: list[tuple[Any, ...]],
    more: str = "",
    most: int = MOST_ROWS,
    file: str = "",
) -> Html:
    """The first rows in sight, the others on request; of many only the next ones, where a file
    beside the page has them all.
    """
    last = most + _MOST_FOLDED if file else len(rows)
    parts = [table(caption, columns, rows[:last], more=more, shown=most)]
    if last < len(rows):
        link = Html(f'<a href="{html_text(file)}">{html_text(file)}</a>')
        parts.append(join([f"{len(rows) - last} more are in ", link], "p", "more"))
    return join(parts)


def pairs(facts: Iterable[tuple[str, str]]) -> Html:
    """Terms and their values for a `dl`."""
    return join(join((join([name], "dt"), join([value], "dd")), "div") for name, value in facts)


def length(step: pd.Timedelta) -> str:
    """A length of time in its largest whole unit: `5 min`."""
    seconds = int(pd.Timedelta(step).total_seconds())
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {name}"
    return f"{seconds / 60:.0f} min" if seconds > 60 else f"{seconds} s"


def days(horizon: str) -> str:
    """A horizon in days."""
    return f"{pd.Timedelta(horizon).days} days"
