"""What the limits should be, with the reason and the evidence for each service."""

from capacity.sizing._context import RAISED_FROM, Context, ServiceRule
from capacity.sizing._decisions.fleet import PEAK_QUANTILES
from capacity.sizing._decisions.recommend import recommend
from capacity.sizing._placement import Placement, forecast_load, place
from capacity.sizing._policies.registry import POLICIES, Past
from capacity.sizing._replay.evidence import LimitHits, find_limit_hits
from capacity.sizing._replay.frontier import frontier
from capacity.sizing._replay.replay import replay
from capacity.sizing._savings import Prices, savings
from capacity.sizing._service_types import TYPES, ServiceType
from capacity.sizing._to_changes import changes_from

__all__ = [
    "PEAK_QUANTILES",
    "POLICIES",
    "RAISED_FROM",
    "TYPES",
    "Context",
    "LimitHits",
    "Past",
    "Placement",
    "Prices",
    "ServiceRule",
    "ServiceType",
    "changes_from",
    "find_limit_hits",
    "forecast_load",
    "frontier",
]
__all__ += ["place", "recommend", "replay", "savings"]
