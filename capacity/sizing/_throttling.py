"""How much a CPU limit throttles, and the smallest one that throttles little enough.

A sample is the mean of a step, but the kernel hands out CPU a tenth of a second at a time: a
service at half its limit on average is throttled in some of these periods. How many, at which share
of the limit, is learned from the fleet's own samples under their limits, over a cautious curve for
fleets that have none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from capacity.sizing._policies.base import Floats, column_quantile

__all__ = ["learn_curve", "predicted_share", "smallest_limit"]

_RATIOS = np.linspace(0.0, 1.2, 25)  # use over limit
_ASSUMED = (
    np.clip((_RATIOS - 0.6) / 0.4, 0.0, 1.0) ** 2
)  # share of throttled periods before anything was seen
_ASSUMED_WEIGHT = 50.0  # samples that the assumption counts for at each ratio
_OF_A_SERVICE = 400.0  # weight of all samples of one service: none may speak for the fleet
_MOST_SAMPLES = 200_000
_BUSY = 0.95  # the target is for busy times: this quantile of the samples


def learn_curve(
    usage: pd.DataFrame, limits: pd.Series[float], throttled: pd.DataFrame | None
) -> Floats:
    """Share of throttled periods at each of `_RATIOS` of the limit, never falling.

    Args:
        usage: cores, UTC grid x services.
        limits: limit in force by service, cores; NaN = none.
        throttled: share of throttled periods, times x services.
    """
    ratio, share, weight = np.zeros(0), np.zeros(0), np.zeros(0)
    if throttled is not None and len(throttled):
        names = [
            name
            for name in usage.columns
            if name in throttled.columns and np.isfinite(limits.get(name, np.nan))
        ]
        seen = throttled.reindex(index=usage.index, columns=names).to_numpy(np.float64)
        used = usage[names].to_numpy(np.float64) / limits.reindex(names).to_numpy(np.float64)
        stride = max(1, -(-seen.size // _MOST_SAMPLES))
        seen, used = seen[::stride], used[::stride]
        known = np.isfinite(seen) & np.isfinite(used)
        each = np.broadcast_to(_OF_A_SERVICE / np.maximum(known.sum(axis=0), 1), known.shape)
        ratio, share, weight = used[known], seen[known], each[known]
    if not len(ratio):
        return _ASSUMED
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    weights = np.concatenate([np.full(len(_RATIOS), _ASSUMED_WEIGHT), weight])
    model.fit(
        np.concatenate([_RATIOS, ratio]), np.concatenate([_ASSUMED, share]), sample_weight=weights
    )
    return np.asarray(model.predict(_RATIOS), np.float64)


def predicted_share(usage: Floats, limits: Floats, curve: Floats) -> Floats:
    """Share of throttled periods at busy times (95th percentile of the samples) under each limit;
    NaN where unknown.

    Args:
        usage: samples x services, cores, as wanted, not as held back.
        limits: one a service, cores.
        curve: from `learn_curve`.
    """
    known = np.isfinite(usage)
    ordered = np.sort(np.where(known, usage, np.inf), axis=0)
    count = known.sum(axis=0)
    place = np.minimum(np.floor(_BUSY * count).astype(np.intp), np.maximum(count - 1, 0))
    busy = ordered[place, np.arange(usage.shape[1])]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = busy / limits
    return np.where((count > 0) & np.isfinite(limits), np.interp(ratio, _RATIOS, curve), np.nan)


def smallest_limit(
    usage: pd.DataFrame, throttled: pd.DataFrame | None, curve: Floats, target: float
) -> pd.Series[float]:
    """The smallest limit whose predicted share of throttled periods is under the target, cores; NaN
    without samples.

    Samples taken while throttled are divided by the share of periods that were not: what the
    service wanted is not seen.
    """
    wanted = usage.to_numpy(np.float64)
    if throttled is not None and len(throttled):
        held = (
            throttled.reindex(index=usage.index, columns=usage.columns)
            .fillna(0.0)
            .to_numpy(np.float64)
        )
        wanted = wanted / np.clip(1 - held, 0.2, 1.0)
    allowed = float(_RATIOS[curve <= target].max(initial=_RATIOS[1]))
    return pd.Series(column_quantile(wanted, _BUSY) / allowed, index=usage.columns)
