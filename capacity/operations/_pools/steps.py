"""What making, scaling or removing a pool does to each of its instances: said first, then done and journalled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from capacity._docker.containers import Container
from capacity._docker.engine import Engine
from capacity.operations._pools.containers import slot_of
from capacity.operations._pools.leases import leased
from capacity.operations._pools.pool import InstancePool

__all__ = ["PoolStep", "done", "planned"]

_DONE = {"would-create": "created", "would-replace": "replaced", "would-remove": "removed"}


@dataclass(frozen=True)
class PoolStep:
    """What is done to one instance.

    `state` is would-create, would-replace, would-remove, stays, created, replaced, removed or failed; `memory` is in bytes and
    `cpus` in cores, None without a limit.
    """

    number: int
    container: str
    host: str
    state: str
    image: str
    memory: int | None
    cpus: float | None
    note: str = ""


def planned(engine: Engine, pool: InstancePool, found: Sequence[Container], size: int, folder: Path) -> list[PoolStep]:
    """What bringing a pool to a size would do to each instance, those there are and those there will be.

    `folder` has its locks.
    """
    here = {slot_of(one): one for one in found}
    most = max([size, *(number + 1 for number in here)])
    held = leased(folder, most)
    steps = []
    for number in range(most):
        one = here.get(number)
        if one is None and number >= size:
            continue
        state, note = _what(one, number, size, leased=held[number])
        host, image = engine.host.name, one.image if one is not None else pool.image
        memory, cpus = (one.memory, one.cpus) if one is not None else (pool.memory, pool.cpus)
        steps.append(PoolStep(number, f"{pool.name}-pool-{number}", host, state, image, memory, cpus, note))
    return steps


def _what(one: Container | None, number: int, size: int, *, leased: bool) -> tuple[str, str]:
    if one is None:
        return "would-create", ""
    if number >= size:
        return "would-remove", "leased" if leased else ""
    if leased or (one.running and one.health != "unhealthy"):
        return "stays", "leased" if leased else ""
    return "would-replace", f"it is {one.health if one.running else one.state}"


def done(steps: Sequence[PoolStep]) -> list[PoolStep]:
    """The same when it has been done."""
    return [replace(one, state=_DONE.get(one.state, one.state)) for one in steps]
