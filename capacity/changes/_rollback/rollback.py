"""Roll a whole run back, from its last step to its first; or say what that would bring back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from capacity._common.file_lock import owner
from capacity._common.progress import Progress, Silent
from capacity._common.setting_values import show_value
from capacity._docker.engine import Engine, connect_all
from capacity.changes._journal.adjustments import outcome_of
from capacity.changes._journal.journal import Journal, open_journal, read_journal
from capacity.changes._journal.lock import apply_lock
from capacity.changes._journal.models import Entry, IntentEntry, Kind, intents
from capacity.changes._journal.runs import all_runs, find_run, standing_steps
from capacity.changes._result import StepResult
from capacity.changes._rollback.undo import remaining_limits, undo_step
from capacity.errors import ApplyFailed, ChangeRefused, EngineError, InputError, StorageError
from capacity.model import StepState
from capacity.settings import Settings

__all__ = ["RollbackPreview", "roll_back_steps", "rollback", "rollback_preview"]

_STANDS = frozenset({"verified", "done", "unfinished"})
_WHOLE = "*"
_DEEDS = {
    "stop": ("stopped", "started again"),
    "create": ("made by the run", "removed"),
    "recreate": ("as after the run", "as before the run"),
}
"""What a step did to containers as a whole -> how it left them, and what becomes of them."""


@dataclass(frozen=True)
class RollbackPreview:
    """One thing of a step that a rollback would bring back: `now` by the journal, `former` what it
    would be again.
    """

    step: int
    service: str
    host: str
    containers: tuple[str, ...]
    what: str
    now: str
    former: str


def rollback_preview(
    run: str, settings: Settings, *, services: str = "*", folder: Path | None = None
) -> list[RollbackPreview]:
    """What `rollback` would bring back, in its order; nothing is touched and no Engine is asked.

    Args:
        run: its name or the beginning of it.
        settings: where the journal is.
        services: only services that fit this glob.
        folder: where the run's journal is; default that of the settings.

    Raises:
        InputError: no such run, or none of its services fits.
        ChangeRefused: a later run changed the same services.
    """
    folder = folder or settings.apply.journal
    name = find_run(folder, run)
    standing = _standing(name, read_journal(folder / name), services)
    _refuse_older({folder, settings.apply.journal}, name, standing)
    return [back for intent in reversed(standing) for back in _backs(intent)]


def _backs(intent: IntentEntry) -> Iterator[RollbackPreview]:
    names = tuple(before.name for before in intent.detail.containers)
    place = (intent.step or 0, intent.service, intent.host, names)
    for change in intent.detail.changes:
        what = change.what
        yield RollbackPreview(
            *place, str(what), show_value(what, change.after), show_value(what, change.before)
        )
    if not intent.detail.changes:
        for file in intent.detail.files:
            yield RollbackPreview(*place, file.path, "as after the run", "as before the run")
        if intent.detail.mode in _DEEDS:
            yield RollbackPreview(*place, "containers", *_DEEDS[intent.detail.mode])


def rollback(
    run: str,
    settings: Settings,
    *,
    services: str = "*",
    exact: bool = False,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> list[StepResult]:
    """Bring files and containers back to what they were before a run, finished or not.

    A limit where there was none is lifted on the running container: it then has all of the host, as
    before, and the Engine shows a very large number, or all cores. `exact` makes a new container of
    it instead, with nothing set at all.

    Args:
        run: its name or the beginning of it.
        settings: Engines and journal.
        services: only services that fit this glob.
        exact: replace containers whose limits have to be lifted.
        progress: told of every step.
        folder: where the run's journal is; default that of the settings.

    Returns:
        One outcome a step: `undone`, with what the Engine shows otherwise than before, or `failed`
        with what could not be brought back.

    Raises:
        InputError: no such run, or none of its services fits.
        ChangeRefused: a later run changed the same services.
        ApplyFailed: it stopped half way; run it again.
        EngineError: no Engine answers.
    """
    folder = folder or settings.apply.journal
    with apply_lock(folder):
        name = find_run(folder, run)
        journal = open_journal(folder, name)
        with closing(journal.handle), connect_all(settings.engine) as (engines, _):
            standing = _standing(name, journal.entries(), services)
            _refuse_older({folder, settings.apply.journal}, name, standing)
            return roll_back_steps(
                journal, engines, services=services, exact=exact, progress=progress
            )


def roll_back_steps(
    journal: Journal,
    engines: Mapping[str, Engine],
    *,
    services: str = "*",
    exact: bool = False,
    progress: Progress | None = None,
    why: str = "",
) -> list[StepResult]:
    """The same for a run whose journal is open, by whoever holds the lock; it ends here unless
    others are half done.

    Args:
        journal: of the run.
        engines: those that answer.
        services: only services that fit this glob.
        exact: replace containers whose limits have to be lifted.
        progress: told of every step.
        why: what the journal says about the occasion.

    Raises:
        ApplyFailed: it stopped half way; run it again.
    """
    progress = progress or Silent()
    entries = journal.entries()
    standing = _standing(journal.run, entries, services)
    journal.check_backups(standing)
    ends = any(entry.kind is Kind.FINISHED for entry in entries) or not _half_done(
        entries, services
    )
    outcomes = []
    progress.start("steps back", len(standing))
    try:
        journal.write(Kind.ROLLBACK, who=owner(), services=services, why=why)
        for intent in reversed(standing):
            outcomes.append(_one_back(intent, engines.get(intent.host), journal, exact=exact))
            progress.advance(intent.service)
        if ends:
            whole = all(outcome.state == StepState.UNDONE for outcome in outcomes)
            journal.write(Kind.FINISHED, state="rolled-back" if whole else "failed")
    except (EngineError, StorageError) as error:
        hint = f"When that is fixed, run `capacity rollback {journal.run} --yes` again"
        raise ApplyFailed(
            f"Rolling back {journal.run} stopped half way: {error.message}", hint
        ) from error
    finally:
        progress.finish()
    return outcomes


def _half_done(entries: list[Entry], services: str) -> bool:
    """Whether steps of other services were interrupted: their run must stay open, or nobody would
    look at them again.
    """
    settled = {
        entry.step for entry in entries if entry.kind in {Kind.DONE, Kind.VERIFIED, Kind.UNDONE}
    }
    left = [entry for entry in entries if entry.kind is Kind.INTENT and entry.step not in settled]
    return any(not fnmatchcase(entry.service, services) for entry in left)


def _one_back(
    intent: IntentEntry, engine: Engine | None, journal: Journal, *, exact: bool
) -> StepResult:
    def result(state: StepState, reason: str) -> StepResult:
        return StepResult(
            intent.service, intent.host, state, reason, step=intent.step or 0, entry=intent
        )

    if engine is None:
        return result(StepState.FAILED, f"{intent.host} does not answer")
    left = undo_step(intent, engine, journal, exact=exact)
    state = StepState.FAILED if left else StepState.UNDONE
    return result(state, "; ".join(left or remaining_limits(intent, engine)))


def _standing(run: str, entries: list[Entry], services: str) -> list[IntentEntry]:
    """The steps of a run that have not been rolled back, of the services that a glob names.

    Raises:
        InputError: the run has steps, and none of such a service.
    """
    steps = intents(entries)
    fitting = [entry for entry in steps if fnmatchcase(entry.service, services)]
    if steps and not fitting:
        known = ", ".join(dict.fromkeys(entry.service for entry in steps))
        raise InputError(
            f"The run {run} changed no service that fits {services!r}", f"It changed {known}"
        )
    standing = {step.step for step in standing_steps(entries)}
    return [step for step in fitting if step.step in standing]


def _refuse_older(folders: Iterable[Path], run: str, standing: list[IntentEntry]) -> None:
    """Runs are rolled back in the order opposite to that in which they came, or the former values
    would be mixed up.
    """
    mine = [(intent.service, intent.host, _touched(intent)) for intent in standing]
    for other in all_runs(folders) if mine else ():
        if other.name == run:
            continue
        name, entries = other.name, other.entries
        for intent in intents(entries):
            if intent.time <= min(step.time for step in standing):
                continue
            both = [
                _common(_touched(intent), what)
                for *place, what in mine
                if place == [intent.service, intent.host]
            ]
            found = next(filter(None, both), "")
            if (
                found
                and outcome_of(
                    [entry for entry in entries if entry.step == intent.step], entries[-1]
                )[0]
                in _STANDS
            ):
                raise ChangeRefused(
                    f"The run {name} changed {intent.service}{found} later",
                    f"Roll that back first: {name}",
                )


def _touched(intent: IntentEntry) -> set[str]:
    """What a step changed of its service; a step without single changes went to a revision, which
    is all of it.
    """
    return {str(what) for what in intent.detail.settings} or {_WHOLE}


def _common(first: set[str], other: set[str]) -> str:
    """What two steps on one service both changed, for the message; empty where they do not meet."""
    if _WHOLE in first | other:
        return " as a whole" if _WHOLE in first else f" {min(first)}"
    return f" {min(first & other)}" if first & other else ""
