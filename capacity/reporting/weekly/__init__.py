"""The weekly resource report: its review, and one function a section of the page."""

from capacity.reporting.weekly._appendix import appendix
from capacity.reporting.weekly._applied import drifted, realised
from capacity.reporting.weekly._changes_section import changes_since
from capacity.reporting.weekly._days_left_section import days_remaining
from capacity.reporting.weekly._evidence import evidence, frontiers
from capacity.reporting.weekly._forecasts import forecasts, risks, scorecards
from capacity.reporting.weekly._review import REPORT, WeeklyReview, review
from capacity.reporting.weekly._saving import save
from capacity.reporting.weekly._sections import (
    decisions,
    fleet,
    header,
    heatmap,
    oversized,
    undersized,
    unlimited,
)

__all__ = [
    "REPORT",
    "WeeklyReview",
    "appendix",
    "changes_since",
    "days_remaining",
    "decisions",
    "drifted",
    "evidence",
    "fleet",
    "forecasts",
    "frontiers",
    "header",
    "heatmap",
    "oversized",
    "realised",
    "review",
    "risks",
    "save",
    "scorecards",
    "undersized",
    "unlimited",
]
