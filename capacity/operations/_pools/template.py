"""What instances of a pool take over from a container that stood alone, and what of it no pool can
have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from capacity._docker.engine import Engine, engine_errors
from capacity.errors import InputError

__all__ = [
    "all_alike",
    "described",
    "differing_settings",
    "of_config",
    "of_host",
    "shareable",
    "variables_of",
]

_CONFIG: tuple[str, ...] = (
    "Entrypoint",
    "User",
    "WorkingDir",
    "Volumes",
    "StopSignal",
    "StopTimeout",
    "Tty",
    "OpenStdin",
    "Domainname",
)
"""Parts of `Config` that instances take over as they are, in the Engine's words."""

_HOST: tuple[str, ...] = (
    "Binds",
    "Mounts",
    "Tmpfs",
    "ReadonlyRootfs",
    "CapAdd",
    "CapDrop",
    "SecurityOpt",
    "Privileged",
    "GroupAdd",
    "UsernsMode",
)
_HOST += (
    "Devices",
    "DeviceRequests",
    "DeviceCgroupRules",
    "MaskedPaths",
    "ReadonlyPaths",
    "RestartPolicy",
    "Init",
    "Runtime",
)
_HOST += (
    "Ulimits",
    "Sysctls",
    "PidsLimit",
    "ShmSize",
    "OomScoreAdj",
    "OomKillDisable",
    "CpuShares",
    "BlkioWeight",
    "LogConfig",
)
_HOST += (
    "ExtraHosts",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "PidMode",
    "IpcMode",
    "UTSMode",
    "CgroupnsMode",
    "CgroupParent",
)
_HOST += ("StorageOpt", "VolumeDriver", "MemorySwappiness", "Annotations")
"""The same of `HostConfig`."""

_WEIGHTY: tuple[str, ...] = (
    "Binds",
    "Mounts",
    "Tmpfs",
    "ReadonlyRootfs",
    "CapAdd",
    "CapDrop",
    "Privileged",
    "GroupAdd",
    "Devices",
    "RestartPolicy",
)
_WEIGHTY += ("SecurityOpt", "Sysctls", "ExtraHosts", "PidsLimit", "UsernsMode", "PidMode")
"""Those that are empty where nobody asks for them, whatever the Engine's defaults are."""

_WORDS = {"Entrypoint": "entrypoint", "User": "user", "WorkingDir": "working directory"}

_OWN = {
    "Memory",
    "NanoCpus",
    "CpuQuota",
    "CpuPeriod",
    "NetworkMode",
    "PortBindings",
    "PublishAllPorts",
    "AutoRemove",
    "VolumesFrom",
}
"""What the pool says itself, or what is refused with words of its own."""

_LEFT = {
    "MemorySwap": "swap",
    "MemoryReservation": "memory reservation",
    "CpusetCpus": "pinned cores",
    "CpusetMems": "pinned memory",
}
"""What is left out, and said."""

_NOTHING = {
    "ContainerIDFile",
    "ConsoleSize",
    "Isolation",
    "Cgroup",
    "CpuPercent",
    "CpuCount",
    "IOMaximumIOps",
    "IOMaximumBandwidth",
}
"""What says nothing about how a container runs, or is of another system."""

_ENGINES_OWN = {"HOSTNAME"}
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_HIDDEN = ("MaskedPaths", "ReadonlyPaths")
_EMPTY: dict[str, Any] = {
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "MemorySwappiness": -1,
    "Runtime": "runc",
}
_HINT = "Leave it out, or make it like the others"


def described(engine: Engine, container: str, name: str = "") -> dict[str, Any]:
    """The Engine's own description of a container.

    Raises:
        ContainerGone: it does not exist.
        EngineError: no answer.
    """
    with engine_errors(engine.host.name, f"inspect {name or container[:12]}"):
        found: dict[str, Any] = engine.api.inspect_container(container)
    return found


def variables_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The variables of a `Config`."""
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def of_config(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What of `Config` instances take over; what says nothing is left out."""
    return {key: attrs["Config"][key] for key in _CONFIG if attrs["Config"].get(key)}


