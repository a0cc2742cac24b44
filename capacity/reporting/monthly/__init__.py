"""The monthly optimization review: its computation, and one function a section of the page."""

from capacity.reporting.monthly._agenda_sections import agenda, owned
from capacity.reporting.monthly._promises_sections import misses, promises, scorecards
from capacity.reporting.monthly._review import REPORT, MonthlyReview, month_name, review, save
from capacity.reporting.monthly._sections import header, packing, plan, savings, what_if

__all__ = [
    "REPORT",
    "MonthlyReview",
    "agenda",
    "header",
    "misses",
    "month_name",
    "owned",
    "packing",
    "plan",
    "promises",
    "review",
    "save",
    "savings",
    "scorecards",
    "what_if",
]
