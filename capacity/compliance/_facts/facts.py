"""Everything that checks look at, each part optional: compose projects, containers, history, what
the monitoring answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from capacity._compose import Origin, Project, Service
from capacity.model import RestartLimit, ServiceKey

if TYPE_CHECKING:
    from datetime import datetime

    from capacity._docker.containers import Container, Inventory
    from capacity._docker.events import Ends
    from capacity.compliance._facts.hardening_profile import HardeningProfile
    from capacity.compliance._facts.monitoring import Monitoring
    from capacity.history import History
    from capacity.settings import TypeSettings

__all__ = ["DeclaredService", "Facts", "RunningContainer", "UnreadProject"]


@dataclass(frozen=True)
class DeclaredService:
    """A service of a compose file."""

    key: str
    service: Service
    project: Project

    def where(self, *paths: str | tuple[str, ...]) -> Origin | None:
        """The first of the places that stands in a file; the service itself where none does."""
        found = (self.service.where(path) for path in paths)
        return next((place for place in found if place is not None), None) or self.service.where()


@dataclass(frozen=True)
class UnreadProject:
    """A compose project that cannot be loaded: nothing is known of what it declares.

    Attributes:
        name: its folder's, as Compose would call it.
        reason: in one line, with place and cause.
        file: where it can be corrected.
        line: from 1.
    """

    name: str
    reason: str
    file: str
    line: int

    @property
    def subject(self) -> str:
        """What findings call all of its services."""
        return f"{self.name}/*"

    @property
    def text(self) -> str:
        """One line for people."""
        place = "" if self.file in self.reason else f"{self.file}: "
        return f"{self.subject} is not evaluated: {place}{self.reason}"


@dataclass(frozen=True)
class RunningContainer:
    """A container and how it is locked down; `posture` is None when the Engine was not asked for
    it.
    """

    container: Container
    posture: HardeningProfile | None


@dataclass(frozen=True)
class Facts:
    """What is known. An absent part makes the rules that need it not-evaluated.

    Attributes:
        projects: compose projects, taken as running on one host unless the inventory says
            otherwise.
        unread: compose projects that cannot be loaded.
        inventory: containers of all Engines.
        postures: container id -> how it is locked down.
        history: what Prometheus remembers.
        monitoring: what Prometheus and Alertmanager answered just now.
        at: when the containers were looked at, UTC.
        ends: host -> which containers ended in the last minutes.
        notes: what the reader should know about how it was gathered.
        types: own types of services, by name.
        cores: category -> cores that the settings give it, such as `0-3`; None is the default.
        restart_limit: what a restart loop is.
    """

    projects: tuple[Project, ...] = ()
    unread: tuple[UnreadProject, ...] = ()
    inventory: Inventory | None = None
    postures: Mapping[str, HardeningProfile] = field(default_factory=dict)
    history: History | None = None
    monitoring: Monitoring | None = None
    at: datetime | None = None
    ends: Mapping[str, Ends] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    types: Mapping[str, TypeSettings] = field(default_factory=dict)
    cores: Mapping[str, str | None] = field(default_factory=dict)
    restart_limit: RestartLimit = field(default_factory=RestartLimit)

    @cached_property
    def pairs(self) -> tuple[tuple[str, DeclaredService], ...]:
        """`project/service` and service, sorted; a service that two folders declare under one name
        is there twice, one that a provider brings up not at all: it has no container.
        """
        found = (
            DeclaredService(str(ServiceKey(project.name, name)), service, project)
            for project in self.projects
            for name, service in project.services.items()
            if "provider" not in service.model
        )
        return tuple(
            (declared.key, declared)
            for declared in sorted(
                found, key=lambda declared: (declared.key, declared.project.files)
            )
        )

    @cached_property
    def declared(self) -> dict[str, DeclaredService]:
        """`project/service` -> service; the first of `pairs` where there are two."""
        return dict(reversed(self.pairs))

    @cached_property
    def live(self) -> dict[str, tuple[RunningContainer, ...]]:
        """`project/service` -> its containers; those of `docker compose run` are left out."""
        found: dict[str, list[RunningContainer]] = {}
        for container in self.inventory.containers if self.inventory else ():
            if not container.oneoff:
                found.setdefault(container.key, []).append(
                    RunningContainer(container, self.postures.get(container.id))
                )
        return {key: tuple(found[key]) for key in sorted(found)}

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """All services that any part knows by name, sorted."""
        return tuple(
            sorted({*self.declared, *self.live, *(self.history.services if self.history else ())})
        )

    def running(self, key: str) -> Iterator[RunningContainer]:
        """The running containers of a service."""
        return (container for container in self.live.get(key, ()) if container.container.running)

    def limited(self, key: str) -> Iterator[RunningContainer]:
        """The containers of a service that limits hold for: also those that the Engine is about to
        start again, and paused ones.
        """
        states = {"running", "restarting", "paused"}
        return (each for each in self.live.get(key, ()) if each.container.state in states)

    def labels(self, key: str) -> dict[str, str]:
        """Labels of a service: those of its containers, then those declared."""
        found: dict[str, str] = {}
        for container in self.live.get(key, ()):
            found.update(container.container.labels)
        if key in self.declared:
            found.update(self.declared[key].service.labels)
        return found

    def images(self, key: str) -> Iterable[str]:
        """Images of a service, declared and live."""
        declared = self.declared.get(key)
        return {
            *([declared.service.image] if declared and declared.service.image else []),
            *(container.container.image for container in self.live.get(key, ())),
        }
