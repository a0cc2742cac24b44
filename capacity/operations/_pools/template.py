"""What instances of a pool take over from a container that stood alone, and what of it no pool can
have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from capacity._common.plain_data import Plain, PlainMapping
from capacity._docker.engine import Engine, engine_errors
from capacity._docker.responses import (
    Attachment,
    ContainerAnswer,
    ContainerConfig,
    HostConfig,
    Mount,
)
from capacity.errors import InputError

__all__ = [
    "by_key",
    "described",
    "differing_settings",
    "left_out",
    "of_config",
    "of_host",
    "refuse_unlike",
    "refuse_unshareable",
    "variables_of",
]


def _keys(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CONFIG = _keys(
    "Entrypoint User WorkingDir Volumes StopSignal StopTimeout Tty OpenStdin Domainname"
)
"""Parts of `Config` that instances take over as they are, in the Engine's words."""

_HOST = _keys(
    "Binds Mounts Tmpfs ReadonlyRootfs CapAdd CapDrop SecurityOpt Privileged GroupAdd UsernsMode "
    "Devices DeviceRequests DeviceCgroupRules MaskedPaths ReadonlyPaths RestartPolicy Init Runtime "
    "Ulimits Sysctls PidsLimit ShmSize OomScoreAdj OomKillDisable CpuShares BlkioWeight LogConfig "
    "ExtraHosts Dns DnsOptions DnsSearch PidMode IpcMode UTSMode CgroupnsMode CgroupParent "
    "StorageOpt VolumeDriver MemorySwappiness Annotations"
)
"""The same of `HostConfig`."""

_EMPTY_BY_DEFAULT = _keys(
    "Binds Mounts Tmpfs ReadonlyRootfs CapAdd CapDrop Privileged GroupAdd Devices RestartPolicy "
    "SecurityOpt Sysctls ExtraHosts PidsLimit UsernsMode PidMode"
)
"""Those that are empty where nobody asks for them, whatever the Engine's defaults are."""

_OWN = _keys(
    "Memory NanoCpus CpuQuota CpuPeriod NetworkMode PortBindings PublishAllPorts AutoRemove "
    "VolumesFrom"
)
"""What the pool says itself, or what is refused with words of its own."""

_MEANINGLESS = _keys(
    "ContainerIDFile ConsoleSize Isolation Cgroup CpuPercent CpuCount IOMaximumIOps "
    "IOMaximumBandwidth"
)
"""What says nothing about how a container runs, or is of another system."""

_LEFT_OUT = {
    "MemorySwap": "swap",
    "MemoryReservation": "memory reservation",
    "CpusetCpus": "pinned cores",
    "CpusetMems": "pinned memory",
}
"""What is left out, and said."""

_WORDS = {"Entrypoint": "entrypoint", "User": "user", "WorkingDir": "working directory"}
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_HIDDEN = ("MaskedPaths", "ReadonlyPaths")
_EMPTY: PlainMapping = {
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "MemorySwappiness": -1,
    "Runtime": "runc",
}


def described(engine: Engine, container: str, name: str = "") -> ContainerAnswer:
    """The Engine's own description of a container.

    Raises:
        ContainerGone: it does not exist.
        EngineError: no answer.
    """
    with engine_errors(engine.host.name, f"inspect {name or container[:12]}"):
        found: ContainerAnswer = engine.api.inspect_container(container)
    return found


def variables_of(config: ContainerConfig) -> dict[str, str]:
    """The variables of a `Config`."""
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def of_config(attrs: ContainerAnswer) -> dict[str, Plain]:
    """What of `Config` instances take over; what says nothing is left out."""
    config = by_key(attrs["Config"])
    return {key: config[key] for key in _CONFIG if config.get(key)}


def of_host(attrs: ContainerAnswer) -> dict[str, Plain]:
    """What of `HostConfig` instances take over; what says nothing is left out."""
    own = attrs["HostConfig"]
    host = by_key(own)
    found = {key: host[key] for key in _HOST if host.get(key) and host[key] != _EMPTY.get(key)}
    if not own.get("Privileged"):  # without an empty list the Engine would hide some
        found |= {key: [] for key in _HIDDEN if host.get(key) == []}
    if (own.get("RestartPolicy") or {}).get("Name") in {"", "no"}:
        found.pop("RestartPolicy", None)
    return found


def by_key(part: Mapping[str, object] | None) -> PlainMapping:
    """A part of an answer as plain data, to take from it what no type lists."""
    return cast(PlainMapping, part or {})


def differing_settings(
    attrs: ContainerAnswer,
    image: ContainerConfig,
    config: PlainMapping,
    host: PlainMapping,
) -> list[str]:
    """What an instance has otherwise than a pool asks for.

    Args:
        attrs: the Engine's description of the instance.
        image: the `Config` of the pool's image, which counts where the pool says nothing.
        config: from `of_config`, or {}.
        host: from `of_host`, or {}.
    """
    made, own = of_config(attrs), of_host(attrs)
    asked = {key: config.get(key) or by_key(image).get(key) for key in _CONFIG}
    found = [key for key in _CONFIG if (made.get(key) or None) != (asked[key] or None)]
    found += [key for key in _EMPTY_BY_DEFAULT if (own.get(key) or None) != (host.get(key) or None)]
    return [f"another {_WORDS.get(key, key)}" for key in found]


