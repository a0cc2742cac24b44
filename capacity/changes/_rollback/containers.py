"""The containers of a step as they are now, by their ids, or by their service where they were
replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol, TypeVar

from capacity._docker.containers import Container
from capacity._docker.engine import Engine, engine_errors, inspect
from capacity.changes._journal.models import IntentEntry
from capacity.errors import ChangeRefused, ContainerGone

__all__ = ["containers_of_service", "current_containers", "pair_replicas"]


class _Replica(Protocol):
    @property
    def replica(self) -> int:
        """Its number in its service."""


_Was = TypeVar("_Was", bound=_Replica)


def current_containers(intent: IntentEntry, engine: Engine) -> list[Container]:
    """The containers of a step as they are; those that were replaced are found by their service.

    Raises:
        ChangeRefused: none of them exists any more.
    """
    try:
        return [inspect(engine, before.id) for before in intent.detail.containers]
    except ContainerGone:
        pass
    replicas = {before.replica for before in intent.detail.containers}
    found = [
        container
        for container in containers_of_service(intent, engine)
        if container.replica in replicas
    ]
    if not found:
        raise ChangeRefused(
            f"{intent.service} has no container any more", "Nothing is left to bring back there"
        )
    return found


def containers_of_service(intent: IntentEntry, engine: Engine) -> list[Container]:
    """All containers that the service of a step has now."""
    with engine_errors(engine.host.name, "list its containers"):
        known = [container["Id"] for container in engine.api.containers(all=True)]
    everything = []
    for identity in known:
        with suppress(ContainerGone):
            everything.append(inspect(engine, identity))
    return [
        container
        for container in everything
        if container.key == intent.service and not container.oneoff
    ]


def pair_replicas(
    was: Iterable[_Was], now: Iterable[Container]
) -> list[tuple[_Was, Container | None]]:
    """Replicas as they were, each with the container that has its number now; None where none
    has.
    """
    found = {container.replica: container for container in now}
    return [(before, found.get(before.replica)) for before in was]
