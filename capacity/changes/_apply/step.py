"""One step: file and containers changed together, each move in the journal before and after, or
both left as they were.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from capacity._common.files import digest, write_atomically
from capacity._common.setting_values import equal, show_value
from capacity._compose.declared import DeclaredProject, declared_value, load_declared
from capacity._compose.edit.files import read_bytes
from capacity._docker.containers import Container, live_value
from capacity._docker.engine import Engine, inspect
from capacity._docker.update import LIVE, not_in_force, send_update, update_body
from capacity.changes._apply.preflight import Step, edited_files
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import (
    ContainerBefore,
    FileBackup,
    IntentEntry,
    Kind,
    ProjectFiles,
    StepIntent,
)
from capacity.changes._plan.plan import FILE_ONLY
from capacity.changes._result import StepResult
from capacity.changes._rollback.recreate import recreate
from capacity.changes._rollback.restore import pending_edits, restore_limits
from capacity.changes._rollback.undo import undo_step
from capacity.errors import CapacityError, ChangeRefused, EngineUnreachable, JournalLost
from capacity.model import ServiceKey, Setting, StepState, Value

__all__ = ["perform_step", "redo_step", "refuse_pending"]

_PENDING = "written to the compose file; takes effect at the next `docker compose up`"


def perform_step(step: Step, engine: Engine, journal: Journal) -> StepResult:
    """Carry a step out.

    Raises:
        EngineUnreachable: the Engine is gone in the middle; the journal says where.
        JournalLost: the journal cannot be written.
    """
    try:
        fresh = _fresh(step, engine)
        proved = _sources(step)
        edits = edited_files(step)
    except EngineUnreachable:
        raise
    except (CapacityError, UnicodeDecodeError) as error:
        journal.write(
            Kind.REFUSED,
            step=step.number,
            service=step.service,
            host=step.host.name,
            reason=str(error),
        )
        return StepResult(
            step.service, step.host.name, StepState.REFUSED, str(error), step=step.number
        )
    intent = _announce(step, fresh, edits, journal)
    return _finish(intent, engine, journal, proved)


def _sources(step: Step) -> dict[Path, str]:
    """The compose files of a step's project, with the hashes of what they say now."""
    project = step.declared.project if step.declared is not None else None
    return {path: digest(read_bytes(path)) for path in (project.sources if project else ())}


def _fresh(step: Step, engine: Engine) -> list[Container]:
    """The containers as they are at this very moment.

    Raises:
        ChangeRefused: somebody changed them since the plan was checked, or new ones would bring
            more than the plan along.
        ContainerGone: one does not exist any more.
    """
    fresh = [inspect(engine, container.id, container.name) for container in step.containers]
    for before, now in zip(step.containers, fresh, strict=True):
        other = [
            change
            for change in step.changes
            if change.what in LIVE
            and not equal(change.what, live_value(now, change.what), change.before)
        ]
        if other:
            shown = show_value(other[0].what, live_value(now, other[0].what))
            raise ChangeRefused(
                f"{now.name}: {other[0].what} has become {shown} meanwhile", "Make a new plan"
            )
        if before.name != now.name:
            raise ChangeRefused(f"{before.name} is called {now.name} now", "Take a new snapshot")
    refuse_pending(step, engine)
    return fresh


def refuse_pending(step: Step, engine: Engine) -> None:
    """Refuse new containers that would bring an edit along which nobody has brought up yet.

    Raises:
        ChangeRefused: the compose files say otherwise than a container was made.
        EngineError: no answer.
    """
    service = (
        step.declared.service(ServiceKey.parse(step.service).service)
        if step.declared is not None
        else None
    )
    if service is None or step.mode != "recreate":
        return
    for container in step.containers:
        apart = pending_edits(engine, container, service)
        if apart:
            said = (
                f"{container.name} was made before its compose files were edited "
                f"({', '.join(apart)}), and that would come along"
            )
            raise ChangeRefused(
                said, "Bring the edit up first with docker compose up -d, or take it out"
            )


def _announce(
    step: Step, fresh: list[Container], edits: Mapping[Path, tuple[str, str]], journal: Journal
) -> IntentEntry:
    """Everything that is needed to go on or back, on disk before anything is touched."""
    files = tuple(
        FileBackup(
            path=str(path), before=journal.keep(before.encode()), after=journal.keep(after.encode())
        )
        for path, (before, after) in edits.items()
        if before != after
    )
    intent = StepIntent(
        mode=step.mode,
        changes=tuple(step.changes),
        files=files,
        containers=tuple(ContainerBefore.of(container) for container in fresh),
        project=project_files(step.declared) if step.declared else None,
    )
    return journal.announce(step.number, step.service, step.host.name, intent)


def project_files(declared: DeclaredProject) -> ProjectFiles:
    """What Compose is told of a project."""
    return ProjectFiles(
        name=declared.name,
        files=tuple(str(path) for path in declared.files),
        folder=str(declared.folder or declared.files[0].parent),
        env_files=tuple(str(path) for path in declared.env_files),
    )


