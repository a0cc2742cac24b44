"""Our policy: put the margin where it buys the most.

The forecaster's one distribution of the coming peak says how likely any limit is to be passed; see
`capacity.forecasting._models.peak_model`. Margins are then chosen so that the expected breaches of
the fleet are what was asked for, at the least cost: a service whose peak is certain gets little,
one that may double gets more, one that nothing would help does not get everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from capacity.forecasting import PeakDistribution
from capacity.forecasting._models.daily_summaries import summarise
from capacity.forecasting._models.peak_distribution import MARGINS
from capacity.forecasting._models.peak_features import WEEK, since_fall
from capacity.forecasting._models.peak_model import PeakModel
from capacity.sizing._context import EVEN_ODDS
from capacity.sizing._policies.base import LEAST, Floats, Past, column_quantile
from capacity.sizing._policies.budget import within_budget
from capacity.sizing._policies.margins import choose_limits, spike_limits

__all__ = [
    "PEAK_LEVELS",
    "Allocation",
    "Capacity",
    "allocate",
    "present_level_samples",
    "recent_samples",
    "steady_peak",
]

PEAK_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_STEADY, _STEADY_DAYS = 0.98, 14.0
_DAY = 86_400
_LONG = 7200.0  # seconds a week above a limit that are as bad as the breach itself
_LADDER = (0.5, 0.35, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Risks at which limits are chosen; what lies between is read from these, so that no limit falls
with the risk from one call to the next.
"""


@dataclass(frozen=True)
class Allocation:
    """One decision.

    Attributes:
        limits: risks x services; NaN = no answer.
        peaks: the distribution of the coming peak that they were chosen by.
        recent: samples x services of the last fourteen days at the present level; None where no
            budget is shared.
        steady: steady peak of each service, the 98th percentile of these; NaN = never seen.
        spikes: what an isolated spike buys each service at most; inf = there is none.
    """

    limits: Floats
    peaks: PeakDistribution
    recent: Floats | None
    steady: Floats
    spikes: Floats

    def floors(self) -> Floats:
        """What every service should get, however cheap for the fleet it were to write it off: its
        steady peak, and even odds of holding the coming one.
        """
        even = np.minimum(self.peaks.quantile((1 - EVEN_ODDS,))[:, 0], self.spikes)
        return np.fmax(self.steady, even)

    def least(self, copies: Floats) -> float:
        """What the steady peaks of all add up to, each taken so many times."""
        known = (self.peaks.base > 0) & (copies > 0)
        return float((self.steady * copies)[known].sum())

    def within(self, budget: float, copies: Floats | None = None) -> Floats:
        """Limits that add up to `budget` at most, each taken so many times, with the least expected
        harm: a breach, and as much again for every two hours of a week above the limit. Recent
        samples must be known.

        None is below the steady peak where the budget has room for that; NaN where one is taken no
        times.
        """
        base = self.peaks.base
        assert self.recent is not None
        count = np.ones(len(base)) if copies is None else copies
        known = (base > 0) & (count > 0)
        answer = np.where(np.isfinite(base) & (count > 0), np.maximum(base, 0.0), np.nan)
        if not known.any():
            return answer
        peaks = base[known]
        chances = self.peaks.chances[known] * _harm(self.recent[:, known], peaks)
        dear, steady = peaks * count[known], self.least(count)
        lowest = np.log(np.maximum(self.steady[known], LEAST) / peaks)
        chosen = within_budget(chances, dear, budget, lowest)
        if (np.exp(MARGINS[chosen]) * dear).sum() > budget:
            if steady <= budget:
                # too little for the next step of every margin: all share alike what is left
                answer[known] = self.steady[known] * (budget / steady)
                return answer
            chosen = within_budget(chances, dear, budget)
        share = min(1.0, budget / float((np.exp(MARGINS[chosen]) * dear).sum()))
        answer[known] = np.exp(MARGINS[chosen]) * peaks * share
        return answer


@dataclass(frozen=True)
class Capacity:
    """Limits from the distribution of the coming peak."""

    name: str = "capacity"

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """Limits at which the fleet's expected share of breaches is each risk; never lower at a
        lower risk.
        """
        return self.allocate(past, risks).limits

    def allocate(self, past: Past, risks: Sequence[float]) -> Allocation:
        """The limits, and the distribution they were chosen by."""
        days = past.days if past.days is not None else summarise(past.values, past.step)
        peaks = past.peaks
        if peaks is None:
            peaks = PeakModel.load().predict(days, max(1, math.ceil(past.horizon)))
        recent = present_level_samples(past.values, past.step, days)
        return allocate(peaks, days, steady_peak(recent), risks, recent)


def allocate(
    peaks: PeakDistribution,
    days: Floats,
    steady: Floats,
    risks: Sequence[float],
    recent: Floats | None = None,
) -> Allocation:
    """The decision on a fleet, from what is known of each service.

    Args:
        peaks: distribution of the coming peak.
        days: days x services x STATS.
        steady: steady peak of each service.
        risks: accepted.
        recent: samples of the last fourteen days, where a budget is shared.
    """
    limits = _between(choose_limits(peaks, _LADDER, days), risks)
    return Allocation(limits, peaks, recent, steady, spike_limits(peaks, days))


def steady_peak(recent: Floats) -> Floats:
    """The steady peak of each column of recent samples."""
    return column_quantile(recent, _STEADY)


def recent_samples(samples: int, step: int) -> int:
    """How many of so many samples, so many seconds apart, are of the last fourteen days."""
    return min(samples, max(1, round(_STEADY_DAYS * _DAY / step)))


def _harm(recent: Floats, base: Floats) -> Floats:
    """What a breach of each margin counts for: 1, and more where the limit would be passed for
    long; services x `MARGINS`.

    How long is read from the recent samples, as if the coming week were like them.
    """
    known = np.isfinite(recent)
    ordered = np.sort(np.where(known, recent, np.inf), axis=0)
    below = [
        np.searchsorted(column, np.exp(MARGINS) * peak, side="right")
        for column, peak in zip(ordered.T, base, strict=True)
    ]
    count = np.maximum(known.sum(axis=0), 1)[:, None]
    above = np.clip(1 - np.array(below).reshape(-1, len(MARGINS)) / count, 0.0, 1.0)
    return np.asarray(1 + above * (WEEK * _DAY / _LONG))


def present_level_samples(values: Floats, step: int, days: Floats) -> Floats:
    """The samples of the last fourteen days, without those from before a service fell for good and
    stayed there for a week.

    Args:
        values: samples x services, those that `days` sums up.
        step: seconds between samples.
        days: daily summaries.
    """
    values = values[len(values) - recent_samples(len(values), step) :]
    first = since_fall(days[:, :, 0])
    since = len(days) - first
    held = np.where((first > 0) & (since >= WEEK), since * (_DAY / step), np.inf)
    former = np.arange(len(values))[:, None] < len(values) - held
    return np.where(former, np.nan, values) if former.any() else values


def _between(ladder: Floats, risks: Sequence[float]) -> Floats:
    """Limits at any risks from those on the ladder, by the logarithm of the risk; outside it the
    nearest.
    """
    place = np.interp(-np.log(risks), -np.log(_LADDER), np.arange(len(_LADDER)))
    below = np.minimum(np.floor(place).astype(np.intp), len(_LADDER) - 2)
    share = (place - below)[:, None]
    return np.asarray((1 - share) * ladder[below] + share * ladder[below + 1])
