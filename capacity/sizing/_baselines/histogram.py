"""Histograms with exponentially growing buckets and decaying weights, as VPA's recommender keeps
them (autoscaler 55c37cd5).

Bucket n starts at first * (ratio^n - 1) / (ratio - 1); a value's bucket is the whole part of
log_ratio(value * (ratio - 1) / first + 1). That logarithm rounds: 0.0205 lands one bucket below its
own start. The formula is reproduced, not the ideal edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.sizing._policies.base import Floats, in_blocks

__all__ = [
    "CPU_BUCKETS",
    "MEMORY_BUCKETS",
    "Buckets",
    "decay",
    "exponential",
    "linear",
    "percentile",
]

EPSILON = 1e-4  # a bucket with less weight counts as empty


@dataclass(frozen=True)
class Buckets:
    """Starts of the buckets; `ratio` 1 means equal widths of `first`."""

    first: float
    ratio: float
    count: int

    def starts(self) -> Floats:
        """Where each bucket begins, one more than there are buckets' ends."""
        number = np.arange(self.count, dtype=np.float64)
        if self.ratio == 1:
            return number * self.first
        return np.asarray(self.first * (self.ratio**number - 1) / (self.ratio - 1))

    def find(self, values: Floats) -> NDArray[np.intp]:
        """Bucket of each value; values below the first go there, values above the last into the
        last.
        """
        if self.ratio == 1:
            found = np.floor(np.maximum(values, 0) / self.first)
        else:
            above = np.maximum(values, self.first)
            found = np.log(above * (self.ratio - 1) / self.first + 1) / math.log(self.ratio)
            found = np.where(values < self.first, 0, np.trunc(found))
        return np.clip(found, 0, self.count - 1).astype(np.intp)


def linear(highest: float, size: float) -> Buckets:
    """Buckets of one width up to `highest`, and one for what lies above."""
    return Buckets(size, 1.0, math.ceil(highest / size) + 1)


def exponential(highest: float, first: float, ratio: float) -> Buckets:
    """Growing buckets up to `highest`, and one for what lies above."""
    return Buckets(
        first, ratio, math.ceil(math.log(highest * (ratio - 1) / first + 1) / math.log(ratio)) + 1
    )


CPU_BUCKETS = exponential(1000.0, 0.01, 1.05)
MEMORY_BUCKETS = exponential(1e12, 1e7, 1.05)


def decay(age: Floats, half_life: float) -> Floats:
    """Weight of samples by age, in the unit of the half-life."""
    return np.asarray(np.exp2(-age / half_life))


def weigh(buckets: Buckets, values: Floats, weights: Floats) -> Floats:
    """Weights by service and bucket, shape (services, buckets), of samples x services; NaN samples
    weigh nothing.

    Args:
        buckets: where values fall into.
        values: samples x services.
        weights: of each sample, samples x 1.
    """
    return in_blocks(lambda block: _weigh(buckets, block, weights), values)


def _weigh(buckets: Buckets, values: Floats, weights: Floats) -> Floats:
    services = values.shape[1]
    known = np.isfinite(values)
    where = buckets.find(np.where(known, values, 0.0)) + np.arange(services) * buckets.count
    flat = np.bincount(
        where[known], np.broadcast_to(weights, values.shape)[known], services * buckets.count
    )
    return np.asarray(flat.reshape(services, buckets.count), np.float64)


def percentile(buckets: Buckets, weights: Floats, level: float, epsilon: float = EPSILON) -> Floats:
    """End of the bucket in which the weight reaches `level` of the total (of the last bucket its
    start); 0 when all are empty.

    Only the buckets between the lowest and the highest that are not empty are walked.
    """
    filled = weights >= epsilon
    lowest = filled.argmax(axis=1)
    highest = weights.shape[1] - 1 - filled[:, ::-1].argmax(axis=1)
    walked = np.where(np.arange(weights.shape[1]) >= lowest[:, None], weights, 0.0).cumsum(axis=1)
    total = weights.sum(axis=1, keepdims=True)
    # a sum of the same weights in another order differs in its last bits
    reached = (walked >= level * total * (1 - 1e-12)).argmax(axis=1)
    reached = np.where((walked < level * total * (1 - 1e-12)).all(axis=1), highest, reached)
    bucket = np.clip(reached, lowest, highest)
    ends = buckets.starts()[np.minimum(bucket + 1, buckets.count - 1)]
    return np.where(filled.any(axis=1), ends, 0.0)
