"""A service's limit at different risks: a slider in a notebook, a static figure elsewhere."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity._common.plotting import COLOURS, plot_usage, printer
from capacity.model import Resource

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RISKS", "draw_risk", "risk_slider", "risks_side_by_side"]

RISKS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
"""From careless to careful."""


def draw_risk(
    usage: pd.Series[float],
    limit: float,
    risk: float,
    resource: Resource,
    axes: Axes | None = None,
) -> Axes:
    """Use, with the limit that one risk asks for; the title says what it would have done.

    Args:
        usage: cores or bytes over UTC times.
        limit: what is proposed at this risk, or else is in force; NaN = none.
        risk: accepted share of services that pass their limit within the horizon.
        resource: which limit.
        axes: to draw on; new ones by default.
    """
    show = printer(resource.usage)
    drawn = plot_usage(usage, signal=resource.usage, axes=axes)
    told = "no limit is proposed"
    if math.isfinite(limit):
        drawn.axhline(limit, color=COLOURS["limit"], label=f"limit at a risk of {risk:.1%}")
        passed = int(np.nansum(usage.to_numpy() > limit))
        told = f"limit {show(limit)}, passed by {passed} of {int(usage.notna().sum())} samples"
    drawn.set_title(f"risk {risk:.1%}: {told}")
    drawn.legend(loc="upper left", fontsize="small")
    return drawn


def risks_side_by_side(
    usage: pd.Series[float],
    limits: Mapping[float, float],
    resource: Resource,
    risks: Sequence[float] = (0.1, 0.02, 0.005),
) -> Figure:
    """The same without a slider: some risks below each other, on one time axis."""
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(len(risks), 1, sharex=True, figsize=(9, 2.6 * len(risks)))
    for axes, risk in zip(np.atleast_1d(grid), risks, strict=True):
        draw_risk(usage, limits[risk], risk, resource, axes)
    figure.tight_layout()
    return figure


def risk_slider(usage: pd.Series[float], limits: Mapping[float, float], resource: Resource) -> Any:
    """A slider that moves the limit and what it would have done, live; needs ipywidgets.

    Returns:
        a widget, or the static figure where ipywidgets is not installed.
    """
    try:
        import ipywidgets
    except ImportError:  # the extra `explore` brings it; without it all risks stand side by side
        return risks_side_by_side(usage, limits, resource)
    import matplotlib.pyplot as plt

    slider = ipywidgets.SelectionSlider(
        options=[(f"{risk:.1%}", risk) for risk in RISKS],
        value=0.02,
        description="risk",
        continuous_update=False,
    )
    # No Output widget: what nbclient answers it with can cost the reply that a run waits for.
    picture = ipywidgets.Image(format="png")

    def redraw(risk: float) -> None:
        figure, axes = plt.subplots(figsize=(9, 3.2))
        draw_risk(usage, limits[risk], risk, resource, axes)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", bbox_inches="tight")
        plt.close(figure)
        picture.value = drawn.getvalue()

    slider.observe(lambda change: redraw(change["new"]), names="value")
    redraw(slider.value)
    return ipywidgets.VBox([slider, picture])
