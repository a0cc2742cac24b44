"""Margins for a fleet: the least cost at which it breaks no more than is asked, or the least
breaches within a budget.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from capacity.model import Resource
from capacity.sizing._policies.base import Floats
from capacity.sizing._policies.forest import MARGINS

__all__ = ["allocate", "cost_of", "most", "within_budget"]

_MONEY = {Resource.MEMORY: (0.8, 0.2, 0.7), Resource.CPU: (0.4, 0.2, 0.5)}
"""Weight of the fleet's total in the cost of a margin, far below the trailing peak, at it and from
twice the peak on.

The rest counts relative to each service. CPU that one limit leaves unused others can use, so its
total weighs less.
"""
_PLACES = (-1.0, 0.0, float(np.log(2.0)))
_STEPS = 48
_BARRED = 1e6
_UNITS, _MOST_CELLS = (
    10_000,
    45_000_000,
)  # of the exact budget solver, and where it stops being affordable

Indices = NDArray[np.intp]


def most(risk: float) -> float:
    """The most that a single service may risk while the fleet runs `risk` on average: from one in
    ten on, anything.
    """
    return min(1.0, 10 * risk)


def allocate(
    chances: Floats,
    peaks: Floats,
    risk: float,
    cap: float,
    floor: Floats | None = None,
    top: Floats | float = MARGINS[-1],
    resource: Resource = Resource.MEMORY,
) -> Indices:
    """Margin of each service with the least cost at which the mean chance is `risk` at most.

    Minimises the sum of chances + price x cost, service by service; the price is found by
    bisection. A higher price never raises a margin, so limits are monotone in the risk at the same
    cap.

    Args:
        chances: services x `MARGINS`, not rising along a row.
        peaks: trailing peak of each service.
        risk: mean chance wanted.
        cap: no service may have more, as far as any margin prevents it.
        floor: lowest margin of each service (a logarithm).
        top: highest margin of each service (a logarithm): what is known does not bear more.
        resource: what is limited.

    Returns:
        index into `MARGINS` for each service.
    """
    count = len(peaks)
    cost = cost_of(peaks, resource)
    highest = (np.broadcast_to(top, count)[:, None] + 1e-9 >= MARGINS).sum(axis=1) - 1
    bars = _barred(chances, cap, floor, highest)
    rows = np.arange(count)
    low, high = 1e-7, 1e4
    chosen: Indices = highest.astype(np.intp)
    for _ in range(_STEPS):
        price = np.sqrt(low * high)
        picked = (chances / count + price * cost + bars).argmin(axis=1)
        if chances[rows, picked].mean() > risk:
            high = price
        else:
            low, chosen = price, picked
    return chosen


def cost_of(peaks: Floats, resource: Resource) -> Floats:
    """What each margin costs each service, on a scale of its own: services x `MARGINS`, rising
    along a row.

    Around the trailing peak what counts most is how much a service gets relative to itself, so that
    a fleet's small ones are not padded without end; further above and further below it is the
    money, most of which is in a few large services.
    """
    between = (MARGINS[1:] + MARGINS[:-1]) / 2
    weight = np.interp(between, _PLACES, _MONEY[resource])
    total = np.concatenate([[0.0], np.cumsum(weight * np.diff(np.exp(MARGINS)))])
    typical = np.concatenate([[0.0], np.cumsum((1 - weight) * np.diff(MARGINS))])
    return np.asarray(total * (peaks / peaks.sum())[:, None] + typical / len(peaks))


def within_budget(
    chances: Floats, peaks: Floats, budget: float, floor: Floats | None = None
) -> Indices:
    """Margin of each service with the least expected breaches at which the limits add up to
    `budget` at most.

    A multiple-choice knapsack: exact to a ten-thousandth of the budget for fleets up to about forty
        services, by the price of
    a byte (Lagrange) beyond, where that is off by one service's step at most. Where even the lowest
    margins cost more, these.
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


def _barred(chances: Floats, cap: float, floor: Floats | None, highest: Indices) -> Floats:
    """A prohibitive cost on margins that risk more than the cap, lie below the floor or above the
    highest, which is allowed.
    """
    bars = np.where(chances > cap, _BARRED, 0.0)
    if floor is not None:
        bars += np.where(floor[:, None] > MARGINS + 1e-9, _BARRED, 0.0)
    bars[np.arange(len(bars)), highest] = 0.0
    return np.where(np.arange(len(MARGINS)) > highest[:, None], 2 * _BARRED, bars)


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
