"""Back to the compose files of a git revision, service by service: checked before anything stops,
rolled back where it fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capacity._common.files import write_atomically
from capacity._common.progress import note_rollback
from capacity._compose.declared import declarations
from capacity._compose.edit.files import read_bytes
from capacity._docker import lifecycle
from capacity._docker.containers import Container, Inventory
from capacity._docker.engine import Engine, connect_all, survey
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import (
    ContainerBefore,
    FileBackup,
    IntentEntry,
    Kind,
    ProjectFiles,
    RunStart,
    StepIntent,
    StepMode,
)
from capacity.changes._journal.runs import REVISION_RUN
from capacity.changes._result import StepResult
from capacity.changes._rollback.recreate import compose_program, recreate
from capacity.changes._rollback.restore import pending_edits
from capacity.changes._rollback.rollback import roll_back_steps
from capacity.errors import CapacityError, EngineError, EngineRefused, InputError
from capacity.model import StepState
from capacity.operations._dependencies import dependencies, in_order, jobs
from capacity.operations._emergency.git_project import GitProject, project_at_revision
from capacity.operations._emergency.journal import journalled_run
from capacity.operations._readiness import critical_failures, wait_ready
from capacity.settings import Settings

__all__ = ["to_revision"]


@dataclass(frozen=True)
class _Work:
    """What every part of it needs; `newer` are services to stop, `order` those of the revision.

    `pending`: container id -> what the present files say otherwise than it was made, which a way
        back cannot bring back.
    """

    former: GitProject
    engine: Engine
    inventory: Inventory
    newer: list[str]
    order: list[str]
    pending: dict[str, list[str]]

    @property
    def host(self) -> str:
        return self.engine.host.name


def to_revision(
    settings: Settings, file: Path, revision: str, *, dry_run: bool = True
) -> list[StepResult]:
    """Bring a project back to its compose files of a git revision, what others depend on first,
    each healthy before the next.

    All files that the project was started with go back; one that git never had stays as it is, and
    is used. Services that came from these files and that the revision does not have are stopped
    first, and kept. A service keeps as many containers as it has, unless the revision says a
    number.

    Where a service does not come up, a critical one is not well in the end, or somebody interrupts,
    files and containers go back to what they were before. The journal keeps it like any other run:
    `capacity rollback RUN --yes` or `capacity emergency undo --yes` rolls it back later.

    Args:
        settings: Engines, journal, and which services are critical.
        file: a compose file of the project, in a git repository.
        revision: a commit, tag or branch.
        dry_run: read and check everything, and touch nothing.

    Returns:
        one entry a service: `would-stop`, `would-start`, `stopped`, `started`, or `failed` with the
        reason; and `not-back` for what could not be brought back after a failure.

    Raises:
        InputError, ComposeError: the revision cannot be used; nothing was touched.
        ApplyFailed: it failed, and could not be rolled back; the message says how to go on.
        Locked: a plan is being applied.
        EngineError: no Engine answers.
    """
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        former = project_at_revision(file, revision, inventory.containers)
        compose_program()
        needs = {
            f"{former.project.name}/{name}": _needs(former, name)
            for name in former.project.services
        }
        engine = _engine_of(former.project.name, inventory, engines)
        order = in_order(sorted(needs), needs)
        work = _Work(
            former,
            engine,
            inventory,
            _newer(former, inventory),
            order,
            _pending(engine, inventory, order),
        )
        if dry_run:
            return _planned(work)
        with journalled_run(
            settings,
            REVISION_RUN,
            ends=False,
            about=RunStart(revision=revision, file=str(former.file)),
        ) as journal:
            return _carry_out(settings, work, engines, unreachable, journal)


def _pending(engine: Engine, inventory: Inventory, order: list[str]) -> dict[str, list[str]]:
    containers = [container for key in order for container in inventory.of(key)]
    declared = declarations(containers)
    services = {
        container.id: declared[container.project].service(container.service)
        for container in containers
        if container.project in declared
    }
    found = {
        container.id: pending_edits(engine, container, service)
        for container in containers
        if (service := services.get(container.id)) is not None
    }
    return {name: apart for name, apart in found.items() if apart}


def _edited(work: _Work, key: str) -> str:
    """What to know of a service before it is replaced: the rollback is by the present files."""
    names = sorted(
        {
            name
            for container in work.inventory.of(key)
            for name in work.pending.get(container.id, ())
        }
    )
    return (
        f"made before the present files were edited ({', '.join(names)}): a rollback makes it as "
        "these say"
        if names
        else ""
    )


def _planned(work: _Work) -> list[StepResult]:
    back = [path.name for path in work.former.files if _differs(work.former, path)]
    stays = [path.name for path in work.former.files if path not in work.former.texts]
    said = [f"{', '.join(back)} as of then"] * bool(back) + [
        f"{', '.join(stays)} as it is, git does not have it"
    ] * bool(stays)
    stops = [
        StepResult(key, work.host, StepState.WOULD_STOP, container=_names(work.inventory, key))
        for key in work.newer
    ]
    return stops + [
        StepResult(
            key,
            work.host,
            StepState.WOULD_START,
            "; ".join(filter(None, [*said, _edited(work, key)])),
            container=_names(work.inventory, key),
        )
        for key in work.order
    ]


def _carry_out(
    settings: Settings,
    work: _Work,
    engines: Mapping[str, Engine],
    unreachable: Mapping[str, str],
    journal: Journal,
) -> list[StepResult]:
    """All of it, or nothing: the run has its last line only when one of both is reached."""
    try:
        done = _stop_newer(work, journal)
        if all(result.state == StepState.STOPPED for result in done):
            done += _follow(work, journal)
        if not any(result.state == StepState.FAILED for result in done):
            sick = critical_failures(settings, engines, unreachable)
            done += [
                StepResult(service, host, StepState.FAILED, why, container=names)
                for service, host, names, why in sick
            ]
    except BaseException as error:
        back = roll_back_steps(journal, engines, why=f"interrupted: {type(error).__name__}")
        note_rollback(error, whole=all(outcome.state == StepState.UNDONE for outcome in back))
        raise
    if any(result.state == StepState.FAILED for result in done):
        left = [
            outcome
            for outcome in roll_back_steps(journal, engines, why="it failed")
            if outcome.state != StepState.UNDONE
        ]
        return done + [
            StepResult(
                outcome.service, outcome.host, StepState.NOT_BACK, outcome.reason, container="-"
            )
            for outcome in left
        ]
    journal.write(Kind.FINISHED, state="finished")
    return done


def _newer(former: GitProject, inventory: Inventory) -> list[str]:
    """Running services that were made from these files and are not in the former ones, dependents
    before what they need.
    """
    files = {path.resolve() for path in former.files}
    mine = [
        container
        for container in inventory.containers
        if container.project == former.project.name
        and container.running
        and not container.oneoff
        and former.file.resolve()
        in (own := {Path(file).resolve() for file in container.config_files})
        and own <= files
    ]
    keys = sorted({container.key for container in mine if container.service not in former.known})
    return [
        key
        for key in reversed(in_order(keys, dependencies(mine, declarations(mine))))
        if key in keys
    ]


def _stop_newer(work: _Work, journal: Journal) -> list[StepResult]:
    done: list[StepResult] = []
    for number, key in enumerate(work.newer, start=1):
        _announce(number, key, [], work, journal, mode="stop")
        names = _names(work.inventory, key)
        try:
            for container in work.inventory.of(key):
                lifecycle.stop(work.engine, container.id, container.name)
        except EngineError as error:
            journal.write(Kind.FAILED, step=number, service=key, host=work.host, reason=str(error))
            return [
                *done,
                StepResult(key, work.host, StepState.FAILED, str(error), container=names),
            ]
        journal.write(Kind.DONE, step=number, service=key, host=work.host)
        done.append(
            StepResult(
                key, work.host, StepState.STOPPED, "the revision does not have it", container=names
            )
        )
    return done


def _needs(former: GitProject, name: str) -> list[str]:
    wanted = former.project.services[name].depends_on
    return [f"{former.project.name}/{name}" for name in wanted if name in former.project.services]


def _engine_of(project: str, inventory: Inventory, engines: dict[str, Engine]) -> Engine:
    hosts = sorted(
        {container.host for container in inventory.containers if container.project == project}
    )
    if len(hosts) > 1:
        raise InputError(
            f"{project} runs on {', '.join(hosts)}", "Name one Engine in the table [engine]"
        )
    silent = (
        f"; {', '.join(sorted(inventory.unreachable))} does not answer"
        if inventory.unreachable
        else ""
    )
    if not hosts and len(engines) + len(inventory.unreachable) > 1:
        raise InputError(
            f"{project} has no container on {', '.join(engines)}{silent}",
            "Name one Engine in the table [engine]",
        )
    return engines[hosts[0]] if hosts else next(iter(engines.values()))


def _names(inventory: Inventory, key: str) -> str:
    return ", ".join(container.name for container in inventory.of(key)) or "-"


def _differs(former: GitProject, path: Path) -> bool:
    return path in former.texts and former.texts[path] != read_bytes(path)


def _follow(work: _Work, journal: Journal) -> list[StepResult]:
    """The services of the revision, each by the former files."""
    now = {path: read_bytes(path) for path in work.former.files if _differs(work.former, path)}
    files = [
        FileBackup(
            path=str(path),
            before=journal.keep(text),
            after=journal.keep(work.former.texts[path]),
        )
        for path, text in now.items()
    ]
    done: list[StepResult] = []
    for number, key in enumerate(work.order, start=len(work.newer) + 1):
        place: dict[str, Any] = {"step": number, "service": key, "host": work.host}
        intent = _announce(number, key, files, work, journal)
        try:
            for path in now if key == work.order[0] else ():
                write_atomically(path, work.former.texts[path], keep_metadata=True)
                journal.write(Kind.FILE_WRITTEN, **place, path=str(path))
            found = _made(work, key, intent, journal)
        except CapacityError as error:
            journal.write(Kind.FAILED, **place, reason=str(error))
            done.append(StepResult(key, work.host, StepState.FAILED, str(error), container="-"))
            return done
        journal.write(Kind.DONE, **place)
        done.append(
            StepResult(
                key,
                work.host,
                StepState.STARTED,
                container=", ".join(container.name for container in found),
            )
        )
    return done


def _made(work: _Work, key: str, intent: IntentEntry, journal: Journal) -> tuple[Container, ...]:
    """A service as its files say, up and healthy; what is new is named in the journal.

    Raises:
        CapacityError: Compose refused, or it does not come up.
    """
    number = 0 if work.former.says_number(key.partition("/")[2]) else len(intent.detail.containers)
    recreate(intent, work.engine, replicas=number)
    inventory = survey({work.host: work.engine}, {})
    found, job = inventory.of(key), key in jobs(inventory.containers) | work.former.jobs()
    for container in found if intent.detail.mode == "create" else ():
        journal.write(
            Kind.CREATED,
            step=intent.step,
            service=key,
            host=work.host,
            container=container.name,
            id=container.id,
        )
    sick = (wrong for container in found if (wrong := wait_ready(work.engine, container, job=job)))
    wrong = next(sick, "") if found else "it has no container"
    if wrong:
        raise EngineRefused(f"{key} does not come up: {wrong}", "docker logs tells why")
    return found


def _announce(
    number: int,
    key: str,
    files: Sequence[FileBackup],
    work: _Work,
    journal: Journal,
    mode: StepMode = "recreate",
) -> IntentEntry:
    """The same line that an applied change has, so that the same way leads back."""
    containers = tuple(
        ContainerBefore.of(container, work.pending.get(container.id, ()))
        for container in work.inventory.of(key)
    )
    project = ProjectFiles(
        name=work.former.project.name,
        files=tuple(str(path) for path in work.former.files),
        folder=str(work.former.folder),
        env_files=tuple(str(path) for path in work.former.env_files),
    )
    intent = StepIntent(
        mode=mode if containers else "create",
        files=tuple(files),
        containers=containers,
        project=project,
    )
    return journal.announce(number, key, work.host, intent)
