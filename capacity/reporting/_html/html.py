"""Small pieces of HTML: escaped text, tables for people and screen readers, sparklines. No scripts,
no addresses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capacity._common.text.escape import html_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

__all__ = ["Column", "Html", "badge", "code", "details", "join", "sparkline", "table", "text"]


@dataclass(frozen=True)
class Html:
    """HTML that is already safe; shows itself in a notebook."""

    source: str

    def __str__(self) -> str:
        return self.source

    def _repr_html_(self) -> str:
        return self.source


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, whether it holds numbers, a longer explanation of the
    heading, and the unit of cells that do not say it themselves.
    """

    name: str
    number: bool = False
    help: str = ""
    unit: str = ""


Cell = str | Html


def text(value: object) -> Html:
    """Any value as escaped text; what is Html already stays as it is."""
    return value if isinstance(value, Html) else Html(html_text(str(value)))


def join(parts: Iterable[object], tag: str = "", css: str = "") -> Html:
    """Parts one after the other, wrapped in `tag` if given."""
    inner = "".join(text(part).source for part in parts)
    attribute = f' class="{html_text(css)}"' if css else ""
    return Html(f"<{tag}{attribute}>{inner}</{tag}>" if tag else inner)


def code(value: str) -> Html:
    """A command or query, in its own scrollable line."""
    return Html(f"<pre><code>{html_text(value)}</code></pre>")


def badge(value: str, level: str) -> Html:
    """A word in a coloured lozenge; `level` is bad, warn, good or quiet."""
    return Html(f'<span class="badge {html_text(level)}">{html_text(value)}</span>')


def details(summary: str, body: Html, *, paper: str | None = None) -> Html:
    """A part that opens on request.

    Args:
        summary: what it is, always in sight.
        body: the part.
        paper: where it is found when the page is printed without it; empty = it is printed; None =
            it is for the screen alone.
    """
    inner = f"<summary>{html_text(summary)}</summary>{body}"
    if paper == "":
        return Html(f'<details class="printed">{inner}</details>')
    note = join([f"{summary}: {paper}"], "p", "paper") if paper else ""
    return Html(f"<details>{inner}</details>{note}")


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    more: str = "",
    shown: int | None = None,
) -> Html:
    """A table with a caption; on a phone each row becomes a card, which is what the labels are for.

    Args:
        caption: what the table shows.
        columns: headings; the first column names the row.
        rows: cells, text (escaped here) or Html.
        more: a line below, for instance how many rows were left out.
        shown: rows in sight, the others on request and on paper; None = all.
    """
    head = "".join(
        f'<th scope="col"{_number(column)}>{html_text(column.name)}{_unit(column)}</th>'
        for column in columns
    )
    lines = [_row(columns, row) for row in rows]
    body = f"<tbody>{''.join(lines[:shown])}</tbody>"
    foot = ""
    if rest := lines[shown:] if shown is not None else []:
        body += f'<tbody class="rest">{"".join(rest)}</tbody>'
        foot = f'<label class="more"><input type="checkbox"> {len(rest)} more rows</label>'
    foot += f'<p class="more">{html_text(more)}</p>' if more else ""
    return Html(
        f'<div class="rows"><div class="scroll"><table><caption>{html_text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>{body}</table></div>{foot}{_terms(columns)}</div>"
    )


def _terms(columns: Sequence[Column]) -> str:
    """What the headings mean, where they stand: also on a phone, where nothing hovers."""
    known = "".join(
        f"<div><dt>{html_text(column.name)}</dt><dd>{html_text(column.help)}</dd></div>"
        for column in columns
        if column.help
    )
    summary = "<summary>What the columns mean</summary>"
    return f'<details class="terms">{summary}<dl>{known}</dl></details>' if known else ""


def _row(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    first, *rest = (text(cell).source for cell in row)
    cells = "".join(
        f'<td data-label="{html_text(column.name)}"{_number(column)}>{cell}</td>'
        for column, cell in zip(columns[1:], rest, strict=True)
    )
    return f'<tr><th scope="row">{first}</th>{cells}</tr>'


def _number(column: Column) -> str:
    return ' class="number"' if column.number else ""


def _unit(column: Column) -> str:
    return f' <span class="unit">{html_text(column.unit)}</span>' if column.unit else ""


def sparkline(values: pd.Series[float], *, limit: float | None = None, label: str = "") -> Html:
    """A line of the last values, 120 x 28, with the limit dashed; `label` is read to those who
    cannot see it.
    """
    width, height, points = 120, 28, 60
    groups = np.arange(len(values)) * points // max(len(values), 1)
    peaks = values.groupby(groups).max()
    top = np.nanmax(
        [*peaks.to_numpy(), limit if limit is not None and np.isfinite(limit) else np.nan, 1e-9]
    )
    lines, pen = [], "M"
    for position, value in peaks.items():
        if np.isnan(value):
            pen = "M"
            continue
        across, down = (
            float(str(position)) / points * width,
            height - 2 - value / top * (height - 4),
        )
        lines.append(f"{pen}{across:.1f},{down:.1f}")
        pen = "L"
    dashed = ""
    if limit is not None and np.isfinite(limit):
        level = height - 2 - limit / top * (height - 4)
        dashed = f'<path class="limit" d="M0,{level:.1f}L{width},{level:.1f}"/>'
    return Html(
        f'<svg class="spark" role="img" aria-label="{html_text(label)}" viewBox="0 0 {width} '
        f'{height}" '
        f'width="{width}" height="{height}">{dashed}<path d="{"".join(lines)}"/></svg>'
    )
