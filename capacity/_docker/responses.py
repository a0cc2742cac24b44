"""What an Engine answers, in its own words: the parts that are read. Nothing of it is sure to be
there, and what says nothing may be null.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = [
    "Attachment",
    "ContainerAnswer",
    "ContainerConfig",
    "HostConfig",
    "ImageAnswer",
    "InfoAnswer",
    "Mount",
    "Place",
    "Policy",
    "State",
    "StatsAnswer",
    "VersionAnswer",
    "Volumes",
]


class HealthTest(TypedDict, total=False):
    """A health check."""

    Test: list[str] | None


class ContainerConfig(TypedDict, total=False):
    """What a container runs."""

    Image: str
    Cmd: list[str] | None
    Hostname: str
    MacAddress: str
    StopTimeout: int | None
    Env: list[str] | None
    Labels: dict[str, str] | None
    ExposedPorts: dict[str, object] | None
    Healthcheck: HealthTest | None


class Policy(TypedDict, total=False):
    """A restart policy."""

    Name: str
    MaximumRetryCount: int


class Place(TypedDict, total=False):
    """Where the host offers a port."""

    HostIp: str
    HostPort: str


class Driver(TypedDict, total=False):
    """The driver of a volume."""

    Options: dict[str, str] | None


class VolumeOptions(TypedDict, total=False):
    """How a volume is made with its container."""

    DriverConfig: Driver | None


class WantedMount(TypedDict, total=False):
    """A mount as it was asked for."""

    Target: str
    VolumeOptions: VolumeOptions | None


class UlimitAnswer(TypedDict, total=False):
    """A ulimit of a container; -1 is none."""

    Name: str
    Soft: int
    Hard: int


class HostConfig(TypedDict, total=False):
    """How a container is run; memory in bytes, quota and period in microseconds."""

    Memory: int
    MemorySwap: int
    MemoryReservation: int
    NanoCpus: int
    CpuQuota: int
    CpuPeriod: int
    CpusetCpus: str
    PidsLimit: int | None
    Ulimits: list[UlimitAnswer] | None
    RestartPolicy: Policy | None
    PortBindings: dict[str, list[Place] | None] | None
    NetworkMode: str
    PidMode: str
    IpcMode: str
    UsernsMode: str
    PublishAllPorts: bool
    AutoRemove: bool
    VolumesFrom: list[str] | None
    Privileged: bool
    CapAdd: list[str] | None
    ReadonlyRootfs: bool
    SecurityOpt: list[str] | None
    MaskedPaths: list[str] | None
    Mounts: list[WantedMount] | None


class CheckOutput(TypedDict, total=False):
    """What a health check printed."""

    Output: str | None


class Health(TypedDict, total=False):
    """The outcome of health checks."""

    Status: str
    Log: list[CheckOutput] | None


class State(TypedDict, total=False):
    """How a container is now; times as the Engine writes them."""

    Status: str
    Pid: int
    Health: Health | None
    OOMKilled: bool
    ExitCode: int
    StartedAt: str
    FinishedAt: str


class Mount(TypedDict, total=False):
    """A mount as it is."""

    Type: str
    Name: str
    Source: str
    Destination: str
    RW: bool


class AddressConfig(TypedDict, total=False):
    """Addresses that were asked for."""

    IPv4Address: str
    IPv6Address: str


class Attachment(TypedDict, total=False):
    """A network of a container."""

    Aliases: list[str] | None
    IPAMConfig: AddressConfig | None


class NetworkSettings(TypedDict, total=False):
    """The networks of a container."""

    Networks: dict[str, Attachment] | None


class ContainerAnswer(TypedDict, total=False):
    """A container, as `docker inspect` prints it."""

    Id: str
    Name: str
    Created: str
    RestartCount: int
    Image: str
    Config: ContainerConfig
    HostConfig: HostConfig
    State: State
    Mounts: list[Mount] | None
    NetworkSettings: NetworkSettings | None


class ImageAnswer(TypedDict, total=False):
    """An image."""

    Config: ContainerConfig | None


class Component(TypedDict, total=False):
    """A part of an Engine."""

    Name: str


class VersionAnswer(TypedDict, total=False):
    """What an Engine is."""

    Components: list[Component] | None


class InfoAnswer(TypedDict, total=False):
    """What an Engine says of itself and its machine."""

    Name: str | None
    NCPU: int | None
    MemTotal: int | None
    ServerVersion: str | None
    CgroupVersion: str | None
    CgroupDriver: str | None
    OperatingSystem: str | None
    SecurityOptions: list[str] | None
    MemoryLimit: bool | None
    SwapLimit: bool | None
    CpuCfsQuota: bool | None
    CpuCfsPeriod: bool | None
    CPUSet: bool | None
    PidsLimit: bool | None


class VolumeAnswer(TypedDict, total=False):
    """A volume."""

    Name: str
    Options: dict[str, str] | None


class Volumes(TypedDict, total=False):
    """All volumes."""

    Volumes: list[VolumeAnswer] | None


class MemoryStats(TypedDict, total=False):
    """Use of memory, bytes; `stats` are the kernel's counters by their names."""

    usage: int
    stats: dict[str, int] | None


class CpuUsage(TypedDict, total=False):
    """Nanoseconds since the start."""

    total_usage: int


class Throttling(TypedDict, total=False):
    """Periods of the CPU quota."""

    periods: int
    throttled_periods: int


class CpuStats(TypedDict, total=False):
    """Use of CPU."""

    cpu_usage: CpuUsage | None
    throttling_data: Throttling | None


class StatsAnswer(TypedDict, total=False):
    """What a container uses."""

    memory_stats: MemoryStats | None
    cpu_stats: CpuStats | None
