"""The rule book: rules as people read them, loaded strictly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path

from capacity._common.bundled import bundled
from capacity._common.files import cause_of, read_bounded
from capacity.compliance._rules.markdown import RuleBlock, rule_blocks
from capacity.compliance._rules.registry import Check, find_check, read_parameters
from capacity.compliance._rules.strict_yaml import MOST_OF_A_BOOK, StrictMapping, read_mapping
from capacity.compliance._verdicts import Severity
from capacity.errors import InputError

__all__ = ["DEFAULT_RULES", "Rule", "RuleScope", "load_rules", "read_rules"]

DEFAULT_RULES = "house"
"""The name that stands for the rule book that comes with the package."""

_KEYS = (
    "id",
    "slug",
    "check",
    "parameters",
    "severity",
    "category",
    "rationale",
    "remediation",
    "impact",
    "scope",
)
_SCOPE = ("services", "except", "labels")


@dataclass(frozen=True, slots=True)
class RuleScope:
    """Which subjects a rule is about: globs of `project/service` (or of a host's or target's name),
    and labels.
    """

    services: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def covers(self, subject: str, labels: Mapping[str, str]) -> bool:
        """Whether a subject is in it; every label named must be there and fit its glob."""
        if not (self.services or self.excluded or self.labels):
            return True
        return (
            (not self.services or any(fnmatchcase(subject, glob) for glob in self.services))
            and not any(fnmatchcase(subject, glob) for glob in self.excluded)
            and all(
                name in labels and fnmatchcase(labels[name], glob)
                for name, glob in self.labels.items()
            )
        )


@dataclass(frozen=True)
class Rule:
    """One rule; `run` is its check with its parameters put in, `parameters` what the
    book says of them.
    """

    id: str
    slug: str
    title: str
    check: str
    parameters: Mapping[str, object]
    severity: Severity
    category: str
    rationale: str
    remediation: str
    impact: str
    scope: RuleScope
    file: str
    line: int
    run: Check = field(repr=False, compare=False)

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"


def load_rules(books: Iterable[str | Path] = (DEFAULT_RULES,)) -> tuple[Rule, ...]:
    """The rules of one or several books, by id.

    Args:
        books: Markdown files; `house` is the one that comes with the package.

    Raises:
        InputError: unreadable, or not a rule book; the message names file, line, cause and next
            step.
    """
    found: dict[str, Rule] = {}
    for book in books:
        file = bundled("data/rules.md") if str(book) == DEFAULT_RULES else Path(book)
        try:
            text = read_bounded(file, MOST_OF_A_BOOK).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"Cannot read the rule book {file}: {cause_of(error)}",
                "Name a Markdown file, or `house`",
            ) from error
        read = _bundled_rules if str(book) == DEFAULT_RULES else read_rules
        for rule in read(text, str(file)):
            _refuse_twice(rule, found)
            found[rule.id] = rule
    return tuple(found[name] for name in sorted(found))


def read_rules(text: str, file: str) -> tuple[Rule, ...]:
    """The rules of one book's text, in its order.

    Raises:
        InputError: as `load_rules`.
    """
    found: dict[str, Rule] = {}
    for block in rule_blocks(text, file):
        rule = _rule(block, file)
        _refuse_twice(rule, found)
        found[rule.id] = rule
    if not found:
        raise InputError(
            f"{file} holds no rule", "Write one block ```yaml rule under each rule's heading"
        )
    return tuple(found.values())


_bundled_rules = lru_cache(maxsize=1)(read_rules)
"""Once in a process: the monitor judges by them at each step. Checks of other books may change."""


def _refuse_twice(rule: Rule, others: Mapping[str, Rule]) -> None:
    for other in others.values():
        same = {"id": rule.id == other.id, "slug": rule.slug == other.slug}
        for name in (name for name, is_same in same.items() if is_same):
            cause = (
                f"{rule.place}: the {name} {getattr(rule, name)} stands already in {other.place}"
            )
            raise InputError(cause, "Give each rule its own")


def _rule(block: RuleBlock, file: str) -> Rule:
    # empty lines before the block, so that every place that YAML names is the place in the book
    fields = read_mapping("\n" * (block.line - 1) + block.text, file, _KEYS, "a rule")
    name = _id(fields, block)
    function, parameters = _check(fields)
    return Rule(
        id=name,
        slug=_matching(fields, "slug", r"[a-z0-9]+(-[a-z0-9]+)*", "no-port-conflicts"),
        title=block.title or name,
        check=fields.text("check"),
        parameters=parameters,
        severity=_severity(fields),
        category=fields.text("category"),
        rationale=fields.text("rationale"),
        remediation=fields.text("remediation"),
        impact=fields.text("impact"),
        scope=_scope(fields),
        file=file,
        line=fields.origin.line,
        run=partial(function, **parameters),
    )


def _id(fields: StrictMapping, block: RuleBlock) -> str:
    name = _matching(fields, "id", "[A-Z]{2,10}[0-9]{3,}", "CAP001")
    if block.promised_id not in {"", name}:
        raise fields.wrong(
            "id", f"is {name}, its heading says {block.promised_id}", "Make them the same"
        )
    return name


def _matching(fields: StrictMapping, name: str, pattern: str, example: str) -> str:
    text = fields.text(name)
    if not re.fullmatch(pattern, text):
        raise fields.wrong(name, f"is {text!r}", f"Write it like {example}")
    return text


def _severity(fields: StrictMapping) -> Severity:
    text = fields.text("severity")
    if text not in set(Severity):
        raise fields.wrong("severity", f"is {text!r}", f"Use one of {', '.join(Severity)}")
    return Severity(text)


def _check(fields: StrictMapping) -> tuple[Check, dict[str, object]]:
    name = fields.text("check")
    try:
        function = find_check(name)
    except InputError as error:
        raise fields.wrong("check", f"{error.message}", error.hint) from error
    try:
        return function, read_parameters(function, fields.mapping("parameters"))
    except ValueError as error:
        where = "parameters" if "parameters" in fields else "check"
        raise fields.wrong(
            where, f"of {name}: {error}", "docs/reference/rules.md lists the parameters"
        ) from error


def _scope(fields: StrictMapping) -> RuleScope:
    if "scope" not in fields:
        return RuleScope()
    inner = StrictMapping(fields.node("scope"), _SCOPE, "scope")
    said = inner.mapping("labels")
    labels = {name: value for name, value in said.items() if isinstance(value, str)}
    if len(labels) < len(said):
        raise inner.wrong("labels", "must be globs of text", "Quote the values")
    return RuleScope(inner.texts("services"), inner.texts("except"), labels)
