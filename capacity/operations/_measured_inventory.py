"""What runs by the metrics alone, where there is no Engine to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity._docker.containers import Container, Host, Inventory
from capacity.model import ServiceKey, Signal

if TYPE_CHECKING:
    from capacity.history import History

__all__ = ["measured_inventory"]


def measured_inventory(history: History) -> Inventory:
    """Hosts with their cores, and one container a service and host that is measured at the end.

    What metrics do not tell (images, pinning, restart policies) is empty.
    """
    cores = history[Signal.HOST_CORES].ffill().tail(1)
    sizes = {str(host): int(count) for host, count in cores.iloc[0].dropna().items()}
    running = history.running()
    places = [
        (ServiceKey.parse(service), host)
        for service in history.services
        if running.get(service, False)
        for host in history.hosts.get(service, "").split(",")
        if host in sizes
    ]
    return Inventory(
        hosts=tuple(Host(name, "", name, count, 0, "", "") for name, count in sizes.items()),
        containers=tuple(_container(key, host) for key, host in places),
    )


def _container(key: ServiceKey, host: str) -> Container:
    return Container(
        host=host,
        id="",
        name=f"{key.project}-{key.service}-1",
        image="",
        project=key.project,
        service=key.service,
        replica=1,
        oneoff=False,
        config_files=(),
        working_dir="",
        memory=None,
        memory_swap=None,
        reservation=None,
        cpus=None,
        quota=False,
        cpuset="",
        pids=None,
        restart_policy="",
        restart_count=0,
        state="running",
        health=None,
        oom_killed=False,
        exit_code=0,
        started_at="",
        ports=(),
        environment=(),
        labels={},
    )
