"""How much a CPU limit throttles, and the smallest one that throttles little enough.

A sample is the mean of a step, but the kernel hands out CPU a tenth of a second at a time: a
service at half its limit on average is throttled in some of these periods. How many, at which share
of the limit, is learned from the fleet's own samples under their limits, over a cautious curve for
fleets that have none. Where the samples of whole cores hardly differ, the periods within them
cannot differ much either: such a service may run nearer its limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capacity.sizing._policies.base import Floats, column_max, column_quantile, in_blocks

__all__ = [
    "Periods",
    "Throttling",
    "count_periods",
    "counted_services",
    "join_periods",
    "learn_throttling",
    "thinned_by",
]

_RATIOS = np.linspace(0.0, 1.2, 25)  # use over limit
_ASSUMED = (
    np.clip((_RATIOS - 0.6) / 0.4, 0.0, 1.0) ** 2
)  # share of throttled periods before anything was seen
_ASSUMED_WEIGHT = 50.0  # samples that the assumption counts for at each ratio
_OF_A_SERVICE = 400.0  # weight of all samples of one service: none may speak for the fleet
_MOST_SAMPLES = 200_000
_BUSY = 0.95  # the target is for busy times: this quantile of the samples
_PERIOD = 0.1  # seconds
_ACTIVE = 0.8  # samples above this quantile tell how much a service varies when it works
_TAIL = 0.9  # quantile of the differences that their spread is read from: no burst hides in it
_ONE_THREAD = 1.0  # cores
_AT_THE_LIMIT = 0.9  # share of the limit in force from which a service may be held back by it
_FEWEST = 30  # differences; of fewer the spread is not known


@dataclass(frozen=True)
class Throttling:
    """How use and limit lead to throttled periods.

    Attributes:
        curve: share of throttled periods at each of `_RATIOS` of the limit.
        target: share of throttled periods that a limit should keep at busy times.
        allowed: share of its limit that each service may use at busy times to keep the target.
        busy: what each service uses at busy times (95th percentile of the samples), cores.
        smallest_limits: of each service, whose predicted share is under the target, cores; NaN
            without samples.
    """

    curve: Floats
    target: float
    allowed: Floats
    busy: Floats
    smallest_limits: Floats

    def share(self, limits: Floats) -> Floats:
        """Predicted share of throttled periods at busy times under each limit, one a service, in
        cores; NaN where unknown.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = self.busy / limits
        common = _ratio_at(self.curve, self.target)
        found = np.interp(ratio * common / self.allowed, _RATIOS, self.curve)
        return np.where(np.isfinite(ratio), found, np.nan)


@dataclass(frozen=True)
class Periods:
    """What the recent samples of some services say of throttled periods.

    Attributes:
        steady: share of its limit that each may use, for how little its samples differ; NaN =
            unknown.
        busy: what each uses at busy times (95th percentile of the samples), cores.
        wanted: what each would have used at these without its limit, cores.
        held: which are held back by their limit.
        used: use over limit, samples x services whose limit and throttled periods are known.
        seen: share of throttled periods at the same samples.
    """

    steady: Floats
    busy: Floats
    wanted: Floats
    held: NDArray[np.bool_]
    used: Floats
    seen: Floats


