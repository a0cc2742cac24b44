"""The `docker update` that sets limits on every container of a service, as a line for a shell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from shlex import quote
from typing import Any

from capacity._common.container_names import name_pattern
from capacity._common.text.escape import operand
from capacity._common.text.units import MIB
from capacity._docker.containers import LEAST_RESERVATION, NO_LIMIT, NO_MEMORY_LIMIT
from capacity.model import ServiceKey, Setting

__all__ = [
    "containers_of",
    "logs_command",
    "running_containers",
    "service_update_command",
    "update_command",
    "update_flags",
]

_UNLABELLED = '{{if not (.Label "com.docker.compose.service")}}{{.ID}}{{end}}'
# cgroup v1 reclaims what is above a reservation, v2 protects what is below it
_NO_RESERVATION = (
    f'{{{{if eq .CgroupVersion "2"}}}}{LEAST_RESERVATION}{{{{else}}}}{NO_LIMIT}{{{{end}}}}'
)
_LIFTED = {
    # 0 would be passed over
    Setting.MEMORY: f"--memory {NO_MEMORY_LIMIT} --memory-swap {NO_LIMIT}",
    Setting.RESERVATION: f"--memory-reservation \"$(docker info --format '{_NO_RESERVATION}')\"",
    Setting.CPUS: "--cpus \"$(docker info --format '{{.NCPU}}')\"",
    Setting.PIDS: "--pids-limit -1",
    Setting.CPUSET: "--cpuset-cpus \"0-$(($(docker info --format '{{.NCPU}}') - 1))\"",
    Setting.RESTART_POLICY: "--restart no",
}
_OF_SWARM = {
    Setting.MEMORY: ("--limit-memory", MIB, True, "M"),
    Setting.RESERVATION: ("--reserve-memory", MIB, True, "M"),
    Setting.CPUS: ("--limit-cpu", 1, False, ""),
    Setting.CPU_RESERVATION: ("--reserve-cpu", 1, False, ""),
    Setting.PIDS: ("--limit-pids", 1, True, ""),
}


def update_command(service: str, limits: Mapping[Any, Any]) -> str:
    """Shell line that sets limits (by `Resource` or `Setting`; cores, bytes, text) on a service's
    running containers.

    Memory and memory-swap go together, or the Engine refuses the update; swap is twice the memory,
    which is what it would be for a container created with that limit. None lifts a limit. Setting
    takes a new container is left to Compose.
    """
    flags = update_flags(limits)
    if not flags:
        name = ServiceKey.parse(service).service
        wanted = {Setting.of(thing): value for thing, value in limits.items()}
        replicas = wanted.get(Setting.REPLICAS)
        number = f'"$({_listing(service, "-aq")} | wc -l)"' if replicas is None else f"{replicas:g}"
        return f"docker compose up -d --no-deps --scale {quote(name)}={number} {operand(name)}"
    return f"docker update {flags} {containers_of(service)}"


def service_update_command(swarm_service: str, limits: Mapping[Any, Any]) -> str:
    """Shell line that sets limits on a Swarm service, whose tasks Swarm replaces; empty for what
    it cannot set. None lifts a limit.
    """
    wanted = {Setting.of(thing): value for thing, value in limits.items()}
    words = [
        f"{flag} {math.ceil((wanted[what] or 0) / unit) if whole else wanted[what] or 0:g}{suffix}"
        for what, (flag, unit, whole, suffix) in _OF_SWARM.items()
        if what in wanted
    ]
    return f"docker service update {' '.join(words)} {operand(swarm_service)}" if words else ""


def update_flags(limits: Mapping[Any, Any]) -> str:
    """The flags of `docker update` as shell words; empty when it can do nothing of this."""
    wanted = {Setting.of(thing): value for thing, value in limits.items()}
    words = [
        _words(what, value)
        for what, value in wanted.items()
        if what is not Setting.MEMORY or Setting.MEMORY_SWAP not in wanted
    ]
    if wanted.get(Setting.MEMORY) is not None and wanted.get(Setting.MEMORY_SWAP) is not None:
        words += [f"--memory {math.ceil(wanted[Setting.MEMORY] / MIB)}m"]
    elif Setting.MEMORY in wanted and Setting.MEMORY_SWAP in wanted:
        words += [_words(Setting.MEMORY, wanted[Setting.MEMORY])]
    return " ".join(sorted(filter(None, words), key=_position))


def _position(words: str) -> tuple[bool, str]:
    return not words.startswith("--cpus "), words


def _words(what: Setting, value: Any) -> str:
    if value is None:
        return _LIFTED.get(what, "")
    if what is Setting.CPUS:
        return f"--cpus {value:.3f}".rstrip("0").rstrip(".")
    if what is Setting.MEMORY:
        mebibytes = math.ceil(value / MIB)
        return f"--memory {mebibytes}m --memory-swap {2 * mebibytes}m"
    if what is Setting.MEMORY_SWAP:
        return f"--memory-swap {'-1' if value == -1 else f'{math.ceil(value / MIB)}m'}"
    if what is Setting.RESERVATION:
        return f"--memory-reservation {math.ceil(value / MIB)}m"
    flags = {
        Setting.CPUSET: "--cpuset-cpus",
        Setting.PIDS: "--pids-limit",
        Setting.RESTART_POLICY: "--restart",
    }
    return (
        f"{flags[what]} {quote(f'{value:.0f}' if isinstance(value, float) else str(value))}"
        if what in flags
        else ""
    )


def containers_of(service: str) -> str:
    """Shell words that name the running containers of a service: a lookup, or the container's own
    name.
    """
    key = ServiceKey.parse(service)
    if key.project == ServiceKey.STANDALONE:
        return operand(key.service)
    return f"$({running_containers(service)})"


def logs_command(service: str) -> str:
    """The command that shows the last lines of a service's containers, all replicas."""
    key = ServiceKey.parse(service)
    if key.project == ServiceKey.STANDALONE:
        return f"docker logs --tail 50 {operand(key.service)}"
    return f"docker compose -p {quote(key.project)} logs --tail 50 {operand(key.service)}"


def running_containers(service: str) -> str:
    """Shell commands that print the ids of a service's running containers: by Compose's labels, and
    those without such labels by their names, as they are counted for the service.
    """
    key = ServiceKey.parse(service)
    named = quote(f"name=^/({name_pattern(key)})$")
    unlabelled = f"docker ps --filter {named} --format {quote(_UNLABELLED)}"
    if key.project == ServiceKey.STANDALONE:
        return unlabelled
    return f"{_listing(service, '-q')}; {unlabelled}"


def _listing(service: str, which: str) -> str:
    key = ServiceKey.parse(service)
    labels = {"project": key.project, "service": key.service} | (
        {"oneoff": "False"} if "a" in which else {}
    )
    filters = " ".join(
        "--filter " + quote(f"label=com.docker.compose.{name}={value}")
        for name, value in labels.items()
    )
    return f"docker ps {which} {filters}"
