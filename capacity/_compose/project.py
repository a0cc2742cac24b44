"""A compose project as one object: `load_project("shop/")`."""

from __future__ import annotations

import collections.abc
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from capacity._compose.check.consistency import check_consistency
from capacity._compose.check.validate import newer_keys
from capacity._compose.load.dotenv import read_env_file
from capacity._compose.load.interpolate import interpolate
from capacity._compose.load.load import LoadOptions, Reader, load_model, read_text
from capacity._compose.load.normalize import settle
from capacity._compose.render.model import ProjectModel
from capacity._compose.render.render import render_config
from capacity._compose.service import Service, make_service
from capacity._compose.yaml.nodes import Mapping, Origin, Scalar, parse_documents, target
from capacity._compose.yaml.tree import Map, where
from capacity.errors import ComposeError

__all__ = ["Project", "files_of_dotenv", "find_files", "load_project", "plain_name"]

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


@dataclass(frozen=True)
class Project:
    """What a set of compose files declares.

    Attributes:
        name: the project's name.
        files: the files, in the order in which they were laid on each other.
        sources: every compose file that was read, those of `include` and `extends` too.
        services: the services of the profiles asked for, by name.
        model: the whole as `docker compose config --format json` prints it, with every dollar sign
            single.
        notes: keys that only a newer Compose knows, with their places; they are passed through.
    """

    name: str
    files: tuple[Path, ...]
    sources: tuple[Path, ...]
    services: dict[str, Service]
    model: ProjectModel = field(repr=False)
    _tree: Map = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()

    def where(self, path: str) -> Origin | None:
        """Where a value such as `networks.front.driver` stands; None when no file says it."""
        return where(self._tree, path.split("."))


def load_project(
    files: str | Path | Iterable[str | Path],
    *,
    environment: collections.abc.Mapping[str, str] | None = None,
    profiles: Iterable[str] = (),
    name: str | None = None,
    folder: str | Path | None = None,
    env_files: Iterable[str | Path] = (),
    read: Reader = read_text,
) -> Project:
    """Read compose files as Compose v2 does.

    Args:
        files: a folder, in which the files have Compose's own names, or one file or several in the
            order of `-f`.
        environment: variables for interpolation; those of this process by default. `.env` in the
            folder comes below them. Its HOME is what `~` in a path stands for; without one `~` is a
            name like any other, as in Compose.
        profiles: profiles to switch on; `*` for all.
        name: the project's name; from the files or the folder by default.
        folder: what relative paths start from; the folder of the first file by default.
        env_files: read in the place of `.env`, the later ones over the earlier, as `--env-file`
            does.
        read: gives the text of a compose file; from the disk by default.

    Raises:
        ComposeError: unreadable, or refused by Compose too; the message names file, line, cause and
            next step.
    """
    paths = (
        find_files(Path(files))
        if isinstance(files, (str, Path))
        else [Path(file).absolute() for file in files]
    )
    home = Path(folder).absolute() if folder is not None else paths[0].parent
    variables = _variables(
        home, [Path(file) for file in env_files], os.environ if environment is None else environment
    )
    sources: dict[Path, None] = {}

    def noted(file: Path) -> str:
        sources[file] = None
        return read(file)

    project = name or _own_name(paths, home, variables, noted)
    variables["COMPOSE_PROJECT_NAME"] = project
    options = LoadOptions(home, variables, user_home=variables.get("HOME", ""), read=noted)
    loaded = load_model(paths, options)
    declared = frozenset(loaded.get("services") or ())
    tree = settle(loaded, project, variables, tuple(profiles))
    model = render_config(tree)
    check_consistency(tree, model, declared)
    services = {
        service: make_service(service, tree, model["services"][service])
        for service in model["services"]
    }
    notes = tuple(
        f"{origin or paths[0]}: {'.'.join(path)} is a key of a newer Compose, and is not looked at"
        for path, origin in newer_keys(loaded)
    )
    return Project(project, tuple(paths), tuple(sources), services, model, tree, notes)


def _variables(
    home: Path, env_files: list[Path], outside: collections.abc.Mapping[str, str]
) -> dict[str, str]:
    """Variables for interpolation: of the env files, and over them those from outside."""
    dotenv: dict[str, str] = {}
    for file in env_files or [home / ".env"]:
        if env_files or file.is_file():
            dotenv |= read_env_file(file, {**dotenv, **outside})
            if "" in dotenv:
                raise ComposeError(f"{file}: a value has no name", "Write one NAME=value a line")
    return {**dotenv, **outside}


def find_files(place: Path) -> list[Path]:
    """The compose files of a folder: those that `COMPOSE_FILE` in its `.env` names, else the first
    of Compose's names and its override. A file stands for itself.

    Raises:
        ComposeError: there is none.
    """
    place = place.absolute()
    if not place.is_dir():
        return [place]
    named = files_of_dotenv(place)
    if named:
        return named
    found = [place / name for name in _NAMES if (place / name).is_file()]
    if not found:
        raise ComposeError(f"{place} holds no compose file", f"Name a file, or create {_NAMES[0]}")
    overrides = [place / name for name in _OVERRIDES if (place / name).is_file()]
    return [found[0], *overrides[:1]]


def files_of_dotenv(folder: Path) -> list[Path]:
    """The compose files that `COMPOSE_FILE` in a folder's `.env` names, absolute; none where it
    names none, or is not to be read: `load_project` says why.
    """
    dotenv = folder / ".env"
    try:
        said = read_env_file(dotenv, {}) if dotenv.is_file() else {}
    except ComposeError:
        return []
    names = said.get("COMPOSE_FILE", "").split(said.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
    return [folder / name for name in names if name]


def _own_name(
    files: list[Path], home: Path, variables: collections.abc.Mapping[str, str], read: Reader
) -> str:
    """The project's name: `COMPOSE_PROJECT_NAME` unchanged, else the `name` in the files, else the
    folder's name; Compose makes the last two lower case and drops what a name cannot hold.

    Raises:
        ComposeError: the variable is no project name, or nothing is left of the others.
    """
    asked = variables.get("COMPOSE_PROJECT_NAME", "")
    if asked:
        if plain_name(asked) != asked:
            raise ComposeError(
                f"{home}: COMPOSE_PROJECT_NAME is {asked!r}, which Compose takes for no project "
                "name",
                "Use lowercase letters, digits, - and _, and begin with a letter or digit",
            )
        return asked
    declared = _declared_name(files, variables, read) or home.name
    name = plain_name(declared)
    if not name:
        raise ComposeError(f"{home}: no project name can be made of {declared!r}", "Give a name")
    return name


def _declared_name(
    files: list[Path], variables: collections.abc.Mapping[str, str], read: Reader
) -> str:
    name = ""
    for file in files:
        for node in parse_documents(read(file), str(file)):
            root = target(node)
            found = target(root.get("name")) if isinstance(root, Mapping) else None
            name = (found.text if isinstance(found, Scalar) else "") or name
    return str(interpolate(name, variables, ("name",)))


def plain_name(name: str) -> str:
    """The name that Compose gives a project after a folder; empty where it makes none of it."""
    return "".join(re.findall(r"[a-z0-9_-]", name.lower())).lstrip("_-")