def refuse_unlike(found: Sequence[ContainerAnswer]) -> None:
    """Refuse containers of which a pool could only be like one.

    Args:
        found: the Engine's descriptions of them.

    Raises:
        InputError: one is not like the first; the message says in what.
    """
    first, *others = found
    for attrs in others:
        mine, its = _compared(first), _compared(attrs)
        apart = [key for key in mine | its if mine.get(key) != its.get(key)]
        names = sorted({key for key, _ in _variables(first).items() ^ _variables(attrs).items()})
        apart += [f"environment ({', '.join(names)})"] if names else []
        if apart:
            said = f"{_name(attrs)} is not like {_name(first)}: it has another "
            hint = "Leave it out, or make it like the others"
            raise InputError(said + ", another ".join(apart), hint)


def _variables(attrs: ContainerAnswer) -> dict[str, str]:
    own = variables_of(attrs["Config"])
    own.pop("HOSTNAME", None)  # the Engine's own
    return own


def _compared(attrs: ContainerAnswer) -> dict[str, object]:
    """What must be the same in all, by the words of the message; all that is empty is the same."""
    config, host = attrs["Config"], attrs["HostConfig"]
    taken = of_config(attrs) | of_host(attrs)
    return {
        "image": attrs.get("Image"),
        "command": config.get("Cmd") or [],
        "health check": config.get("Healthcheck"),
        "network": host.get("NetworkMode"),
        "mounts": sorted(_mount(mount) for mount in attrs.get("Mounts") or []),
        **{
            _WORDS.get(key, key): value or None
            for key, value in taken.items()
            if key not in {"Binds", "Mounts"}
        },
    }


def _mount(mount: Mount) -> tuple[str, str, str, bool]:
    name = "" if _is_anonymous(mount) else str(mount.get("Name") or mount.get("Source") or "")
    return str(mount.get("Destination")), str(mount.get("Type")), name, bool(mount.get("RW"))


def _is_anonymous(mount: Mount) -> bool:
    named = str(mount.get("Name") or "")
    return mount.get("Type") == "volume" and _ANONYMOUS.fullmatch(named) is not None


def refuse_unshareable(attrs: ContainerAnswer) -> None:
    """Refuse a container with what several cannot share, or what cannot be taken over.

    Raises:
        InputError: it has such; the message says what.
    """
    wrong = list(_unshareable(attrs))
    if wrong:
        said = f"{_name(attrs)} cannot be one of several: it has {'; '.join(wrong)}"
        raise InputError(said, "Leave it out, or make it without that")


def _unshareable(attrs: ContainerAnswer) -> Iterable[str]:
    config, host = attrs["Config"], attrs["HostConfig"]
    for mount in attrs.get("Mounts") or []:
        if mount.get("Type") != "tmpfs" and mount.get("RW") and not _is_anonymous(mount):
            source = mount.get("Name") or mount.get("Source")
            yield f"{source} writable at {mount.get('Destination')}"
    ports = sorted(key for key, places in (host.get("PortBindings") or {}).items() if places)
    if ports or host.get("PublishAllPorts"):
        yield f"published ports ({', '.join(ports) or 'all'})"
    if host.get("AutoRemove"):
        yield "--rm, with which nothing could bring it back once it is stopped"
    if str(host.get("NetworkMode") or "").startswith("container:"):
        yield "the network of another container"
    networks = sorted(_networks(attrs))
    if len(networks) > 1:
        yield f"several networks ({', '.join(networks)})"
    if others := host.get("VolumesFrom"):
        yield f"volumes of {', '.join(others)}"
    if config.get("MacAddress"):
        yield "a MAC address of its own"
    yield from _not_taken_over(host)


def _not_taken_over(part: HostConfig) -> Iterable[str]:
    host = by_key(part)
    for key in sorted(host.keys() - {*_HOST, *_OWN, *_LEFT_OUT, *_MEANINGLESS}):
        value = host[key]
        if any(value) if isinstance(value, list) else value:  # sizes of zero ask for nothing
            yield f"{key}, which a pool does not take over"


def left_out(attrs: ContainerAnswer) -> Iterable[str]:
    """What of a container its copies do not have, and can do without."""
    config, host, name = attrs["Config"], attrs["HostConfig"], _name(attrs)
    every = by_key(host)
    for key, words in _LEFT_OUT.items():
        if every.get(key) and not (key == "MemorySwap" and every[key] == host.get("Memory")):
            yield f"{name}: {words} left out"
    own = config.get("Hostname")
    if own and not attrs["Id"].startswith(own) and host.get("NetworkMode") != "host":
        yield f"{name}: host name {own} left out"
    for network in _networks(attrs).values():
        aliases = {*(network.get("Aliases") or [])} - {name}
        aliases = {alias for alias in aliases if not attrs["Id"].startswith(alias)}
        if aliases:
            yield f"{name}: network aliases ({', '.join(sorted(aliases))}) left out"
        if any((network.get("IPAMConfig") or {}).values()):
            yield f"{name}: fixed address left out"


def _networks(attrs: ContainerAnswer) -> Mapping[str, Attachment]:
    return (attrs.get("NetworkSettings") or {}).get("Networks") or {}


def _name(attrs: ContainerAnswer) -> str:
    return str(attrs.get("Name", "")).lstrip("/")
