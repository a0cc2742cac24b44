"""What the limits should be, with the reason and the evidence for each service."""

from capacity.sizing.recommend import PEAK_QUANTILES, Context, recommend
from capacity.sizing.to_changes import changes_from

__all__ = ["PEAK_QUANTILES", "Context", "changes_from", "recommend"]
