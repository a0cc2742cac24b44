"""The `docker update` that sets limits on every container of a service, as a line for a shell."""

from __future__ import annotations

import math
from shlex import quote
from typing import TYPE_CHECKING

from capacity.model import Resource, ServiceKey
from capacity.units import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["containers_of", "update_command"]


def update_command(service: str, limits: Mapping[Resource, float]) -> str:
    """Shell line that sets the limits (cores, bytes) of a service's running containers.

    Memory and memory-swap go together, or the Engine refuses the update; swap is twice the memory, which is what it would be for
    a container created with that limit.
    """
    words = ["docker update"]
    if Resource.CPU in limits:
        words.append(f"--cpus {limits[Resource.CPU]:.2f}".rstrip("0").rstrip("."))
    if Resource.MEMORY in limits:
        mebibytes = math.ceil(limits[Resource.MEMORY] / MIB)
        words.append(f"--memory {mebibytes}m --memory-swap {2 * mebibytes}m")
    return " ".join([*words, containers_of(service)])


def containers_of(service: str) -> str:
    """Shell words that name the containers of a service: a lookup by Compose's labels, or the container's own name."""
    key = ServiceKey.parse(service)
    if key.project == ServiceKey.STANDALONE:
        return quote(key.service)
    labels = {"project": key.project, "service": key.service}
    filters = " ".join("--filter " + quote(f"label=com.docker.compose.{name}={value}") for name, value in labels.items())
    return f"$(docker ps -q {filters})"
