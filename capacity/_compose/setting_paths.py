"""Where each setting of a service can stand, which of the places wins, and what the service then
has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capacity._common.setting_values import ulimit_text
from capacity.model import Setting, Value

__all__ = ["SETTING_PATHS", "at", "declared_setting", "period_of", "policy_name", "replicas_of"]

SETTING_PATHS: Mapping[Setting, tuple[str, ...]] = {
    Setting.MEMORY: ("deploy.resources.limits.memory", "mem_limit"),
    Setting.MEMORY_SWAP: ("memswap_limit",),
    Setting.CPUS: ("deploy.resources.limits.cpus", "cpus", "cpu_quota", "cpu_period"),
    Setting.CPUSET: ("cpuset",),
    Setting.RESERVATION: ("deploy.resources.reservations.memory", "mem_reservation"),
    Setting.CPU_RESERVATION: ("deploy.resources.reservations.cpus",),
    Setting.PIDS: ("deploy.resources.limits.pids", "pids_limit"),
    Setting.ULIMITS: ("ulimits",),
    Setting.REPLICAS: ("deploy.replicas", "scale"),
    Setting.RESTART_POLICY: (
        "deploy.restart_policy.condition",
        "deploy.restart_policy.max_attempts",
        "restart",
    ),
    Setting.HOST_PORT: ("ports",),
    Setting.ENVIRONMENT: ("environment",),
    Setting.HEALTH_CHECK: ("healthcheck",),
    Setting.DEPENDS_ON: ("depends_on",),
}
"""Setting -> its places in a service, the one that Compose hands to the Engine first."""

_PERIOD = 100_000  # microseconds, the kernel's own
_CONDITIONS = {"none": "no", "any": "always"}
_SWAP_WITHOUT_END = -1


def at(model: Any, *path: str) -> Any:
    """The value at a path of keys, None where it ends early."""
    for name in path:
        model = model.get(name) if isinstance(model, Mapping) else None
    return model


def declared_setting(model: Mapping[str, object], what: Setting) -> Value:
    """What a service has in force by its files: bytes, cores, a number, text or a mapping; None
    where they say nothing.

    Args:
        model: the service as Compose prints it.
        what: the setting; ports are not looked at.
    """
    if what is Setting.RESTART_POLICY:
        return _restart_policy(model)
    if what is Setting.HOST_PORT:
        return None
    if what is Setting.ULIMITS:
        return _ulimits(model)
    if what is Setting.REPLICAS:
        return _replicas(model)
    if what is Setting.DEPENDS_ON:
        waits = at(model, "depends_on") or {}
        return {name: wanted["condition"] for name, wanted in waits.items()} or None
    if what in {Setting.CPUSET, Setting.ENVIRONMENT, Setting.HEALTH_CHECK}:
        return at(model, *SETTING_PATHS[what]) or None
    if what is Setting.MEMORY_SWAP:
        swap = int(at(model, "memswap_limit") or 0)
        endless = (
            swap == _SWAP_WITHOUT_END and _first(model, *SETTING_PATHS[Setting.MEMORY]) is not None
        )
        return swap if swap > 0 or endless else None  # without a limit there is nothing to pass
    if what is Setting.CPUS:
        return _first(model, *SETTING_PATHS[what][:2]) or _quota(model)
    number = _first(model, *SETTING_PATHS[what])
    return number if number is None or what is Setting.CPU_RESERVATION else int(number)


def period_of(model: Mapping[str, object]) -> int:
    """The microseconds that a service's `cpu_quota` is a quota of."""
    return int(at(model, "cpu_period") or _PERIOD)


def replicas_of(model: Mapping[str, object]) -> int:
    """How many containers of a service `up` makes."""
    said = _replicas(model)
    return 1 if said is None else said


def policy_name(condition: str) -> str:
    """The Engine's word for a condition of `deploy.restart_policy`."""
    return _CONDITIONS.get(condition, condition)


def _first(model: Mapping[str, object], *homes: str) -> float | None:
    """The first number above zero; zero leaves the next place its say."""
    numbers = (float(at(model, *home.split(".")) or 0) for home in homes)
    return next((number for number in numbers if number > 0), None)


def _quota(model: Mapping[str, object]) -> float | None:
    quota = int(at(model, "cpu_quota") or 0)
    return quota / period_of(model) if quota > 0 else None


def _ulimits(model: Mapping[str, object]) -> dict[str, object] | None:
    """Name -> `1024`, or `1024:2048` where the two differ; Compose prints a zero as nothing."""
    limits = {
        name: (said.get("soft", 0), said.get("hard", 0)) if isinstance(said, Mapping) else (said,)
        for name, said in (at(model, "ulimits") or {}).items()
    }
    return {name: ulimit_text(*bounds) for name, bounds in limits.items()} or None


def _replicas(model: Mapping[str, object]) -> int | None:
    """Zero is a number of replicas; Compose lets no two homes differ."""
    said = (at(model, *home.split(".")) for home in SETTING_PATHS[Setting.REPLICAS])
    return next((int(number) for number in said if number is not None), None)


def _restart_policy(model: Mapping[str, object]) -> str | None:
    """As `docker inspect` would show it: with a number of tries only where there is one."""
    deploy = at(model, "deploy", "restart_policy")
    if deploy is not None:
        name, tries = deploy.get("condition") or "no", deploy.get("max_attempts") or 0
    else:
        name, _, said = str(model.get("restart") or "").partition(":")
        tries = int(said) if said.isdecimal() else 0
    plain = policy_name(name)
    return f"{plain}:{tries}" if tries else plain or None
