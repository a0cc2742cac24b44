"""Whether an instance of a pool is healthy, and what is wrong with one that is not."""

from __future__ import annotations

import time

from capacity._docker.containers import Container
from capacity._docker.engine import Engine, inspect
from capacity._docker.logs import last_lines
from capacity.errors import PoolUnhealthy
from capacity.operations._redact import redact

__all__ = ["healthy"]

_WITHIN = 60.0  # seconds for a new instance
_PAUSE = 0.1


def healthy(engine: Engine, one: Container, steady: float = 0.0) -> Container:
    """An instance once its health is known; one without a health check must stay up for so many seconds.

    Raises:
        PoolUnhealthy: it is not; the message has its last words, for it may be removed before anybody can read its log.
        EngineError: no answer.
    """
    began, first = time.monotonic(), one
    waits = {"starting": _WITHIN, None: steady, "": steady}
    while one.running and time.monotonic() - began < waits.get(one.health, 0.0):
        time.sleep(_PAUSE)
        one = inspect(engine, one.id, one.name)
    again = one.restart_count > first.restart_count  # its restart policy hides that it ends
    if again or not one.running or one.health not in {None, "", "healthy"}:
        raise PoolUnhealthy(f"{one.name} does not become healthy: {_why(engine, one)}", "Mend that, then try again")
    return one


def _why(engine: Engine, one: Container) -> str:
    said = [line for line in last_lines(engine, one.id, 20) if line.strip()]
    state = f"it ended with exit code {one.exit_code}" if one.state == "exited" else f"it is {one.state}"
    state += " and restarts" if one.restart_count else ""
    words = f", and said: {redact(said[-1])}" if said else ""
    return f"{state}, {one.health or 'no health'}{words}"
