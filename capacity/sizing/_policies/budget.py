"""Margins for a fleet that add up to a budget, with the least expected breaches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._models.peak_distribution import MARGINS
from capacity.sizing._policies.base import Floats

__all__ = ["within_budget"]

_STEPS = 48
_UNITS, _MOST_CELLS = (
    10_000,
    45_000_000,
)  # of the exact budget solver, and where it stops being affordable

Indices = NDArray[np.intp]


def within_budget(
    chances: Floats, peaks: Floats, budget: float, floor: Floats | None = None
) -> Indices:
    """Margin of each service with the least expected breaches at which the limits add up to
    `budget` at most.

    A multiple-choice knapsack: exact to a ten-thousandth of the budget for fleets up to about forty
    services, by the price of a byte (Lagrange) beyond, where that is off by one service's step at
    most. Where even the lowest margins cost more, these.
    """
    cost = np.exp(MARGINS) * peaks[:, None]
    if floor is not None:
        lowest = np.minimum((floor[:, None] > MARGINS + 1e-9).sum(axis=1), len(MARGINS) - 1).astype(
            np.intp
        )
    else:
        lowest = np.zeros(len(peaks), np.intp)
    cost = np.where(np.arange(len(MARGINS)) < lowest[:, None], np.inf, cost)
    if cost[np.arange(len(peaks)), lowest].sum() > budget:
        return np.asarray(lowest)
    if cost.size * _UNITS <= _MOST_CELLS:
        chosen = _by_table(chances, cost, budget, lowest)
    else:
        chosen = _by_price(chances, cost, budget, lowest)
    return _spend_the_rest(chances, cost, chosen, budget)


def _by_table(chances: Floats, cost: Floats, budget: float, lowest: Indices) -> Indices:
    """Dynamic programming over the services; `best[u]` is the least sum of chances that `u` units
    of the budget buy.
    """
    units = np.where(
        np.isfinite(cost), np.ceil(np.minimum(cost / budget, 2.0) * _UNITS), 2 * _UNITS
    ).astype(np.intp)
    best = np.zeros(_UNITS + 1)
    picks = []
    for needs, risks in zip(units, chances, strict=True):
        options = np.full((len(MARGINS), _UNITS + 1), np.inf)
        for option, need in enumerate(needs):
            if need <= _UNITS:
                options[option, need:] = best[: _UNITS + 1 - need] + risks[option]
        picks.append(options.argmin(axis=0))
        best = options.min(axis=0)
    if not np.isfinite(best[-1]):  # rounding up hides the one choice there is
        return lowest
    chosen = np.zeros(len(cost), np.intp)
    left = _UNITS
    for service in range(len(cost) - 1, -1, -1):
        chosen[service] = picks[service][left]
        left -= units[service, chosen[service]]
    return chosen


def _by_price(chances: Floats, cost: Floats, budget: float, lowest: Indices) -> Indices:
    rows = np.arange(len(cost))
    chosen = lowest
    low, high = 1e-9 / budget, 1e9 / budget
    for _ in range(2 * _STEPS):
        price = np.sqrt(low * high)
        picked = (chances + price * cost).argmin(axis=1)
        if cost[rows, picked].sum() > budget:
            low = price
        else:
            high, chosen = price, picked
    return chosen


def _spend_the_rest(chances: Floats, cost: Floats, chosen: Indices, budget: float) -> Indices:
    """What is left over goes, step by step, where it prevents most for what it costs."""
    rows = np.arange(len(chosen))
    chosen = chosen.copy()
    left = budget - cost[rows, chosen].sum()
    while True:
        dearer = cost - cost[rows, chosen][:, None]
        gain = chances[rows, chosen][:, None] - chances
        affordable = (dearer > 0) & (dearer <= left) & (gain > 0)
        if not affordable.any():
            return chosen
        worth = np.divide(gain, dearer, out=np.zeros_like(gain), where=affordable)
        service, margin = np.unravel_index(worth.argmax(), worth.shape)
        left -= dearer[service, margin]
        chosen[service] = margin
