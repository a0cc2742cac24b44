"""The values of a change: what is allowed, when two are the same, how people read them, and their
names in a compose file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from capacity._common.text.printable import check_text, visible
from capacity._common.text.units import MIB, count_cores, format_memory, parse_cpuset
from capacity.errors import InputError
from capacity.model import Setting, Value

__all__ = [
    "COMPOSE_NAMES",
    "CORES_APART",
    "CPUSET",
    "LEAST_MEMORY",
    "RESTART_POLICY",
    "check_former",
    "check_value",
    "compose_settings",
    "equal",
    "show_value",
    "ulimit_text",
]

BYTES = frozenset({Setting.MEMORY, Setting.MEMORY_SWAP, Setting.RESERVATION})
CORES = frozenset({Setting.CPUS, Setting.CPU_RESERVATION})
CORES_APART = 0.001
"""Cores that are as far apart are not the same value; plans are rounded for people."""
_UNLIMITED = frozenset({Setting.MEMORY, Setting.MEMORY_SWAP, Setting.CPUS, Setting.PIDS})
TEXTS = frozenset({Setting.CPUSET, Setting.RESTART_POLICY})
_COUNTS = frozenset({Setting.PIDS, Setting.REPLICAS})
CONDITIONS = frozenset({"service_started", "service_healthy", "service_completed_successfully"})
LEAST_MEMORY = 6 * MIB
"""The least memory that an Engine takes as a limit or reservation, in bytes."""
_LARGEST_PORT = 65535
_MOST_BYTES = 2**62  # twice that, which memory and swap would be, is no 64-bit number any more
_MOST_CORES = 1e9  # the Engine counts billionths in 64 bits
_MOST_PIDS = 2**31 - 1
_MOST_REPLICAS = 10_000
_MOST_ENTRIES, _LONGEST_NAME, _LONGEST_TEXT = 1000, 255, 128 * 1024
CPUSET = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*", re.ASCII)
_ULIMIT = re.compile(r"(-1|\d{1,18})(?::(-1|\d{1,18}))?", re.ASCII)
RESTART_POLICY = re.compile(r"no|always|unless-stopped|on-failure(:\d{1,9})?", re.ASCII)

COMPOSE_NAMES = {
    Setting.MEMORY: "memory",
    Setting.MEMORY_SWAP: "memswap",
    Setting.CPUS: "cpus",
    Setting.CPUSET: "cpuset",
    Setting.RESERVATION: "memory_reservation",
    Setting.CPU_RESERVATION: "cpus_reservation",
    Setting.PIDS: "pids",
    Setting.ULIMITS: "ulimits",
    Setting.REPLICAS: "replicas",
    Setting.RESTART_POLICY: "restart",
    Setting.HOST_PORT: "ports",
    Setting.ENVIRONMENT: "environment",
    Setting.HEALTH_CHECK: "healthcheck",
    Setting.DEPENDS_ON: "depends_on",
}
"""Setting -> the name that `edit_compose` knows it by."""


def check_value(what: Setting, value: Value) -> None:
    """Refuse what neither Engine nor Compose would take.

    Raises:
        ValueError: with the cause.
    """
    _check_kind(what, value)
    if isinstance(value, (int, float)):
        _check_number(what, float(value))
    elif isinstance(value, dict) and not value:
        raise ValueError(f"{what} must be a mapping with something in it")


def check_former(what: Setting, value: Value) -> None:
    """Refuse what no container and no compose file can have had; None, nothing set, it may be.

    Raises:
        ValueError: with the cause.
    """
    if value is None:
        return
    _check_kind(what, value)
    if isinstance(value, (int, float)) and value < 0 and value != -1:
        raise ValueError(f"{what} cannot have been below zero")


def _check_kind(what: Setting, value: Value) -> None:
    """Number, text or mapping, as the setting has it, within its bounds."""
    if what in BYTES | CORES | _COUNTS | {Setting.HOST_PORT}:
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{what} must be a number")
        if abs(value) > _largest(what):
            raise ValueError(_too_large(what))
        if what in _COUNTS | {Setting.HOST_PORT} and not float(value).is_integer():
            raise ValueError(f"{what} must be a whole number")
    elif what in TEXTS:
        pattern = CPUSET if what is Setting.CPUSET else RESTART_POLICY
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not pattern.fullmatch(value):
            raise ValueError(
                f"{str(value)[:_LONGEST_NAME]!r} is no {what}; write it as "
                f"{'0-3,8' if what is Setting.CPUSET else 'on-failure:3'}"
            )
        if what is Setting.CPUSET:
            _check_cpuset(value)
    elif not isinstance(value, dict):
        raise ValueError(f"{what} must be a mapping with something in it")
    else:
        _check_mapping(what, value)


def _largest(what: Setting) -> float:
    if what in BYTES:
        return _MOST_BYTES
    return {
        Setting.PIDS: _MOST_PIDS,
        Setting.REPLICAS: _MOST_REPLICAS,
        Setting.HOST_PORT: _LARGEST_PORT,
    }.get(what, _MOST_CORES)


def _too_large(what: Setting) -> str:
    return (
        f"a port is at most {_LARGEST_PORT}"
        if what is Setting.HOST_PORT
        else f"{what} is at most {_largest(what):.0f}"
    )


def _check_mapping(what: Setting, value: dict[str, object]) -> None:
    """Names and plain values, none of which hides something from who reads them."""
    if len(value) > _MOST_ENTRIES:
        raise ValueError(f"{what} has more than {_MOST_ENTRIES} entries")
    for name, part in value.items():
        if not isinstance(name, str) or not name or (what is Setting.ENVIRONMENT and "=" in name):
            raise ValueError(f"{what} has the name {name!r}, which is none")
        check_text(name, f"a name of {what}", _LONGEST_NAME)
        for item in part if isinstance(part, (list, tuple)) else (part,):
            _check_part(what, name, item)
    if what is Setting.ULIMITS and not all(map(_is_ulimit, value.values())):
        raise ValueError("a ulimit is a number, or soft:hard with the smaller one first")
    if what is Setting.DEPENDS_ON and not all(
        isinstance(part, str) and part in CONDITIONS for part in value.values()
    ):
        raise ValueError(f"a service is awaited until it is one of {', '.join(sorted(CONDITIONS))}")


def ulimit_text(soft: int, hard: int | None = None) -> str:
    """A ulimit as `docker run` writes it: `1024`, or `1024:2048` where soft and hard differ."""
    return str(soft) if hard is None or hard == soft else f"{soft}:{hard}"


def _is_ulimit(value: object) -> bool:
    """Whether an Engine takes it and it is written in one way only: no soft above the hard one."""
    found = None if isinstance(value, bool) else _ULIMIT.fullmatch(str(value))
    if found is None or found[2] is None:
        return found is not None
    soft, hard = (math.inf if bound == "-1" else int(bound) for bound in found.groups())
    return soft < hard


def _check_part(what: Setting, name: str, part: object) -> None:
    if isinstance(part, str):
        check_text(part, f"{what} {name}", _LONGEST_TEXT, keep="\n\r\t")
    elif isinstance(part, (int, float)):
        if not math.isfinite(part) or abs(part) > _MOST_BYTES:
            raise ValueError(f"{what} {name} is no number that a file could hold")
    elif part is not None:
        raise ValueError(f"{what} {name} must be a text, a number or a list of texts")


def _check_cpuset(value: str) -> None:
    try:
        parse_cpuset(value)
    except InputError as error:
        raise ValueError(error.message) from error


def _check_number(what: Setting, value: float) -> None:
    if what is Setting.MEMORY_SWAP and value == -1:
        return
    if value < 0 or (value == 0 and what is not Setting.REPLICAS):
        raise ValueError(f"{what} must be above zero")
    if what in BYTES and value < LEAST_MEMORY and what is not Setting.RESERVATION:
        raise ValueError(f"{what} must be at least 6 MiB, which is {LEAST_MEMORY} bytes")


def equal(what: Setting, value: Value, other: Value) -> bool:
    """Whether two values mean the same: sizes to the mebibyte, cores to the thousandth."""
    if isinstance(value, (int, float)) and isinstance(other, (int, float)):
        if what in BYTES:
            return abs(value - other) < MIB
        return abs(value - other) < CORES_APART if what in CORES else value == other
    if what is Setting.RESTART_POLICY:
        return (value or "no") == (other or "no")
    return (value or None) == (other or None)


def show_value(what: Setting, value: Value) -> str:
    """The value for people."""
    if value is None or value == "":
        return "unlimited" if what in _UNLIMITED else "none"
    if what in BYTES and isinstance(value, (int, float)):
        return "unlimited" if value == -1 else format_memory(value)
    if what in CORES and isinstance(value, (int, float)):
        return count_cores(value)
    if isinstance(value, dict):
        return visible(", ".join(f"{name}={part}" for name, part in value.items()))
    return f"{value:.0f}" if isinstance(value, float) else visible(str(value))


def compose_settings(changes: Iterable[tuple[Setting, Value, Value]]) -> dict[str, object]:
    """What `edit_compose` is to set on a service: name -> value, from `(what, from, to)`; each of
    its ports may move.
    """
    wanted: dict[str, object] = {}
    ports: dict[str, int] = {}
    for what, before, after in changes:
        value: object = after
        if what in BYTES and isinstance(after, (int, float)):
            value = int(after) if after == -1 else _whole(after)
        elif what in _COUNTS and isinstance(after, (int, float)):
            value = int(after)
        elif (
            what is Setting.HOST_PORT
            and isinstance(after, (int, float))
            and isinstance(before, (int, float))
        ):
            ports = {**ports, str(int(before)): int(after)}
            value = ports
        wanted[COMPOSE_NAMES[what]] = value
    return wanted


def _whole(size: float) -> int:
    """Bytes rounded up to whole mebibytes, what both file and Engine are given."""
    return math.ceil(size / MIB) * MIB
