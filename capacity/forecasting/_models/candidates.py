"""What a first pass over some services finds: past forecasts of each candidate and their losses."""

from __future__ import annotations

from dataclasses import dataclass

from capacity.forecasting._preprocessing import Scaled
from capacity.forecasting._quantiles import Floats, Singles

__all__ = ["Asked", "ChunkCandidates"]


@dataclass(frozen=True)
class Asked:
    """What the model is told at one origin.

    Attributes:
        features: (services, leads, features).
        width: (services, 1) the unit of the answer.
        target: (services, leads) what the answer should have been, NaN where unknown.
    """

    features: Singles
    width: Singles
    target: Singles


@dataclass
class ChunkCandidates:
    """First pass over a chunk of services.

    Attributes:
        losses: (origins, services, quantiles, candidates), NaN where a candidate did not exist or
            nothing was seen.
        tables: for the origins calibrated on, in hours before the end, and for the end (0):
            candidate -> table.
        scaled: the services' past.
        asked: what the boosted model is told, by origin; empty for a history too short for it.
    """

    losses: Floats
    tables: dict[int, dict[str, Singles]]
    scaled: Scaled
    asked: dict[int, Asked]
