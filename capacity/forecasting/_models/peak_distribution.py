"""How likely a service is to peak above any limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capacity.forecasting._quantiles import Floats

__all__ = ["MARGINS", "PeakDistribution", "falling"]

Indices = np.ndarray[tuple[int, ...], np.dtype[np.intp]]

MARGINS: Floats = np.concatenate(
    [
        np.arange(-2.5, -0.5, 0.05),
        np.arange(-0.5, 0.6, 0.0125),
        np.arange(0.6, 1.5, 0.025),
        np.arange(1.5, 4.05, 0.05),
    ]
)
"""Logarithms of limit / trailing peak at which chances are answered."""


@dataclass(frozen=True)
class PeakDistribution:
    """Of log(peak over the horizon / trailing peak), by service.

    Attributes:
        base: trailing 14-day peak; NaN or 0 = nothing known, and NaN is answered.
        chances: services x margins, chance that the peak exceeds exp(margin) x base; rows fall.
    """

    base: Floats
    chances: Floats

    def exceedance(self, limits: Floats) -> Floats:
        """Chance that the peak of each service exceeds its limit."""
        with np.errstate(divide="ignore", invalid="ignore"):
            margins = np.log(limits / self.base)
        found = [
            np.interp(margin, MARGINS, row)
            for margin, row in zip(margins, self.chances, strict=True)
        ]
        known = np.isfinite(margins) & (self.base > 0)
        quiet = (self.base == 0) & np.isfinite(limits)
        return np.where(quiet, (limits <= 0) * 1.0, np.where(known, found, np.nan))

    def quantile(self, levels: Sequence[float]) -> Floats:
        """Services x levels, in the unit of the usage."""
        wanted = 1 - np.asarray(levels)
        rows = [np.interp(-wanted, -falling(row), MARGINS) for row in self.chances]
        return np.asarray(np.exp(np.array(rows).reshape(-1, len(wanted))) * self.base[:, None])

    def within(self, most: Floats) -> PeakDistribution:
        """The same, where no peak of a service exceeds what there is.

        Args:
            most: by service; NaN = unknown, which bounds nothing.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            beyond = (np.log(most) - np.log(self.base))[:, None] - 1e-9 <= MARGINS
        return PeakDistribution(self.base, np.where(beyond, 0.0, self.chances))

    def of(self, positions: Indices) -> PeakDistribution:
        """The distributions at these positions; nothing is known of a position of -1."""
        known = positions >= 0
        base = np.where(known, self.base[positions] if len(self.base) else np.nan, np.nan)
        chances = np.full((len(positions), len(MARGINS)), np.nan)
        chances[known] = self.chances[positions[known]]
        return PeakDistribution(base, chances)


def falling(row: Floats) -> Floats:
    """The same chances, strictly falling, so that they can be read backwards."""
    return np.asarray(np.maximum(row, 1e-7) + 1e-9 * np.arange(len(row))[::-1])
