"""How often the limits of each policy would have broken on the past of the fleet, at which cost."""

from __future__ import annotations

import pandas as pd

from capacity import sizing
from capacity._api import sizing_inputs
from capacity.history import History
from capacity.model import Resource, Signal

__all__ = ["COMPARED", "fleet_frontier"]

COMPARED = ("capacity", "maximum", "krr", "vpa", "autopilot", "seed")
_MOST = 150  # services that are replayed: a frontier of a part of a large fleet is as telling
_FIRST = "14D"
_NEEDED = pd.Timedelta("21D")


def fleet_frontier(history: History, resource: Resource, tolerance: float) -> pd.DataFrame:
    """`capacity.sizing.frontier` of the fleet's own past, on some services of a large one; empty
    with under three weeks.
    """
    usage = history[resource.usage]
    step = max(1, -(-len(usage.columns) // _MOST))
    part = usage.iloc[:, ::step]
    if not len(part.columns) or history.end - history.start < _NEEDED:
        return sizing.frontier(pd.DataFrame(), part)
    limits = history.limits(resource).reindex(part.columns)
    kills = (
        sizing_inputs.under_present_limit(history, Signal.OOM_KILLS, resource)
        if resource is Resource.MEMORY
        else None
    )
    replayed = sizing.replay(
        part, signal=resource, policies=COMPARED, current=limits, kills=kills, first=_FIRST
    )
    return sizing.frontier(replayed, part, tolerance)
