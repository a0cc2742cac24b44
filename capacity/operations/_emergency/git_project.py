"""A Compose project as it was at a git revision: all its files, read and checked before anything is
touched.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from capacity._common.files import scratch_folder, write_atomically
from capacity._compose import Project, find_files, load_project
from capacity._docker.containers import Container
from capacity.errors import ComposeError, InputError
from capacity.operations._dependencies import COMPLETED

__all__ = ["GitProject", "project_at_revision"]

_SECONDS = 60


@dataclass(frozen=True)
class GitProject:
    """A project as it was.

    Attributes:
        file: the one that was named.
        files: all of the project, in their order.
        texts: what those said that git had then; the others, which git never had, stay as they are.
        folder: what relative paths start from.
        env_files: those that the project was started with.
        project: what all that means.
        known: the services of all profiles, also of those that are off.
    """

    file: Path
    files: tuple[Path, ...]
    texts: dict[Path, bytes]
    folder: Path
    env_files: tuple[Path, ...]
    project: Project
    known: frozenset[str]

    def says_number(self, service: str) -> bool:
        """Whether the files themselves say how many containers a service has."""
        found = self.project.services[service]
        return any(found.where(place) is not None for place in ("scale", "deploy.replicas"))

    def jobs(self) -> set[str]:
        """Services whose end is what others wait for."""
        needs = [service.depends_on for service in self.project.services.values()]
        return {
            f"{self.project.name}/{name}"
            for need in needs
            for name, wanted in need.items()
            if wanted == COMPLETED
        }


@dataclass(frozen=True)
class _Present:
    """A project as it was started; `name` is None where neither containers nor a readable file
    tell.
    """

    name: str | None
    files: tuple[Path, ...]
    folder: Path
    env_files: tuple[Path, ...] = ()


def project_at_revision(
    file: Path, revision: str, containers: Iterable[Container] = ()
) -> GitProject:
    """A project at a git revision, read and checked.

    Args:
        file: a compose file of it.
        revision: a commit, a tag or a branch.
        containers: what runs; their labels tell the project's other files, its folder and its env
            files.

    Raises:
        InputError: no git, no such revision, the file was not in it, or another file of the project
            was not and is now.
        ComposeError: it was not valid then.
    """
    place = file.absolute()
    if place.is_dir() or not place.is_file():
        raise InputError(f"{file} is no file", "Name the compose file itself")
    commit = _commit(place, revision)
    first = _shown(place, revision, commit)
    present = _present(place, containers)
    others = {
        path: _former_text(path, revision, commit, place)
        for path in present.files
        if not _same(path, place)
    }
    texts = {path: first if _same(path, place) else others[path] for path in present.files}
    known = {path: text for path, text in texts.items() if text is not None}
    with _laid_out(known, present.files) as files:
        try:
            read = partial(load_project, files, folder=present.folder, env_files=present.env_files)
            project = read(name=present.name)
            everything = read(name=project.name, profiles=("*",)).services
        except ComposeError as error:
            said = str(error)
            for there, here in zip(files, present.files, strict=True):
                said = said.replace(str(there), str(here))
            raise ComposeError(
                f"{file} at {revision} is not valid, nothing was touched: {said}"
            ) from error
    if not project.services:
        raise InputError(f"{file} at {revision} has no services", "Name another revision")
    return GitProject(
        place,
        present.files,
        known,
        present.folder,
        present.env_files,
        project,
        frozenset(everything),
    )


def _same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def _present(place: Path, containers: Iterable[Container]) -> _Present:
    """The project that a file belongs to: as its containers were started, else as Compose would
    find it.
    """
    mine = [
        container
        for container in containers
        if not container.oneoff and any(_same(Path(file), place) for file in container.config_files)
    ]
    declared = _declared_name(place)
    names = sorted({container.project for container in mine})
    if len(names) > 1 and declared not in names:
        raise InputError(
            f"{place} is the file of {', '.join(names)}",
            "Say which: write its name into the file (name: ...)",
        )
    newest = sorted(
        (container for container in mine if len(names) == 1 or container.project == declared),
        key=lambda container: container.started_at,
    )
    if not newest:
        found = find_files(place.parent)
        return _Present(declared, tuple(found) if found[0] == place else (place,), place.parent)
    container = newest[-1]
    files, folder = (
        tuple(Path(file) for file in container.config_files),
        Path(container.working_dir or place.parent),
    )
    gone = next((path for path in files if not path.is_file()), None)
    if gone is not None:
        raise InputError(
            f"{container.project} was started with {gone}, which is not there",
            "Bring it back first, as with git checkout",
        )
    return _Present(
        container.project,
        files,
        folder,
        tuple(Path(path) for path in container.env_files if Path(path) != folder / ".env"),
    )


def _declared_name(place: Path) -> str | None:
    """What the project is called now; None where the present file cannot be read, which may be why
    it is to be replaced.
    """
    try:
        return load_project([place], profiles=("*",)).name
    except ComposeError:
        return None


@contextmanager
def _laid_out(texts: dict[Path, bytes], files: Iterable[Path]) -> Iterator[list[Path]]:
    """The files with their former texts, in a folder of their own."""
    with scratch_folder() as scratch:
        found = []
        for number, path in enumerate(files):
            copy = scratch / str(number) / path.name
            if path in texts:
                write_atomically(copy, texts[path])
            found.append(copy if path in texts else path)
        yield found


def _former_text(path: Path, revision: str, commit: str, beside: Path) -> bytes | None:
    """What another file of the project said then; None where it is not of the same repository, or
    git never had it.

    Raises:
        InputError: git has it now, and did not have it then.
    """
    root = _git(path, "rev-parse", "--show-toplevel")
    if root.returncode or root.stdout != _git(beside, "rev-parse", "--show-toplevel").stdout:
        return None
    shown = _git(path, "show", f"{commit}:./{path.name}")
    if not shown.returncode:
        return shown.stdout
    if _git(path, "ls-files", "--error-unmatch", "--", path.name).returncode:
        return None
    raise InputError(
        f"{path} belongs to the project now, and {revision} does not have it: nothing was touched",
        "Take it out of the project first (docker compose up without it), or name a revision that "
        f"has {path.name}",
    )


def _git(path: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    git = shutil.which("git")
    if git is None:
        raise InputError("git is not installed", "Install it, or name a run instead")
    return subprocess.run(  # noqa: S603 - words, no shell
        [git, "-C", str(path.parent), *words], capture_output=True, check=False, timeout=_SECONDS
    )


def _commit(place: Path, revision: str) -> str:
    """The commit that a revision names; git's staging area, which an empty name means to it, is
    none.
    """
    if not revision.strip() or revision.startswith("-"):
        raise InputError(f"{revision!r} is no revision", "Name a commit, a tag or a branch")
    done = _git(place, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if done.returncode:
        why = _why(done, f"{revision!r} names no commit")
        raise InputError(
            f"git cannot show {place.name} at {revision}: {why}",
            "Name another; `git log` lists the commits",
        )
    return done.stdout.decode("ascii").strip()


def _shown(place: Path, revision: str, commit: str) -> bytes:
    done = _git(place, "show", f"{commit}:./{place.name}")
    if done.returncode:
        why = _why(done, "no reason").replace(commit, revision)
        raise InputError(
            f"git cannot show {place.name} at {revision}: {why}", "`git log` lists them"
        )
    return done.stdout


def _why(done: subprocess.CompletedProcess[bytes], otherwise: str) -> str:
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return said[0] if said else otherwise
