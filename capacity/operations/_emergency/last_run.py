"""The last run, or a named one, taken back in an emergency: on a full disk too, and with a look at
what is critical.
"""

from __future__ import annotations

from dataclasses import dataclass

from capacity._docker.engine import connect_all
from capacity.changes._apply.step import Outcome
from capacity.changes._rollback.rollback import Back, rollback, rollback_preview
from capacity.operations._emergency.journal import at_hand, last_run
from capacity.operations._readiness import critical_failures
from capacity.settings import Settings

__all__ = ["Taken", "last_run_back", "last_run_preview"]


@dataclass(frozen=True)
class Taken:
    """A run that was taken back: one outcome a step, and one `failed` for each critical service
    that is not well now.
    """

    run: str
    outcomes: list[Outcome]


def last_run_preview(settings: Settings, run: str | None = None) -> tuple[str, list[Back]]:
    """The run that would be taken back, and what that would bring back; nothing is touched.

    Args:
        settings: where the journal is.
        run: its name or the beginning of it; default the last one that changed something.

    Raises:
        InputError: there is none to take back.
        ChangeRefused: a later run changed the same services.
    """
    folder, name, _ = last_run(settings, run)
    return name, rollback_preview(name, settings, folder=folder)


def last_run_back(settings: Settings, run: str | None = None, *, exact: bool = False) -> Taken:
    """Take a run back, and look at `operations.critical` then.

    Args:
        settings: Engines, journal, and which services are critical.
        run: its name or the beginning of it; default the last one that changed something.
        exact: replace containers whose limits have to be lifted.

    Raises:
        InputError: there is none to take back.
        ChangeRefused: a later run changed the same services.
        ApplyFailed: it stopped half way; run it again.
        EngineError: no Engine answers.
    """
    folder, name, _ = last_run(settings, run)
    done = rollback(name, settings, exact=exact, folder=at_hand(settings, folder, name))
    if not settings.operations.critical:
        return Taken(name, done)
    with connect_all(settings.engine) as (engines, unreachable):
        sick = critical_failures(settings, engines, unreachable)
    return Taken(
        name, done + [Outcome(0, service, host, "failed", why) for service, host, _, why in sick]
    )
