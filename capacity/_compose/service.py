"""One service with typed fields: sizes in bytes, CPU in cores."""

from __future__ import annotations

from dataclasses import dataclass, field

from capacity._compose.render.model import (
    RenderedHealthcheck,
    RenderedPort,
    RenderedVolume,
    ServiceModel,
)
from capacity._compose.setting_paths import declared_setting, replicas_of
from capacity._compose.yaml.nodes import Origin
from capacity._compose.yaml.tree import Map, where
from capacity.model import Setting, Value

__all__ = ["Healthcheck", "Port", "Resources", "Service", "Volume", "make_service"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits and reservations of one container; None where nothing is said, memory in bytes, CPU in
    cores.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpus_reservation: float | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the container; `published` is None when the Engine chooses, `host_ip` is empty for
    all interfaces.
    """

    target: int
    published: str | None = None
    host_ip: str = ""
    protocol: str = "tcp"
    mode: str = "ingress"


@dataclass(frozen=True, slots=True)
class Volume:
    """A mount: `type` is bind, volume, tmpfs or npipe; a source is a path or a volume's name, empty
    for an anonymous one.
    """

    type: str
    target: str
    source: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """How health is found out; durations as Go writes them."""

    test: tuple[str, ...] = ()
    interval: str | None = None
    timeout: str | None = None
    retries: int | None = None
    start_period: str | None = None
    start_interval: str | None = None
    disable: bool = False

    @property
    def off(self) -> bool:
        """Whether it switches off what the image brings; both spellings mean the same."""
        return self.disable or self.test[:1] == ("NONE",)

    @property
    def has_no_command(self) -> bool:
        """Whether nothing stands behind CMD or CMD-SHELL, such as of a variable without a value."""
        return bool(self.test) and not self.off and not any(map(str.strip, self.test[1:]))


@dataclass(frozen=True)
class Service:
    """A service as declared; `model` is all of it as Compose prints it.

    `restart` is what wins of `restart` and `deploy.restart_policy`, as the Engine names it.
    """

    name: str
    image: str | None
    resources: Resources
    ports: tuple[Port, ...]
    volumes: tuple[Volume, ...]
    healthcheck: Healthcheck | None
    restart: str | None
    replicas: int
    container_name: str | None
    environment: dict[str, str | None]
    labels: dict[str, str]
    depends_on: dict[str, str]
    profiles: tuple[str, ...]
    network_mode: str | None
    networks: tuple[str, ...]
    pid: str | None
    ipc: str | None
    user: str | None
    cpuset: str | None
    privileged: bool
    read_only: bool
    security_opt: tuple[str, ...]
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    model: ServiceModel = field(repr=False)
    _tree: Map = field(repr=False, compare=False)
    _origin: Origin | None = field(repr=False, compare=False)

    def where(self, path: str | tuple[str, ...] = "") -> Origin | None:
        """Where a value such as `deploy.resources.limits.memory` stands; without a path, the
        service itself. A path of which a key has a dot in it is given as its keys.
        """
        keys = path.split(".") if isinstance(path, str) else [*path]
        return where(self._tree, keys) if path else self._origin


def make_service(name: str, tree: Map, model: ServiceModel) -> Service:
    """The typed service from its rendered model; `tree` is the project's, with the places of its
    values.
    """
    declared = tree["services"][name]
    check = model.get("healthcheck")
    return Service(
        name=name,
        image=model.get("image"),
        resources=_resources(model),
        ports=tuple(map(_port, model.get("ports", []))),
        volumes=tuple(map(_volume, model.get("volumes", []))),
        healthcheck=None if check is None else _healthcheck(check),
        restart=_text(declared_setting(model, Setting.RESTART_POLICY)),
        replicas=replicas_of(model),
        container_name=model.get("container_name"),
        environment=model.get("environment", {}),
        labels=model.get("labels", {}),
        depends_on={
            other: wanted["condition"] for other, wanted in model.get("depends_on", {}).items()
        },
        profiles=tuple(model.get("profiles", ())),
        network_mode=model.get("network_mode"),
        networks=tuple(model.get("networks") or ()),
        pid=model.get("pid"),
        ipc=model.get("ipc"),
        user=model.get("user"),
        cpuset=model.get("cpuset"),
        privileged=model.get("privileged", False),
        read_only=model.get("read_only", False),
        security_opt=tuple(model.get("security_opt", ())),
        cap_add=tuple(model.get("cap_add", ())),
        cap_drop=tuple(model.get("cap_drop", ())),
        model=model,
        _tree=declared,
        _origin=tree["services"].origin(name),
    )


def _port(port: RenderedPort) -> Port:
    return Port(
        port.get("target", 0),
        port.get("published"),
        port.get("host_ip", ""),
        port.get("protocol", "tcp"),
        port.get("mode", "ingress"),
    )


def _volume(mount: RenderedVolume) -> Volume:
    return Volume(
        mount.get("type", ""),
        mount.get("target", ""),
        mount.get("source", ""),
        mount.get("read_only", False),
    )


def _healthcheck(check: RenderedHealthcheck) -> Healthcheck:
    return Healthcheck(
        tuple(check.get("test", ())),
        check.get("interval"),
        check.get("timeout"),
        check.get("retries"),
        check.get("start_period"),
        check.get("start_interval"),
        check.get("disable", False),
    )


def _resources(model: ServiceModel) -> Resources:
    number = {
        what: value
        for what in Setting
        if isinstance(value := declared_setting(model, what), (int, float))
    }
    return Resources(
        memory=_whole(number.get(Setting.MEMORY)),
        cpus=number.get(Setting.CPUS),
        pids=_whole(number.get(Setting.PIDS)),
        memory_swap=_whole(number.get(Setting.MEMORY_SWAP)),
        memory_reservation=_whole(number.get(Setting.RESERVATION)),
        cpus_reservation=number.get(Setting.CPU_RESERVATION),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _text(value: Value) -> str | None:
    return None if value is None else str(value)
