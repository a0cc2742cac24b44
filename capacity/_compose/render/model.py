"""The parts of a rendered model that are read again, as `docker compose config --format json`
prints them: bytes, cores, durations as Go writes them.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = [
    "FileReference",
    "ProjectModel",
    "RenderedHealthcheck",
    "RenderedPort",
    "RenderedVolume",
    "ServiceModel",
]


class DeviceReservation(TypedDict, total=False):
    """Devices by count or by their names."""

    count: int
    device_ids: list[str]


class Block(TypedDict, total=False):
    """Limits or reservations; memory in bytes."""

    cpus: float
    memory: str
    pids: int
    devices: list[DeviceReservation]


class Resources(TypedDict, total=False):
    """The two blocks under `deploy.resources`."""

    limits: Block
    reservations: Block


class RestartPolicy(TypedDict, total=False):
    """`deploy.restart_policy`."""

    condition: str
    max_attempts: int


class Deploy(TypedDict, total=False):
    """How many replicas with which resources."""

    replicas: int
    resources: Resources
    restart_policy: RestartPolicy


class FileReference(TypedDict, total=False):
    """A secret or a config that a service is given."""

    source: str
    target: str


class Build(TypedDict, total=False):
    """How an image is made."""

    dockerfile: str
    dockerfile_inline: str
    platforms: list[str]
    additional_contexts: dict[str, str]
    secrets: list[FileReference]


class RenderedHealthcheck(TypedDict, total=False):
    """How health is found out."""

    test: list[str]
    interval: str
    timeout: str
    retries: int
    start_period: str
    start_interval: str
    disable: bool


class RenderedPort(TypedDict, total=False):
    """A port in the long form."""

    target: int
    published: str
    host_ip: str
    protocol: str
    mode: str


class RenderedVolume(TypedDict, total=False):
    """A mount in the long form."""

    type: str
    source: str
    target: str
    read_only: bool
    bind: dict[str, str | bool]
    volume: dict[str, str | bool]


class Dependency(TypedDict, total=False):
    """What a service waits for."""

    condition: str
    restart: bool
    required: bool


class WatchedPath(TypedDict, total=False):
    """A folder under `develop.watch`."""

    path: str
    action: str
    target: str


class Develop(TypedDict, total=False):
    """What is done while files change."""

    watch: list[WatchedPath]


class ServiceModel(TypedDict, total=False):
    """A service; keys that nothing of the package reads are there too, and are not listed."""

    build: Build
    cap_add: list[str]
    cap_drop: list[str]
    command: list[str] | None
    configs: list[FileReference]
    container_name: str
    cpu_period: int
    cpu_quota: int
    cpus: float
    cpuset: str
    depends_on: dict[str, Dependency]
    deploy: Deploy
    develop: Develop
    entrypoint: list[str] | None
    environment: dict[str, str | None]
    healthcheck: RenderedHealthcheck
    image: str
    ipc: str
    labels: dict[str, str]
    mem_limit: str
    mem_reservation: str
    memswap_limit: str
    models: dict[str, object]
    network_mode: str
    networks: dict[str, object]
    pid: str
    pids_limit: int
    platform: str
    ports: list[RenderedPort]
    privileged: bool
    profiles: list[str]
    provider: object
    read_only: bool
    restart: str
    scale: int
    secrets: list[FileReference]
    security_opt: list[str]
    use_api_socket: bool
    user: str
    volumes: list[RenderedVolume]
    volumes_from: list[str]


class Resource(TypedDict, total=False):
    """A network, a volume, a secret or a config."""

    name: str
    driver: str
    driver_opts: dict[str, str]
    external: bool
    file: str


class ProjectModel(TypedDict, total=False):
    """A project: its services, and the resources that they refer to; None where one says
    nothing of itself.
    """

    name: str
    services: dict[str, ServiceModel]
    networks: dict[str, Resource | None]
    volumes: dict[str, Resource | None]
    secrets: dict[str, Resource]
    configs: dict[str, Resource]
