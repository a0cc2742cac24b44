"""From paths, Engines and recorded snapshots to facts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from capacity._common.files import cause_of, read_bounded
from capacity._common.progress import Progress
from capacity._compose import Origin, Project, files_of_dotenv, find_files, load_project
from capacity._compose.project import plain_name
from capacity._docker.containers import Container, Host, Inventory, read_container
from capacity._docker.engine import Engine, connect_all, engine_errors, survey
from capacity._docker.events import recent_ends
from capacity._docker.responses import ContainerAnswer
from capacity.compliance._facts.facts import Facts, UnreadProject
from capacity.compliance._facts.gc_pause import gc_paused
from capacity.compliance._facts.hardening_profile import (
    HardeningProfile,
    read_hardening_profile,
    volume_devices,
)
from capacity.errors import (
    CapacityError,
    ComposeError,
    ContainerGone,
    EngineError,
    EngineRefused,
    InputError,
)
from capacity.settings import EngineSettings, Settings

__all__ = ["find_projects", "from_engines", "from_files", "from_snapshot", "read_snapshot"]

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_SKIPPED = {"node_modules", "vendor"}
_UNREADABLE = (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError)


def find_projects(paths: Iterable[str | Path]) -> list[tuple[Path, ...]]:
    """The compose projects that paths name, each as its files; a project that several paths name is
    there once.

    A folder with a compose file is a project, any other folder stands for all projects below it
    (hidden folders left out). A file stands for itself, unless it has one of Compose's own names:
    then its override belongs to it.

    Raises:
        InputError: a folder without any compose file, or no such file.
    """
    found: dict[tuple[Path, ...], None] = {}
    for path in paths:
        place = Path(path)
        for files in _below(place) if place.is_dir() else [_of_file(place)]:
            found[files] = None
    return list(found)


def _below(folder: Path) -> list[tuple[Path, ...]]:
    if any((folder / name).is_file() for name in _NAMES) or files_of_dotenv(folder):
        return [tuple(find_files(folder))]
    homes = []
    for place, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in _SKIPPED]
        own = not {*_NAMES}.isdisjoint(files) or files_of_dotenv(Path(place))
        homes += [Path(place)] if own else []
    if not homes:
        raise InputError(
            f"{folder} and its folders hold no compose file",
            f"Name a file, or a folder with a {_NAMES[0]} in it",
        )
    return [tuple(find_files(home)) for home in sorted(homes)]


def _of_file(file: Path) -> tuple[Path, ...]:
    file = file.absolute()
    if not file.exists():
        raise ComposeError(
            f"Cannot read {file}: there is no such file", "Name a compose file, or a folder of them"
        )
    if any((file.parent / name).is_file() for name in _NAMES) or files_of_dotenv(file.parent):
        beside = tuple(find_files(file.parent))
        if file in beside:
            return beside
    return (file,)


def from_files(paths: Iterable[str | Path]) -> Facts:
    """What compose files declare, services of all profiles included; a project that cannot be
    loaded is named with the reason.

    Raises:
        InputError: a folder without any compose file, or no such file.
    """
    places = [Path(path).absolute() for path in paths]
    named = {*places}
    with gc_paused():
        found = [_loaded(files) for files in find_projects(places)]
    projects = [project for project in found if isinstance(project, Project)]
    parts = {file for project in projects for file in project.sources if file not in project.files}
    projects = [  # what another project includes is a part of that
        project
        for project in projects
        if project.files[0] not in parts or not named.isdisjoint(_names(project.files[0]))
    ]
    return Facts(
        projects=tuple(projects),
        unread=tuple(project for project in found if isinstance(project, UnreadProject)),
        notes=tuple(note for project in projects for note in project.notes),
    )


def _names(file: Path) -> set[Path]:
    """How a person names a project for itself: by its file or by its folder."""
    return {file, file.parent}


def _loaded(files: tuple[Path, ...]) -> Project | UnreadProject:
    name = plain_name(files[0].absolute().parent.name)
    try:
        return load_project(files, profiles="*")
    except CapacityError as error:
        origin = getattr(error, "origin", None)
        place = (origin.file, origin.line) if isinstance(origin, Origin) else (str(files[0]), 1)
        return UnreadProject(name, " ".join(str(error).split()), *place)
    except (*_UNREADABLE, RecursionError) as error:  # the others must be judged all the same
        return UnreadProject(name, f"it cannot be understood ({error!r})", str(files[0]), 1)


def with_settings(facts: Facts, settings: Settings) -> Facts:
    """The facts with what the settings say of services: their types, their cores, what a restart
    loop is.
    """
    return replace(
        facts,
        types=settings.types,
        cores=settings.placement.model_dump(),
        restart_limit=settings.operations.restart_limit,
    )


def from_engines(
    facts: Facts, settings: EngineSettings, progress: Progress | None = None, *, minutes: int
) -> Facts:
    """The facts with what runs on all Engines of the settings, and what ended there in the last
    minutes.

    Raises:
        EngineError: no Engine answers, or one stops answering.
    """
    now = datetime.now(UTC)
    with connect_all(settings) as (engines, unreachable):
        inventory = _surveyed(engines, unreachable, progress)
        devices = {name: _devices(engine) for name, engine in engines.items()}
        asked = [
            (engines[container.host], container.id, devices[container.host])
            for container in inventory.containers
        ]
        with ThreadPoolExecutor(
            max(sum(engine.in_flight for engine in engines.values()), 1)
        ) as pool:
            postures = {
                name: posture for name, posture in pool.map(_posture, asked) if posture is not None
            }
        ends = {engine.host.name: recent_ends(engine, minutes) for engine in engines.values()}
    silent = tuple(
        f"Engine {name} did not answer: {cause}" for name, cause in sorted(unreachable.items())
    )
    return replace(
        facts,
        inventory=inventory,
        postures=postures,
        at=now,
        ends=ends,
        notes=(*facts.notes, *silent),
    )


def _surveyed(
    engines: Mapping[str, Engine], unreachable: Mapping[str, str], progress: Progress | None
) -> Inventory:
    try:
        inventory = survey(engines, unreachable, progress)
        return replace(
            inventory, containers=tuple(_checked(container) for container in inventory.containers)
        )
    except _UNREADABLE as error:
        raise EngineError(
            f"An Engine describes a container unreadably ({error!r})", "Is it a proxy?"
        ) from error


def _devices(engine: Engine) -> dict[str, str]:
    """What named volumes bind; a proxy before the Engine may keep their list to itself."""
    try:
        with engine_errors(engine.host.name, "list its volumes"):
            return volume_devices(engine.api.volumes())
    except (EngineRefused, ContainerGone):
        return {}
    except _UNREADABLE as error:
        raise EngineError(
            f"Engine {engine.host.name} lists its volumes unreadably ({error!r})", "Is it a proxy?"
        ) from error


def _posture(
    place: tuple[Engine, str, Mapping[str, str]],
) -> tuple[str, HardeningProfile | None]:
    engine, container, devices = place
    try:
        with engine_errors(engine.host.name, f"inspect {container}"):
            return container, read_hardening_profile(
                engine.api.inspect_container(container), devices
            )
    except ContainerGone:
        return container, None
    except _UNREADABLE as error:
        raise EngineError(
            f"Engine {engine.host.name} describes {container} unreadably ({error!r})",
            "Is it a proxy?",
        ) from error


def from_snapshot(facts: Facts, file: str | Path, host: str = "snapshot") -> Facts:
    """The facts with containers recorded by `docker inspect $(docker ps -aq) > FILE`.

    Raises:
        InputError: unreadable, or no such record.
    """
    try:
        text = read_bounded(Path(file), 2**30).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"Cannot read the snapshot {file}: {cause_of(error)}", "Record one with docker inspect"
        ) from error
    inventory, postures = read_snapshot(text, str(file), host)
    return replace(facts, inventory=inventory, postures=postures)


def read_snapshot(
    text: str, file: str, host: str = "snapshot"
) -> tuple[Inventory, dict[str, HardeningProfile]]:
    """Containers and their postures from the JSON that `docker inspect` prints.

    Raises:
        InputError: no JSON, or not that of containers.
    """
    hint = "Record one: docker inspect $(docker ps -aq) > snapshot.json"
    try:
        answers = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no JSON: {error}", hint) from error
    if not isinstance(answers, list):
        raise InputError(f"{file} is no list of containers", hint)
    containers: dict[str, Container] = {}
    postures: dict[str, HardeningProfile] = {}
    for number, answer in enumerate(answers):
        try:
            container, posture = _container(answer, host)
        except (*_UNREADABLE, EngineError) as error:
            raise InputError(
                f"{file}: item {number} describes no container ({error!r})", hint
            ) from error
        containers[container.id], postures[container.id] = container, posture
    ordered = tuple(
        sorted(containers.values(), key=lambda container: (container.host, container.name))
    )
    return Inventory((Host(host, file, "", 0, 0, "", ""),), ordered), postures


def _container(answer: ContainerAnswer, host: str) -> tuple[Container, HardeningProfile]:
    # without these everything would look harmless
    for part in (answer["Config"], answer["HostConfig"], answer["State"]):
        if not isinstance(part, dict):
            raise TypeError("Config, HostConfig and State must be mappings")
    if not isinstance(answer["Id"], str) or not isinstance(answer["State"].get("Status"), str):
        raise TypeError("Id and State.Status must be texts")
    return _checked(read_container(host, answer)), read_hardening_profile(answer)


def _checked(container: Container) -> Container:
    """The container if every part is of the kind it should be: a text where a number belongs must
    not pass a rule.
    """
    return _kinds().validate_json(
        json.dumps(asdict(container)), strict=True
    )  # a ValidationError is a ValueError


@cache
def _kinds() -> TypeAdapter[Container]:
    return TypeAdapter(Container)
