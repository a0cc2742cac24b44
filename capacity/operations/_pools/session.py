"""A pool that is open: its Engine, its locks, its journal, and what is done with its instances."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capacity._common.container_names import identify_container
from capacity._docker import lifecycle
from capacity._docker.addresses import chosen_hosts
from capacity._docker.containers import Container
from capacity._docker.engine import Engine, inspect
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Kind
from capacity.errors import CapacityError, ContainerGone, InputError, PoolUnhealthy
from capacity.operations._pools.containers import (
    KEEP,
    POOL_LABEL,
    SIZE,
    SLOT,
    foreign,
    healthy,
    instance_name,
    instances_of,
    pool_engine,
    refuse_foreign,
    remember,
    remembered,
    remove_instance,
    remove_unused,
    slot_of,
    stands,
)
from capacity.operations._pools.journal import (
    AnyJournal,
    ProgramJournal,
    journal_folder,
    program_journal,
)
from capacity.operations._pools.leases import (
    exclusive,
    lease,
    leased,
    member,
    note,
    noted,
    retire,
    slot_lock,
)
from capacity.operations._pools.locks import LockFolder, place_of, refuse_elsewhere
from capacity.operations._pools.spec import PoolSpec, check_host, check_pool, check_size
from capacity.settings import EngineSettings, load_settings

__all__ = ["Instance", "PoolSession", "PoolState", "open_pool", "slot_states"]

_PAUSE = 0.1
# seconds for which the Engine's word is taken: who leases faster than that need not ask it each
# time
_TRUSTED = 0.05


@dataclass(frozen=True)
class Instance:
    """A leased instance: `number` from 0, the container's id and name."""

    number: int
    id: str
    name: str


@dataclass(frozen=True)
class PoolState:
    """One slot: `state` of its container (`missing` without one), health, and whether somebody has
    a lease on it.

    `leased` is None where only another user or machine can tell.
    """

    number: int
    name: str
    state: str
    health: str | None
    leased: bool | None


def slot_states(
    name: str, size: int, found: Iterable[Container], place: LockFolder
) -> list[PoolState]:
    """Every slot of a pool, also those whose instance is missing.

    Args:
        name: of the pool.
        size: how many slots.
        found: the instances there are.
        place: the locks that we see.
    """
    here = {slot_of(container): container for container in found}
    states = []
    for slot, held in enumerate(leased(place.folder, size)):
        container = here.get(slot)
        if container is None:
            states.append(PoolState(slot, instance_name(name, slot), "missing", None, held))
        else:
            seen = held if place.guards(container) else None
            state = (container.name, container.state, container.health, seen)
            states.append(PoolState(slot, *state))
    return states


@contextmanager
def open_pool(
    spec: PoolSpec, journal: Journal | Path | None = None, *, as_it_stands: bool = False
) -> Iterator[PoolSession]:
    """Connect to a pool, and see to it that all its instances run; whoever leaves last removes
    them.

    Args:
        spec: what it is to be.
        journal: an open run, the folder of a journal, or None for that of the settings.
        as_it_stands: take a pool that is there, whatever it is.

    Raises:
        InputError: another container has the name of an instance, the host cannot hold them, or a
            pool of this name stands that is not the same, or another user's or machine's.
        EngineError: no answer.
        PoolUnhealthy: an instance does not become healthy.
    """
    settings = spec.settings or load_settings().engine
    with ExitStack() as stack:
        engine = stack.enter_context(pool_engine(settings))
        place = place_of(spec.name, engine)
        folder = journal_folder(journal)
        book: AnyJournal = (
            journal
            if isinstance(journal, Journal)
            else stack.enter_context(program_journal(folder, "pool-use", spec.name))
        )
        if not spec.keep:
            stack.enter_context(_watched(place, spec.name, settings, folder))
            stack.callback(_leave, engine, place, spec.name, book)
        users = stack.enter_context(member(place.users))
        session = PoolSession(spec, engine, place, book, users, spec.size)
        session.join(as_it_stands=as_it_stands)
        yield session


