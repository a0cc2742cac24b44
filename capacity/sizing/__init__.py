"""What the limits should be, with the reason and the evidence for each service."""

from capacity.sizing.context import RAISED_FROM, Context, ServiceRule
from capacity.sizing.defaults import TYPES, ServiceType
from capacity.sizing.evidence import Strikes, find_strikes
from capacity.sizing.frontier import frontier
from capacity.sizing.placement import Placement, forecast_load, place
from capacity.sizing.policies import POLICIES, Past
from capacity.sizing.recommend import PEAK_QUANTILES, recommend
from capacity.sizing.replay import replay
from capacity.sizing.to_changes import changes_from
from capacity.sizing.waste import Prices, waste

__all__ = [
    "PEAK_QUANTILES",
    "POLICIES",
    "RAISED_FROM",
    "TYPES",
    "Context",
    "Past",
    "Placement",
    "Prices",
    "ServiceRule",
    "ServiceType",
    "Strikes",
    "changes_from",
    "find_strikes",
    "forecast_load",
    "frontier",
]
__all__ += ["place", "recommend", "replay", "waste"]
