"""How a container is locked down, as the Engine knows it; values of environment variables are
judged and forgotten.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from capacity._common.secrets import looks_secret

__all__ = ["HardeningProfile", "is_docker_socket", "read_hardening_profile"]

_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")


@dataclass(frozen=True, slots=True)
class HardeningProfile:
    """Switches of one container; `mounts` are the host's paths, `secrets` names of variables that
    hold one.
    """

    privileged: bool
    network_mode: str
    read_only: bool
    security_opt: tuple[str, ...]
    mounts: tuple[str, ...]
    secrets: tuple[str, ...]
    has_health_check: bool
    created_at: str


def read_hardening_profile(attrs: Mapping[str, Any]) -> HardeningProfile:
    """The posture from the Engine's description of a container, as `docker inspect` prints it.

    Raises:
        TypeError, ValueError, AttributeError, KeyError, IndexError: it is no such description.
    """
    config, host = attrs.get("Config") or {}, attrs.get("HostConfig") or {}
    test = (config.get("Healthcheck") or {}).get("Test") or []
    return HardeningProfile(
        privileged=_switch(host.get("Privileged")),
        network_mode=str(host.get("NetworkMode") or ""),
        read_only=_switch(host.get("ReadonlyRootfs")),
        security_opt=tuple(map(str, host.get("SecurityOpt") or [])),
        mounts=tuple(
            str(mount.get("Source") or "")
            for mount in attrs.get("Mounts") or []
            if mount.get("Type") == "bind"
        ),
        secrets=_secrets(config.get("Env") or []),
        has_health_check=bool(test) and test[0] != "NONE",
        created_at=str(attrs.get("Created") or ""),
    )


def _switch(value: Any) -> bool:
    """A boolean that may be missing; anything else must not look like off."""
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return bool(value)


def _secrets(environment: Iterable[str]) -> tuple[str, ...]:
    pairs = (entry.partition("=") for entry in environment)
    return tuple(sorted(name for name, _, value in pairs if looks_secret(name, value)))


def is_docker_socket(path: str) -> bool:
    """Whether mounting this path of the host gives the Engine away: its socket, or a folder with
    the socket in it.
    """
    if not path:
        return False
    path = "/" + posixpath.normpath(path).strip("/")
    folder = path.rstrip("/") + "/"
    return any(socket == path or socket.startswith(folder) for socket in _SOCKETS) or path.endswith(
        "/docker.sock"
    )
