"""Charts as themed pictures: matplotlib draws SVG, the colours become variables with a light and a
dark value.

A picture inside `<img>` follows the reader's colour scheme, carries alt text and runs nothing.
"""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING

from capacity._common.plotting import COLOURS
from capacity._common.text.escape import html_text
from capacity.reporting._html.html import Html

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

__all__ = ["figure"]

_DARK = {
    "ink": "#e5e7eb",
    "quiet": "#9ca3af",
    "grid": "#374151",
    "usage": "#60a5fa",
    "band": "#3b5998",
    "limit": "#f87171",
    "second": "#2dd4bf",
}


_PATH = re.compile(r' d="[^"]*"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")  # no eye sees a thousandth of a pixel


def figure(
    draw: Callable[[Axes], object],
    alt: str,
    *,
    caption: str = "",
    size: tuple[float, float] = (9, 2.8),
) -> Html:
    """A picture of what `draw` puts on the axes.

    Args:
        draw: called with fresh matplotlib axes.
        alt: what the picture shows, with its numbers, for those who do not see it.
        caption: a line below.
        size: inches.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "capacity",
        "font.family": "sans-serif",
        "font.size": 9,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"),
            COLOURS["quiet"],
        ),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
    }
    with rc_context(settings):  # type: ignore[arg-type]  # the stubs list every key literally
        canvas = Figure(figsize=size, layout="constrained")
        draw(canvas.subplots())
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    encoded = base64.b64encode(_themed(buffer.getvalue()).encode()).decode()
    below = f"<figcaption>{html_text(caption)}</figcaption>" if caption else ""
    return Html(
        f'<figure><img alt="{html_text(alt)}" src="data:image/svg+xml;base64,{encoded}" '
        f'width="{size[0] * 96:.0f}" height="{size[1] * 96:.0f}">{below}</figure>'
    )


def _themed(svg: str) -> str:
    """Replace the palette's colours by variables, defined for both schemes in the picture
    itself.
    """
    svg = svg[svg.index("<svg") :]
    svg = _PATH.sub(lambda path: _DECIMALS.sub(r"\1", path.group()), svg)
    for name, colour in COLOURS.items():
        svg = re.sub(re.escape(colour), f"var(--{name})", svg, flags=re.IGNORECASE)
    light = "".join(f"--{name}:{colour};" for name, colour in COLOURS.items())
    dark = "".join(f"--{name}:{colour};" for name, colour in _DARK.items())
    schemes = f"svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}"
    style = f"<style>{schemes}text{{font-family:system-ui,sans-serif}}</style>"
    opening = svg.index(">") + 1
    return svg[:opening] + style + svg[opening:]
