"""An Engine's description of itself and its machine: what can be limited there, and how the kernel
takes a limit.
"""

from __future__ import annotations

from capacity._docker.containers import Host, as_an_engine
from capacity._docker.responses import InfoAnswer, VersionAnswer
from capacity.model import Setting

__all__ = ["read_host"]

_NEEDED = {
    Setting.MEMORY: ("MemoryLimit",),
    Setting.MEMORY_SWAP: ("SwapLimit",),
    Setting.RESERVATION: ("MemoryLimit",),
    Setting.CPUS: ("CpuCfsQuota", "CpuCfsPeriod"),
    Setting.CPUSET: ("CPUSet",),
    Setting.PIDS: ("PidsLimit",),
}
"""What an Engine says it can limit, by the words of its `/info`."""


def read_host(name: str, address: str, info: InfoAnswer, version: VersionAnswer) -> Host:
    """A host from an Engine's `/info` and `/version`; one that does not say is of cgroup v1.

    Raises:
        EngineError: no Engine describes itself so.
    """
    with as_an_engine(name, "describes itself"):
        return Host(
            name,
            address,
            info.get("Name") or "",
            info.get("NCPU") or 0,
            info.get("MemTotal") or 0,
            info.get("ServerVersion") or "",
            str(info.get("CgroupVersion") or "1"),
            _is_podman(version),
            _unlimited(info),
            _kind(info),
        )


def _is_podman(version: VersionAnswer) -> bool:
    components = version.get("Components") or []
    return any("podman" in str(part.get("Name", "")).lower() for part in components)


def _unlimited(info: InfoAnswer) -> tuple[Setting, ...]:
    if info.get("CgroupDriver") == "none":  # a rootless Engine that no cgroup was given to
        return tuple(_NEEDED)
    return tuple(
        what for what, words in _NEEDED.items() if any(info.get(word) is False for word in words)
    )


def _kind(info: InfoAnswer) -> str:
    options = " ".join(map(str, info.get("SecurityOptions") or ()))
    if "name=rootless" in options:
        return "rootless"
    if "name=userns" in options:
        return "user namespaces"
    return "Docker Desktop" if "Docker Desktop" in str(info.get("OperatingSystem")) else ""
