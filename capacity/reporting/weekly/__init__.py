"""The weekly resource report: its review, and one function a section of the page."""

from capacity.reporting.weekly._review import REPORT, WeeklyReview, review
from capacity.reporting.weekly._saving import save
from capacity.reporting.weekly._sections.appendix import appendix
from capacity.reporting.weekly._sections.applied import drifted, realised
from capacity.reporting.weekly._sections.changes import changes_since
from capacity.reporting.weekly._sections.days_left import days_remaining
from capacity.reporting.weekly._sections.evidence import evidence, frontiers
from capacity.reporting.weekly._sections.forecasts import forecasts, risks, scorecards
from capacity.reporting.weekly._sections.overview import (
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
