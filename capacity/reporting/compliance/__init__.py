"""The weekly compliance report: its review, and one function a section of the page."""

from capacity.reporting.compliance._review import REPORT, ComplianceReview, review, save
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
    "ComplianceReview",
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
