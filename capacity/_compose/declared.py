"""What the compose files behind running containers declare, with the place of every value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from capacity._compose.load.load import reader_of
from capacity._compose.project import Project, find_files, load_project, plain_name
from capacity._compose.service import Service
from capacity._compose.setting_paths import SETTING_PATHS, declared_setting
from capacity._compose.yaml.nodes import Origin
from capacity._docker.containers import Container
from capacity.errors import ComposeError
from capacity.model import Setting, Value

__all__ = ["DeclaredProject", "declarations", "declared_value", "load_declared", "load_named"]


@dataclass(frozen=True)
class DeclaredProject:
    """The compose project behind containers, or why it cannot be read; all paths are absolute, in
    Compose's order.
    """

    name: str
    files: tuple[Path, ...]
    folder: Path | None
    project: Project | None = None
    missing: str = ""
    env_files: tuple[Path, ...] = ()

    def service(self, name: str) -> Service | None:
        """The service of that name."""
        return self.project.services.get(name) if self.project else None


def load_declared(
    name: str,
    files: Iterable[str | Path],
    folder: str | Path | None,
    env_files: Iterable[str | Path] = (),
    texts: Mapping[Path, str] | None = None,
) -> DeclaredProject:
    """Read a project; what cannot be read is said in `missing`, nothing is raised.

    Args:
        name: of the project.
        files: its compose files, in their order.
        folder: that relative paths start from.
        env_files: of `--env-file`.
        texts: compose file -> text that stands for what is on disk.
    """
    known = texts or {}
    paths, home = tuple(Path(file) for file in files), Path(folder) if folder else None
    variables = tuple(
        path for path in map(Path, env_files) if home is None or path != home / ".env"
    )  # read where it exists
    if not paths:
        return DeclaredProject(
            name, paths, home, missing="its containers do not name their compose files"
        )
    absent = next(
        (path for path in (*paths, *variables) if path not in known and not path.is_file()), None
    )
    if absent is not None:
        return DeclaredProject(name, paths, home, missing=f"{absent} is not on this machine")
    try:
        project = load_project(
            paths,
            name=name,
            folder=home,
            profiles=("*",),
            env_files=variables,
            read=reader_of(known),
        )
    except ComposeError as error:
        return DeclaredProject(name, paths, home, missing=str(error))
    return DeclaredProject(name, paths, home, project, env_files=variables)


def load_named(place: Path) -> DeclaredProject:
    """The project of a folder or file under its own name; what cannot be read is said in
    `missing`.

    Raises:
        ComposeError: a folder without a compose file.
    """
    files = find_files(place)
    home = files[0].parent
    try:
        project = load_project(files, profiles=("*",))
    except ComposeError as error:
        return DeclaredProject(plain_name(home.name), tuple(files), home, missing=str(error))
    return DeclaredProject(project.name, project.files, home, project)


def declarations(
    containers: Iterable[Container], elsewhere: Mapping[str, Path] | None = None
) -> dict[str, DeclaredProject]:
    """Project -> what its files declare, for all Compose projects among the containers.

    Args:
        containers: their labels name files and folder.
        elsewhere: project -> compose file, where the files of another machine lie here.
    """
    elsewhere = elsewhere or {}
    found: dict[str, DeclaredProject] = {}
    for newest in sorted(
        containers, key=lambda container: container.started_at, reverse=True
    ):  # the newest labels count
        if newest.composed and not newest.oneoff and newest.project not in found:
            own = elsewhere.get(newest.project)
            files, folder = (
                ((own,), own.parent) if own else (newest.config_files, newest.working_dir)
            )
            found[newest.project] = load_declared(
                newest.project, files, folder, () if own else newest.env_files
            )
    return found


def declared_value(service: Service, what: Setting) -> tuple[Value, Origin | None]:
    """What the files say, None where they say nothing, and where; memory in bytes, CPU in cores."""
    places = (service.where(home) for home in SETTING_PATHS[what])
    origin = next((found for found in places if found is not None), None)
    return declared_setting(service.model, what), origin
