"""From changes to what the Engine is sent: memory and swap together, CPU as the container says it,
limits lifted if need be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from capacity._common.plain_data import Plain, PlainMapping
from capacity._common.setting_values import equal
from capacity._common.text.units import format_memory
from capacity._docker.containers import (
    LEAST_RESERVATION,
    NO_LIMIT,
    NO_MEMORY_LIMIT,
    Container,
    Host,
    cpus_of,
    live_value,
)
from capacity._docker.engine import Engine, engine_errors, post
from capacity._docker.usage import usage
from capacity.errors import ContainerGone, EngineRefused
from capacity.model import Setting, Value

__all__ = ["LIVE", "limits_of", "not_in_force", "send_update", "swap_with", "update_body"]

LIVE = (
    Setting.MEMORY,
    Setting.MEMORY_SWAP,
    Setting.CPUS,
    Setting.CPUSET,
    Setting.RESERVATION,
    Setting.PIDS,
    Setting.RESTART_POLICY,
)
"""What the Engine changes on a container that runs."""

_PERIOD = 100_000


def limits_of(container: Container) -> dict[Setting, Value]:
    """Everything the Engine could change, as it is now."""
    return {what: live_value(container, what) for what in LIVE}


def update_body(
    container: Container, wanted: Mapping[Setting, Value], host: Host
) -> dict[str, Plain]:
    """The body of the Engine's update call; None lifts a limit, which the Engine's own 0 would not
    do.

    Args:
        container: as it is now.
        wanted: what -> value, of `LIVE` only.
        host: where it runs: no container can have more cores than its host.
    """
    body: dict[str, Plain] = {}
    if Setting.MEMORY in wanted or Setting.MEMORY_SWAP in wanted:
        memory = wanted.get(Setting.MEMORY, container.memory)
        limit = NO_MEMORY_LIMIT if memory is None else math.ceil(_number(memory))
        body["Memory"] = limit
        swap = NO_LIMIT if memory is None else _swap(container, wanted, limit)
        body["MemorySwap"] = (
            NO_LIMIT if swap == -1 else swap
        )  # the Engine would not pass -1 on to the kernel
    if Setting.RESERVATION in wanted:
        reservation = wanted[Setting.RESERVATION]
        # v1 reclaims what is above it: at the hard limit it is none; v2 protects what is below it
        lifted = (
            LEAST_RESERVATION
            if host.cgroup == "2"
            else body.get("Memory", container.memory or NO_LIMIT)
        )
        body["MemoryReservation"] = (
            lifted if reservation is None else math.ceil(_number(reservation))
        )
    if Setting.CPUS in wanted:
        body |= _cpu(container, wanted[Setting.CPUS], host)
    if Setting.CPUSET in wanted:
        body["CpusetCpus"] = str(wanted[Setting.CPUSET] or f"0-{host.cores - 1}")
    if Setting.PIDS in wanted:
        pids = wanted[Setting.PIDS]
        body["PidsLimit"] = -1 if pids is None else int(_number(pids))
    if Setting.RESTART_POLICY in wanted:
        name, _, most = str(wanted[Setting.RESTART_POLICY] or "no").partition(":")
        body["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(most or 0)}
    return body


def _number(value: Value) -> float:
    assert isinstance(value, (int, float))
    return float(value)


def _swap(container: Container, wanted: Mapping[Setting, Value], memory: int) -> int:
    """Memory and swap together: as asked for, else with as much swap as before, in the same
    proportion where it was the usual.
    """
    asked = wanted.get(Setting.MEMORY_SWAP)
    return (
        math.ceil(_number(asked))
        if asked is not None
        else swap_with(container.memory, container.memory_swap, memory)
    )


def swap_with(before: int | None, swap: int | None, memory: int) -> int:
    """Memory and swap together for a new memory limit, in bytes; -1 without end.

    Args:
        before: the memory limit so far.
        swap: memory and swap together so far.
        memory: the new memory limit.
    """
    if swap == -1:
        return -1
    if before is None or swap is None or swap == 2 * before:
        return 2 * memory  # what the Engine gives a new container
    return memory + max(swap - before, 0)


def _cpu(container: Container, cores: Value, host: Host) -> dict[str, int]:
    """A container made with a quota refuses NanoCpus, and the other way round."""
    if container.quota:
        return {
            "CpuPeriod": _PERIOD,
            "CpuQuota": -1 if cores is None else round(_number(cores) * _PERIOD),
        }
    return {"NanoCpus": round((host.cores if cores is None else _number(cores)) * 1e9)}


def send_update(engine: Engine, container: Container, body: PlainMapping) -> None:
    """POST the body as it is: docker-py's own call has no argument for NanoCpus and PidsLimit.

    A memory limit below what a container uses is refused on every host, as cgroup v1 does itself.

    Raises:
        EngineError: refused, gone, or no answer.
    """
    if engine.host.kills_at_lowering:
        _refuse_killing(engine, container, body)
    try:
        with engine_errors(engine.host.name, f"update {container.name}"):
            post(engine, "/containers/{0}/update", container.id, body)
    except ContainerGone as error:
        if not engine.host.podman:
            raise
        # before 5.0 Podman has no such call in Docker's words
        raise EngineRefused(
            f"Podman {engine.host.version} on {engine.host.name} does not change a running "
            f"container over this API: {container.name}",
            f"Run `podman update --memory ... {container.name}` there, or start it anew from its "
            "compose file",
            status=404,
        ) from error


def _refuse_killing(engine: Engine, container: Container, body: PlainMapping) -> None:
    """Refuse what cgroup v2 would take, and kill the container for: whoever sends it asks here at
    the last moment.

    Raises:
        EngineRefused: it uses more than its new memory limit.
        EngineError: gone, or no answer.
    """
    memory = body.get("Memory")
    if not isinstance(memory, int) or memory >= (container.memory or NO_LIMIT):
        return
    used = usage(engine, container.id).memory
    if used >= memory:
        raise EngineRefused(
            f"Engine {engine.host.name} would kill {container.name}: it uses "
            f"{format_memory(used)}, and its host (cgroup v2) ends what is above a new limit of "
            f"{format_memory(memory)}",
            "Choose a limit above its use, or stop it before",
        )


def not_in_force(
    container: Container, wanted: Mapping[Setting, Value], host: Host
) -> list[Setting]:
    """What of `wanted` a container does not have; empty when the Engine has really taken
    everything.
    """
    return [what for what, value in wanted.items() if not _has(container, what, value, host)]


def _has(container: Container, what: Setting, value: Value, host: Host) -> bool:
    live = live_value(container, what)
    if what is Setting.CPUS and value is None:
        return live is None or _number(live) >= host.cores
    if what is Setting.CPUSET:
        return cpus_of(live or f"0-{host.cores - 1}") == cpus_of(value or f"0-{host.cores - 1}")
    if what is Setting.RESERVATION and value is None:
        return live is None or live == container.memory or _number(live) <= LEAST_RESERVATION
    return equal(what, live, value)
