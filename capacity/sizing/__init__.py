"""What the limits should be, with the reason and the evidence for each service."""

from capacity.sizing.context import Context, ServiceRule
from capacity.sizing.defaults import TYPES, ServiceType
from capacity.sizing.policies import POLICIES
from capacity.sizing.recommend import PEAK_QUANTILES, recommend
from capacity.sizing.replay import replay
from capacity.sizing.to_changes import changes_from

__all__ = ["PEAK_QUANTILES", "POLICIES", "TYPES", "Context", "ServiceRule", "ServiceType", "changes_from", "recommend", "replay"]
