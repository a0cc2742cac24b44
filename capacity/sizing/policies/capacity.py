"""Our policy: put the margin where it buys the most.

One model, trained on the fleet's own past weeks, says for each service how likely next week's peak is to pass any multiple
of its trailing peak. Margins are then chosen so that the expected breaches of the fleet are what was asked for, at the
least cost: a service whose peak is certain gets little, one that may double gets more, one that nothing would help does not
get everything. No single service may run a risk far above the one asked. What the model was wrong by on the latest weeks it
had not seen corrects the risk it is asked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capacity.sizing.policies.base import Floats, Past
from capacity.sizing.policies.daily import FEATURES, base, days_of, features, next_peak

__all__ = ["MARGINS", "Capacity", "allocate"]

MARGINS = np.concatenate(
    [np.arange(-2.5, -0.5, 0.25), np.arange(-0.5, 0.6, 0.05), np.arange(0.6, 1.5, 0.1), np.arange(1.5, 4.1, 0.25)]
)  # logarithms of the multiple of the trailing peak
_FIRST_ORIGIN = 9  # days before a past week can be learned from
_WEEK = 7
_LEAST_ROWS = 60  # service-weeks below which the prior speaks alone
_DRAWS = 16  # margins tried on each past week
_MOST_ROWS = 400_000
_HELD_OUT = 2  # weeks kept back to measure how wrong the model is
_TOTAL, _TYPICAL = 0.5, 0.5  # how the cost counts: share of the fleet's total, and relative to each service


@dataclass(frozen=True)
class Capacity:
    """Learns anew at every decision; keeps nothing."""

    name: str = "capacity"
    seed: int = 0
    prior: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.prior:
            object.__setattr__(self, "prior", _prior())

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """Limits at which the fleet's expected share of breaches is each risk; never lower at a lower risk."""
        days = days_of(past.values, past.step)
        peak = base(days) if len(days) else np.full(past.values.shape[1], np.nan)
        known = np.isfinite(peak) & (peak > 0)
        answer = np.where(np.isfinite(peak), np.maximum(peak, 0.0), np.nan) * np.ones((len(risks), 1))
        if not known.any():
            return answer
        days, peak = days[:, known], peak[known]
        chances = self._chances(self._learn(days, len(days) - _WEEK), days)
        drift = self._drift(days, risks)
        highest = np.full(len(peak), -np.inf)
        for number in np.argsort(risks)[::-1]:
            chosen = allocate(chances, peak, risks[number] / drift[number], _most(risks[number]))
            highest = np.maximum(highest, MARGINS[chosen])
            answer[number, known] = np.exp(highest) * peak
        return answer

    def _learn(self, days: Floats, last: int) -> _Learned:
        """What past weeks that began on day `last` at the latest teach."""
        rows, outcomes = _training(days, range(_FIRST_ORIGIN, last + 1), np.random.default_rng(self.seed))
        weeks = len(outcomes) / _DRAWS / _WEEK  # origins are a day apart, so seven of them are about one
        if len(outcomes) < _LEAST_ROWS * _DRAWS or outcomes.min() == outcomes.max():
            return _Learned([], 0.0)
        return _Learned([_fit(rows, outcomes, self.seed + number) for number in range(2)], weeks)

    def _chances(self, learned: _Learned, days: Floats) -> Floats:
        """Chance that the peak of the week after `days` passes each margin: services x margins, never rising with the margin."""
        now = features(days)
        chances = self._assumed(now)
        if learned.models:
            asked = np.column_stack([np.tile(MARGINS, len(now)), np.repeat(now, len(MARGINS), axis=0)])
            told = np.mean([model.predict_proba(asked)[:, 1] for model in learned.models], axis=0).reshape(chances.shape)
            weight = self.prior["weight"]
            chances = (learned.weeks * told + weight * chances) / (learned.weeks + weight)
        return np.asarray(np.minimum.accumulate(chances, axis=1), np.float64)

    def _assumed(self, now: Floats) -> Floats:
        """The prior's chances."""
        from scipy.stats import t

        spread = np.nan_to_num(now[:, FEATURES.index("spread of daily peaks")], nan=0.5)
        scale: Floats = self.prior["floor"] + self.prior["slope"] * spread
        tail = t.sf((MARGINS - self.prior["location"]) / scale[:, None], self.prior["degrees"])
        return np.asarray(tail, np.float64)

    def _drift(self, days: Floats, risks: Sequence[float]) -> Floats:
        """Realised over expected breaches on the latest weeks, by a model that had not seen them, shrunk to the prior."""
        weight = self.prior["drift_weight"]
        realised, expected = np.full(len(risks), weight * self.prior["drift"]), np.full(len(risks), weight)
        cut = len(days) - _WEEK * (_HELD_OUT + 1)
        if cut < _FIRST_ORIGIN:
            return np.asarray(realised / expected)
        learned = self._learn(days, cut)
        for back in range(1, _HELD_OUT + 1):
            now = len(days) - _WEEK * back
            peak, unit = next_peak(days, now), base(days[:now])
            seen = np.isfinite(peak) & np.isfinite(unit) & (unit > 0)
            if not seen.any():
                continue
            chances = self._chances(learned, days[:now, seen])
            for number, risk in enumerate(risks):
                chosen = allocate(chances, unit[seen], risk, _most(risk))
                realised[number] += (peak[seen] > np.exp(MARGINS[chosen]) * unit[seen]).sum()
                expected[number] += chances[np.arange(len(chosen)), chosen].sum()
        return np.asarray(realised / expected)


