"""Who decides for a service: the owner that a label of its containers names, else the settings'."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from capacity.errors import CapacityError

if TYPE_CHECKING:
    from capacity.history import History
    from capacity.settings import Settings

__all__ = ["NO_OWNER", "Owners", "find_owners"]

NO_OWNER = "no owner"
_LONGEST = 200  # characters of an owner, as in the settings
_Found = tuple[dict[str, str], tuple[str, ...]]


@dataclass(frozen=True)
class Owners:
    """Who decides for which service.

    Attributes:
        labelled: service -> owner that a label names; goes before the globs of the settings.
        by_glob: glob of services -> owner; of several that fit the last one counts.
        notes: where labels could not be read, and why.
    """

    labelled: Mapping[str, str] = field(default_factory=dict)
    by_glob: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, service: str) -> str:
        """The owner of a service, `NO_OWNER` where neither a label nor a glob names one."""
        if service in self.labelled:
            return self.labelled[service]
        named = [owner for glob, owner in self.by_glob.items() if fnmatchcase(service, glob)]
        return named[-1] if named else NO_OWNER


def find_owners(settings: Settings, history: History | None = None) -> Owners:
    """The owners of the settings' globs, and those that `owners.label` names.

    The label is read from the compose files of `schedule.compose` and `apply.projects`, and from
    what runs: from the history's metrics server, or from the Engines where history is the
    collector's. What runs goes before files. Where labels cannot be read, a note says so.

    Args:
        settings: the globs, the label, and where files, server and Engines are.
        history: its server is asked too; None = files alone.
    """
    globs = {glob: known.owner for glob, known in settings.services.items() if known.owner}
    owners, label = Owners(by_glob=globs), settings.owners.label
    if not label:
        return owners
    labelled: dict[str, str] = {}
    notes: list[str] = []
    for ask in _places(settings, history):
        found, said = _tried(ask)
        labelled |= {service: value for service, value in found.items() if value}
        notes += said
    if not labelled:
        notes.append(f"No container and no compose file has the label {label} (owners.label).")
    return replace(owners, labelled=labelled, notes=tuple(notes))


def _places(settings: Settings, history: History | None) -> list[Callable[[], _Found]]:
    """Where the label may be read, the last one wins."""
    places: list[Callable[[], _Found]] = [lambda: _in_files(settings)]
    if history is None:
        return places
    if history.source == "collected":
        places.append(lambda: (_on_engines(settings), ()))
    places += [partial(_on_server, server) for server in _servers(settings, history.source)]
    return places


def _servers(settings: Settings, source: str) -> list[Settings]:
    """The metrics servers that history is of, each as settings whose `prometheus` is that one."""
    from capacity.history._archive.records import plain_address
    from capacity.settings import override

    if "://" in source:
        own = settings.prometheus.url
        known = own is not None and plain_address(str(own)) == source
        return [settings if known else override(settings, "prometheus__url", source)]
    names = source.split(", ")
    return [server for name, server in settings.servers().items() if name in names]


def _tried(ask: Callable[[], _Found]) -> _Found:
    try:
        return ask()
    except CapacityError as error:  # the review stands without labels
        return {}, (f"Owners by label: {' '.join(str(error).split())}",)


def _in_files(settings: Settings) -> _Found:
    from capacity.compliance._facts.collect import from_files

    paths = [*settings.schedule.compose, *settings.apply.projects.values()]
    if not paths:
        return {}, ()
    facts = from_files(paths)
    label = settings.owners.label
    found = [
        (f"{project.name}/{name}", _text((service.model.get("labels") or {}).get(label)))
        for project in facts.projects
        for name, service in project.services.items()
    ]
    unread = tuple(
        f"Owners by label: {each.name} cannot be read: {each.reason}" for each in facts.unread
    )
    return _most_common(found), unread


def _on_server(settings: Settings) -> _Found:
    from capacity.history._fetch.label_query import ask_label
    from capacity.history._prometheus.client import PrometheusSource

    source = PrometheusSource(settings.prometheus)
    try:
        found = ask_label(source, settings, settings.owners.label)
    finally:
        source.close()
    return {service: _text(value) for service, value in found.items()}, ()


def _on_engines(settings: Settings) -> dict[str, str]:
    from capacity._docker import snapshot

    label = settings.owners.label
    containers = snapshot(settings.engine).containers
    return _most_common(
        (container.key, _text(container.labels.get(label)))
        for container in containers
        if not container.oneoff
    )


def _most_common(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The value that most containers of a service have."""
    seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for service, value in pairs:
        if value:
            seen[service][value] += 1
    return {name: min(many, key=lambda each: (-many[each], each)) for name, many in seen.items()}


def _text(value: object) -> str:
    """A label's value as a name on one line."""
    return " ".join(str(value or "").split())[:_LONGEST]
