"""Days that a server could not answer: named and left out, unless it answers nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from capacity.errors import Denied, SourceError, Unreachable
from capacity.history._prometheus.client import Range
from capacity.model import Signal

__all__ = ["DayTask", "Failures"]

_HOPELESS = 8  # failures before the first answer
_GONE = 2  # times in a row that the server was not reached
_NAMED = 5  # days of a note


@dataclass(frozen=True)
class DayTask:
    signal: Signal
    day: date
    asked: Range
    final: bool


class Failures:
    """Days that the server could not answer: named and left out, unless it answers nothing."""

    def __init__(self, tasks: Iterable[DayTask]) -> None:
        self._missing = {task.asked: task for task in tasks}
        self._asked = len(self._missing)
        self._errors: list[tuple[DayTask, SourceError]] = []
        self._unreachable = 0
        self._answered = False

    def add(self, task: DayTask, error: SourceError) -> None:
        """Remember a failure.

        Raises:
            SourceError: this one, where asking on is of no use.
        """
        self._errors.append((task, error))
        self._unreachable += isinstance(error, Unreachable)
        hopeless = len(self._errors) >= _HOPELESS and not self._answered
        if isinstance(error, Denied) or hopeless or self._unreachable >= _GONE:
            raise error

    def answered(self, task: DayTask) -> None:
        """The server gave this day."""
        self._unreachable, self._answered = 0, True
        self._missing.pop(task.asked, None)

    def raise_if_all(self) -> None:
        """Raise the first failure where nothing was answered."""
        if self._errors and len(self._errors) == self._asked:
            raise self._errors[0][1]

    def named_on(self, error: SourceError) -> SourceError:
        """An error that ended the fetch, with what is missing because of it."""
        days: dict[Signal, list[date]] = {}
        for task in self._missing.values():
            days.setdefault(task.signal, []).append(task.day)
        missing = ", ".join(
            f"{signal} from {min(found)} ({len(found)} days)" for signal, found in days.items()
        )
        return type(error)(
            f"{error.message}; {len(self._missing)} of {self._asked} answers are missing: "
            f"{missing}",
            f"{error.hint}. The next fetch asks for these alone".removeprefix(". "),
        )

    @property
    def count(self) -> int:
        """Days of a signal that are missing."""
        return len(self._errors)

    def notes(self) -> tuple[str, ...]:
        """One sentence a signal: which days are missing, and why the first one is."""
        days: dict[Signal, list[date]] = {}
        reasons: dict[Signal, str] = {}
        for task, error in self._errors:
            days.setdefault(task.signal, []).append(task.day)
            reasons.setdefault(task.signal, error.message)
        return tuple(
            f"Incomplete: {signal} of {_named(found)} could not be fetched "
            f"({reasons[signal]}). The next fetch asks again."
            for signal, found in days.items()
        )


def _named(days: list[date]) -> str:
    shown = ", ".join(str(day) for day in days[:_NAMED])
    return shown + (f" and {len(days) - _NAMED} more days" if len(days) > _NAMED else "")