@contextmanager
def _watched(
    place: LockFolder, name: str, settings: EngineSettings, journal: Path | None
) -> Iterator[None]:
    """A watcher process that outlives this one, and removes the pool where we cannot.

    The block ends after our own lock is gone: so the watcher is told that it need not wait for it.
    """
    files = {key: getattr(settings, key) for key in ("ca_file", "client_cert", "client_key")}
    absolute = {key: file.absolute() for key, file in files.items() if file is not None}
    words = [str(place.users), name, place.id, str(journal or "")]
    # as chosen now, for another docker context may be chosen later
    changed = {"hosts": chosen_hosts(settings), **absolute}
    words.append(settings.model_copy(update=changed).model_dump_json())
    command = [sys.executable, "-m", "capacity.operations._pools.watcher", *words]
    watcher = subprocess.Popen(  # noqa: S603 - words, no shell
        command, stdin=subprocess.PIPE, start_new_session=True, cwd="/"
    )
    assert watcher.stdin is not None
    try:
        yield
    finally:
        with suppress(BrokenPipeError):  # somebody ended it
            os.write(watcher.stdin.fileno(), b".")
        watcher.stdin.close()
        watcher.wait(60)


def _leave(engine: Engine, place: LockFolder, name: str, book: AnyJournal) -> None:
    """Remove the pool where nobody else uses it; where that fails the watcher tries it again."""
    # one that takes nothing has said so
    folder = book.folder if isinstance(book, ProgramJournal) else journal_folder(book)
    with suppress(CapacityError):
        retire(place.users, lambda: remove_unused(engine, name, place.id, folder))