def _finish(
    intent: IntentEntry, engine: Engine, journal: Journal, proved: Mapping[Path, str] | None = None
) -> StepResult:
    """From an intent to its result; a failure is rolled back at once.

    Args:
        intent: the step.
        engine: where it runs.
        journal: of the run.
        proved: the compose files beside which the edit has been proved, by their hashes.

    Raises:
        EngineUnreachable: it cannot even be rolled back.
        JournalLost: the journal cannot be written.
    """
    names: dict[str, Any] = {"step": intent.step, "service": intent.service, "host": intent.host}
    try:
        _write_files(intent, journal, proved or {})
        if intent.detail.mode == "recreate":
            recreate(intent, engine, replicas=len(intent.detail.containers))
            journal.write(Kind.RECREATED, **names)
            _hold(intent, engine)
        elif intent.detail.mode == "live":
            _update(intent, engine, journal)
    except (EngineUnreachable, JournalLost):
        raise
    except CapacityError as error:
        journal.write(Kind.FAILED, **names, reason=str(error))
        undo_step(intent, engine, journal)
        return StepResult(
            intent.service,
            intent.host,
            StepState.FAILED,
            str(error),
            step=intent.step or 0,
            entry=intent,
        )
    journal.write(Kind.DONE, **names)
    is_file = intent.detail.mode == "file"
    waits = [change.what for change in intent.detail.changes if is_file or change.what in FILE_ONLY]
    pending = f"{', '.join(waits)}: {_PENDING}" if waits else ""
    return StepResult(
        intent.service, intent.host, StepState.DONE, pending, step=intent.step or 0, entry=intent
    )


def _hold(intent: IntentEntry, engine: Engine) -> None:
    """What was in force and is not what the step changes stays in force, whatever the files say of
    it.

    Raises:
        EngineError: refused, or no answer.
        ChangeRefused: the Engine said yes and did not do it.
    """
    left = restore_limits(intent, engine, intent.detail.settings)
    if left:
        raise ChangeRefused("; ".join(left), "See its log")


def redo_step(intent: IntentEntry, engine: Engine, journal: Journal) -> StepResult:
    """Go on with a step that a crash interrupted: every move of it may be done twice."""
    return _finish(intent, engine, journal)


def _write_files(intent: IntentEntry, journal: Journal, proved: Mapping[Path, str]) -> None:
    """Put the edited texts in place, each only over the text that it was made from.

    Raises:
        ChangeRefused: somebody changed a file, or it means something else than intended.
        StorageError: unwritable; it is as it was.
    """
    for file in intent.detail.files:
        path = Path(file.path)
        now = digest(read_bytes(path))
        if now not in {file.before, file.after}:
            raise ChangeRefused(
                f"{path} has been changed by somebody since this step began", "Make the plan again"
            )
        if now != file.after:
            write_atomically(path, journal.kept(file.after), keep_metadata=True)
        journal.write(
            Kind.FILE_WRITTEN,
            step=intent.step,
            service=intent.service,
            host=intent.host,
            path=str(path),
        )
    if _may_be_overridden(intent, journal) and not _stands(intent, proved):
        _check_meaning(intent)


def _stands(intent: IntentEntry, proved: Mapping[Path, str]) -> bool:
    """Whether what was proved of the whole project still is: no other file of it has changed
    since.
    """
    written = {Path(file.path) for file in intent.detail.files}
    return bool(proved) and all(
        digest(read_bytes(path)) == said for path, said in proved.items() if path not in written
    )


def _may_be_overridden(intent: IntentEntry, journal: Journal) -> bool:
    """Whether another file may have the last word; in a project of one file the edit itself has
    proved what it means.
    """
    texts = [journal.kept(file.after) for file in intent.detail.files]
    return bool(texts) and (
        (intent.detail.project is not None and len(intent.detail.project.files) > 1)
        or any(re.search(rb"include|extends", text) for text in texts)
    )


def _check_meaning(intent: IntentEntry) -> None:
    """The whole project, overrides and all, must now declare what was intended."""
    project = intent.detail.project
    assert project is not None
    declared = load_declared(project.name, project.files, project.folder, project.env_files)
    service = declared.service(ServiceKey.parse(intent.service).service)
    if service is None:
        raise ChangeRefused(
            f"The edited compose file is refused: {declared.missing}",
            "It is put back; edit it by hand",
        )
    for change in intent.detail.changes:
        what = change.what
        value = declared_value(service, what)[0]
        if what in {Setting.HOST_PORT, Setting.HEALTH_CHECK, Setting.RESTART_POLICY}:
            continue  # edit_compose has proved these; Compose prints them in other words
        wanted: Any = change.after
        if isinstance(wanted, dict) and isinstance(value, dict):
            value = {name: value.get(name) for name in wanted}
            wanted = {name: _text(part) for name, part in wanted.items()}
        if value != wanted:
            raise ChangeRefused(
                f"Another compose file of {project.name} overrides {what}: it stays {value}",
                "Edit that file",
            )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _update(intent: IntentEntry, engine: Engine, journal: Journal) -> None:
    """Change the containers, and look whether the Engine has really taken it.

    Raises:
        EngineError: refused, gone, no answer.
        ChangeRefused: it said yes and did not do it.
    """
    wanted = {change.what: change.after for change in intent.detail.changes}
    live: dict[Setting, Value] = {
        what: value for what, value in wanted.items() if what not in FILE_ONLY
    }
    for container in intent.detail.containers if live else []:
        now = inspect(engine, container.id, container.name)
        send_update(engine, now, update_body(now, live, engine.host))
        left = not_in_force(inspect(engine, container.id, container.name), live, engine.host)
        if left:
            raise ChangeRefused(
                f"{now.name}: the Engine said yes, but did not set {', '.join(left)}", "See its log"
            )
        journal.write(
            Kind.UPDATED,
            step=intent.step,
            service=intent.service,
            host=intent.host,
            container=now.name,
            id=now.id,
        )
