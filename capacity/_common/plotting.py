"""Charts on matplotlib axes: frames in, axes out. Needs no other module of the package.

The colours are the keys that `capacity.reporting._html.figures` turns into a light and a dark
theme.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity._common.text.units import format_cores, format_memory
from capacity.model import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

__all__ = [
    "COLOURS",
    "plot_bands",
    "plot_frontier",
    "plot_heatmap",
    "plot_limits",
    "plot_stack",
    "plot_usage",
    "printer",
]

COLOURS = {
    "ink": "#1f2937",
    "quiet": "#6b7280",
    "grid": "#e5e7eb",
    "usage": "#2563eb",
    "band": "#93b4f5",
    "limit": "#dc2626",
    "second": "#0f766e",
}
_MARK = 4.0  # points from the middle of a mark to its edge
_PLACES = (
    (6, 0),
    (6, 6),
    (3, 10),
    (6, -6),
    (3, -10),
    (12, 14),
    (12, -14),
    (14, 22),
    (14, -22),
    (20, 30),
)  # of a name, points
_MOST_STACKED = 336  # every two hours of four weeks: a layer has two edges
_MOST_POINTS = 700  # a line of more points than pixels only makes the file larger


def printer(signal: Signal) -> Callable[[float], str]:
    """How values of a signal are printed for people."""
    if signal in {Signal.CPU, Signal.CPU_LIMIT, Signal.HOST_CPU, Signal.HOST_CORES}:
        return format_cores
    if signal in {Signal.MEMORY, Signal.MEMORY_LIMIT, Signal.HOST_MEMORY, Signal.HOST_MEMORY_TOTAL}:
        return format_memory
    if signal in {Signal.THROTTLED, Signal.CORE_BUSY, Signal.UP}:
        return "{:.0%}".format
    return "{:g}".format


def plot_usage(
    usage: pd.Series[float], *, signal: Signal, limit: float | None = None, axes: Axes | None = None
) -> Axes:
    """Usage over time with the limit in force (same unit; None or NaN = no limit)."""
    axes = _axes(axes)
    thin = _thin(usage)
    axes.plot(thin.index, thin.to_numpy(), color=COLOURS["usage"], linewidth=1.2, label="used")
    _limit_line(axes, limit)
    _dress(axes, signal)
    return axes


def plot_bands(
    usage: pd.Series[float],
    bands: pd.DataFrame,
    *,
    signal: Signal,
    limit: float | None = None,
    top: float = 0.95,
    axes: Axes | None = None,
) -> Axes:
    """Past usage, then the forecast's median and its band from the lowest quantile to the one
    nearest `top`.

    Args:
        usage: past, UTC index.
        bands: future times x quantile levels (float columns).
        signal: which unit to print.
        limit: in force; None or NaN = no limit.
        top: upper edge of the band.
        axes: to draw on; new ones by default.
    """
    axes = _axes(axes)
    thin = _thin(usage)
    axes.plot(thin.index, thin.to_numpy(), color=COLOURS["usage"], linewidth=1.0, label="used")
    low, high = bands.columns.min(), min(bands.columns, key=lambda level: abs(float(level) - top))
    axes.fill_between(
        bands.index,
        bands[low],
        bands[high],
        color=COLOURS["band"],
        alpha=0.45,
        linewidth=0,
        label=f"{low:.0%} to {high:.0%} of what may come",
    )
    middle = min(bands.columns, key=lambda level: abs(float(level) - 0.5))
    axes.plot(
        bands.index, bands[middle], color=COLOURS["second"], linewidth=1.2, label="median forecast"
    )
    _limit_line(axes, limit)
    _dress(axes, signal)
    return axes


def plot_stack(
    parts: pd.DataFrame, *, signal: Signal, total: float | None = None, axes: Axes | None = None
) -> Axes:
    """Parts of a total over time, stacked; `total` is drawn as the limit."""
    axes = _axes(axes)
    colours = [
        COLOURS["usage"],
        COLOURS["second"],
        COLOURS["band"],
        "#b45309",
        "#7c3aed",
        COLOURS["quiet"],
    ]
    step = -(-len(parts) // _MOST_STACKED)
    thin = parts.groupby(np.arange(len(parts)) // step).mean().set_axis(parts.index[::step])
    axes.stackplot(
        thin.index,
        thin.fillna(0).to_numpy().T,
        labels=list(thin.columns),
        colors=colours,
        linewidth=0,
        alpha=0.85,
    )
    _limit_line(axes, total)
    _dress(axes, signal)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        ncols=min(6, len(parts.columns)),
        frameon=False,
    )
    return axes


def plot_limits(table: pd.DataFrame, *, signal: Signal, axes: Axes | None = None) -> Axes:
    """Recent peak, limit in force and proposed limit of each row of a `recommend` table."""
    from matplotlib import pyplot as plt

    axes = axes if axes is not None else plt.subplots(figsize=(9, 1 + 0.28 * len(table)))[1]
    rows = np.arange(len(table))
    axes.barh(rows, table["observed_peak"], color=COLOURS["band"], height=0.6, label="recent peak")
    axes.plot(
        table["limit"],
        rows,
        "|",
        color=COLOURS["second"],
        markersize=12,
        markeredgewidth=2.5,
        label="proposed",
    )
    axes.plot(
        table["current"],
        rows,
        "|",
        color=COLOURS["limit"],
        markersize=12,
        markeredgewidth=2.5,
        label="in force",
    )
    axes.set_yticks(rows, list(table.index))
    axes.invert_yaxis()
    text = printer(signal)
    axes.xaxis.set_major_formatter(lambda value, _: text(value))
    axes.legend(frameon=False)
    return axes


def plot_frontier(points: pd.DataFrame, *, axes: Axes | None = None) -> Axes:
    """Breach share against total cost: a line for `capacity` over its risks, a named mark for each
    other policy.

    Args:
        points: from `capacity.sizing.frontier`.
        axes: where to draw.
    """
    axes = _axes(axes)
    ours = pd.DataFrame(points.xs("capacity", level="policy")).sort_values(by="total")
    axes.plot(
        ours["total"],
        100 * ours["breached"],
        "o-",
        color=COLOURS["usage"],
        linewidth=2,
        markersize=5,
        label="capacity",
    )
    marks = [
        (f"{float(str(risk)):.0%}", row["total"], 100 * row["breached"], COLOURS["usage"])
        for risk, row in ours.iterrows()
    ]
    others = (
        points.drop(index="capacity", level="policy").groupby(level="policy", sort=False).first()
    )
    for name, row in others.iterrows():
        axes.plot(row["total"], 100 * row["breached"], "s", color=COLOURS["limit"], markersize=6)
        marks.append((str(name), row["total"], 100 * row["breached"], COLOURS["limit"]))
    axes.set_ylim(bottom=0)
    axes.margins(x=0.12)
    _name_apart(axes, marks, ours[["total", "breached"]].to_numpy() * (1, 100))
    axes.set_xlabel("cost: sum of limits over sum of trailing peaks")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    return axes


def plot_heatmap(hours: pd.DataFrame, *, signal: Signal, axes: Axes | None = None) -> Axes:
    """A 7 x 24 frame (Monday first, hours UTC) as a map of light and dark."""
    axes = _axes(axes)
    mesh = axes.pcolormesh(
        np.arange(25), np.arange(8), hours.to_numpy(), cmap="viridis", linewidth=0
    )
    axes.set_yticks(np.arange(7) + 0.5, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
    axes.set_xticks(np.arange(0, 25, 3))
    axes.set_xlabel("hour of day, UTC")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02)
    text = printer(signal)
    bar.ax.yaxis.set_major_formatter(lambda value, _: text(value))
    bar.outline.set_visible(False)
    return axes


def _axes(axes: Axes | None) -> Axes:
    if axes is not None:
        return axes
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(9, 3))[1]


def _name_apart(axes: Axes, marks: list[tuple[str, float, float, str]], line: np.ndarray) -> None:
    """Write each mark's name in its colour at the nearest place that no other mark or name has,
    nor, if possible, the line.

    Args:
        axes: with their final limits.
        marks: name, x, y (of the axes' data) and colour.
        line: its corners, x and y.
    """
    from matplotlib import rcParams

    axes.get_xlim()  # settles what is scaled by itself
    size = float(rcParams["font.size"])
    points = axes.transData.transform([(x, y) for _, x, y, _ in marks]) * 72 / axes.figure.dpi
    corners = axes.transData.transform(line) * 72 / axes.figure.dpi
    steps = np.linspace(0, len(corners) - 1, 200)
    xs, ys = (np.interp(steps, np.arange(len(corners)), each) for each in corners.T)
    drawn = [(x - 1, y - 1, x + 1, y + 1) for x, y in zip(xs, ys, strict=True)]
    taken = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points]
    floor = axes.transAxes.transform((0, 0))[1] * 72 / axes.figure.dpi
    for (name, across, up, colour), (x, y) in zip(marks, points, strict=True):
        wide, tall = 0.65 * size * len(name), size
        places = [
            (dx if side > 0 else -dx - wide, dy - tall / 2)
            for dx, dy in _PLACES
            for side in (1, -1)
        ]
        boxes = [(x + left, y + low, x + left + wide, y + low + tall) for left, low in places]
        free = [
            not any(_overlap(box, other) for other in taken) and box[1] >= floor for box in boxes
        ]
        clear = [
            is_free and not any(_overlap(box, other) for other in drawn)
            for box, is_free in zip(boxes, free, strict=True)
        ]
        best = clear.index(True) if any(clear) else free.index(True) if any(free) else 0
        taken.append(boxes[best])
        axes.annotate(
            name,
            (across, up),
            textcoords="offset points",
            xytext=places[best],
            color=colour,
            va="bottom",
        )


def _overlap(first: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (left, low, right, high) share a point."""
    return (
        first[0] < other[2] and other[0] < first[2] and first[1] < other[3] and other[1] < first[3]
    )


def _thin(usage: pd.Series[float]) -> pd.Series[float]:
    """The maximum of every few samples: thinning must not lose a peak."""
    step = -(-len(usage) // _MOST_POINTS)
    if step <= 1:
        return usage
    groups = np.arange(len(usage)) // step
    return pd.Series(usage.groupby(groups).max().to_numpy(), index=usage.index[::step])


def _limit_line(axes: Axes, limit: float | None) -> None:
    if limit is not None and np.isfinite(limit):
        style = (0, (4, 3))
        axes.axhline(
            limit, color=COLOURS["limit"], linewidth=1.2, linestyle=style, label="limit in force"
        )


def _binary_ticks(top: float) -> list[float]:
    """Three to six ticks at a power of two: 8 GiB reads better than 9.31 GiB."""
    step = 2.0 ** np.ceil(np.log2(max(top, 1.0) / 6))
    return list(np.arange(0, top + step / 2, step))


def _dress(axes: Axes, signal: Signal) -> None:
    """Quiet axes in the signal's unit, from zero."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    text = printer(signal)
    axes.set_ylim(bottom=0)
    if text is format_memory:
        axes.set_yticks(
            [tick for tick in _binary_ticks(axes.get_ylim()[1]) if tick <= axes.get_ylim()[1]]
        )
    axes.yaxis.set_major_formatter(lambda value, _: text(value) if value else "0")
    axes.margins(x=0.01)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    locator = AutoDateLocator(minticks=3, maxticks=6, tz="UTC")  # type: ignore[no-untyped-call]  # matplotlib has not typed it
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC", show_offset=False))  # type: ignore[no-untyped-call]  # the same
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
