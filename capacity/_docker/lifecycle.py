"""Containers as a whole: make, start, stop, remove. Everything that ends or begins one goes through
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from capacity._common.plain_data import Plain, PlainMapping
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, engine_errors, inspect, reading_a_stream
from capacity.errors import ContainerGone

__all__ = ["create", "execute", "remove", "start", "stop"]

_MOST_OUTPUT = 10_000
_GRACE = 10  # seconds, the Engine's own default


def create(
    engine: Engine,
    name: str,
    image: str,
    *,
    command: Sequence[str] | None = None,
    memory: int | None = None,
    cpus: float | None = None,
    labels: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    network: str | None = None,
    health: PlainMapping | None = None,
    config: PlainMapping | None = None,
    host_config: PlainMapping | None = None,
) -> Container:
    """A new container, not yet started.

    Args:
        engine: where.
        name: its name.
        image: what it runs.
        command: instead of the image's own.
        memory: limit in bytes, swap included; None = none.
        cpus: limit in cores; None = none.
        labels: to find it by.
        environment: variables.
        network: `none`, `host` or a network's name; default the Engine's.
        health: a health check in the Engine's own words (`Test`, `Interval` in nanoseconds ...).
        config: more in the Engine's own words (`User`, `Entrypoint` ...).
        host_config: the same of its `HostConfig` (`ReadonlyRootfs`, `CapDrop` ...).

    Raises:
        EngineRefused: the name is taken, or there is no such image.
        EngineUnreachable: no answer.
    """
    host: dict[str, Plain] = dict(host_config or {})
    if memory is not None:
        host |= {"Memory": memory, "MemorySwap": memory}
    if cpus is not None:
        host["NanoCpus"] = round(cpus * 1e9)
    if network is not None:
        host["NetworkMode"] = network
    body = {
        **(config or {}),
        "Image": image,
        "Cmd": list(command) if command is not None else None,
        "Labels": dict(labels or {}),
        "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
        "HostConfig": host,
        **({"Healthcheck": dict(health)} if health else {}),
    }
    with engine_errors(engine.host.name, f"create {name}"):
        made = engine.api.create_container_from_config(body, name)
    return inspect(engine, made["Id"], name)


def start(engine: Engine, container: str, name: str = "") -> None:
    """Start a container; nothing happens to one that runs.

    Raises:
        ContainerGone: it does not exist.
        EngineError: refused, or no answer.
    """
    with engine_errors(engine.host.name, f"start {name or container[:12]}"):
        engine.api.start(container)


def stop(engine: Engine, container: str, name: str = "", seconds: int | None = None) -> None:
    """Stop a container: a request, then a kill; one that is gone or stopped is fine.

    Args:
        engine: where.
        container: its id or name.
        name: for messages.
        seconds: between request and kill; default what the container was made with, or 10.

    Raises:
        EngineError: refused, or no answer.
    """
    try:
        with engine_errors(engine.host.name, f"stop {name or container[:12]}"):
            own = engine.api.inspect_container(container)["Config"].get("StopTimeout")
            engine.api.stop(
                container,
                timeout=_GRACE
                if seconds is None and own is None
                else own
                if seconds is None
                else seconds,
            )
    except ContainerGone:
        return


def remove(engine: Engine, container: str, name: str = "") -> None:
    """Remove a container, running or not; one that is gone is fine.

    Raises:
        EngineError: refused, or no answer.
    """
    try:
        with engine_errors(engine.host.name, f"remove {name or container[:12]}"):
            engine.api.remove_container(container, force=True, v=True)
    except ContainerGone:
        return


def execute(
    engine: Engine, container: str, command: Sequence[str], name: str = ""
) -> tuple[int, str]:
    """Run a command inside a running container; its exit code, and the beginning of what it said.

    Raises:
        ContainerGone: it does not exist.
        EngineError: refused, or no answer.
    """
    with engine_errors(engine.host.name, f"run {command[0]} in {name or container[:12]}"):
        made = engine.api.exec_create(container, list(command))
        with reading_a_stream(engine):
            said = engine.api.exec_start(made["Id"])
        code = engine.api.exec_inspect(made["Id"])["ExitCode"]
    return int(code or 0), bytes(said)[:_MOST_OUTPUT].decode("utf-8", "replace").strip()
