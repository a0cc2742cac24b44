"""Everything the library raises, in one tree.

Each message names the thing, the cause and the next step. Libraries raise, the command line prints.

::

    CapacityError
    ├── UsageError            what was asked for cannot be (exit 2)
    │   ├── SettingsError     capacity.toml or the environment
    │   └── InputError        a file or a frame given by the user
    │       └── ComposeError  a compose file that Compose would refuse as well
    └── WorkError             the question was fine, the work failed (exit 1)
        ├── SourceError       the metrics server
        │   ├── Unreachable   refused, unknown host, TLS, timeout
        │   ├── Denied        401, 403
        │   ├── QueryRefused  the server understood and said no: bad query, limits, query timeout
        │   └── BadAnswer     not a Prometheus answer: HTML, cut short, unreadable
        ├── NoHistory         nothing to work on in the window
        ├── EditRefused       an edit of a compose file that could not be made exactly
        ├── EngineError       a Docker Engine
        │   ├── EngineUnreachable  no socket, refused, TLS, timeout, gone in the middle
        │   ├── EngineRefused  the Engine understood and said no: conflict, bad value, failure
        │   └── ContainerGone  no such container any more
        ├── ChangeRefused     a plan or a change that must not be applied now
        ├── ApplyFailed       a run that stopped; its journal says where, and how to go on or back
        ├── Locked            somebody else is applying a plan
        ├── PoolBusy          no instance of a pool was free in time
        ├── PoolUnhealthy     an instance of a pool does not come up, or is not given back
        ├── StorageError      archive or output folder: unwritable, full, damaged
        │   └── JournalLost   the journal cannot be written, so nothing more may be changed
        └── ReportError       a notebook failed, timed out or was interrupted
"""

from __future__ import annotations

__all__ = [
    "ApplyFailed",
    "BadAnswer",
    "CapacityError",
    "ChangeRefused",
    "ComposeError",
    "ContainerGone",
    "Denied",
    "EditRefused",
    "EngineError",
    "EngineRefused",
    "EngineUnreachable",
    "InputError",
    "JournalLost",
    "Locked",
    "NoHistory",
    "PoolBusy",
    "PoolUnhealthy",
    "QueryRefused",
    "ReportError",
    "SettingsError",
    "SourceError",
    "StorageError",
    "Unreachable",
    "UsageError",
    "WorkError",
]


class CapacityError(Exception):
    """Base of everything raised on purpose.

    Args:
        message: one line: the thing and the cause.
        hint: one line: the next step.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class UsageError(CapacityError):
    """What was asked for cannot be."""

    exit_code = 2


class SettingsError(UsageError):
    """capacity.toml or the environment holds something unusable."""


class InputError(UsageError):
    """A file or a frame given by the user is unusable."""


class ComposeError(InputError):
    """A compose file that Compose would refuse as well.

    Args:
        message: one line: file, line and cause.
        hint: one line: the next step.
        origin: where it stands (`capacity._compose.Origin`), if there is one place.
    """

    def __init__(self, message: str, hint: str = "", *, origin: object = None) -> None:
        super().__init__(message, hint)
        self.origin = origin


class WorkError(CapacityError):
    """The question was fine, the work failed."""


class SourceError(WorkError):
    """The metrics server did not give what was asked for."""


class Unreachable(SourceError):
    """No answer: refused, unknown host, TLS failure, timeout."""


class Denied(SourceError):
    """The server wants other credentials (401, 403)."""


class QueryRefused(SourceError):
    """The server understood the query and refused or gave up on it."""


class BadAnswer(SourceError):
    """What came back is no Prometheus answer."""


class NoHistory(WorkError):
    """The window holds no samples to work on."""


class EditRefused(WorkError):
    """An edit of a compose file that could not be made exactly.

    Args:
        message: one line: the service and the cause.
        hint: one line: the next step.
        service: the service that was to be edited; empty when the file as a whole is meant.
        reason: the cause as a `capacity.changes.EditReason`.
    """

    def __init__(
        self, message: str, hint: str = "", *, service: str = "", reason: object = None
    ) -> None:
        super().__init__(message, hint)
        self.service = service
        self.reason = reason


class EngineError(WorkError):
    """A Docker Engine did not do what was asked for."""


class EngineUnreachable(EngineError):
    """No answer: no socket, refused, unknown host, TLS failure, timeout, or gone in the middle."""


class EngineRefused(EngineError):
    """The Engine understood and said no, or failed at it (400, 403, 409, 500).

    Args:
        message: one line: the host, the container and the cause.
        hint: one line: the next step.
        status: the HTTP status of its answer.
    """

    def __init__(self, message: str, hint: str = "", *, status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status


class ContainerGone(EngineError):
    """There is no such container any more (404)."""


class ChangeRefused(WorkError):
    """A plan or a change that must not be applied now."""


class ApplyFailed(WorkError):
    """A run stopped; its journal says where, and how to go on or back."""


class Locked(WorkError):
    """Somebody else is applying a plan; the message names the owner."""


class PoolBusy(WorkError):
    """No instance of a pool was free in time."""


class PoolUnhealthy(WorkError):
    """An instance of a pool does not come up, or is not given back."""


class StorageError(WorkError):
    """The archive or an output folder cannot be read or written."""


class JournalLost(StorageError):
    """The journal of changes cannot be written, so nothing more may be changed."""


class ReportError(WorkError):
    """A report's notebook failed, timed out or was interrupted."""
