"""What the limits should be, with the reason and the evidence for each service."""

from capacity.sizing.context import Context, ServiceRule
from capacity.sizing.defaults import TYPES, ServiceType
from capacity.sizing.frontier import frontier
from capacity.sizing.placement import Placement, place
from capacity.sizing.policies import POLICIES, Past
from capacity.sizing.recommend import PEAK_QUANTILES, recommend
from capacity.sizing.replay import replay
from capacity.sizing.to_changes import changes_from
from capacity.sizing.waste import Prices, waste

__all__ = [
    "PEAK_QUANTILES",
    "POLICIES",
    "TYPES",
    "Context",
    "Past",
    "Placement",
    "Prices",
    "ServiceRule",
    "ServiceType",
    "changes_from",
    "frontier",
]
__all__ += ["place", "recommend", "replay", "waste"]
