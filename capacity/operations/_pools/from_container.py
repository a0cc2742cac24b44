"""A pool whose instances are as a container is."""

from __future__ import annotations

from capacity._docker.containers import Container
from capacity._docker.engine import Engine
from capacity.operations._pools.spec import PoolSpec
from capacity.operations._pools.template import (
    by_key,
    described,
    of_config,
    of_host,
    variables_of,
)
from capacity.settings import Settings

__all__ = ["STEADY", "pool_like"]


STEADY = 1.0  # seconds; who makes a pool that stays can wait for each of its instances


def pool_like(
    engine: Engine, container: Container, name: str, size: int, settings: Settings
) -> PoolSpec:
    """A pool whose instances are as a container is; what only one container can have, such as a
    host's port, is left out.
    """
    attrs = described(engine, container.id, container.name)
    config, mode = attrs["Config"], attrs["HostConfig"].get("NetworkMode") or ""
    return PoolSpec(
        name,
        container.image,
        size,
        command=config.get("Cmd"),
        memory=container.memory,
        cpus=container.cpus,
        environment=variables_of(config),
        network=None if mode in {"", "default"} or mode.startswith("container:") else mode,
        health=by_key(config.get("Healthcheck")),
        keep=True,
        settings=settings.engine,
        steady=STEADY,
        config=of_config(attrs),
        host_config=of_host(attrs),
    )
