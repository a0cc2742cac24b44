"""The last lines that a container and its health checks said, bounded in number and size."""

from __future__ import annotations

from capacity._docker.engine import Engine, engine_errors
from capacity._docker.responses import State

__all__ = ["health_output", "last_lines"]

_MOST_BYTES = 256 * 1024


def last_lines(
    engine: Engine, container: str, lines: int = 200, since: float | None = None
) -> list[str]:
    """At most so many lines of a container's log, and 256 KiB of them, the oldest first; none where
    its driver keeps none.

    Args:
        engine: where it is.
        container: its id or name.
        lines: the most there may be.
        since: seconds since the epoch before which nothing counts; None = all.

    Raises:
        ContainerGone: it does not exist any more.
        EngineError: no answer.
    """
    from docker.errors import APIError

    with engine_errors(engine.host.name, f"read the log of {container[:12]}"):
        try:
            text = engine.api.logs(container, tail=lines, stdout=True, stderr=True, since=since)
        except APIError as error:
            if "does not support reading" in str(error.explanation):
                return []
            raise
    return bytes(text)[-_MOST_BYTES:].decode("utf-8", "replace").splitlines()


def health_output(engine: Engine, container: str) -> list[str]:
    """What the last health checks printed, the oldest first.

    Raises:
        EngineError: no such container, or no answer.
    """
    with engine_errors(engine.host.name, f"inspect {container[:12]}"):
        state: State = engine.api.inspect_container(container)["State"]
        checks = (state.get("Health") or {}).get("Log") or []
        return [line for check in checks for line in str(check.get("Output") or "").splitlines()][
            -50:
        ]
