"""Weights of the candidates: learned from each service's own rolling-origin losses, shrunk to the
fleet's.

Weights fall exponentially with the loss (the exponentially weighted average forecaster;
Cesa-Bianchi and Lugosi, "Prediction, Learning, and Games", 2006, chapter 2), for each quantile
apart: what is best in the middle is not best in the tail. Quantiles are averaged, not probabilities
(Lichtendahl, Grushka-Cockayne and Winkler, Management Science 59, 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capacity.forecasting._models.base_models import BASE_MODELS, expand
from capacity.forecasting._quantiles import Floats, Singles

__all__ = [
    "ORIGIN_WEIGHTS",
    "LossSums",
    "blended",
    "fleet_losses",
    "loss_sums",
    "own_losses",
    "weights",
]

Counts = NDArray[np.int64]

ORIGIN_WEIGHTS = (1.0, 1.0, 1.0, 0.8, 0.6, 0.5)  # nearest first
_SHARPNESS = 40.0  # a candidate 5 % worse than the best weighs e^-2 of it
_FLEET_ORIGINS = 6.0  # the fleet's losses weigh like this many origins of the service's own
_PRIOR_SERVICES = 20.0  # the prior weighs like this many services
_LOG_UNIT = 2.0**-36  # of a sum over services: millions of them fit into 64 bits
_WORST, _BEST = 4.0, 0.05  # relative losses beyond these say "bad" and "good", not how much

# Relative loss assumed before a fleet has shown its own: plain levels and daily profiles are safe,
# the rest must earn trust.
_PRIOR = {
    "random walk": 1.15,
    "line": 1.3,
    "fourier": 1.1,
    "hour of week": 1.1,
    "boosted": 1.05,
    "level 28d": 1.02,
}
_PRIOR |= {"hour of day moved": 1.05}


def own_losses(losses: Floats, origins: Floats) -> tuple[Floats, Floats]:
    """Relative losses of each service and how many origins they rest on.

    Args:
        losses: (origins, services, quantiles, candidates), NaN where there was nothing to compare.
        origins: weight of each origin.

    Returns:
        relative: (services, quantiles, candidates), loss over the median candidate's, NaN without
            evidence.
        count: (services,) origins with evidence.
    """
    there = np.isfinite(losses)
    weight = there * np.asarray(origins)[:, None, None, None]
    # A candidate that could not be fitted at an old origin is compared there as if it were the
    # middle one.
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = _median(losses)
        mean = (
            np.where(there, losses / np.maximum(middle, 1e-9), 0) * weight * np.nan_to_num(middle)
        ).sum(axis=0)
        base = (weight * np.nan_to_num(middle)).sum(axis=0)
        relative = np.where(base > 0, mean / base, np.where(weight.sum(axis=0) > 0, 1.0, np.nan))
    return np.minimum(relative, _WORST), there.any(axis=(2, 3)).sum(axis=0)


def _median(losses: Floats) -> Floats:
    """Median over candidates, NaN left out: (..., 1)."""
    ordered = np.sort(losses, axis=-1)
    last = np.maximum(np.isfinite(ordered).sum(axis=-1, keepdims=True) - 1, 0)
    return np.asarray(np.take_along_axis(ordered, last // 2, axis=-1), np.float64)


@dataclass(frozen=True)
class LossSums:
    """Relative losses of some services, summed; those of several parts of a fleet add up.

    Attributes:
        logs: (quantiles, candidates) of logarithms, in whole units: such sums are the same in any
            order.
        counts: (quantiles, candidates) services with evidence.
    """

    logs: Counts
    counts: Counts

    def __add__(self, other: LossSums) -> LossSums:
        return LossSums(self.logs + other.logs, self.counts + other.counts)


def loss_sums(relative: Floats) -> LossSums:
    """The sums over services of (services, quantiles, candidates), NaN without evidence."""
    there = np.isfinite(relative)
    logs = np.where(there, np.log(np.maximum(np.where(there, relative, 1), _BEST)), 0)
    whole = np.rint(logs / _LOG_UNIT).astype(np.int64)
    return LossSums(whole.sum(axis=0), there.sum(axis=0, dtype=np.int64))


def fleet_losses(sums: LossSums, prior: Floats) -> Floats:
    """The fleet's relative losses: geometric mean over services and the prior: (quantiles,
    candidates).
    """
    logs = sums.logs * _LOG_UNIT + _PRIOR_SERVICES * np.log(prior)
    return np.asarray(np.exp(logs / (sums.counts + _PRIOR_SERVICES)))


def prior(names: tuple[str, ...] = BASE_MODELS) -> Floats:
    """Relative losses assumed of the candidates before any evidence."""
    return np.array([_PRIOR.get(name, 1.0) for name in names])


def weights(
    relative: Floats, count: Floats, fleet: Floats, usable: Singles, sharpness: float = 0.0
) -> Singles:
    """Weight of each candidate: (services, quantiles, candidates), summing to one.

    Args:
        relative: own relative losses, NaN without evidence.
        count: origins they rest on.
        fleet: the fleet's relative losses.
        usable: (candidates,) 1 for those that exist at this origin, else 0.
        sharpness: how fast weights fall with the loss; 0 is the usual.
    """
    trust = (count / (count + _FLEET_ORIGINS))[:, None, None]
    own = np.log(np.maximum(np.where(np.isfinite(relative), relative, 1.0), _BEST))
    score = np.where(
        np.isfinite(relative), trust * own + (1 - trust) * np.log(fleet), np.log(fleet)
    )
    score = np.where(usable > 0, score, np.inf)
    out = np.exp(-(sharpness or _SHARPNESS) * (score - score.min(axis=-1, keepdims=True)))
    return np.asarray(out / out.sum(axis=-1, keepdims=True), np.float32)


def blended(
    tables: dict[str, Singles], share: Singles, names: tuple[str, ...] = BASE_MODELS
) -> Singles:
    """The weighted mean of the candidates' quantiles on all lead hours, put in order: (services,
    168, quantiles).
    """
    total: Singles | None = None
    for number, name in enumerate(names):
        if name not in tables:
            continue
        part = expand(name, tables[name] * share[:, None, :, number])
        total = part if total is None else total + part
    assert total is not None  # the level over everything always exists
    return np.sort(total, axis=-1)