@dataclass(frozen=True)
class _Learned:
    """Models, and how many independent service-weeks they have seen."""

    models: list[Any]
    weeks: float


def allocate(chances: Floats, peaks: Floats, risk: float, most: float) -> NDArray[np.intp]:
    """Margin of each service with the least cost at which the mean chance is `risk` at most.

    Minimises the sum of chances + price times cost, service by service; the price is found by bisection. A higher price never
    raises a margin, so limits are monotone in the risk.

    Args:
        chances: services x margins, not rising along a row.
        peaks: trailing peak of each service.
        risk: mean chance wanted.
        most: no service may have more, as far as any margin prevents it.

    Returns:
        index into `MARGINS` for each service.
    """
    count = len(peaks)
    cost = _TOTAL * np.exp(MARGINS) * (peaks / peaks.sum())[:, None] + _TYPICAL * MARGINS / count
    barred = np.where(chances > most, 1e6, 0.0)
    barred[:, -1] = 0.0
    rows = np.arange(count)
    low, high = 1e-7, 1e4
    chosen = np.full(count, len(MARGINS) - 1, np.intp)
    for _ in range(48):
        price = np.sqrt(low * high)
        picked = (chances / count + price * cost + barred).argmin(axis=1)
        if chances[rows, picked].mean() > risk:
            high = price
        else:
            low, chosen = price, picked
    return chosen


def _most(risk: float) -> float:
    """No service may run more than this while the fleet runs `risk` on average."""
    return min(0.6, 12 * risk)


def _training(days: Floats, origins: range, random: np.random.Generator) -> tuple[Floats, NDArray[np.bool_]]:
    """Past weeks as rows of (margin, features) and whether the peak passed that margin."""
    rows, outcomes = [], []
    stride = max(1, len(origins) * days.shape[1] * _DRAWS // _MOST_ROWS)
    for origin in list(origins)[::-1][::stride]:
        before, peak = days[:origin], next_peak(days, origin)
        unit = base(before)
        seen = np.isfinite(peak) & np.isfinite(unit) & (unit > 0)
        if not seen.any():
            continue
        ratio = np.log(np.maximum(peak[seen], 1e-12) / unit[seen])
        drawn = random.choice(MARGINS, size=(len(ratio), _DRAWS))
        now = np.repeat(features(before[:, seen]), _DRAWS, axis=0)
        rows.append(np.column_stack([drawn.ravel(), now]))
        outcomes.append((ratio[:, None] > drawn).ravel())
    if not rows:
        return np.zeros((0, 1)), np.zeros(0, bool)
    return np.concatenate(rows), np.concatenate(outcomes)


def _fit(rows: Floats, outcomes: NDArray[np.bool_], seed: int) -> Any:
    """Boosted trees for the chance of a breach, never rising with the margin."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.06,
        max_leaf_nodes=15,
        min_samples_leaf=60,
        l2_regularization=5.0,
        max_features=0.5,
        monotonic_cst=[-1] + [0] * (rows.shape[1] - 1),
        random_state=seed,
    )
    return model.fit(rows, outcomes)


def _prior() -> dict[str, float]:
    return dict(json.loads((Path(__file__).parent / "prior.json").read_text(encoding="utf-8")))
