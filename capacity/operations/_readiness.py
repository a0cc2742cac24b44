"""Whether a container is up and healthy, and whether all that is critical is."""

from __future__ import annotations

import time
from collections.abc import Mapping

from capacity._docker.containers import Container
from capacity._docker.engine import Engine, engine_time, inspect, moment, survey
from capacity.settings import Settings

__all__ = ["critical_failures", "has_ended_well", "wait_ready"]

_READY_WITHIN = 60.0  # seconds
_STEADY = 2.0
_POLL = 0.2


def wait_ready(
    engine: Engine, container: Container, steady: float = _STEADY, *, job: bool = False
) -> str:
    """What keeps a container from being up and healthy; empty when it is.

    Args:
        engine: where it is.
        container: the container.
        steady: seconds that one without a health check must have been up; many a process ends right
            after its start.
        job: it is to end with 0, within a minute.

    Raises:
        EngineError: it is gone, or no answer.
    """
    now = first = inspect(engine, container.id, container.name)
    began = time.monotonic()
    rest = _rest(engine, now, steady)
    patience = {"starting": _READY_WITHIN, None: rest, "": rest}
    while now.running and time.monotonic() - began < (
        _READY_WITHIN if job else patience.get(now.health, 0.0)
    ):
        time.sleep(_POLL)
        now = inspect(engine, container.id, container.name)
    if now.restart_count > first.restart_count:
        return "it restarts again and again"
    if job and not now.running:
        return "" if has_ended_well(now) else f"it ended with exit code {now.exit_code}"
    healthy = now.running and now.health in {None, "", "healthy"}
    return "" if healthy else f"it is {now.state}, {now.health or 'no health'}"


def _rest(engine: Engine, container: Container, steady: float) -> float:
    """Seconds until it has been up that long: what was started together is waited for together."""
    if not (steady and container.running):
        return 0.0
    return steady - (engine_time(engine) - moment(container.started_at))


def has_ended_well(container: Container) -> bool:
    """Whether it is a job that has done its work."""
    return container.state == "exited" and not container.exit_code


def critical_failures(
    settings: Settings, engines: Mapping[str, Engine], unreachable: Mapping[str, str]
) -> list[tuple[str, str, str, str]]:
    """Service, host, containers and fault of each critical service that is not well.

    Raises:
        EngineError: an Engine stops answering.
    """
    inventory = survey(engines, unreachable) if settings.operations.critical else None
    silent = (
        f" on an Engine that answers ({', '.join(sorted(unreachable))} does not)"
        if unreachable
        else ""
    )
    found = []
    for key in settings.operations.critical if inventory else []:
        here = inventory.of(key) if inventory else ()
        well = [wait_ready(engines[container.host], container, 0.0) for container in here]
        wrong = next(filter(None, well), "") if well else f"it has no container{silent}"
        if wrong:
            hosts = ", ".join(sorted({container.host for container in here})) or "-"
            found.append(
                (
                    key,
                    hosts,
                    ", ".join(container.name for container in here) or "-",
                    f"critical, and {wrong}",
                )
            )
    return found
