"""What breaks the rules of the house: a rule book people can read, evidence for every verdict, waivers that end."""

from capacity.compliance.evaluate import Finding, Report, evaluate
from capacity.compliance.facts import Facts
from capacity.compliance.moves import PortMove, propose_moves
from capacity.compliance.registry import Check
from capacity.compliance.rules import Rule, load_rules
from capacity.compliance.verdicts import Evidence, Severity, Status, Verdict, failed, passed, unknown
from capacity.compliance.waivers import Waiver, load_waivers

__all__ = [
    "Check",
    "Evidence",
    "Facts",
    "Finding",
    "PortMove",
    "Report",
    "Rule",
    "Severity",
    "Status",
    "Verdict",
    "Waiver",
    "evaluate",
    "failed",
    "load_rules",
    "load_waivers",
    "passed",
    "propose_moves",
    "unknown",
]
