"""Waivers: who lets a service break a rule, why, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from capacity._common.files import cause_of, read_bounded
from capacity.compliance._rules.rules import Rule
from capacity.compliance._rules.strict_yaml import (
    MOST_OF_A_BOOK,
    StrictMapping,
    read_items,
    read_mapping,
)
from capacity.compliance._verdicts import Verdict
from capacity.errors import InputError

__all__ = ["Waiver", "load_waivers", "read_waivers"]

_KEYS = ("rule", "service", "reason", "owner", "expires")
_KNOWN = (*_KEYS, "covers")
_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Waiver:
    """One waiver: `rule` is an id or a slug, `service` a glob, `expires` the last day on which it
    holds, UTC; `covers` names what may fail, such as a capability; empty = whatever fails.
    """

    rule: str
    service: str
    reason: str
    owner: str
    expires: date
    file: str
    line: int
    covers: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"

    def fits(self, rule: Rule, subject: str) -> bool:
        """Whether it is about this rule and this subject, expired or not."""
        return self.rule in {rule.id, rule.slug} and fnmatchcase(subject, self.service)

    def lets(self, verdict: Verdict) -> bool:
        """Whether it covers everything that a verdict on its subject names."""
        return not self.covers or (bool(verdict.causes) and not self.leaves(verdict))

    def leaves(self, verdict: Verdict) -> list[str]:
        """What a verdict on its subject names and it does not cover."""
        covered = {_plain(name) for name in self.covers}
        return [name for name in verdict.causes if self.covers and _plain(name) not in covered]

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return today > self.expires

    def expires_soon(self, today: date) -> bool:
        """Whether it still holds, and for 30 days at most."""
        return today <= self.expires <= today + _SOON


def load_waivers(file: str | Path) -> tuple[Waiver, ...]:
    """The waivers of a file.

    Raises:
        InputError: unreadable, or not a waivers file; the message names file, line, cause and next
            step.
    """
    try:
        text = read_bounded(Path(file), MOST_OF_A_BOOK).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Cannot read the waivers {file}: {cause_of(error)}", "Name a YAML file"
        ) from error
    return read_waivers(text, str(file))


def read_waivers(text: str, file: str) -> tuple[Waiver, ...]:
    """The waivers of a text with a list `waivers`, in its order.

    Raises:
        InputError: as `load_waivers`.
    """
    return tuple(
        _waiver(item, file)
        for item in read_items(
            read_mapping(text, file, ("waivers",), "waivers"), "waivers", _KNOWN, "a waiver"
        )
    )


def _waiver(fields: StrictMapping, file: str) -> Waiver:
    words = {name: fields.text(name) for name in _KEYS}
    try:
        expires = date.fromisoformat(words.pop("expires"))
    except ValueError as error:
        raise fields.wrong("expires", "is no date", "Write it like 2027-01-31") from error
    covers = fields.texts("covers")
    return Waiver(**words, expires=expires, file=file, line=fields.origin.line, covers=covers)


def _plain(name: str) -> str:
    """A capability may be written with its prefix."""
    return name.lower().removeprefix("cap_")


def uncovered(
    waivers: Iterable[Waiver], rule: Rule, verdict: Verdict, today: date
) -> tuple[str, ...]:
    """What a failing verdict names that no waiver which holds covers; several may share it."""
    left = list(verdict.causes)
    for waiver in waivers:
        if waiver.fits(rule, verdict.subject) and not waiver.expired(today):
            left = [name for name in left if name in waiver.leaves(verdict)]
    return tuple(left)


def first_fitting(
    waivers: Iterable[Waiver], rule: Rule, verdict: Verdict, today: date
) -> Waiver | None:
    """The waiver of a failing subject: one that lets it before one that has expired before one that
    covers something else.
    """
    fitting = [waiver for waiver in waivers if waiver.fits(rule, verdict.subject)]
    return min(
        fitting,
        key=lambda waiver: (not waiver.lets(verdict), waiver.expired(today)),
        default=None,
    )
