"""How a container is locked down, as the Engine knows it; values of environment variables are
judged and forgotten.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from capacity._common.text.secrets import looks_secret
from capacity._docker.responses import ContainerAnswer, HostConfig, Volumes

__all__ = ["HardeningProfile", "is_docker_socket", "read_hardening_profile", "volume_devices"]

_SOCKETS = tuple(
    f"{folder}/{name}"
    for folder in ("/run", "/var/run")
    for name in ("docker.sock", "podman/podman.sock", "containerd/containerd.sock")
)


@dataclass(frozen=True, slots=True)
class HardeningProfile:
    """Switches of one container; `mounts` are the host's paths, `secrets` names of variables that
    hold one.
    """

    privileged: bool
    cap_add: tuple[str, ...]
    network_mode: str
    pid_mode: str
    ipc_mode: str
    userns_mode: str
    read_only: bool
    security_opt: tuple[str, ...]
    mounts: tuple[str, ...]
    secrets: tuple[str, ...]
    has_health_check: bool
    created_at: str


def read_hardening_profile(
    attrs: ContainerAnswer, devices: Mapping[str, str] | None = None
) -> HardeningProfile:
    """The posture from the Engine's description of a container, as `docker inspect` prints it.

    Args:
        attrs: the description.
        devices: named volume -> what of the host it stands for, from `volume_devices`.

    Raises:
        TypeError, ValueError, AttributeError, KeyError, IndexError: it is no such description.
    """
    config, host = attrs.get("Config") or {}, attrs.get("HostConfig") or {}
    test = (config.get("Healthcheck") or {}).get("Test") or []
    return HardeningProfile(
        privileged=_switch(host.get("Privileged")),
        cap_add=tuple(map(str, host.get("CapAdd") or [])),
        network_mode=str(host.get("NetworkMode") or ""),
        pid_mode=str(host.get("PidMode") or ""),
        ipc_mode=str(host.get("IpcMode") or ""),
        userns_mode=str(host.get("UsernsMode") or ""),
        read_only=_switch(host.get("ReadonlyRootfs")),
        security_opt=_security_options(host),
        mounts=_mounts(attrs, {**_own_devices(host), **(devices or {})}),
        secrets=_secrets(config.get("Env") or []),
        has_health_check=bool(test) and test[0] != "NONE",
        created_at=str(attrs.get("Created") or ""),
    )


def _security_options(host: HostConfig) -> tuple[str, ...]:
    """As a compose file has them; that of the system paths reaches the Engine as an empty list."""
    unmasked = host.get("MaskedPaths") == []
    options = map(str, host.get("SecurityOpt") or [])
    return (*options, *(["systempaths=unconfined"] if unmasked else []))


def volume_devices(answer: Volumes) -> dict[str, str]:
    """Named volume -> the path of the host that it binds, from the Engine's list of volumes.

    Raises:
        TypeError, AttributeError: it is no such list.
    """
    found = {
        str(volume.get("Name")): _device(volume.get("Options"))
        for volume in answer.get("Volumes") or []
    }
    return {name: device for name, device in found.items() if device}


def _own_devices(host: HostConfig) -> dict[str, str]:
    """The same of volumes that a container was created with, which its description spells out."""
    found = {
        str(mount.get("Target")): _device(
            ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Options")
        )
        for mount in host.get("Mounts") or []
    }
    return {place: device for place, device in found.items() if device}


def _device(options: Mapping[str, str] | None) -> str:
    return str((options or {}).get("device") or "")


def _mounts(attrs: ContainerAnswer, devices: Mapping[str, str]) -> tuple[str, ...]:
    """Paths of the host: of binds, and what named volumes bind, by their names or where they are
    mounted.
    """
    mounts = attrs.get("Mounts") or []
    binds = [str(mount.get("Source") or "") for mount in mounts if mount.get("Type") == "bind"]
    volumes = [
        devices.get(str(mount.get("Name"))) or devices.get(str(mount.get("Destination")))
        for mount in mounts
        if mount.get("Type") == "volume"
    ]
    return (*binds, *filter(None, volumes))


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
    path = "/" + posixpath.normpath(path.replace("\\", "/")).strip("/")
    folder = path.rstrip("/") + "/"
    ends = ("/docker.sock", "/podman.sock", "/containerd.sock", "/pipe/docker_engine")
    return any(socket == path or socket.startswith(folder) for socket in _SOCKETS) or path.endswith(
        ends
    )