def thinned_by(samples: int, services: int) -> int:
    """Of the samples that the curve is learned from, each so many-th is looked at.

    Args:
        samples: recent ones of each service.
        services: of the fleet, whose limit and throttled periods are known.
    """
    return max(1, -(-samples * services // _MOST_SAMPLES))


def counted_services(
    names: Iterable[object], limits: pd.Series[float], throttled: pd.DataFrame | None
) -> list[object]:
    """The services whose limit and throttled periods are known."""
    if throttled is None or not len(throttled):
        return []
    known = {str(name) for name in throttled.columns}
    return [n for n in names if str(n) in known and np.isfinite(limits.get(n, np.nan))]


def count_periods(
    usage: pd.DataFrame,
    limits: pd.Series[float],
    throttled: pd.DataFrame | None,
    *,
    step: float,
    target: float,
    thinned: int,
) -> Periods:
    """What some services' samples say of throttling.

    Samples taken while throttled are divided by the share of periods that were not: what the
    service wanted is not seen.

    Args:
        usage: cores, UTC grid x services.
        limits: limit in force by service, cores; NaN = none.
        throttled: share of throttled periods, times x services.
        step: seconds between samples.
        target: share of throttled periods that a limit should keep at busy times.
        thinned: see `thinned_by`.
    """
    values = usage.to_numpy(np.float64)
    steady = in_blocks(lambda block: _steady_ratio(block, step, target), values)
    # use that its limit holds back is steady for that
    in_force = limits.reindex(usage.columns).to_numpy(np.float64)
    busy = column_quantile(values, _BUSY)
    held, wanted = busy > _AT_THE_LIMIT * in_force, values
    if throttled is not None and len(throttled):
        seen = _aligned(usage, throttled)
        held |= column_max(seen) > target
        wanted = values / np.clip(1 - seen, 0.2, 1.0)
    names = counted_services(usage.columns, limits, throttled)
    used, shares = np.zeros((0, 0)), np.zeros((0, 0))
    if names and throttled is not None:
        some = usage[names].iloc[::thinned]
        used = some.to_numpy(np.float64) / limits.reindex(names).to_numpy(np.float64)
        shares = throttled.reindex(index=some.index, columns=names).to_numpy(np.float64)
    return Periods(steady, busy, column_quantile(wanted, _BUSY), held, used, shares)


def join_periods(parts: Sequence[Periods]) -> Periods:
    """Those of several parts of a fleet, in the order given."""
    curves = [part for part in parts if part.used.size] or [parts[0]]
    return Periods(
        steady=np.concatenate([part.steady for part in parts]),
        busy=np.concatenate([part.busy for part in parts]),
        wanted=np.concatenate([part.wanted for part in parts]),
        held=np.concatenate([part.held for part in parts]),
        used=np.concatenate([part.used for part in curves], axis=1),
        seen=np.concatenate([part.seen for part in curves], axis=1),
    )


def learn_throttling(periods: Periods, target: float) -> Throttling:
    """What the fleet's samples say of throttling.

    Args:
        periods: of all services.
        target: share of throttled periods that a limit should keep at busy times.
    """
    curve = _learn_curve(periods)
    common = _ratio_at(curve, target)
    allowed = np.fmax(common, np.where(periods.held, 0.0, periods.steady))
    smallest = np.asarray(periods.wanted / allowed)
    return Throttling(curve, target, allowed, periods.busy, smallest)


def _steady_ratio(usage: Floats, step: float, target: float) -> Floats:
    """Share of its limit that a service may use, for how little its samples differ; NaN = unknown.

    The mean of n independent periods spreads by a root of n less than a period does: their spread
    is at most that root times the spread of the samples about the line through their neighbours.
    Work by the clock (a scrape each second) averages out and looks as steady; one thread of it
    fills one core at most, so below a core nothing is said.
    """
    answer = np.full(usage.shape[1], np.nan)
    if len(usage) < 3:
        return answer
    about = np.abs(usage[1:-1] - (usage[:-2] + usage[2:]) / 2) / np.sqrt(1.5)
    active = usage[1:-1] >= column_quantile(usage, _ACTIVE)
    about = np.where(active, about, np.nan)
    normal = NormalDist()
    spread = column_quantile(about, _TAIL) / normal.inv_cdf((1 + _TAIL) / 2)
    periods = spread * np.sqrt(max(1.0, step / _PERIOD))
    busy = column_quantile(usage, _BUSY)
    known = (np.isfinite(about).sum(axis=0) >= _FEWEST) & (busy >= _ONE_THREAD)
    most = busy[known] + normal.inv_cdf(1 - target) * periods[known]
    answer[known] = busy[known] / most
    return answer


def _ratio_at(curve: Floats, target: float) -> float:
    """The highest share of the limit at which the curve keeps the target."""
    rising = curve + 1e-9 * np.arange(len(curve))
    return max(float(np.interp(target, rising, _RATIOS)), float(_RATIOS[1]))


def _learn_curve(periods: Periods) -> Floats:
    """Share of throttled periods at each of `_RATIOS` of the limit, never falling."""
    known = np.isfinite(periods.seen) & np.isfinite(periods.used)
    each = np.broadcast_to(_OF_A_SERVICE / np.maximum(known.sum(axis=0), 1), known.shape)
    ratio, share, weight = periods.used[known], periods.seen[known], each[known]
    if not len(ratio):
        return _ASSUMED
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    weights = np.concatenate([np.full(len(_RATIOS), _ASSUMED_WEIGHT), weight])
    model.fit(
        np.concatenate([_RATIOS, ratio]), np.concatenate([_ASSUMED, share]), sample_weight=weights
    )
    return np.asarray(model.predict(_RATIOS), np.float64)


def _aligned(usage: pd.DataFrame, throttled: pd.DataFrame) -> Floats:
    """Share of throttled periods at each sample; 0 where nothing was seen."""
    found = throttled.reindex(index=usage.index, columns=usage.columns)
    return found.fillna(0.0).to_numpy(np.float64)