def of_host(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """What of `HostConfig` instances take over; what says nothing is left out."""
    host = attrs["HostConfig"]
    found = {key: host[key] for key in _HOST if host.get(key) and host[key] != _EMPTY.get(key)}
    found |= {
        key: [] for key in _HIDDEN if host.get(key) == [] and not host.get("Privileged")
    }  # the Engine would hide some
    if (host.get("RestartPolicy") or {}).get("Name") in {"", "no"}:
        found.pop("RestartPolicy", None)
    return found


def differing_settings(
    attrs: Mapping[str, Any],
    image: Mapping[str, Any],
    config: Mapping[str, Any],
    host: Mapping[str, Any],
) -> list[str]:
    """What an instance has otherwise than a pool asks for.

    Args:
        attrs: the Engine's description of the instance.
        image: the `Config` of the pool's image, which counts where the pool says nothing.
        config: from `of_config`, or {}.
        host: from `of_host`, or {}.
    """
    made, own = of_config(attrs), of_host(attrs)
    asked = {key: config.get(key) or image.get(key) for key in _CONFIG}
    found = [key for key in _CONFIG if _plain(made.get(key)) != _plain(asked[key])]
    found += [key for key in _WEIGHTY if _plain(own.get(key)) != _plain(host.get(key))]
    return [f"another {_WORDS.get(key, key)}" for key in found]


def all_alike(found: Sequence[dict[str, Any]]) -> None:
    """Refuse containers of which a pool could only be like one.

    Args:
        found: the Engine's descriptions of them.

    Raises:
        InputError: one is not like the first; the message says in what.
    """
    first = found[0]
    for attrs in found[1:]:
        apart = _apart(first, attrs)
        if apart:
            raise InputError(
                f"{_name(attrs)} is not like {_name(first)}: it has another "
                f"{', another '.join(apart)}",
                _HINT,
            )


def _apart(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    mine, its = _shown(first), _shown(other)
    apart = [key for key in dict.fromkeys([*mine, *its]) if mine.get(key) != its.get(key)]
    was, now = (_variables(each) for each in (first, other))
    names = sorted({key for key, _ in was.items() ^ now.items()})
    return apart + ([f"environment ({', '.join(names)})"] if names else [])


def _variables(attrs: dict[str, Any]) -> dict[str, str]:
    return {
        key: value
        for key, value in variables_of(attrs["Config"]).items()
        if key not in _ENGINES_OWN
    }


def _shown(attrs: dict[str, Any]) -> dict[str, Any]:
    """What must be the same in all, by the words of the message."""
    config, host = attrs["Config"], attrs["HostConfig"]
    said = {
        "image": attrs.get("Image"),
        "command": config.get("Cmd") or [],
        "health check": config.get("Healthcheck"),
        "network": host.get("NetworkMode"),
        "mounts": sorted(_mount(mount) for mount in attrs.get("Mounts") or []),
    }
    more = {
        _WORDS.get(key, key): _plain(value)
        for key, value in (of_config(attrs) | of_host(attrs)).items()
    }
    return said | {key: value for key, value in more.items() if key not in {"Binds", "Mounts"}}


def _plain(value: Any) -> Any:
    """A value to compare: all that is empty is the same."""
    return value or None


def _mount(mount: Mapping[str, Any]) -> tuple[str, str, str, bool]:
    name = "" if _is_anonymous(mount) else str(mount.get("Name") or mount.get("Source") or "")
    return str(mount.get("Destination")), str(mount.get("Type")), name, bool(mount.get("RW"))


def _is_anonymous(mount: Mapping[str, Any]) -> bool:
    return (
        mount.get("Type") == "volume"
        and _ANONYMOUS.fullmatch(str(mount.get("Name") or "")) is not None
    )


def shareable(attrs: dict[str, Any]) -> list[str]:
    """What of a container its copies do not have, and can do without.

    Raises:
        InputError: it has what several copies cannot share, or what cannot be taken over.
    """
    name = _name(attrs)
    wrong = list(_not_shareable(attrs))
    if wrong:
        raise InputError(
            f"{name} cannot be one of several: it has {'; '.join(wrong)}",
            "Leave it out, or make it without that",
        )
    return [f"{name}: {name} left out" for name in _left_out(attrs)]


def _not_shareable(attrs: dict[str, Any]) -> Iterable[str]:
    config, host = attrs["Config"], attrs["HostConfig"]
    for mount in attrs.get("Mounts") or []:
        if mount.get("Type") != "tmpfs" and mount.get("RW") and not _is_anonymous(mount):
            yield (
                f"{mount.get('Name') or mount.get('Source')} writable at {mount.get('Destination')}"
            )
    ports = sorted(key for key, places in (host.get("PortBindings") or {}).items() if places)
    if ports or host.get("PublishAllPorts"):
        yield f"published ports ({', '.join(ports) or 'all'})"
    if host.get("AutoRemove"):
        yield "--rm, with which nothing could bring it back once it is stopped"
    if str(host.get("NetworkMode") or "").startswith("container:"):
        yield "the network of another container"
    networks = sorted((attrs.get("NetworkSettings") or {}).get("Networks") or {})
    if len(networks) > 1:
        yield f"several networks ({', '.join(networks)})"
    if host.get("VolumesFrom"):
        yield f"volumes of {', '.join(host['VolumesFrom'])}"
    if config.get("MacAddress"):
        yield "a MAC address of its own"
    known = {*_HOST, *_OWN, *_LEFT, *_NOTHING}
    for key in sorted(key for key, value in host.items() if key not in known and _says(value)):
        yield f"{key}, which a pool does not take over"


def _says(value: Any) -> bool:
    """Whether a value asks for anything; sizes of zero do not."""
    return any(value) if isinstance(value, list) else bool(value)


def _left_out(attrs: dict[str, Any]) -> Iterable[str]:
    config, host = attrs["Config"], attrs["HostConfig"]
    for key, words in _LEFT.items():
        if host.get(key) and not (key == "MemorySwap" and host[key] == host.get("Memory")):
            yield words
    if (
        config.get("Hostname")
        and not attrs["Id"].startswith(config["Hostname"])
        and host.get("NetworkMode") != "host"
    ):
        yield f"host name {config['Hostname']}"
    for network in ((attrs.get("NetworkSettings") or {}).get("Networks") or {}).values():
        aliases = [
            alias
            for alias in network.get("Aliases") or []
            if alias != _name(attrs) and not attrs["Id"].startswith(alias)
        ]
        if aliases:
            yield f"network aliases ({', '.join(sorted(aliases))})"
        if any((network.get("IPAMConfig") or {}).values()):
            yield "fixed address"


def _name(attrs: Mapping[str, Any]) -> str:
    return str(attrs.get("Name", "")).lstrip("/")
