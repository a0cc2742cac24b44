"""The Kubernetes VPA recommender's target, lower and upper bound, with its constants (research:
autoscaler 55c37cd5).

CPU: every sample weighs the same and loses half its weight a day. Memory: one sample a day, the
    day's peak. The percentile
gets 15 % margin, in whole millicores and bytes, and at least 25 millicores and 250 MiB. A kill for
memory is a sample of its own, above limit and peak. The bounds widen with doubt: confidence is days
of history, at most samples / 1440.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from capacity._common.text.units import MIB
from capacity.model import Resource
from capacity.sizing._baselines.histogram import (
    CPU_BUCKETS,
    MEMORY_BUCKETS,
    decay,
    percentile,
    weigh,
)
from capacity.sizing._policies.base import Floats, Past, at_any_risk, column_max

__all__ = ["Vpa", "confidence", "oom_sample", "scaled", "with_margin"]

_LEVEL = {"target": 0.9, "lower": 0.5, "upper": 0.95}
_MARGIN = 0.15
_HALF_LIFE = 86_400.0
_DAY = 86_400
_KEPT_DAYS = 40  # older samples weigh less than a millionth of a millionth
_CPU_SAMPLE = 0.1
_LEAST = {Resource.CPU: 25, Resource.MEMORY: 250 * MIB}
_UNIT = {Resource.CPU: 1000.0, Resource.MEMORY: 1.0}  # amounts are whole millicores and bytes
_MOST = 1e14
_OOM_RATIO, _OOM_LEAST = 1.2, 100.0 * 1024 * 1024


@dataclass(frozen=True)
class Vpa:
    """One of the three numbers that VPA computes."""

    name: str
    bound: Literal["target", "lower", "upper"] = "target"

    def limits(self, past: Past, risks: Sequence[float]) -> Floats:
        """What VPA would set, whatever the risk."""
        values = past.last(_KEPT_DAYS)
        if past.resource is Resource.CPU:
            age = np.arange(len(values) - 1, -1, -1, dtype=np.float64)[:, None] * past.step
            weights = weigh(CPU_BUCKETS, values, _CPU_SAMPLE * decay(age, _HALF_LIFE))
            base = percentile(CPU_BUCKETS, weights, _LEVEL[self.bound], 1e-9)
        else:
            peaks = _with_kills(daily_peaks(values, past.step), past)
            age = np.arange(len(peaks) - 1, -1, -1, dtype=np.float64)[:, None] * _DAY
            base = percentile(
                MEMORY_BUCKETS,
                weigh(MEMORY_BUCKETS, peaks, decay(age, _HALF_LIFE)),
                _LEVEL[self.bound],
                1e-9,
            )
        amount = with_margin(np.trunc(base * _UNIT[past.resource]))
        if self.bound != "target":
            amount = scaled(amount, confidence(past.values, past.step), self.bound)
        amount = np.maximum(amount, _LEAST[past.resource])
        known = np.isfinite(values).any(axis=0)
        return at_any_risk(np.where(known, amount / _UNIT[past.resource], np.nan), risks)


def with_margin(amount: Floats, margin: float = _MARGIN) -> Floats:
    """Whole units plus the margin, itself cut to whole units."""
    return amount + np.trunc(amount * margin)


def confidence(values: Floats, step: int) -> Floats:
    """Days between first and last sample, at most samples / 1440: both count a sample a minute as
    full.
    """
    known = np.isfinite(values)
    count = known.sum(axis=0)
    first, last = known.argmax(axis=0), len(values) - 1 - known[::-1].argmax(axis=0)
    days = np.where(count > 0, (last - first) * step / _DAY, 0.0)
    # VPA sees a sample a minute; a coarser grid stands for that many
    return np.asarray(np.minimum(days, count * max(step / 60, 1.0) / 1440))


def scaled(amount: Floats, sure: Floats, bound: Literal["lower", "upper"]) -> Floats:
    """A bound widened by doubt: (1 + 1 / confidence) above, (1 + 0.001 / confidence)^-2 below, in
    whole units.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        factor = 1 + 1 / sure if bound == "upper" else (1 + 0.001 / sure) ** -2.0
        return np.trunc(np.minimum(amount * factor, _MOST))


def oom_sample(used: Floats) -> Floats:
    """The memory sample that a kill counts as: 100 MiB or a fifth above the larger of limit and
    peak.
    """
    return np.maximum(used + _OOM_LEAST, used * _OOM_RATIO)


def _with_kills(peaks: Floats, past: Past) -> Floats:
    """Peaks of the days, on days with a kill what VPA takes it for."""
    if past.kills is None:
        return peaks
    killed = daily_peaks(past.kills[len(past.kills) - len(past.last(_KEPT_DAYS)) :], past.step) > 0
    return np.where(killed, oom_sample(np.fmax(peaks, past.current)), peaks)


def daily_peaks(values: Floats, step: int) -> Floats:
    """Peak of each day, counted back from the end: days x services; NaN = a day without samples."""
    length = max(1, _DAY // step)
    days = -(-len(values) // length)
    padded = np.full((days * length, values.shape[1]), np.nan)
    padded[days * length - len(values) :] = values
    return np.stack([column_max(part) for part in np.split(padded, days)])
