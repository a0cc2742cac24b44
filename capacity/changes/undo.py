"""Take a step back: the file without the edit, the containers with their former limits, whatever happened in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capacity.changes import lifecycle
from capacity.changes.files import read_bytes, replace_file, undo_text
from capacity.changes.journal import Entry, Journal, Kind, digest
from capacity.changes.limits import not_in_force, send_update, update_body
from capacity.changes.plan import FILE_ONLY
from capacity.changes.recreate import recreate
from capacity.errors import CapacityError, ChangeRefused, ContainerGone, EngineUnreachable
from capacity.inventory.containers import Container
from capacity.inventory.engine import Engine, engine_errors, inspect
from capacity.model import ServiceKey, What

__all__ = ["containers_now", "undo"]


def undo(intent: Entry, engine: Engine, journal: Journal, *, exact: bool = False, again: bool = False) -> list[str]:
    """Bring file and containers back to what they were before the step, and say so in the journal.

    Args:
        intent: the step's first line.
        engine: where it runs.
        journal: of the run.
        exact: where a limit has to be lifted altogether, make a new container instead of lifting it on the old one.
        again: start what ran and would have been tried again by its former restart policy, and has ended since the step.

    Returns:
        What could not be brought back, one sentence each; empty when all is as before.

    Raises:
        EngineUnreachable: no answer; run it again later.
        StorageError: the journal cannot be written.
    """
    names: dict[str, Any] = {"step": intent.step, "service": intent.service, "host": intent.host}
    journal.write(Kind.UNDOING, **names)
    left: list[str] = []
    for file in intent.detail["files"]:
        try:
            _restore(Path(file["path"]), file, journal)
        except CapacityError as error:
            left.append(str(error))
    try:
        left += _containers_back(intent, engine, exact=exact)
        if again and intent.detail["mode"] == "live":
            _start_again(intent, engine, journal)
    except EngineUnreachable:
        raise
    except CapacityError as error:
        left.append(str(error))
    journal.write(Kind.UNDONE, **names, left=left)
    return left


def _restore(path: Path, file: dict[str, str], journal: Journal) -> None:
    now = read_bytes(path)
    if digest(now) == file["before"]:
        return
    before, after = journal.kept(file["before"]).decode(), journal.kept(file["after"]).decode()
    replace_file(path, undo_text(before, after, now.decode()).encode())


def _containers_back(intent: Entry, engine: Engine, *, exact: bool) -> list[str]:
    was = {container["replica"]: container["before"] for container in intent.detail["containers"]}
    touched = [What(change["what"]) for change in intent.detail["changes"] if change["what"] not in FILE_ONLY]
    lifted = any(before.get(what) is None for before in was.values() for what in touched)
    if intent.detail["mode"] in {"file", "stop", "recreate"}:
        _whole_back(intent, engine)
        return []
    if exact and lifted and intent.detail["project"]:
        recreate(intent, engine, force=True)
        return []
    left = []
    for now in containers_now(intent, engine):
        before = was.get(now.replica)
        if before is None:
            continue
        wanted = {what: before[what] for what in touched}
        if What.MEMORY in wanted or What.MEMORY_SWAP in wanted:
            wanted |= {what: before[what] for what in (What.MEMORY, What.MEMORY_SWAP)}
        if not not_in_force(now, wanted, engine.host):
            continue
        send_update(engine, now, update_body(now, wanted, engine.host))
        missing = not_in_force(inspect(engine, now.id), {what: wanted[what] for what in touched}, engine.host)
        if missing:
            left.append(f"{now.name}: the Engine did not set {', '.join(missing)} back")
    return left


def _start_again(intent: Entry, engine: Engine, journal: Journal) -> None:
    """A restart policy that is put back says nothing of a container that has ended meanwhile."""
    for was in intent.detail["containers"]:
        policy = str(was["before"].get(What.RESTART_POLICY) or "no")
        if was["seen"]["state"] not in {"running", "restarting"} or policy == "no":
            continue
        now = inspect(engine, was["id"], was["name"])
        if now.state == "exited" and (now.exit_code or not policy.startswith("on-failure")):
            named = {"service": intent.service, "host": intent.host, "container": now.name, "id": now.id}
            journal.write(Kind.STARTING, step=intent.step, **named)
            lifecycle.start(engine, now.id, now.name)
            journal.write(Kind.STARTED_AGAIN, step=intent.step, **named)


def _whole_back(intent: Entry, engine: Engine) -> None:
    """Containers as a whole: the very ones that a step stopped, or new ones where it, or somebody else, removed them."""
    if intent.detail["mode"] == "recreate" and _replaced(intent, engine):
        recreate(intent, engine)
    if intent.detail["mode"] == "stop":
        try:
            for one in intent.detail["containers"]:
                if one["seen"]["state"] == "running":
                    lifecycle.start(engine, one["id"], one["name"])
        except ContainerGone:
            recreate(intent, engine)


def _replaced(intent: Entry, engine: Engine) -> bool:
    """Whether a container of the step is not there any more as it was."""
    try:
        now = [inspect(engine, one["id"]) for one in intent.detail["containers"]]
    except ContainerGone:
        return True
    return any(one.name != was["name"] or not one.running for one, was in zip(now, intent.detail["containers"], strict=True))


def containers_now(intent: Entry, engine: Engine) -> list[Container]:
    """The containers of a step as they are; those that were replaced are found by their service.

    Raises:
        ChangeRefused: none of them exists any more.
    """
    try:
        return [inspect(engine, one["id"]) for one in intent.detail["containers"]]
    except ContainerGone:
        pass
    key = ServiceKey.parse(intent.service)
    with engine_errors(engine.host.name, "list its containers"):
        everything = [inspect(engine, one["Id"]) for one in engine.api.containers(all=True)]
    replicas = {one["replica"] for one in intent.detail["containers"]}
    found = [one for one in everything if one.key == str(key) and not one.oneoff and one.replica in replicas]
    if not found:
        raise ChangeRefused(f"{intent.service} has no container any more", "Nothing is left to bring back there")
    return found
