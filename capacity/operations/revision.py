"""Back to compose files of a git revision, service by service: checked before anything stops, taken back where it fails."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capacity.changes import lifecycle
from capacity.changes.execute import seen_of
from capacity.changes.files import read_bytes, replace_file
from capacity.changes.journal import Entry, Journal, Kind
from capacity.changes.limits import limits_of
from capacity.changes.recreate import compose_program, recreate
from capacity.changes.rollback import rollback
from capacity.errors import CapacityError, ComposeError, EngineError, EngineRefused, InputError
from capacity.inventory.compose import Project, load_project
from capacity.inventory.containers import Inventory
from capacity.inventory.engine import Engine, connect_all, survey
from capacity.operations.depends import dependencies, in_order, jobs
from capacity.operations.emergency import Stopped, wait_ready
from capacity.operations.record import REVISION, journalled
from capacity.settings import Settings

__all__ = ["Former", "former_project", "to_revision"]

_SECONDS = 60


@dataclass(frozen=True)
class Former:
    """A project as it was: `file` is where it lies now, `text` what it said, `project` what that means.

    `known` are the services of all profiles, also of those that are off.
    """

    file: Path
    text: bytes
    project: Project
    known: frozenset[str]


def former_project(file: Path, revision: str) -> Former:
    """A compose file at a git revision, read and checked.

    Raises:
        InputError: no git, no such revision, or the file was not in it.
        ComposeError: it was not valid then.
    """
    place = file.absolute()
    if place.is_dir() or not place.is_file():
        raise InputError(f"{file} is no file", "Name the compose file itself")
    text = _shown(place, revision)
    with tempfile.TemporaryDirectory(prefix="capacity-") as scratch:
        copy = Path(scratch) / place.name
        copy.write_bytes(text)
        try:
            name = _present_name(place) or load_project([copy], folder=place.parent).name
            project = load_project([copy], name=name, folder=place.parent)
            known = load_project([copy], name=name, folder=place.parent, profiles=("*",)).services
        except ComposeError as error:
            raise ComposeError(f"{file} at {revision} is not valid, nothing was touched: {error}") from error
    if not project.services:
        raise InputError(f"{file} at {revision} has no services", "Name another revision")
    return Former(place, text, project, frozenset(known))


def _present_name(place: Path) -> str | None:
    """What the project is called now; None where the present file cannot be read, which may be why it is to be replaced."""
    try:
        return load_project([place], profiles=("*",)).name
    except ComposeError:
        return None


def _shown(place: Path, revision: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        raise InputError("git is not installed", "Install it, or name a run instead")
    if revision.startswith("-"):
        raise InputError(f"{revision!r} is no revision", "Name a commit, a tag or a branch")
    words = [git, "-C", str(place.parent), "show", f"{revision}:./{place.name}"]
    done = subprocess.run(words, capture_output=True, check=False, timeout=_SECONDS)  # noqa: S603 - words, no shell
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InputError(
            f"git cannot show {place.name} at {revision}: {said[0] if said else 'no reason'}", "`git log` lists them"
        )
    return done.stdout


def to_revision(settings: Settings, file: Path, revision: str, *, dry_run: bool = True) -> list[Stopped]:
    """Bring a project back to its compose file of a git revision, what others depend on first, each healthy before the next.

    Services that came from this file and that the revision does not have are stopped first, and kept.
    Where a service does not come up, or a critical one is not well in the end, file and containers go back to what they were
    before. The journal keeps it like any other run: `capacity rollback RUN` or `capacity emergency undo` takes it back later.

    Args:
        settings: Engines, journal, and which services are critical.
        file: the compose file, in a git repository.
        revision: a commit, tag or branch.
        dry_run: read and check everything, and touch nothing.

    Returns:
        one entry a service: `would-stop`, `would-start`, `stopped`, `started`, or `failed` with the reason.

    Raises:
        InputError, ComposeError: the revision cannot be used; nothing was touched.
        EngineError: no Engine answers.
    """
    former = former_project(file, revision)
    compose_program()
    needs = {f"{former.project.name}/{name}": _needs(former, name) for name in former.project.services}
    order = in_order(sorted(needs), needs)
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        engine = _engine_of(former.project.name, inventory, engines)
        newer = _newer(former, inventory)
        if dry_run:
            plan = [(key, "would-stop") for key in newer] + [(key, "would-start") for key in order]
            return [Stopped(key, engine.host.name, _names(inventory, key), state) for key, state in plan]
        with journalled(settings, REVISION, revision=revision, file=str(former.file)) as journal:
            done = _stop_newer(former, newer, engine, inventory, journal)
            if all(one.state == "stopped" for one in done):
                done += _carry_out(former, order, engine, inventory, journal, len(newer) + 1)
            if not any(one.state == "failed" for one in done):
                done += _critical(settings, engine, engines)
    if any(one.state == "failed" for one in done):
        rollback(journal.run, settings, folder=journal.folder.parent)
    return done


def _newer(former: Former, inventory: Inventory) -> list[str]:
    """Running services that were made from this file alone and are not in the former one, dependents before what they need."""
    mine = [
        one
        for one in inventory.containers
        if one.project == former.project.name
        and one.running
        and not one.oneoff
        and [Path(file).resolve() for file in one.config_files] == [former.file.resolve()]
    ]
    keys = sorted({one.key for one in mine if one.service not in former.known})
    return [key for key in reversed(in_order(keys, dependencies(mine))) if key in keys]


def _stop_newer(former: Former, newer: list[str], engine: Engine, inventory: Inventory, journal: Journal) -> list[Stopped]:
    done: list[Stopped] = []
    for number, key in enumerate(newer, start=1):
        _announce(number, key, [], former, engine, inventory, journal, mode="stop")
        names = _names(inventory, key)
        try:
            for one in inventory.of(key):
                lifecycle.stop(engine, one.id, one.name)
        except EngineError as error:
            journal.write(Kind.FAILED, step=number, service=key, host=engine.host.name, reason=str(error))
            return [*done, Stopped(key, engine.host.name, names, "failed", note=str(error))]
        journal.write(Kind.DONE, step=number, service=key, host=engine.host.name)
        done.append(Stopped(key, engine.host.name, names, "stopped", note="the revision does not have it"))
    return done


def _needs(former: Former, name: str) -> list[str]:
    wanted = former.project.services[name].depends_on
    return [f"{former.project.name}/{one}" for one in wanted if one in former.project.services]


def _engine_of(project: str, inventory: Inventory, engines: dict[str, Engine]) -> Engine:
    hosts = sorted({one.host for one in inventory.containers if one.project == project})
    if len(hosts) > 1:
        raise InputError(f"{project} runs on {', '.join(hosts)}", "Name one Engine in the table [engine]")
    return engines[hosts[0]] if hosts else next(iter(engines.values()))


def _names(inventory: Inventory, key: str) -> str:
    return ", ".join(one.name for one in inventory.of(key)) or "-"


def _carry_out(
    former: Former, order: list[str], engine: Engine, inventory: Inventory, journal: Journal, first: int
) -> list[Stopped]:
    now = read_bytes(former.file)
    files = [{"path": str(former.file), "before": journal.keep(now), "after": journal.keep(former.text)}]
    done: list[Stopped] = []
    for number, key in enumerate(order, start=first):
        intent = _announce(number, key, files if now != former.text else [], former, engine, inventory, journal)
        try:
            if number == first and now != former.text:
                replace_file(former.file, former.text)
                journal.write(Kind.FILE_WRITTEN, step=number, service=key, host=engine.host.name)
            recreate(intent, engine)
            wrong = _sick(key, engine)
            if wrong:
                raise EngineRefused(f"{key} does not come up: {wrong}", "docker logs tells why")
        except CapacityError as error:
            journal.write(Kind.FAILED, step=number, service=key, host=engine.host.name, reason=str(error))
            done.append(Stopped(key, engine.host.name, "-", "failed", note=str(error)))
            return done
        journal.write(Kind.DONE, step=number, service=key, host=engine.host.name)
        done.append(Stopped(key, engine.host.name, _names(survey({engine.host.name: engine}, {}), key), "started"))
    return done


def _announce(
    number: int,
    key: str,
    files: list[dict[str, str]],
    former: Former,
    engine: Engine,
    inventory: Inventory,
    journal: Journal,
    mode: str = "recreate",
) -> Entry:
    """The same line that an applied change has, so that the same way leads back."""
    containers: list[dict[str, Any]] = [
        {
            "id": one.id,
            "name": one.name,
            "replica": one.replica,
            "before": {str(what): value for what, value in limits_of(one).items()},
            "seen": seen_of(one),
        }
        for one in inventory.of(key)
    ]
    project = {"name": former.project.name, "files": [str(former.file)], "folder": str(former.file.parent)}
    return journal.write(
        Kind.INTENT,
        step=number,
        service=key,
        host=engine.host.name,
        mode=mode if containers else "file",
        changes=[],
        files=files,
        containers=containers,
        project=project,
    )


def _sick(key: str, engine: Engine) -> str:
    inventory = survey({engine.host.name: engine}, {})
    found, job = inventory.of(key), key in jobs(inventory.containers)
    return next((wrong for one in found if (wrong := wait_ready(engine, one, job=job))), "") if found else "it has no container"


def _critical(settings: Settings, engine: Engine, engines: dict[str, Engine]) -> list[Stopped]:
    """The critical services that are not well, as failures."""
    inventory = survey(engines, {})
    found = []
    for key in settings.operations.critical:
        well = [wait_ready(engines[one.host], one, 0.0) for one in inventory.of(key)]
        wrong = next((one for one in well if one), "") if well else "it has no container"
        if wrong:
            found.append(Stopped(key, engine.host.name, _names(inventory, key), "failed", note=f"critical, and {wrong}"))
    return found
