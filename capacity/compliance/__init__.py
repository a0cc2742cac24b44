"""What breaks your rules: a rule book people can read, evidence for every verdict,
waivers that end.
"""

from capacity.compliance._assess import Assessment, Targets, assess, collect_facts
from capacity.compliance._evaluate import Finding, Report, evaluate
from capacity.compliance._facts.facts import Facts
from capacity.compliance._port_proposals import PortProposal, propose_ports
from capacity.compliance._rules.registry import Check
from capacity.compliance._rules.rules import Rule, load_rules
from capacity.compliance._verdicts import (
    Evidence,
    Severity,
    Status,
    Verdict,
    failed,
    passed,
    unknown,
)
from capacity.compliance._waivers import Waiver, load_waivers

__all__ = [
    "Assessment",
    "Check",
    "Evidence",
    "Facts",
    "Finding",
    "PortProposal",
    "Report",
    "Rule",
    "Severity",
    "Status",
    "Targets",
    "Verdict",
    "Waiver",
    "assess",
    "collect_facts",
    "evaluate",
    "failed",
    "load_rules",
    "load_waivers",
    "passed",
    "propose_ports",
    "unknown",
]
