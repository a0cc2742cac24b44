"""Whether an instance of a pool is healthy, and what is wrong with one that is not."""

from __future__ import annotations

import time

from capacity._common.secrets import redact
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, inspect
from capacity._docker.logs import last_lines
from capacity.errors import PoolUnhealthy

__all__ = ["healthy"]

_WITHIN = 60.0  # seconds for a new instance
_PAUSE = 0.1


def healthy(engine: Engine, container: Container, steady: float = 0.0) -> Container:
    """An instance once its health is known; one without a health check must stay up for so many
    seconds.

    Raises:
        PoolUnhealthy: it is not; the message has its last words, for it may be removed before
            anybody can read its log.
        EngineError: no answer.
    """
    began, first = time.monotonic(), container
    waits = {"starting": _WITHIN, None: steady, "": steady}
    while container.running and time.monotonic() - began < waits.get(container.health, 0.0):
        time.sleep(_PAUSE)
        container = inspect(engine, container.id, container.name)
    again = container.restart_count > first.restart_count  # its restart policy hides that it ends
    if again or not container.running or container.health not in {None, "", "healthy"}:
        raise PoolUnhealthy(
            f"{container.name} does not become healthy: {_why(engine, container)}",
            "Fix that, then try again",
        )
    return container


def _why(engine: Engine, container: Container) -> str:
    said = [line for line in last_lines(engine, container.id, 20) if line.strip()]
    state = (
        f"it ended with exit code {container.exit_code}"
        if container.state == "exited"
        else f"it is {container.state}"
    )
    state += " and restarts" if container.restart_count else ""
    words = f", and said: {redact(said[-1])}" if said else ""
    return f"{state}, {container.health or 'no health'}{words}"
