"""A container as the Engine knows it, in plain data: bytes, cores, text. Values of environment
variables are never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from capacity._common.container_names import identify_container
from capacity._common.setting_values import ulimit_text
from capacity._docker.responses import ContainerAnswer, HostConfig, Place, Policy, UlimitAnswer
from capacity.errors import EngineError
from capacity.model import ServiceKey, Setting, Value

__all__ = [
    "LEAST_RESERVATION",
    "NO_LIMIT",
    "NO_MEMORY_LIMIT",
    "Container",
    "Host",
    "Inventory",
    "Published",
    "as_an_engine",
    "cpus_of",
    "live_value",
    "read_container",
]

NO_LIMIT = 2**63 - 4096
"""What the kernel says where memory has no limit; unlike 0 the Engine takes it, and so an update
can lift a limit.
"""

NO_MEMORY_LIMIT = 2**62 + 4096
"""Memory without a limit. Half of `NO_LIMIT`, since on cgroup v2 swap is what memory and swap
together leave beside the memory; above what cAdvisor still takes for a limit.
"""

LEAST_RESERVATION = 6 * 2**20
"""The smallest reservation that an Engine takes, in bytes."""

_AS_GOOD_AS_NONE = 2**62
_Other = TypeVar("_Other")
_COMPOSE = "com.docker.compose."
_STACK = "com.docker.stack.namespace"
_SWARM_SERVICE, _SWARM_TASK = "com.docker.swarm.service.name", "com.docker.swarm.task.name"


@dataclass(frozen=True, slots=True)
class Published:
    """A port of the container and where the host offers it; `host_port` is None when it is exposed
    only.
    """

    target: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int | None = None


@dataclass(frozen=True)
class Container:
    """A container: limits in bytes and cores, None where there is none.

    `memory_swap` is memory and swap together, -1 without end. `restart_policy` reads as in a
    compose file: `on-failure:3`, and `ulimits` as `docker run` has them: `1024:2048`.
    """

    host: str
    id: str
    name: str
    image: str
    project: str
    service: str
    replica: int
    oneoff: bool
    config_files: tuple[str, ...]
    working_dir: str
    memory: int | None
    memory_swap: int | None
    reservation: int | None
    cpus: float | None
    quota: bool
    cpuset: str
    pids: int | None
    restart_policy: str
    restart_count: int
    state: str
    health: str | None
    oom_killed: bool
    exit_code: int
    started_at: str
    ports: tuple[Published, ...]
    environment: tuple[str, ...]
    labels: dict[str, str] = field(repr=False)
    env_files: tuple[str, ...] = ()
    finished_at: str = ""
    ulimits: dict[str, object] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`project/service`, the name that everything else uses."""
        return str(ServiceKey(self.project, self.service))

    @property
    def composed(self) -> bool:
        """Whether Compose made it; a name alone can look so too."""
        return bool(self.labels.get(f"{_COMPOSE}service"))

    @property
    def swarm_service(self) -> str:
        """The Swarm service that it is a task of; empty where it is none."""
        return self.labels.get(_SWARM_SERVICE, "")

    @property
    def running(self) -> bool:
        """Whether its processes run."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Host:
    """An Engine and the machine it runs on; memory in bytes.

    Attributes:
        cgroup: `1` or `2`, the version of the kernel's interface for limits.
        podman: whether Podman answers, in Docker's words.
        unlimited: what cannot be limited there, which an Engine says yes to all the same.
        kind: `rootless`, `user namespaces`, `Docker Desktop` or empty.
    """

    name: str
    address: str
    hostname: str
    cores: int
    memory: int
    version: str
    cgroup: str
    podman: bool = False
    unlimited: tuple[Setting, ...] = ()
    kind: str = ""

    @property
    def kills_at_lowering(self) -> bool:
        """Whether a memory limit set below use kills, as on cgroup v2; v1 refuses it."""
        return self.cgroup == "2"


@dataclass(frozen=True)
class Inventory:
    """What runs: hosts that answered, their containers by host and name, and why others did not
    answer.
    """

    hosts: tuple[Host, ...]
    containers: tuple[Container, ...]
    unreachable: dict[str, str] = field(default_factory=dict)

    def of(self, service: str, host: str = "") -> tuple[Container, ...]:
        """The containers of a service, those of `docker compose run` left out; `host` is an
        Engine's name or its machine's.
        """
        names = {known.name for known in self.hosts if host in {known.name, known.hostname}}
        found = tuple(
            container
            for container in self.containers
            if container.key == service and not container.oneoff
        )
        here = tuple(container for container in found if container.host in names)
        # a metrics server may know the host under another name; with one Engine there is no doubt
        # which is meant
        return here or (found if len(self.hosts) + len(self.unreachable) == 1 or not host else ())

    def host(self, name: str) -> Host:
        """The host of that name."""
        return next(host for host in self.hosts if host.name == name)


def read_container(host: str, attrs: ContainerAnswer) -> Container:
    """A container from the Engine's own description of it.

    Raises:
        EngineError: no Engine describes a container so.
    """
    with as_an_engine(host, "describes a container"):
        return _container(host, attrs)


@contextmanager
def as_an_engine(host: str, doing: str) -> Iterator[None]:
    """Read what an Engine answered; something else may answer at its address.

    Raises:
        EngineError: no Engine answers so.
    """
    try:
        yield
    except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
        raise EngineError(
            f"{host} {doing} as no Engine does ({type(error).__name__})",
            "Something else answers there: look at that address",
        ) from error


def _container(host: str, attrs: ContainerAnswer) -> Container:
    config, limits, state = (
        attrs.get("Config") or {},
        attrs.get("HostConfig") or {},
        attrs.get("State") or {},
    )
    labels = {
        name: value
        for name, value in dict(config.get("Labels") or {}).items()
        if isinstance(name, str) and isinstance(value, str)
    }
    name = str(attrs.get("Name", "")).lstrip("/")
    key, replica = identify_container(name, *_place(labels))
    return Container(
        host=host,
        id=attrs["Id"],
        name=name,
        image=config.get("Image") or "",
        project=key.project,
        service=key.service,
        replica=_whole(replica, 1),
        oneoff=labels.get(f"{_COMPOSE}oneoff", "").lower() == "true",
        config_files=_paths(labels, "config_files"),
        working_dir=labels.get(f"{_COMPOSE}project.working_dir", ""),
        memory=_bytes(limits.get("Memory")),
        memory_swap=_swap(limits),
        reservation=_bytes(limits.get("MemoryReservation")),
        cpus=_cores(limits),
        quota=(limits.get("CpuQuota") or 0) > 0,
        cpuset=limits.get("CpusetCpus") or "",
        pids=limits.get("PidsLimit") if (limits.get("PidsLimit") or 0) > 0 else None,
        restart_policy=_policy(limits.get("RestartPolicy") or {}),
        restart_count=attrs.get("RestartCount") or 0,
        state=state.get("Status") or "unknown",
        health=(state.get("Health") or {}).get("Status") or None,
        oom_killed=bool(state.get("OOMKilled")),
        exit_code=state.get("ExitCode") or 0,
        started_at=state.get("StartedAt") or "",
        ports=_ports(limits.get("PortBindings") or {}, config.get("ExposedPorts") or {}),
        environment=tuple(sorted(entry.partition("=")[0] for entry in config.get("Env") or [])),
        labels=labels,
        env_files=_paths(labels, "environment_file"),
        finished_at=state.get("FinishedAt") or "",
        ulimits={
            _ulimit_name(limit): ulimit_text(limit.get("Soft", 0), limit.get("Hard", 0))
            for limit in limits.get("Ulimits") or ()
        },
    )


def _ulimit_name(limit: UlimitAnswer) -> str:
    """A ulimit as compose files name it; Podman may say `RLIMIT_NOFILE` for `nofile`."""
    return limit.get("Name", "").removeprefix("RLIMIT_").lower()


def _place(labels: dict[str, str]) -> tuple[str, str, str]:
    """Project, service and number by the labels of Compose, or of a Swarm stack."""
    service = labels.get(f"{_COMPOSE}service", "")
    stack, swarm = labels.get(_STACK, ""), labels.get(_SWARM_SERVICE, "")
    if swarm and not service:
        number = labels.get(_SWARM_TASK, "").removeprefix(f"{swarm}.").partition(".")[0]
        return stack, swarm.removeprefix(f"{stack}_"), number
    return (
        labels.get(f"{_COMPOSE}project", ""),
        service,
        labels.get(f"{_COMPOSE}container-number", ""),
    )


def _whole(text: str | None, other: _Other) -> int | _Other:
    """The number in a text that anybody may have written into a label."""
    plain = text is not None and text.isascii() and text.isdigit() and len(text) < 10
    return int(text or "") if plain else other


def _paths(labels: dict[str, str], name: str) -> tuple[str, ...]:
    return tuple(filter(None, labels.get(f"{_COMPOSE}project.{name}", "").split(",")))


def _bytes(value: int | None) -> int | None:
    return value if value and 0 < value < _AS_GOOD_AS_NONE else None


def _swap(limits: HostConfig) -> int | None:
    value = limits.get("MemorySwap") or 0
    if value < 0 or value >= _AS_GOOD_AS_NONE:
        return -1 if _bytes(limits.get("Memory")) else None
    return value or None


def _cores(limits: HostConfig) -> float | None:
    """Cores, said as NanoCpus or as a quota a period; a quota of -1 is none."""
    if limits.get("NanoCpus"):
        return float(limits["NanoCpus"]) / 1e9
    quota = limits.get("CpuQuota") or 0
    return float(quota) / float(limits.get("CpuPeriod") or 100_000) if quota > 0 else None


def _policy(policy: Policy) -> str:
    name, most = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{most}" if most else name


def _ports(
    bindings: Mapping[str, Sequence[Place] | None], exposed: Mapping[str, object]
) -> tuple[Published, ...]:
    found = []
    for name in sorted({*bindings, *exposed}):
        number, _, protocol = name.partition("/")
        if not (number.isascii() and number.isdigit()):
            continue
        places = bindings.get(name) or [{}]
        found += [
            Published(
                int(number),
                protocol or "tcp",
                place.get("HostIp") or "",
                _whole(place.get("HostPort"), None),
            )
            for place in places
        ]
    return tuple(found)


def live_value(container: Container, what: Setting) -> Value:
    """What is in force on a container, None where nothing is; environment and health checks are not
    looked at.
    """
    values: dict[Setting, Value] = {
        Setting.MEMORY: container.memory,
        Setting.MEMORY_SWAP: container.memory_swap,
        Setting.CPUS: container.cpus,
        Setting.CPUSET: container.cpuset or None,
        Setting.RESERVATION: container.reservation,
        Setting.PIDS: container.pids,
        Setting.ULIMITS: container.ulimits or None,
        Setting.RESTART_POLICY: container.restart_policy,
    }
    return values.get(what)


def cpus_of(text: Value) -> set[int]:
    """The cores that a cpuset such as `0-3,8` names."""
    found: set[int] = set()
    for part in str(text or "").split(","):
        first, _, last = part.partition("-")
        if first.strip().isdecimal():
            found |= set(range(int(first), int(last or first) + 1))
    return found
