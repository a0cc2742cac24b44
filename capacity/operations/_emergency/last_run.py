"""The last run, or a named one, rolled back in an emergency: on a full disk too, and with a look at
what is critical.
"""

from __future__ import annotations

from dataclasses import dataclass

from capacity._docker.engine import connect_all
from capacity.changes._result import StepResult
from capacity.changes._rollback.rollback import RollbackPreview, rollback, rollback_preview
from capacity.model import StepState
from capacity.operations._emergency.journal import last_run, writable_folder
from capacity.operations._readiness import critical_failures
from capacity.settings import Settings

__all__ = ["LastRunResult", "last_run_back", "last_run_preview"]


@dataclass(frozen=True)
class LastRunResult:
    """A run that was rolled back: one outcome a step, and one `failed` for each critical service
    that is not well now.
    """

    run: str
    outcomes: list[StepResult]


def last_run_preview(
    settings: Settings, run: str | None = None
) -> tuple[str, list[RollbackPreview]]:
    """The run that would be rolled back, and what that would bring back; nothing is touched.

    Args:
        settings: where the journal is.
        run: its name or the beginning of it; default the last one that changed something.

    Raises:
        InputError: there is none to roll back.
        ChangeRefused: a later run changed the same services.
    """
    folder, name, _ = last_run(settings, run)
    return name, rollback_preview(name, settings, folder=folder)


def last_run_back(
    settings: Settings, run: str | None = None, *, exact: bool = False
) -> LastRunResult:
    """Roll a run back, and look at `operations.critical` then.

    Args:
        settings: Engines, journal, and which services are critical.
        run: its name or the beginning of it; default the last one that changed something.
        exact: replace containers whose limits have to be lifted.

    Raises:
        InputError: there is none to roll back.
        ChangeRefused: a later run changed the same services.
        ApplyFailed: it stopped half way; run it again.
        EngineError: no Engine answers.
    """
    folder, name, _ = last_run(settings, run)
    done = rollback(name, settings, exact=exact, folder=writable_folder(settings, folder, name))
    if not settings.operations.critical:
        return LastRunResult(name, done)
    with connect_all(settings.engine) as (engines, unreachable):
        sick = critical_failures(settings, engines, unreachable)
    return LastRunResult(
        name,
        done + [StepResult(service, host, StepState.FAILED, why) for service, host, _, why in sick],
    )
