"""The lines of a journal: frozen models, told apart by their kind. One line a move, before and
after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from capacity._docker.containers import Container
from capacity._docker.update import limits_of
from capacity.changes._plan.plan import PlannedChange
from capacity.model import Setting

__all__ = [
    "SCHEMA",
    "ContainerBefore",
    "ContainerEntry",
    "Entry",
    "FileBackup",
    "IntentEntry",
    "Kind",
    "ObservedState",
    "ProjectFiles",
    "RunStart",
    "StepIntent",
    "StepMode",
    "intents",
    "read_entry",
    "run_start",
]

SCHEMA = 2
"""Since 2 every line has a checksum, see `chain`."""

StepMode = Literal["live", "file", "recreate", "create", "stop"]
"""How a step changes its service: on running containers, in files alone, by new containers, by
containers where there were none, or by stopping them.
"""


class Kind(StrEnum):
    """What a line says: an intent before anything is touched, or what came of it."""

    STARTED = "started"
    REFUSED = "refused"
    INTENT = "intent"
    FILE_WRITTEN = "file-written"
    UPDATED = "updated"
    RECREATED = "recreated"
    DONE = "done"
    FAILED = "failed"
    VERIFIED = "verified"
    BAD = "verification-failed"
    UNDOING = "undoing"
    UNDONE = "undone"
    RESUMED = "resumed"
    ROLLBACK = "rollback"
    FINISHED = "finished"
    STOPPING = "stopping"
    STOPPED = "stopped"
    STARTING = "starting"
    STARTED_AGAIN = "started-again"
    START_FAILED = "start-failed"
    GIVEN_UP = "given-up"
    CREATING = "creating"
    CREATED = "created"
    REMOVING = "removing"
    REMOVED = "removed"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ObservedState(_Frozen):
    """The state of a container that the watch compares with later; times as the engine writes
    them.
    """

    restart_count: int = 0
    started_at: str = ""
    finished_at: str = ""
    oom_killed: bool = False
    health: str | None = None
    state: str = "running"


class ContainerBefore(_Frozen):
    """A container as it was before a step.

    `before` has its limits (bytes, cores, text), `pending` what its compose files said otherwise
    than it was made.
    """

    id: str
    name: str = ""
    replica: int = 1
    before: dict[Setting, int | float | str | dict[str, object] | None] = {}
    seen: ObservedState = ObservedState()
    pending: tuple[str, ...] = ()

    @classmethod
    def of(cls, container: Container, pending: Iterable[str] = ()) -> ContainerBefore:
        """A container as it is now."""
        seen = ObservedState(
            restart_count=container.restart_count,
            started_at=container.started_at,
            finished_at=container.finished_at,
            oom_killed=container.oom_killed,
            health=container.health,
            state=container.state,
        )
        return cls(
            id=container.id,
            name=container.name,
            replica=container.replica,
            before=limits_of(container),
            seen=seen,
            pending=tuple(pending),
        )


class FileBackup(_Frozen):
    """A compose file: its path, and the SHA-256 of its text before and after the step."""

    path: str
    before: str
    after: str


class ProjectFiles(_Frozen):
    """What Compose is told of a project."""

    name: str
    files: tuple[str, ...]
    folder: str
    env_files: tuple[str, ...] = ()


class RunStart(_Frozen):
    """How a run began: by whom, why, and with which plan or for what."""

    schema_version: int = Field(1, alias="schema")
    who: str = ""
    why: str = ""
    plan: str | None = None
    plan_sha256: str = ""
    edited: bool = False
    services: str = "*"
    canary: int = 0
    unattended: bool = False
    steps: int = 0
    revision: str = ""
    file: str = ""
    pool: str = ""
    size: int = 0
    image: str = ""
    container: str = ""
    command: tuple[str, ...] = ()


class StepIntent(_Frozen):
    """Everything that is needed to finish a step or to undo it."""

    mode: StepMode = "live"
    changes: tuple[PlannedChange, ...] = ()
    files: tuple[FileBackup, ...] = ()
    containers: tuple[ContainerBefore, ...] = ()
    project: ProjectFiles | None = None

    @property
    def settings(self) -> frozenset[Setting]:
        """What the step changes."""
        return frozenset(change.what for change in self.changes)


class _ContainerNote(_Frozen):
    container: str = ""
    id: str = ""
    replica: int = 1
    image: str | None = None
    memory: int | None = None
    cpus: float | None = None
    reason: str = ""
    instead: str = ""


class _Reason(_Frozen):
    reason: str = ""
    said: str = ""
    what: str = ""
    container: str = ""
    id: str = ""


class _Note(_Frozen):
    who: str = ""
    said: str = ""


class _Path(_Frozen):
    path: str


class _Left(_Frozen):
    left: tuple[str, ...] = ()


class _State(_Frozen):
    state: str = ""


class _RollbackStart(_Frozen):
    who: str = ""
    services: str = "*"
    why: str = ""


class _Line(_Frozen):
    """Time (UTC), run, step, service and host of every line."""

    time: datetime
    run: str
    step: int | None = None
    service: str = ""
    host: str = ""


class StartedEntry(_Line):
    """The first line of a run."""

    kind: Literal[Kind.STARTED]
    detail: RunStart = RunStart()


class IntentEntry(_Line):
    """A step, before anything of it is touched."""

    kind: Literal[Kind.INTENT]
    detail: StepIntent = StepIntent()


class ContainerEntry(_Line):
    """A container as a whole: about to be made, stopped, started or removed, and what came of
    it.
    """

    kind: Literal[
        Kind.UPDATED,
        Kind.STOPPING,
        Kind.STOPPED,
        Kind.STARTING,
        Kind.STARTED_AGAIN,
        Kind.START_FAILED,
        Kind.GIVEN_UP,
        Kind.CREATING,
        Kind.CREATED,
        Kind.REMOVING,
        Kind.REMOVED,
    ]
    detail: _ContainerNote = _ContainerNote()


class ReasonEntry(_Line):
    """What was refused, failed or did not hold, and why."""

    kind: Literal[Kind.REFUSED, Kind.FAILED, Kind.BAD]
    detail: _Reason = _Reason()


class NoteEntry(_Line):
    """A stage of a step or of a run."""

    kind: Literal[Kind.RECREATED, Kind.DONE, Kind.VERIFIED, Kind.UNDOING, Kind.RESUMED]
    detail: _Note = _Note()


class FileEntry(_Line):
    """A compose file has its new text."""

    kind: Literal[Kind.FILE_WRITTEN]
    detail: _Path


class UndoneEntry(_Line):
    """A step was undone; `left` says what could not be."""

    kind: Literal[Kind.UNDONE]
    detail: _Left = _Left()


class RollbackEntry(_Line):
    """A rollback of the run began."""

    kind: Literal[Kind.ROLLBACK]
    detail: _RollbackStart = _RollbackStart()


class FinishedEntry(_Line):
    """The last line of a run: finished, failed, rolled-back or undone."""

    kind: Literal[Kind.FINISHED]
    detail: _State = _State()


Entry = (
    StartedEntry
    | IntentEntry
    | ContainerEntry
    | ReasonEntry
    | NoteEntry
    | FileEntry
    | UndoneEntry
    | RollbackEntry
    | FinishedEntry
)
"""One line of a journal."""

_ADAPTER: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def read_entry(line: object) -> Entry:
    """A line from its JSON object.

    Raises:
        ValidationError: it is no line of a journal.
    """
    return _ADAPTER.validate_python(line)


def intents(entries: Iterable[Entry]) -> list[IntentEntry]:
    """The steps of a run, in their order."""
    return [entry for entry in entries if isinstance(entry, IntentEntry)]


def run_start(entries: list[Entry]) -> RunStart:
    """How a run began; nothing is known of one whose first line says something else."""
    first = entries[0]
    return first.detail if isinstance(first, StartedEntry) else RunStart()
