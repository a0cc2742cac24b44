"""A pool of identical containers behind leases: N of one image instead of one for everybody."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from capacity._common.units import format_memory
from capacity._docker import lifecycle
from capacity._docker.containers import Container
from capacity._docker.engine import inspect
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Kind
from capacity.errors import CapacityError, ContainerGone, InputError, PoolUnhealthy
from capacity.model import ServiceKey
from capacity.operations._pools.cleanup import remove_instance, start_watcher
from capacity.operations._pools.containers import (
    KEEP,
    MOST_INSTANCES,
    POOL_LABEL,
    SIZE,
    SLOT,
    foreign,
    instances_of,
    pool_engine,
    refuse_foreign,
    remember,
    remembered,
    slot_of,
    stands,
    wanted_size,
)
from capacity.operations._pools.health import healthy
from capacity.operations._pools.journal import journal_folder, journal_of
from capacity.operations._pools.leases import exclusive, lease, leased, member, note, noted
from capacity.operations._pools.locks import join_lock, lock_file, place_of, refuse_elsewhere
from capacity.operations._pools.validation import (
    check_host,
    check_image,
    check_network,
    refuse_another,
)
from capacity.settings import EngineSettings, load_settings

__all__ = ["Instance", "InstancePool", "PoolState"]

_LEAST_MEMORY = 6 << 20  # bytes; the Engine takes no limit below
_LEAST_CPUS = 0.01
_SHOWN = 40  # letters of a wrong name
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
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


@dataclass
class InstancePool:
    """N identical containers of one image with limits, leased one at a time to threads and
    processes of one user and machine.

    Every process that uses the pool of one name shares its containers, and must ask for the same;
    the last one that leaves removes them, also when it is killed: a small watcher process outlives
    each user and looks after them. Others than this user on this machine are refused: they could
    not see who has a lease.

    Attributes:
        name: of the pool; containers are called `NAME-pool-0` and so on.
        image: what they run.
        size: how many, never more.
        command: instead of the image's own.
        memory: limit of each, bytes.
        cpus: limit of each, cores.
        environment: variables of each.
        network: `none`, `host` or a network's name.
        health: a health check in the Engine's own words; without one running is healthy.
        keep: leave the containers when the last user goes; a pool that stands already stays as it
            was made.
        settings: which Engine; default of the settings. The first one is used, and no other where
            it is down.
        steady: seconds that a new instance without a health check must stay up; many a process ends
            right after its start.
        config: more that each is made with, in the Engine's own words (`User`, `Entrypoint` ...).
        host_config: the same of its `HostConfig` (`ReadonlyRootfs`, `CapDrop` ...).
        journal: where every instance is announced before it is made or removed: an open run, which
            must take it, or the folder of a journal for a run of the pool's own, which is a warning
            where it takes nothing; default that of the settings.
        as_it_stands: take a pool that stands as it is: its size, limits and all else.
    """

    name: str
    image: str
    size: int
    command: Sequence[str] | None = None
    memory: int | None = None
    cpus: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network: str | None = None
    health: Mapping[str, Any] | None = None
    keep: bool = False
    settings: EngineSettings | None = None
    steady: float = 0.0
    config: Mapping[str, Any] = field(default_factory=dict)
    host_config: Mapping[str, Any] = field(default_factory=dict)
    journal: Journal | Path | None = field(default=None, repr=False)
    as_it_stands: bool = False
    _stands: bool = field(default=False, init=False, repr=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    _made: list[int] = field(default_factory=list, init=False, repr=False)
    _known: dict[int, tuple[Container, float]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST_INSTANCES:
            raise InputError(f"A pool of {self.size} instances", f"Choose 1 to {MOST_INSTANCES}")
        if not _NAME.fullmatch(self.name):
            shown = self.name if len(self.name) <= _SHOWN else f"{self.name[:_SHOWN]}..."
            hint = "Use at most 63 of a-z, A-Z, 0-9, - and _, and begin with a letter or a digit"
            raise InputError(f"{shown!r} is no name for a pool", hint)
        if not self.image.strip():
            raise InputError(
                f"The pool {self.name!r} has an empty name for its image",
                "Name one; `docker images` lists them",
            )
        if self.memory is not None and self.memory < _LEAST_MEMORY:
            said = format_memory(self.memory)
            raise InputError(
                f"A memory limit of {said} is below the 6 MiB that the Engine takes",
                "Write a unit, such as 800m",
            )
        if self.cpus is not None and not math.isfinite(self.cpus):
            raise InputError(
                f"A CPU limit of {self.cpus:g} cores is no limit",
                "Name a number of cores, such as 0.5",
            )
        if self.cpus is not None and self.cpus < _LEAST_CPUS:
            raise InputError(
                f"A CPU limit of {self.cpus:g} cores is below what the Engine takes",
                f"Choose {_LEAST_CPUS} or more",
            )

    def __enter__(self) -> Self:
        """Connect, and see to it that all instances run.

        Raises:
            InputError: another container has the name of an instance, the host cannot hold them, or
                a pool of this name stands that is not the same, or another user's or machine's.
            EngineError: no answer.
            PoolUnhealthy: an instance does not become healthy.
        """
        try:
            return self._enter()
        except BaseException:
            self._stack.close()
            raise

    def _enter(self) -> Self:
        settings = self.settings or load_settings().engine
        self._engine = self._stack.enter_context(pool_engine(settings))
        refuse_foreign(self._engine, self.name, self.size)
        self.place = place_of(self.name, self._engine)
        self.folder = self.place.folder
        self._book = self._stack.enter_context(journal_of(self.journal, self.name))
        if (
            not self.keep
        ):  # told to look only after our own lock is gone: blocks end in the opposite order
            self._watcher = start_watcher(
                self.place, self.name, settings, journal_folder(self.journal)
            )
            self._stack.callback(self._leave)
        self._users = self._stack.enter_context(member(lock_file(self.folder)))
        self._made.clear()
        with exclusive(
            join_lock(self.folder)
        ):  # two that begin a pool together would not see each other's wishes
            here = instances_of(
                self._engine, self.name
            )  # only now: before, those of another user may just go
            self._join(here)
            try:
                self._tend(range(self.size))
            except BaseException:
                if self.keep or self._stands:  # or all go with their last user
                    self._take_back(0)
                raise
        return self

    def _join(self, here: Sequence[Container]) -> None:
        """Refuse a pool that is not ours or not the same; begin one where there is none."""
        refuse_elsewhere(self.name, here, self.place)
        self._stands = stands(here) if here else self.keep
        if here and self.as_it_stands:
            return
        image = check_image(self._engine, self.image)
        if here:
            refuse_another(
                self._engine, self, here, image, wanted_size(lock_file(self.folder), here)
            )
        else:
            check_host(self._engine.host, self.size, self.memory, self.cpus)
            check_network(self._engine, self.network)
            remember(self._users, self.size)

    def _tend(self, slots: Iterable[int]) -> None:
        """See to it that the instances of these slots run; one that is leased does."""
        for slot in slots:
            with exclusive(self.folder / f"slot-{slot}.lock", wait=False) as free:
                if free is not None:
                    self._ready(slot, free)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; whoever leaves last removes the containers."""
        self._stack.close()

    @contextmanager
    def lease(self, timeout: float = 30.0) -> Iterator[Instance]:
        """A healthy instance that nobody else has until the block ends; a dead one is replaced
        first.

        The Engine is asked for its health, but not again for one that it called healthy a twentieth
        of a second ago, unless the block of its last holder ended with an error or another process
        replaced it since. One that cannot be replaced is passed over.

        Raises:
            InputError: an impossible time.
            PoolBusy: none was free in time.
            PoolUnhealthy: those that were free could not be replaced in time; the message has the
                cause.
            EngineUnreachable: no answer.
        """
        self.size = remembered(self._users) or self.size  # somebody may have scaled the pool
        with lease(self.folder, self.size, timeout, self._lend) as slot:
            container, _ = self._known[slot]
            try:
                yield Instance(slot, container.id, container.name)
            except BaseException:
                self._known.pop(slot, None)  # it may be why: the next one asks
                raise

    def status(self) -> list[PoolState]:
        """Every slot as it is now."""
        self.size = remembered(self._users) or self.size
        found = {
            slot_of(container): container for container in instances_of(self._engine, self.name)
        }
        held = leased(self.folder, self.size)
        states = []
        for slot in range(self.size):
            container = found.get(slot)
            state, health = (
                (container.state, container.health) if container is not None else ("missing", None)
            )
            states.append(PoolState(slot, self._name(slot), state, health, held[slot]))
        return states

    def scale(self, size: int, timeout: float = 30.0) -> None:
        """Grow at once; shrink once the instances beyond have been given back, the last one first.

        Others that use the pool follow with their next lease.

        Raises:
            InputError: impossible size or time, or more than the host holds.
            PoolUnhealthy: a new instance does not become healthy, and the pool is as it was; or one
                beyond is not given back in time.
        """
        if not 1 <= size <= MOST_INSTANCES:
            raise InputError(f"A pool of {size} instances", f"Choose 1 to {MOST_INSTANCES}")
        if not timeout >= 0:
            raise InputError(
                f"A pool cannot wait {timeout:g} seconds", "Name a number of seconds, 0 or more"
            )
        with exclusive(join_lock(self.folder)):
            beyond = self._resize(size)
        for slot in beyond:
            self._drain(slot, timeout)

    def _resize(self, size: int) -> list[int]:
        """Make what is missing up to a size; the slots beyond it that are to go, the last first."""
        if size > self.size:
            refuse_foreign(self._engine, self.name, size)
            check_host(self._engine.host, size, self.memory, self.cpus)
        made = len(self._made)
        before, self.size = self.size, size
        try:
            self._tend(range(before, size))
        except BaseException:
            self.size = before
            self._take_back(made)
            raise
        remember(self._users, size)  # before any goes: nobody makes it again
        most = max(
            [
                before,
                *(slot_of(container) + 1 for container in instances_of(self._engine, self.name)),
            ]
        )
        return [
            *reversed(range(size, most))
        ]  # or a lease in the middle would leave a pool with a hole

    def _take_back(self, since: int) -> None:
        """Remove what this user has made, from the so-maniest on; what somebody has leased
        meanwhile stays.
        """
        for slot in self._made[since:]:
            with suppress(PoolUnhealthy):
                self._drain(slot, 0)
        del self._made[since:]

    def _drain(self, slot: int, timeout: float) -> None:
        end = time.monotonic() + timeout
        while True:
            with exclusive(self.folder / f"slot-{slot}.lock", wait=False) as free:
                if free is not None:
                    note(free, "")
                    with suppress(InputError):  # another container of that name stays
                        if (container := self._look(slot)) is not None:
                            remove_instance(self._engine, self._book, container)
                    return
            if time.monotonic() >= end:
                raise PoolUnhealthy(
                    f"{self._name(slot)} was not given back within {timeout:g} s",
                    "Wait for its holder",
                )
            time.sleep(_PAUSE)

    def _name(self, slot: int) -> str:
        return f"{self.name}-pool-{slot}"

    def _lend(self, slot: int, lock: int) -> None:
        """Make a slot ready for a lease, unless the pool has been made smaller than that since."""
        if slot >= (remembered(self._users) or self.size):
            raise PoolUnhealthy(f"{self._name(slot)} is beyond the size of the pool", "Lease again")
        self._ready(slot, lock)

    def _ready(self, slot: int, lock: int) -> None:
        """See to it that the instance of a slot, whose lock the caller holds, runs and is
        healthy.
        """
        known = self._known.get(slot)
        if known is not None and time.monotonic() < known[1] and noted(lock) == known[0].id:
            return
        asked = time.monotonic()
        container = self._look(slot)
        if container is not None and (not container.running or container.health == "unhealthy"):
            note(lock, "")  # before, or another process could still trust it if we died here
            remove_instance(self._engine, self._book, container)
            container = None
        try:
            container = (
                healthy(self._engine, container)
                if container is not None
                else healthy(self._engine, self._make(slot), self.steady)
            )
        except CapacityError as error:
            self._say(Kind.FAILED, slot, reason=error.message)
            raise
        if noted(lock) != container.id:
            note(lock, container.id)
        self._known[slot] = (container, asked + _TRUSTED)

    def _look(self, slot: int) -> Container | None:
        try:
            container = inspect(self._engine, self._name(slot))
        except ContainerGone:
            return None
        if (container.labels.get(POOL_LABEL), container.labels.get(SLOT)) != (self.name, str(slot)):
            raise foreign(container.name, self.name)
        refuse_elsewhere(self.name, [container], self.place)
        return container

    def _make(self, slot: int) -> Container:
        labels = {POOL_LABEL: self.name, SLOT: str(slot), SIZE: str(self.size)} | self.place.labels
        labels |= {KEEP: "true"} if self._stands else {}
        self._made.append(slot)
        self._say(Kind.CREATING, slot, image=self.image, memory=self.memory, cpus=self.cpus)
        made = lifecycle.create(
            self._engine,
            self._name(slot),
            self.image,
            command=self.command,
            memory=self.memory,
            cpus=self.cpus,
            labels=labels,
            environment=self.environment,
            network=self.network,
            health=self.health,
            config=self.config,
            host_config=self.host_config,
        )
        lifecycle.start(self._engine, made.id, made.name)
        self._say(Kind.CREATED, slot, id=made.id)
        return inspect(self._engine, made.id, made.name)

    def _say(self, kind: Kind, slot: int, **detail: Any) -> None:
        """A line in the journal; without a step's number, which in a move to a pool is that of a
        container it replaces.
        """
        name = self._name(slot)
        key = str(ServiceKey(ServiceKey.STANDALONE, name))
        self._book.write(kind, service=key, host=self._engine.host.name, container=name, **detail)

    def _leave(self) -> None:
        """Tell the watcher that this user goes; it removes the containers when it was the last."""
        assert self._watcher.stdin is not None
        with suppress(BrokenPipeError):  # somebody ended it
            os.write(
                self._watcher.stdin.fileno(), b"."
            )  # our lock is gone by now: it need not wait for that
        self._watcher.stdin.close()
        self._watcher.wait(60)
