"""Roll a step back: the file without the edit, the containers with their former limits, whatever
happened in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capacity._common.files import digest, write_atomically
from capacity._common.setting_values import show_value
from capacity._compose.edit.files import read_bytes, undo_text
from capacity._docker import lifecycle
from capacity._docker.containers import Container, live_value
from capacity._docker.engine import Engine, inspect
from capacity._docker.update import not_in_force, send_update, update_body
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import FileBackup, IntentEntry, Kind
from capacity.changes._plan.plan import FILE_ONLY
from capacity.changes._rollback.containers import containers_of_service, current_containers
from capacity.changes._rollback.recreate import recreate
from capacity.changes._rollback.restore import IDLE, restore_limits, stop_idle
from capacity.errors import (
    CapacityError,
    ChangeRefused,
    ContainerGone,
    EngineRefused,
    EngineUnreachable,
)
from capacity.model import Setting, Value

__all__ = ["remaining_limits", "undo_step"]


def undo_step(
    intent: IntentEntry,
    engine: Engine,
    journal: Journal,
    *,
    exact: bool = False,
    again: bool = False,
) -> list[str]:
    """Bring file and containers back to what they were before the step, and say so in the journal.

    Args:
        intent: the step's first line.
        engine: where it runs.
        journal: of the run.
        exact: where a limit has to be lifted altogether, make a new container instead of lifting it
            on the old one; where a container uses more than its former memory limit, stop it for
            the change.
        again: start what ran and would have been tried again by its former restart policy, and has
            ended since the step.

    Returns:
        What could not be brought back, one sentence each; empty when all is as before.

    Raises:
        EngineUnreachable: no answer; run it again later.
        StorageError: the journal cannot be written.
    """
    names: dict[str, Any] = {"step": intent.step, "service": intent.service, "host": intent.host}
    journal.write(Kind.UNDOING, **names)
    left: list[str] = []
    for file in intent.detail.files:
        try:
            _restore(Path(file.path), file, journal)
        except CapacityError as error:
            left.append(str(error))
    try:
        left += _containers_back(intent, engine, journal, exact=exact)
        if again and intent.detail.mode == "live":
            _start_again(intent, engine, journal)
    except EngineUnreachable:
        raise
    except CapacityError as error:
        left.append(str(error))
    journal.write(Kind.UNDONE, **names, left=left)
    return left


def _restore(path: Path, file: FileBackup, journal: Journal) -> None:
    now = read_bytes(path)
    if digest(now) == file.before:
        return
    before, after = journal.kept(file.before).decode(), journal.kept(file.after).decode()
    write_atomically(path, undo_text(before, after, now.decode()).encode(), keep_metadata=True)


def _containers_back(
    intent: IntentEntry, engine: Engine, journal: Journal, *, exact: bool
) -> list[str]:
    was = {container.replica: container.before for container in intent.detail.containers}
    touched = [change.what for change in intent.detail.changes if change.what not in FILE_ONLY]
    if intent.detail.mode in {"file", "stop", "recreate"}:
        return _whole_back(intent, engine, journal)
    if intent.detail.mode == "create":
        return _removed(intent, engine, journal)
    if (
        exact
        and intent.detail.project
        and any(before.get(what) is None for before in was.values() for what in touched)
    ):
        recreate(intent, engine, replicas=_number(intent, engine), force=True)
        return []
    left = []
    for now in current_containers(intent, engine):
        before = was.get(now.replica)
        if before is None:
            continue
        wanted = {what: before[what] for what in touched}
        if Setting.MEMORY in wanted or Setting.MEMORY_SWAP in wanted:
            wanted |= {what: before[what] for what in (Setting.MEMORY, Setting.MEMORY_SWAP)}
        if not not_in_force(now, wanted, engine.host):
            continue
        _set_back(engine, now, wanted, exact=exact)
        missing = not_in_force(
            inspect(engine, now.id), {what: wanted[what] for what in touched}, engine.host
        )
        if missing:
            left.append(f"{now.name}: the Engine did not set {', '.join(missing)} back")
    return left


def _set_back(engine: Engine, now: Container, wanted: dict[Setting, Value], *, exact: bool) -> None:
    """Limits as before; a memory limit below what is in use takes a stop."""
    body = update_body(now, wanted, engine.host)
    try:
        send_update(engine, now, body)
    except EngineRefused as error:
        if not (now.running and Setting.MEMORY in wanted):
            raise
        if not exact:
            hint = "--exact stops it, sets the limit and starts it again"
            raise EngineRefused(
                f"{now.name} may use more by now than its former limit: {error.message}", hint
            ) from error
        lifecycle.stop(engine, now.id, now.name)
        try:
            send_update(engine, now, body)
        finally:
            lifecycle.start(engine, now.id, now.name)


def _start_again(intent: IntentEntry, engine: Engine, journal: Journal) -> None:
    """A restart policy that is put back says nothing of a container that has ended meanwhile."""
    for was in intent.detail.containers:
        policy = str(was.before.get(Setting.RESTART_POLICY) or "no")
        if was.seen.state not in {"running", "restarting"} or policy == "no":
            continue
        now = inspect(engine, was.id, was.name)
        if now.state == "exited" and (now.exit_code or not policy.startswith("on-failure")):
            named = {
                "service": intent.service,
                "host": intent.host,
                "container": now.name,
                "id": now.id,
            }
            journal.write(Kind.STARTING, step=intent.step, **named)
            lifecycle.start(engine, now.id, now.name)
            journal.write(Kind.STARTED_AGAIN, step=intent.step, **named)


def _whole_back(intent: IntentEntry, engine: Engine, journal: Journal) -> list[str]:
    """Containers as a whole: the very ones that a step stopped, or new ones where it, or somebody
    else, removed them.
    """
    if intent.detail.mode == "stop":
        ended = any(
            entry.step == intent.step and entry.kind in {Kind.DONE, Kind.FAILED}
            for entry in journal.entries()
        )
        try:
            for before in intent.detail.containers:
                if before.seen.state == "running":
                    if (
                        not ended
                    ):  # the Engine may still be at it, and would end what is started meanwhile
                        lifecycle.stop(engine, before.id, before.name)
                    lifecycle.start(engine, before.id, before.name)
        except ContainerGone:
            recreate(intent, engine, replicas=_number(intent, engine))
    return _made_again(intent, engine) if intent.detail.mode == "recreate" else []


def _made_again(intent: IntentEntry, engine: Engine) -> list[str]:
    """New containers as the former ones were; what the files say otherwise than those were made
    cannot be brought back.
    """
    was = intent.detail.containers
    left = []
    if _replaced(intent, engine):
        recreate(
            intent,
            engine,
            replicas=_number(intent, engine),
            start=any(before.seen.state not in IDLE for before in was),
        )
        left = [
            f"{before.name} was made before the compose files were edited, and is as they say "
            f"now: {', '.join(before.pending)}"
            for before in was
            if before.pending
        ]
    left += restore_limits(intent, engine)
    stop_idle(intent, engine)
    return left


def _replaced(intent: IntentEntry, engine: Engine) -> bool:
    """Whether the containers of the step are not there any more as they were, or others beside
    them.
    """
    try:
        now = [inspect(engine, before.id) for before in intent.detail.containers]
    except ContainerGone:
        return True
    same = all(
        container.name == was.name
        and (container.running or was.seen.state not in {"running", "restarting"})
        for container, was in zip(now, intent.detail.containers, strict=True)
    )
    return not same or _number(intent, engine) != len(containers_of_service(intent, engine))


def _number(intent: IntentEntry, engine: Engine) -> int:
    """How many containers the service is to have: as many as now, unless the step itself may have
    made them more or fewer.
    """
    before = len(intent.detail.containers)
    return len(containers_of_service(intent, engine)) or before if intent.detail.changes else before


def _removed(intent: IntentEntry, engine: Engine, journal: Journal) -> list[str]:
    """Remove what a step made where there was nothing; what somebody else made there since stays,
    and is said.
    """
    lines = [entry for entry in journal.entries() if entry.step == intent.step]
    made = {line.detail.id for line in lines if line.kind is Kind.CREATED}
    whole = not any(
        line.kind is Kind.DONE for line in lines
    )  # it came not so far as to say what it had made
    found = containers_of_service(intent, engine)
    for container in found:
        if whole or container.id in made:
            named: dict[str, Any] = {
                "service": intent.service,
                "host": intent.host,
                "container": container.name,
                "id": container.id,
            }
            journal.write(Kind.REMOVING, step=intent.step, **named)
            lifecycle.remove(engine, container.id, container.name)
            journal.write(Kind.REMOVED, step=intent.step, **named)
    others = [container.name for container in found if not whole and container.id not in made]
    return (
        [f"{', '.join(others)} was made by somebody else since, and stays: remove it yourself"]
        if others
        else []
    )


def remaining_limits(intent: IntentEntry, engine: Engine) -> list[str]:
    """What the Engine shows where nothing was before a step that has been undone: it takes no
    "none" for some limits.
    """
    if intent.detail.mode != "live":
        return []
    was = {container.replica: container.before for container in intent.detail.containers}
    touched = {change.what for change in intent.detail.changes} & {
        Setting.CPUS,
        Setting.CPUSET,
    }
    way = (
        "--exact makes a new container"
        if intent.detail.project
        else "only a new container has none again"
    )
    try:
        now = [current for current in current_containers(intent, engine) if current.replica in was]
    except (ChangeRefused, ContainerGone):
        return []
    return [
        f"{current.name} shows {what} {show_value(what, live_value(current, what))}, which is all "
        f"of {engine.host.name}, where it was"
        f" empty: {way}"
        for current in now
        for what in sorted(touched)
        if not was[current.replica].get(what) and live_value(current, what)
    ]
