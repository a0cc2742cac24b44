"""The runs of journals: their names, which there are, what stands of each, and how to go on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from capacity._common.files import file_parts
from capacity.changes._journal.journal import LINES, EmptyJournal, read_journal
from capacity.changes._journal.models import (
    ContainerEntry,
    Entry,
    IntentEntry,
    Kind,
    intents,
    run_start,
)
from capacity.errors import InputError, StorageError

__all__ = [
    "FLUSH_RUN",
    "REVISION_RUN",
    "StoredRun",
    "all_runs",
    "find_run",
    "journal_runs",
    "new_run",
    "standing_steps",
    "still_stopped",
    "way_out",
]

REVISION_RUN = "emergency-revision"
"""What a run is called that brings a project back to a revision."""

FLUSH_RUN = "emergency-flush"
"""What a run is called that empties a Redis."""

_MOST_IN_A_SECOND = 1000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredRun:
    """A run: the folder of its journal, its name, its lines."""

    folder: Path
    name: str
    entries: list[Entry]


def new_run(folder: Path, what: str, now: datetime) -> str:
    """A name for a run that nobody else has; its folder is made at once, since others may begin in
    the same second.

    Args:
        folder: of the journal; it is made.
        what: the plan, or what is done.
        now: UTC.

    Raises:
        StorageError: the folder cannot be written.
    """
    first = f"{now:%Y%m%dT%H%M%S}-{file_parts([what], 'unnamed')[what]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in (first, *(f"{first}-{number}" for number in range(2, _MOST_IN_A_SECOND))):
            with suppress(FileExistsError):
                (folder / name).mkdir(mode=0o700)
                return name
    except OSError as error:
        raise StorageError(
            f"Cannot write the journal {folder}: {error.strerror}",
            "Set apply.journal to another folder",
        ) from error
    raise StorageError(f"{folder} has a thousand runs {first}", "Wait a second")


def all_runs(folders: Iterable[Path]) -> list[StoredRun]:
    """Every run of several journals, the oldest first; damaged ones are left out with a warning.

    A run that went on in another folder, where its disk was full, has the most lines there: that
    copy counts, once.
    """
    found: dict[str, StoredRun] = {}
    for folder in dict.fromkeys(folders):
        for name, entries in journal_runs(folder, skip_damaged=True):
            if name not in found or len(entries) > len(found[name].entries):
                found[name] = StoredRun(folder, name, entries)
    return sorted(found.values(), key=lambda run: run.entries[0].time)


def standing_steps(entries: Iterable[Entry]) -> list[IntentEntry]:
    """The steps of a run that have not been undone as a whole."""
    entries = list(entries)
    undone = {
        entry.step for entry in entries if entry.kind is Kind.UNDONE and not entry.detail.left
    }
    return [intent for intent in intents(entries) if intent.step not in undone]


def journal_runs(folder: Path, *, skip_damaged: bool = False) -> Iterator[tuple[str, list[Entry]]]:
    """Runs with their lines, the oldest first; one without a line is left out with a warning.

    Args:
        folder: of the journal.
        skip_damaged: leave a damaged one out with a warning, where the others must stay usable
            whatever has become of it.

    Raises:
        InputError: a damaged one.
    """
    for place in sorted(folder.glob(f"*/{LINES}")):
        try:
            entries = read_journal(place.parent)
        except InputError as error:
            if not (skip_damaged or isinstance(error, EmptyJournal)):
                raise
            _left_out(place.parent, str(error))
            continue
        yield place.parent.name, entries


@cache
def _left_out(place: Path, why: str) -> None:
    """Say so once: one command looks over all runs several times."""
    _log.warning("the run %s is left out: %s", place.name, why)


def still_stopped(entries: Iterable[Entry]) -> list[ContainerEntry]:
    """What a run of an emergency stopped, or was about to stop, and has neither started again nor
    given up.
    """
    stopping: dict[int | None, ContainerEntry] = {}
    for entry in entries:
        if entry.kind is Kind.STOPPING:
            stopping[entry.step] = entry
        elif entry.kind in {Kind.STARTED_AGAIN, Kind.FAILED, Kind.GIVEN_UP}:
            stopping.pop(entry.step, None)
    return list(stopping.values())


def way_out(run: str, entries: list[Entry]) -> str:
    """How people go on with a run that was interrupted; empty where it came to its end, or there is
    nothing to go on with.
    """
    if entries[-1].kind is Kind.FINISHED:
        return ""
    if run_start(entries).plan is not None:
        return (
            f"`capacity apply --resume --yes` goes on with it, `capacity rollback {run} --yes` "
            "rolls it back"
        )
    if intents(entries):
        return f"`capacity rollback {run} --yes` rolls it back"
    return (
        "`capacity emergency undo --yes` starts again what it stopped"
        if still_stopped(entries)
        else ""
    )


def find_run(folder: Path, name: str) -> str:
    """The full name of a run from its beginning.

    Raises:
        InputError: none, or several.
    """
    found = [
        place.parent.name
        for place in sorted(folder.glob(f"*/{LINES}"))
        if place.parent.name.startswith(name)
    ]
    if name in found:
        return name
    if len(found) != 1:
        said = "There is no run" if not found else f"{len(found)} runs begin with"
        raise InputError(f"{said} {name!r} in {folder}", "`capacity journal` lists the runs")
    return found[0]
