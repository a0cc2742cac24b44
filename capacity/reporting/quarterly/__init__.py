"""The quarterly architecture review: its computation, and one function a section of the page."""

from capacity.reporting.quarterly._governance import debts, promises, risks, rules, waivers
from capacity.reporting.quarterly._review import (
    REPORT,
    SIGNALS,
    WINDOW,
    QuarterlyReview,
    quarter_name,
    review,
    save,
)
from capacity.reporting.quarterly._sections import header, runways, structure, trends

__all__ = [
    "REPORT",
    "SIGNALS",
    "WINDOW",
    "QuarterlyReview",
    "debts",
    "header",
    "promises",
    "quarter_name",
    "review",
    "risks",
    "rules",
    "runways",
    "save",
    "structure",
    "trends",
    "waivers",
]
