"""What came of a step: one result and one set of states for plans, rollbacks, pools and
emergencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capacity.model import StepState

if TYPE_CHECKING:
    from capacity.changes._journal.models import IntentEntry

__all__ = ["StepResult"]


@dataclass(frozen=True)
class StepResult:
    """What happened to a service, or to one container of it.

    Attributes:
        service: `project/service`; empty for a host that does not answer.
        host: name of the engine.
        state: how it ended; `failed` steps of a plan are undone, `refused` ones touched nothing.
        reason: why, or what else there is to know; empty where there is nothing.
        container: its name, `-` for the service as a whole, empty for a step of a plan.
        memory: working set of the container, bytes.
        step: number of the step in its run, 0 without one.
        entry: the step's line in the journal.
    """

    service: str
    host: str
    state: StepState
    reason: str = ""
    container: str = ""
    memory: int = 0
    step: int = 0
    entry: IntentEntry | None = None
