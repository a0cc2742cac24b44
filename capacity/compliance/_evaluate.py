"""Rules on facts give findings; findings and waivers give a report with its score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from capacity.compliance._facts.facts import Facts, UnreadProject
from capacity.compliance._facts.gc_pause import gc_paused
from capacity.compliance._rules.registry import reads_files
from capacity.compliance._rules.rules import Rule
from capacity.compliance._verdicts import Evidence, Severity, Status, Verdict, unknown
from capacity.compliance._waivers import Waiver, first_fitting, uncovered
from capacity.errors import CapacityError, InputError

__all__ = ["FLEET", "Finding", "Report", "evaluate"]

FLEET = "fleet"
"""The subject of a rule that found nothing to look at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict of a rule, with the waiver that fits it, which may have expired.

    `file` and `line` say where it can be fixed: the evidence's place, or else that of the service;
    empty and 0 without one. `said` is the check's own message, without a remark on waivers.
    """

    rule: Rule
    verdict: Verdict
    waiver: Waiver | None = None
    file: str = ""
    line: int = 0
    said: str = ""

    @property
    def status(self) -> Status:
        """What became of the rule here."""
        return self.verdict.status

    @property
    def subject(self) -> str:
        """Whom it is about."""
        return self.verdict.subject

    @property
    def failing(self) -> bool:
        """Whether the rule is broken here and nobody lets it."""
        return self.status is Status.FAIL


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        rules: all rules evaluated, by id.
        findings: by severity, rule and subject; a subject that breaks a rule in several places has
            several.
        waivers: all waivers given.
        unused: those that fit neither a failing finding nor one that could not be evaluated.
        today: the day for which waivers were judged, UTC.
        notes: what the reader should know about the facts.
        unread: compose projects that could not be loaded.
    """

    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    waivers: tuple[Waiver, ...]
    unused: tuple[Waiver, ...]
    today: date
    notes: tuple[str, ...] = ()
    unread: tuple[UnreadProject, ...] = ()
    _statuses: dict[tuple[str, str], tuple[Severity, Status]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def counts(self) -> dict[Status, int]:
        """Evaluations by status; a rule on a subject counts once."""
        seen = Counter(status for _, status in self._statuses.values())
        return {status: seen[status] for status in Status}

    @property
    def score(self) -> float | None:
        """Share of passes among passes and failures, weighted by severity, 0 to 1; None when
        nothing could be evaluated.
        """
        weights: Counter[Status] = Counter()
        for severity, status in self._statuses.values():
            weights[status] += severity.weight
        judged_weight = weights[Status.PASS] + weights[Status.FAIL]
        return weights[Status.PASS] / judged_weight if judged_weight else None

    @property
    def expired(self) -> tuple[Waiver, ...]:
        """Waivers whose last day is over."""
        return tuple(waiver for waiver in self.waivers if waiver.expired(self.today))

    @property
    def expiring(self) -> tuple[Waiver, ...]:
        """Waivers that end within 30 days, the first to end first."""
        return tuple(
            sorted(
                (waiver for waiver in self.waivers if waiver.expires_soon(self.today)),
                key=lambda waiver: waiver.expires,
            )
        )

    def useless(self, waiver: Waiver) -> str:
        """Why an unused waiver is of no use: its rule may not exist at all."""
        known = any(waiver.rule in {rule.id, rule.slug} for rule in self.rules)
        return "fits nothing" if known else "names no rule of the book"

    def failing(self, threshold: Severity = Severity.LOW) -> tuple[Finding, ...]:
        """Broken rules at or above a severity, without those waived."""
        return tuple(
            finding
            for finding in self.findings
            if finding.failing and finding.rule.severity.reaches(threshold)
        )

    def failing_pairs(self) -> tuple[tuple[str, str], ...]:
        """Rule id and subject of everything that fails, sorted."""
        return tuple(
            sorted(pair for pair, (_, status) in self._statuses.items() if status is Status.FAIL)
        )


def evaluate(
    rules: Iterable[Rule], facts: Facts, waivers: Iterable[Waiver] = (), *, today: date
) -> Report:
    """Every rule on everything that is known.

    Args:
        rules: of one or several books.
        facts: what is known; what is missing makes rules not-evaluated.
        waivers: who may break what.
        today: the day for which waivers are judged, UTC.

    Raises:
        InputError: a check from another package failed.
    """
    with gc_paused():
        return _evaluated(tuple(rules), facts, tuple(waivers), today)


def _evaluated(
    rules: tuple[Rule, ...], facts: Facts, waivers: tuple[Waiver, ...], today: date
) -> Report:
    findings: list[Finding] = []
    statuses: dict[tuple[str, str], tuple[Severity, Status]] = {}
    for rule in rules:
        for subject, verdicts in _by_subject(rule, facts).items():
            found = [_finding(rule, verdict, waivers, facts, today) for verdict in verdicts]
            statuses[rule.id, subject] = (rule.severity, found[0].status)
            findings += found
    findings.sort(key=_place)
    unused = _without_use(waivers, findings)
    return Report(
        rules, tuple(findings), waivers, unused, today, facts.notes, facts.unread, statuses
    )


def _without_use(waivers: Iterable[Waiver], findings: Iterable[Finding]) -> tuple[Waiver, ...]:
    """Waivers that fit no failure, nor anything that could not be evaluated and may fail another
    time.
    """
    open_ones: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.status is not Status.PASS:
            for name in (finding.rule.id, finding.rule.slug):
                open_ones.setdefault(name, []).append(finding)
    return tuple(
        waiver
        for waiver in waivers
        if not any(_may_fit(waiver, finding) for finding in open_ones.get(waiver.rule, ()))
    )


def _may_fit(waiver: Waiver, finding: Finding) -> bool:
    return finding.subject == FLEET or waiver.fits(finding.rule, finding.subject)


def _place(finding: Finding) -> tuple[object, ...]:
    evidence = finding.verdict.evidence
    return (
        finding.rule.severity.rank,
        finding.rule.id,
        finding.subject,
        evidence.file,
        evidence.line,
        finding.verdict.message,
    )


def _by_subject(rule: Rule, facts: Facts) -> dict[str, list[Verdict]]:
    """The verdicts of a rule that count: failures before missing data before passes, of which one
    is enough.
    """
    found: dict[str, list[Verdict]] = {}
    for verdict in _in_scope(rule, facts):
        found.setdefault(verdict.subject, []).append(verdict)
    if not found:
        return {
            FLEET: [unknown(FLEET, "Nothing to look at: no data, or nothing in the rule's scope")]
        }
    result = {}
    for subject in sorted(found):
        kept = [verdict for verdict in found[subject] if verdict.status is Status.FAIL]
        missing = [verdict for verdict in found[subject] if verdict.status is Status.NOT_EVALUATED]
        result[subject] = kept or (missing or found[subject])[:1]
    return result


def _in_scope(rule: Rule, facts: Facts) -> Iterator[Verdict]:
    for verdict in (*_verdicts(rule, facts), *_unread(rule, facts)):
        if not _is_verdict(verdict):
            raise InputError(
                f"The check {rule.check!r} of {rule.id} gave {verdict!r:.80}, no verdict",
                "Correct its package",
            )
        if rule.scope.covers(
            verdict.subject, facts.labels(verdict.subject) if rule.scope.labels else {}
        ):
            yield verdict


def _unread(rule: Rule, facts: Facts) -> Iterator[Verdict]:
    """Of a project that cannot be loaded nothing is known, so nothing of it passes."""
    for project in facts.unread if reads_files(rule.check) else ():
        place = Evidence(file=project.file, line=project.line)
        yield unknown(project.subject, f"cannot be loaded: {project.reason}", place)


def _is_verdict(verdict: object) -> bool:
    """Whether another package's check gave what it should: the text `fail` for the status would
    pass for no failure.
    """
    if not isinstance(verdict, Verdict) or not isinstance(verdict.evidence, Evidence):
        return False
    texts = isinstance(verdict.subject, str) and isinstance(verdict.message, str)
    return texts and isinstance(verdict.status, Status) and verdict.status is not Status.WAIVED


def _verdicts(rule: Rule, facts: Facts) -> Sequence[Verdict]:
    try:
        return list(rule.run(facts))
    except CapacityError:
        raise
    except (
        Exception
    ) as error:  # others' checks may fail in any way, and a failed check must not look like a pass
        cause = (
            f"The check {rule.check!r} of rule {rule.id} failed: {type(error).__name__}: {error}"
        )
        raise InputError(
            cause, f"Correct the check, or leave the rule out of {rule.file}"
        ) from error


def _finding(
    rule: Rule, verdict: Verdict, waivers: Sequence[Waiver], facts: Facts, today: date
) -> Finding:
    file, line = _place_of(verdict, facts)
    waiver = first_fitting(waivers, rule, verdict, today) if verdict.status is Status.FAIL else None
    said = verdict.message
    if waiver is None:
        return Finding(rule, verdict, None, file, line, said)
    if not waiver.lets(verdict):
        left = uncovered(waivers, rule, verdict, today)
        if left or not verdict.causes:
            other = _adding(verdict, _not_covered(waiver, left))
            return Finding(rule, other, None, file, line, said)
    if waiver.expired(today):
        late = _adding(verdict, f"its waiver expired on {waiver.expires}")
        return Finding(rule, late, waiver, file, line, said)
    if verdict.causes and not waiver.covers:
        verdict = _adding(verdict, "its waiver covers whatever fails here")
    return Finding(rule, replace(verdict, status=Status.WAIVED), waiver, file, line, said)


def _adding(verdict: Verdict, remark: str) -> Verdict:
    return replace(verdict, message=f"{verdict.message} ({remark})")


def _not_covered(waiver: Waiver, left: Sequence[str]) -> str:
    """Why a waiver of the rule and the subject does not hold here: of what is `left`."""
    if left:
        return f"no waiver covers {', '.join(left)}"
    covers = ", ".join(waiver.covers)
    return f"its waiver covers {covers} alone, and this finding names no such thing"


def _place_of(verdict: Verdict, facts: Facts) -> tuple[str, int]:
    """The evidence's place, or that of the service."""
    if verdict.evidence.file:
        return verdict.evidence.file, verdict.evidence.line
    declared = facts.declared.get(verdict.subject)
    origin = declared.service.where() if declared else None
    return ("", 0) if origin is None else (origin.file, origin.line)
