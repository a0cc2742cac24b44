"""Draw the pictures of docs/explanation from the sample fleet. Run it after changing the forecaster
or the sample.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from capacity import forecast, open_history
from capacity._common.plotting import COLOURS, plot_bands
from capacity.model import Signal

if TYPE_CHECKING:
    from capacity.history import History

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
SHOWN = {
    ("shop/frontend", "cpu"): "a daily and weekly rhythm",
    ("shop/catalog", "memory"): "a leak",
    ("shop/checkout", "memory"): "a deploy: the level moved for good",
    ("data/etl-nightly", "cpu"): "a nightly burst",
}


def forecasts(history: History, made: pd.Timestamp) -> Figure:
    """Four forecasts made a week before the end, with what then happened."""
    canvas = Figure(figsize=(10, 5.6), layout="constrained")
    past = history.between(history.start, made)
    for axes, ((service, signal), title) in zip(
        canvas.subplots(2, 2).flat, SHOWN.items(), strict=True
    ):
        bands = pd.DataFrame(forecast(past, signal).bands.xs(service, axis=1, level="service"))
        usage = past[Signal(signal)][service].loc[made - pd.Timedelta("14D") :]
        plot_bands(usage, bands, signal=Signal(signal), axes=axes)
        after = history[Signal(signal)][service].reindex(bands.index)
        axes.plot(after.index, after, color=COLOURS["limit"], linewidth=0.8)
        axes.set_title(f"{service}, {signal}: {title}", fontsize=9, loc="left")
        axes.margins(y=0.1)
        axes.set_ylim(bottom=0)
    return canvas


def peaks(history: History, made: pd.Timestamp) -> Figure:
    """Where last week's peak of every service fell in its predicted distribution."""
    canvas = Figure(figsize=(10, 2.6), layout="constrained")
    past = history.between(history.start, made)
    for axes, signal in zip(canvas.subplots(1, 2), ("cpu", "memory"), strict=True):
        predicted = forecast(past, signal).peaks
        actual = history[Signal(signal)].loc[made:].max().reindex(predicted.index)
        share = [(actual <= predicted[level]).mean() for level in predicted.columns]
        axes.plot([0, 1], [0, 1], color=COLOURS["grid"], linewidth=1)
        axes.plot(predicted.columns, share, "o-", color=COLOURS["usage"], markersize=4, linewidth=1)
        axes.set_title(
            f"weekly peaks, {signal}: asked and realised coverage", fontsize=9, loc="left"
        )
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return canvas


def main() -> None:
    """Write all pictures."""
    history = open_history("sample", window="35D")
    made = history.end - pd.Timedelta("7D")
    with rc_context({"font.size": 8}):
        for name, draw in (("forecasts", forecasts), ("peaks", peaks)):
            draw(history, made).savefig(
                PICTURES / f"{name}.png", dpi=90, metadata={"Software": None}
            )


if __name__ == "__main__":
    main()
