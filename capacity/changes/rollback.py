"""Take a whole run back, from its last step to its first."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path

from capacity.changes.execute import Outcome
from capacity.changes.held import adjustments
from capacity.changes.journal import Entry, Kind, find_run, open_journal, owner
from capacity.changes.lock import apply_lock
from capacity.changes.undo import undo
from capacity.errors import ApplyFailed, ChangeRefused, EngineError, StorageError
from capacity.inventory.engine import connect_all
from capacity.progress import Progress, Silent
from capacity.settings import Settings

__all__ = ["rollback"]


def rollback(
    run: str,
    settings: Settings,
    *,
    services: str = "*",
    exact: bool = False,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> list[Outcome]:
    """Bring files and containers back to what they were before a run, finished or not.

    A limit where there was none is lifted on the running container: it then has all of the host, as before, and the Engine
    shows a very large number. `exact` makes a new container of it instead, with nothing set at all.

    Args:
        run: its name or the beginning of it.
        settings: Engines and journal.
        services: only services that fit this glob.
        exact: replace containers whose limits have to be lifted.
        progress: told of every step.
        folder: where the run's journal is; default that of the settings.

    Returns:
        One outcome a step: `undone`, or `failed` with what could not be brought back.

    Raises:
        InputError: no such run.
        ChangeRefused: a later run changed the same services.
        ApplyFailed: it stopped half way; run it again.
        EngineError: no Engine answers.
    """
    folder = folder or settings.apply.journal
    progress = progress or Silent()
    with apply_lock(folder):
        name = find_run(folder, run)
        journal = open_journal(folder, name)
        with closing(journal.handle), connect_all(settings.engine) as (engines, _):
            entries = journal.entries()
            undone = {entry.step for entry in entries if entry.kind is Kind.UNDONE and not entry.detail.get("left")}
            intents = [
                entry
                for entry in entries
                if entry.kind is Kind.INTENT and entry.step not in undone and fnmatchcase(entry.service, services)
            ]
            _refuse_older({folder, settings.apply.journal}, name, intents)
            journal.write(Kind.ROLLBACK, who=owner(), services=services)
            outcomes = []
            progress.start("steps back", len(intents))
            try:
                for intent in reversed(intents):
                    engine = engines.get(intent.host)
                    left = undo(intent, engine, journal, exact=exact) if engine else [f"{intent.host} does not answer"]
                    state = "failed" if left else "undone"
                    outcomes.append(Outcome(intent.step or 0, intent.service, intent.host, state, "; ".join(left), intent))
                    progress.advance(intent.service)
                journal.write(Kind.FINISHED, state="rolled-back" if all(one.state == "undone" for one in outcomes) else "failed")
            except (EngineError, StorageError) as error:
                hint = f"When that is mended, run `capacity rollback {name}` again"
                raise ApplyFailed(f"Rolling back {name} stopped half way: {error.message}", hint) from error
            finally:
                progress.finish()
    return outcomes


def _refuse_older(folders: Iterable[Path], run: str, intents: list[Entry]) -> None:
    """Runs are taken back in the order opposite to that in which they came, or the former values would be mixed up."""
    mine = {(intent.service, intent.host, change["what"]) for intent in intents for change in intent.detail["changes"]}
    for one in (one for folder in folders for one in adjustments(folder, skip_damaged=True)):
        later = one.run != run and (one.service, one.host, one.what) in mine and one.time > min(intent.time for intent in intents)
        if later and one.outcome in {"verified", "done", "unfinished"}:
            raise ChangeRefused(f"The run {one.run} changed {one.service} {one.what} later", f"Take that back first: {one.run}")
