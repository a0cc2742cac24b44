"""What a check says of one subject, and what the rule book makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from capacity._compose import Origin

__all__ = ["Evidence", "Severity", "Status", "Verdict", "failed", "passed", "unknown"]


class Status(StrEnum):
    """What became of a rule on a subject; without data nothing passes."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    WAIVED = "waived"
    NOT_EVALUATED = "not-evaluated"


class Severity(StrEnum):
    """How bad a broken rule is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def weight(self) -> int:
        """What one evaluation counts in the score."""
        return {"critical": 8, "high": 4, "medium": 2, "low": 1}[self.value]

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return _RANKS[self.value]

    def reaches(self, threshold: Severity) -> bool:
        """Whether this is as bad as the threshold, or worse."""
        return self.rank <= threshold.rank


_RANKS = {severity.value: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why: what was seen, what was allowed, over which time, and where anybody can look again.

    `query` is PromQL or the command that shows it; `file` and `line` (from 1) are a place in a
    compose file; `host` is an Engine.
    """

    value: str = ""
    threshold: str = ""
    window: str = ""
    query: str = ""
    file: str = ""
    line: int = 0
    host: str = ""

    @classmethod
    def at(cls, origin: Origin | None, value: str = "", threshold: str = "") -> Evidence:
        """Something that stands in a file."""
        place = (origin.file, origin.line) if origin is not None else ("", 0)
        return cls(value=value, threshold=threshold, file=place[0], line=place[1])

    @property
    def place(self) -> str:
        """`file:line`, the query, or the host: the most exact there is."""
        return (f"{self.file}:{self.line}" if self.file else "") or self.query or self.host

    def text(self) -> str:
        """One line for people."""
        parts = [
            self.value,
            f"allowed {self.threshold}" if self.threshold else "",
            self.window,
            self.place,
        ]
        return "; ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says: `subject` is `project/service`, a host, a scrape target, or what else the
    message names; `causes` names each thing that breaks the rule, for waivers that cover only some.
    """

    subject: str
    status: Status
    message: str
    evidence: Evidence = Evidence()
    causes: tuple[str, ...] = ()


def passed(subject: str, message: str, evidence: Evidence | None = None) -> Verdict:
    """The rule holds."""
    return Verdict(subject, Status.PASS, message, evidence or Evidence())


def failed(
    subject: str, message: str, evidence: Evidence | None = None, causes: tuple[str, ...] = ()
) -> Verdict:
    """The rule is broken."""
    return Verdict(subject, Status.FAIL, message, evidence or Evidence(), causes)


def unknown(subject: str, message: str, evidence: Evidence | None = None) -> Verdict:
    """There is no data to tell; never a pass."""
    return Verdict(subject, Status.NOT_EVALUATED, message, evidence or Evidence())
