"""Emergencies: free a host by stopping what matters least, start what matters most, and bring back what was stopped.

Everything is in the journal first; where the disk is full and no journal can be written, it is kept in memory (`/dev/shm`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from capacity.changes import lifecycle
from capacity.changes.journal import Entry, Journal, Kind, list_runs, open_journal, owner
from capacity.changes.lock import apply_lock
from capacity.errors import EngineError, InputError, StorageError
from capacity.inventory.containers import Container
from capacity.inventory.engine import Engine, connect_all, inspect, survey, usage
from capacity.settings import Settings

__all__ = ["Stopped", "release", "restart_critical", "undo"]

_PRIORITY = "priority"
_LOW = "low"
_MARK = "emergency"
_SPARE = Path("/dev/shm")  # noqa: S108 - survives a full disk; the folder made there is ours alone
_READY_WITHIN = 60.0


@dataclass(frozen=True)
class Stopped:
    """What happened to a container: `state` is stopped, started, would-stop, would-start or failed."""

    service: str
    host: str
    container: str
    state: str
    memory: int = 0
    note: str = ""


def release(
    settings: Settings,
    *,
    memory: float,
    services: str = "*",
    dry_run: bool = True,
    progress: Callable[[Stopped], None] | None = None,
) -> list[Stopped]:
    """Stop containers labelled `priority=low`, those that use most first, until so many bytes are free.

    Args:
        settings: Engines and journal.
        memory: bytes to free on each host, counted by working sets.
        services: only services that fit this glob.
        dry_run: say what would be stopped, and touch nothing.
        progress: told of each container.

    Raises:
        InputError: no running container is labelled so.
        EngineError: no Engine answers.
    """
    tell = progress or (lambda _: None)
    with connect_all(settings.engine) as (engines, unreachable):
        low = [
            one
            for one in survey(engines, unreachable).containers
            if one.running and one.labels.get(_PRIORITY) == _LOW and fnmatchcase(one.key, services)
        ]
        if not low:
            raise InputError("No running container has the label priority=low", "Label what may be stopped")
        used = {one.id: usage(engines[one.host], one.id).memory for one in low}
        chosen: list[Container] = []
        for host in engines:
            freed = 0
            for one in sorted((one for one in low if one.host == host), key=lambda one: (-used[one.id], one.name)):
                if freed >= memory:
                    break
                chosen.append(one)
                freed += used[one.id]
        if dry_run:
            return [Stopped(one.key, one.host, one.name, "would-stop", used[one.id]) for one in chosen]
        with _journalled(settings, "release") as journal:
            found = []
            for number, one in enumerate(chosen):
                found.append(_stop(engines[one.host], journal, number, one, used[one.id]))
                tell(found[-1])
        return found


def _stop(engine: Engine, journal: Journal, number: int, one: Container, used: int) -> Stopped:
    journal.write(Kind.STOPPING, step=number, service=one.key, host=one.host, container=one.name, id=one.id)
    try:
        lifecycle.stop(engine, one.id, one.name)
    except EngineError as error:
        journal.write(Kind.FAILED, step=number, service=one.key, host=one.host, reason=str(error))
        return Stopped(one.key, one.host, one.name, "failed", used, str(error))
    journal.write(Kind.STOPPED, step=number, service=one.key, host=one.host, container=one.name, id=one.id)
    return Stopped(one.key, one.host, one.name, "stopped", used)


def undo(settings: Settings, *, dry_run: bool = True) -> list[Stopped]:
    """Start again what the last emergency stopped, the last one first.

    Raises:
        InputError: nothing was stopped that has not been started again.
        EngineError: no Engine answers.
    """
    runs = [(folder, run, entries) for folder in _folders(settings) for run, entries in list_runs(folder)]
    open_ = [(folder, run, left) for folder, run, entries in runs if (left := _left(entries))]
    if not open_:
        raise InputError("No emergency has stopped anything that is still down", "`capacity journal` lists the runs")
    folder, run, left = max(open_, key=lambda one: one[1])
    if dry_run:
        return [Stopped(one.service, one.host, str(one.detail["container"]), "would-start") for one in reversed(left)]
    found = []
    with connect_all(settings.engine) as (engines, _), closing((journal := open_journal(folder, run)).handle):
        for one in reversed(left):
            found.append(_start(engines.get(one.host), journal, one))
        journal.write(Kind.FINISHED, state="undone" if all(one.state == "started" for one in found) else "failed")
    return found


def _start(engine: Engine | None, journal: Journal, one: Entry) -> Stopped:
    name = str(one.detail["container"])
    if engine is None:
        return Stopped(one.service, one.host, name, "failed", note=f"{one.host} does not answer")
    try:
        lifecycle.start(engine, str(one.detail["id"]), name)
    except EngineError as error:
        return Stopped(one.service, one.host, name, "failed", note=str(error))
    journal.write(Kind.STARTED_AGAIN, step=one.step, service=one.service, host=one.host, container=name, id=one.detail["id"])
    return Stopped(one.service, one.host, name, "started")


def _left(entries: Iterable[Entry]) -> list[Entry]:
    """What a run stopped, or was about to stop, and has not started again."""
    stopping: dict[int | None, Entry] = {}
    for entry in entries:
        if entry.kind is Kind.STOPPING:
            stopping[entry.step] = entry
        elif entry.kind in {Kind.STARTED_AGAIN, Kind.FAILED}:
            stopping.pop(entry.step, None)
    return list(stopping.values())


def restart_critical(settings: Settings, services: Sequence[str], *, dry_run: bool = True) -> list[Stopped]:
    """Start the named services where they are down, what they depend on first, each healthy before the next.

    Args:
        settings: Engines, journal, where compose files are.
        services: `project/service`, in the order that breaks ties.
        dry_run: say what would be started, and touch nothing.

    Raises:
        InputError: a service without a container, or a circle of dependencies.
        EngineError: no Engine answers.
    """
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        order = _in_order(services, _needs(inventory.containers))
        wanted = [one for key in order for one in inventory.of(key)]
        missing = [key for key in services if not inventory.of(key)]
        if missing:
            raise InputError(f"{missing[0]} has no container", "Start it with docker compose up -d")
        down = [one for one in wanted if not one.running]
        if dry_run:
            return [Stopped(one.key, one.host, one.name, "would-start") for one in down]
        found = []
        with _journalled(settings, "restart") as journal:
            for number, one in enumerate(down):
                journal.write(Kind.STARTED_AGAIN, step=number, service=one.key, host=one.host, container=one.name, id=one.id)
                found.append(_bring_up(engines[one.host], one))
        return found


def _bring_up(engine: Engine, one: Container) -> Stopped:
    try:
        lifecycle.start(engine, one.id, one.name)
        now = inspect(engine, one.id, one.name)
        end = time.monotonic() + _READY_WITHIN
        while now.running and now.health == "starting" and time.monotonic() < end:
            time.sleep(0.2)
            now = inspect(engine, one.id, one.name)
    except EngineError as error:
        return Stopped(one.key, one.host, one.name, "failed", note=str(error))
    if not now.running or now.health not in {None, "", "healthy"}:
        return Stopped(one.key, one.host, one.name, "failed", note=f"it is {now.state}, {now.health or 'no health'}")
    return Stopped(one.key, one.host, one.name, "started")


def _needs(containers: Iterable[Container]) -> dict[str, list[str]]:
    """Service -> what it depends on, from the label that Compose puts on containers (`db:service_healthy:false,...`)."""
    found = {}
    for one in containers:
        said = one.labels.get("com.docker.compose.depends_on", "")
        found[one.key] = [f"{one.project}/{part.partition(':')[0]}" for part in said.split(",") if part]
    return found


def _in_order(services: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Dependencies before dependents (depth first)."""
    order: list[str] = []
    path: list[str] = []

    def visit(key: str) -> None:
        if key in order:
            return
        if key in path:
            raise InputError(f"The services depend on each other in a circle: {' -> '.join([*path, key])}", "Break it")
        path.append(key)
        for each in needs.get(key, ()):
            visit(each)
        path.pop()
        order.append(key)

    for service in services:
        visit(service)
    return order


@contextmanager
def _journalled(settings: Settings, what: str) -> Iterator[Journal]:
    """An open run of the journal, in memory where the disk takes nothing more."""
    run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{_MARK}-{what}"
    last: StorageError | None = None
    for folder in _folders(settings):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(folder).free < 1 << 20:
                raise StorageError(f"The disk of {folder} is full")
            with apply_lock(folder), closing((journal := open_journal(folder, run)).handle):
                journal.write(Kind.STARTED, who=owner(), why=f"emergency {what}")
                yield journal
                journal.write(Kind.FINISHED, state="finished")
            return
        except (StorageError, OSError) as error:
            last = error if isinstance(error, StorageError) else StorageError(f"Cannot use {folder}: {error}")
    assert last is not None
    raise last


def _folders(settings: Settings) -> list[Path]:
    """The journal's folder, and the spare one for a full disk."""
    return [settings.apply.journal, _SPARE / "capacity-journal"]
