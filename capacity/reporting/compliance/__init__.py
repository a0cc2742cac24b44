"""The weekly compliance report: its review, and one function a section of the page."""

from capacity.reporting.compliance._review import REPORT, Review, review, save
from capacity.reporting.compliance._sections import (
    changed,
    checklist,
    failing,
    header,
    ports,
    timeline,
    trend,
    waivers,
)

__all__ = [
    "REPORT",
    "Review",
    "changed",
    "checklist",
    "failing",
    "header",
    "ports",
    "review",
    "save",
    "timeline",
    "trend",
    "waivers",
]
