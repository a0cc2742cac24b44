"""What making, scaling or removing a pool does to each of its instances: said first, then done and
journalled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capacity._docker.containers import Container
from capacity._docker.engine import Engine
from capacity.changes._result import StepState
from capacity.operations._pools.containers import slot_of
from capacity.operations._pools.leases import leased
from capacity.operations._pools.pool import InstancePool

__all__ = ["PoolStep", "done", "planned"]

_DONE = {
    StepState.WOULD_CREATE: StepState.CREATED,
    StepState.WOULD_REPLACE: StepState.REPLACED,
    StepState.WOULD_REMOVE: StepState.REMOVED,
}


@dataclass(frozen=True)
class PoolStep:
    """What is done to one instance.

    `state` is would-create, would-replace, would-remove, stays, created, replaced, removed or
    failed; `memory` is in bytes and `cpus` in cores, None without a limit.
    """

    number: int
    container: str
    host: str
    state: StepState
    image: str
    memory: int | None
    cpus: float | None
    note: str = ""


def planned(
    engine: Engine, pool: InstancePool, found: Sequence[Container], size: int, folder: Path
) -> list[PoolStep]:
    """What bringing a pool to a size would do to each instance, those there are and those there
    will be.

    `folder` has its locks.
    """
    here = {slot_of(container): container for container in found}
    most = max([size, *(number + 1 for number in here)])
    held = leased(folder, most)
    steps = []
    for number in range(most):
        container = here.get(number)
        if container is None and number >= size:
            continue
        state, note = _what(container, number, size, leased=held[number])
        host, image = engine.host.name, container.image if container is not None else pool.image
        memory, cpus = (
            (container.memory, container.cpus)
            if container is not None
            else (pool.memory, pool.cpus)
        )
        steps.append(
            PoolStep(number, f"{pool.name}-pool-{number}", host, state, image, memory, cpus, note)
        )
    return steps


def _what(
    container: Container | None, number: int, size: int, *, leased: bool
) -> tuple[StepState, str]:
    if container is None:
        return StepState.WOULD_CREATE, ""
    if number >= size:
        return StepState.WOULD_REMOVE, "leased" if leased else ""
    if leased or (container.running and container.health != "unhealthy"):
        return StepState.STAYS, "leased" if leased else ""
    return (
        StepState.WOULD_REPLACE,
        f"it is {container.health if container.running else container.state}",
    )


def done(steps: Sequence[PoolStep]) -> list[PoolStep]:
    """The same when it has been done."""
    return [replace(step, state=_DONE.get(step.state, step.state)) for step in steps]