@dataclass
class PoolSession:
    """An open pool.

    Attributes:
        spec: what it is to be.
        engine: where it is.
        place: its locks.
        journal: where every instance is announced before it is made or removed.
        users: the open file whose lock all users share.
        size: how many instances it has now; others may scale it.
        stays: whether its containers stay when the last user goes.
        waiting: the threads of this process that wait for an instance.
    """

    spec: PoolSpec
    engine: Engine
    place: LockFolder
    journal: AnyJournal
    users: int
    size: int
    stays: bool = False
    waiting: set[int] = field(default_factory=set)

    def join(self, *, as_it_stands: bool) -> None:
        """See that the pool can be ours and all its instances run; begin it where there is none."""
        # two that begin a pool together would not see each other's wishes
        with exclusive(self.place.join):
            here = check_pool(self.engine, self.spec, self.place, as_it_stands=as_it_stands)
            self.stays = stands(here) if here else self.spec.keep
            if not here:
                remember(self.users, self.size)
            # what is not to stay goes with its last user anyway
            self._tend(range(self.size), undo=self.spec.keep or self.stays)

    @contextmanager
    def lease(self, timeout: float) -> Iterator[Instance]:
        """See `InstancePool.lease`."""
        self._follow()
        place = self.place.folder
        with lease(place, self.size, timeout, self._lend, self.waiting) as (slot, lock, container):
            try:
                yield Instance(slot, container, self._name(slot))
            except BaseException:
                note(lock, "")  # the instance may be why: the next one asks
                raise

    def status(self) -> list[PoolState]:
        """Every slot as it is now."""
        self._follow()
        found = instances_of(self.engine, self.spec.name)
        return slot_states(self.spec.name, self.size, found, self.place)

    def scale(self, size: int, timeout: float) -> None:
        """See `InstancePool.scale`."""
        check_size(size)
        if not timeout >= 0:
            hint = "Name a number of seconds, 0 or more"
            raise InputError(f"A pool cannot wait {timeout:g} seconds", hint)
        with exclusive(self.place.join):
            before = self.size
            if size > before:
                self._grow(size)
            self.size = size
            remember(self.users, size)  # before any goes: nobody makes it again
            found = instances_of(self.engine, self.spec.name)
            most = max([before, *(slot_of(container) + 1 for container in found)])
        for slot in reversed(range(size, most)):  # the last first, or a lease would leave a hole
            self._drain(slot, timeout)

    def _follow(self) -> None:
        """Take over the size that somebody else may have scaled the pool to."""
        self.size = remembered(self.users) or self.size

    def _grow(self, size: int) -> None:
        refuse_foreign(self.engine, self.spec.name, size)
        check_host(self.engine.host, size, self.spec.memory, self.spec.cpus)
        before, self.size = self.size, size
        try:
            self._tend(range(before, size), undo=True)
        except BaseException:
            self.size = before
            raise

    def _drain(self, slot: int, timeout: float) -> None:
        """Remove an instance once it has been given back."""
        end = time.monotonic() + timeout
        while True:
            with exclusive(slot_lock(self.place.folder, slot), wait=False) as lock:
                if lock is not None:
                    with suppress(InputError):  # another container of that name stays
                        if (container := self._find(slot)) is not None:
                            self._remove(lock, container)
                    return
            if time.monotonic() >= end:
                said = f"{self._name(slot)} was not given back within {timeout:g} s"
                raise PoolUnhealthy(said, "Wait for its holder")
            time.sleep(_PAUSE)

    def _tend(self, slots: Iterable[int], *, undo: bool) -> None:
        """See to it that the instances of these slots run; one that is leased does.

        Where that fails, `undo` removes what was made; what somebody has leased meanwhile stays.
        """
        made: list[int] = []
        try:
            for slot in slots:
                with exclusive(slot_lock(self.place.folder, slot), wait=False) as lock:
                    if lock is not None:
                        self._ready(slot, lock, made)
        except BaseException:
            for slot in made if undo else []:
                with suppress(PoolUnhealthy):
                    self._drain(slot, 0)
            raise

    def _lend(self, slot: int, lock: int) -> str:
        """Make a slot ready for a lease, unless the pool has been made smaller than that since."""
        if slot >= (remembered(self.users) or self.size):
            said = f"{self._name(slot)} is beyond the size of the pool"
            raise PoolUnhealthy(said, "Lease again")
        container, _, until = noted(lock).partition(" ")
        if until and 0 < float(until) - time.monotonic() <= _TRUSTED:
            return container
        return self._ready(slot, lock, [])

    def _ready(self, slot: int, lock: int, made: list[int]) -> str:
        """The container of a slot whose lock we hold, running and healthy; a dead one is
        replaced, and its slot added to what was `made`.
        """
        asked = time.monotonic()
        container = self._find(slot)
        if container is not None and (not container.running or container.health == "unhealthy"):
            self._remove(lock, container)
            container = None
        try:
            if container is None:
                made.append(slot)
                container = healthy(self.engine, self._make(slot), self.spec.steady)
            else:
                container = healthy(self.engine, container)
        except CapacityError as error:
            self._say(Kind.FAILED, slot, reason=error.message)
            raise
        note(lock, f"{container.id} {asked + _TRUSTED:.3f}")
        return container.id

    def _find(self, slot: int) -> Container | None:
        """The container of a slot; one that is not ours is refused."""
        try:
            container = inspect(self.engine, self._name(slot))
        except ContainerGone:
            return None
        own = {POOL_LABEL: self.spec.name, SLOT: str(slot)}
        if not own.items() <= container.labels.items():
            raise foreign(container.name, self.spec.name)
        refuse_elsewhere(self.spec.name, [container], self.place)
        return container

    def _make(self, slot: int) -> Container:
        spec, name = self.spec, self._name(slot)
        labels = {POOL_LABEL: spec.name, SLOT: str(slot), SIZE: str(self.size)}
        labels |= self.place.labels | ({KEEP: "true"} if self.stays else {})
        self._say(Kind.CREATING, slot, image=spec.image, memory=spec.memory, cpus=spec.cpus)
        made = lifecycle.create(
            self.engine,
            name,
            spec.image,
            command=spec.command,
            memory=spec.memory,
            cpus=spec.cpus,
            labels=labels,
            environment=spec.environment,
            network=spec.network,
            health=spec.health,
            config=spec.config,
            host_config=spec.host_config,
        )
        lifecycle.start(self.engine, made.id, name)
        self._say(Kind.CREATED, slot, id=made.id)
        return inspect(self.engine, made.id, name)

    def _remove(self, lock: int, container: Container) -> None:
        note(lock, "")  # before, or others would still trust it if we died here
        remove_instance(self.engine, self.journal, container)

    def _say(self, kind: Kind, slot: int, **detail: Any) -> None:
        """A line in the journal; without a step's number, which in a move to a pool is that of a
        container it replaces.
        """
        name, host = self._name(slot), self.engine.host.name
        service = str(identify_container(name)[0])
        self.journal.write(kind, service=service, host=host, container=name, **detail)

    def _name(self, slot: int) -> str:
        return instance_name(self.spec.name, slot)
