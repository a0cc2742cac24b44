"""A pool of identical containers behind leases: N of one image instead of one for everybody."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from capacity.changes import lifecycle
from capacity.changes.journal import Journal, Kind
from capacity.errors import CapacityError, ContainerGone, InputError, PoolUnhealthy
from capacity.inventory.containers import Container
from capacity.inventory.engine import Engine, connect_all, engine_errors, inspect
from capacity.inventory.logs import last_lines
from capacity.model import ServiceKey
from capacity.operations.leases import exclusive, lease, leased, make_own, member, note, noted
from capacity.operations.redact import redact
from capacity.settings import EngineSettings, load_settings
from capacity.units import format_memory

__all__ = ["LABEL", "SLOT", "Instance", "InstancePool", "PoolState", "containers_of", "leave_pool", "lock_file"]
__all__ += ["pool_folder", "refuse_foreign", "stands"]

LABEL = "capacity.pool"
SLOT = "capacity.pool.slot"
_KEEP = "capacity.pool.keep"
_LEAST_MEMORY = 6 << 20  # bytes; the Engine takes no limit below
_LEAST_CPUS = 0.01
_SHOWN = 40  # letters of a wrong name
_MOST = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_HEALTHY_WITHIN = 60.0  # seconds for a new instance
_PAUSE = 0.1
_TRUSTED = 0.05  # seconds for which the Engine's word is taken: who leases faster than that need not ask it each time


@dataclass(frozen=True)
class Instance:
    """A leased instance: `number` from 0, the container's id and name."""

    number: int
    id: str
    name: str


@dataclass(frozen=True)
class PoolState:
    """One slot: `state` of its container (`missing` without one), health, and whether somebody has a lease on it."""

    number: int
    name: str
    state: str
    health: str | None
    leased: bool


@dataclass
class InstancePool:
    """N identical containers of one image with limits, leased one at a time to threads and processes of this machine.

    Every process that uses the pool of one name shares its containers; the last one that leaves removes them, also when it is
    killed: a small watcher process outlives each user and looks after them.

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
        keep: leave the containers when the last user goes; a pool that stands already stays as it was made.
        settings: which Engine; default of the settings. The first one is used.
        steady: seconds that a new instance without a health check must stay up; many a process ends right after its start.
        config: more that each is made with, in the Engine's own words (`User`, `Entrypoint` ...).
        host_config: the same of its `HostConfig` (`ReadonlyRootfs`, `CapDrop` ...).
        journal: where every instance is announced before it is made or removed; None = nowhere.
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
    journal: Journal | None = field(default=None, repr=False)
    _stands: bool = field(default=False, init=False, repr=False)
    _stack: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    _made: list[int] = field(default_factory=list, init=False, repr=False)
    _known: dict[int, tuple[Container, float]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _MOST:
            raise InputError(f"A pool of {self.size} instances", f"Choose 1 to {_MOST}")
        if not _NAME.fullmatch(self.name):
            shown = self.name if len(self.name) <= _SHOWN else f"{self.name[:_SHOWN]}..."
            hint = "Use at most 63 of a-z, A-Z, 0-9, - and _, and begin with a letter or a digit"
            raise InputError(f"{shown!r} is no name for a pool", hint)
        if self.memory is not None and self.memory < _LEAST_MEMORY:
            said = format_memory(self.memory)
            raise InputError(f"A memory limit of {said} is below the 6 MiB that the Engine takes", "Write a unit, such as 800m")
        if self.cpus is not None and not math.isfinite(self.cpus):
            raise InputError(f"A CPU limit of {self.cpus:g} cores is no limit", "Name a number of cores, such as 0.5")
        if self.cpus is not None and self.cpus < _LEAST_CPUS:
            raise InputError(
                f"A CPU limit of {self.cpus:g} cores is below what the Engine takes", f"Choose {_LEAST_CPUS} or more"
            )

    def __enter__(self) -> Self:
        """Connect, and see to it that all instances run.

        Raises:
            InputError: another container has the name of an instance.
            EngineError: no answer, or no such image.
            PoolUnhealthy: an instance does not become healthy.
        """
        try:
            return self._enter()
        except BaseException:
            self._stack.close()
            raise

    def _enter(self) -> Self:
        engines, _ = self._stack.enter_context(connect_all(self.settings or load_settings().engine))
        self._engine = next(iter(engines.values()))
        refuse_foreign(self._engine, self.name, self.size)
        self.folder = pool_folder(self.name, self._engine)
        if not self.keep:  # told to look only after our own lock is gone: blocks end in the opposite order
            self._watcher = _watch(self.folder, self.name, self._engine)
            self._stack.callback(self._leave)
        self._stack.enter_context(member(lock_file(self.folder)))
        here = containers_of(self._engine, self.name)  # only now: before, those of another user may just go
        self._stands = stands(here) if here else self.keep
        try:
            for slot in range(self.size):
                with exclusive(self.folder / f"slot-{slot}.lock", wait=False) as free:
                    if free is not None:
                        self._ready(slot, free)
        except BaseException:
            if self.keep or self._stands:  # or all go with their last user
                self._take_back(0)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave; whoever leaves last removes the containers."""
        self._stack.close()

    @contextmanager
    def lease(self, timeout: float = 30.0) -> Iterator[Instance]:
        """A healthy instance that nobody else has until the block ends; a dead one is replaced first.

        The Engine is asked for its health, but not again for one that it called healthy a twentieth of a second ago, unless the
        block of its last holder ended with an error or another process replaced it since.

        Raises:
            PoolBusy: none was free in time.
        """
        with lease(self.folder, self.size, timeout, self._ready) as slot:
            container, _ = self._known[slot]
            try:
                yield Instance(slot, container.id, container.name)
            except BaseException:
                self._known.pop(slot, None)  # it may be why: the next one asks
                raise

    def status(self) -> list[PoolState]:
        """Every slot as it is now."""
        found = {int(one.labels[SLOT]): one for one in containers_of(self._engine, self.name)}
        held = leased(self.folder, self.size)
        states = []
        for slot in range(self.size):
            one = found.get(slot)
            state, health = (one.state, one.health) if one is not None else ("missing", None)
            states.append(PoolState(slot, self._name(slot), state, health, held[slot]))
        return states

    def scale(self, size: int, timeout: float = 30.0) -> None:
        """Grow at once; shrink once the instances beyond have been given back, the last one first.

        Raises:
            InputError: impossible size.
            PoolUnhealthy: a new instance does not become healthy, and the pool is as it was; or one beyond is not given back in
                time.
        """
        if not 1 <= size <= _MOST:
            raise InputError(f"A pool of {size} instances", f"Choose 1 to {_MOST}")
        refuse_foreign(self._engine, self.name, size)
        before, made = self.size, len(self._made)
        try:
            for slot in range(before, size):
                with exclusive(self.folder / f"slot-{slot}.lock") as mine:
                    assert mine is not None
                    self._ready(slot, mine)
        except BaseException:
            self._take_back(made)
            raise
        self.size = size
        for slot in reversed(range(size, before)):  # or a lease in the middle would leave a pool with a hole
            self._drain(slot, timeout)

    def _take_back(self, since: int) -> None:
        """Remove what this user has made, from the so-maniest on; what somebody has leased meanwhile stays."""
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
                        if (one := self._look(slot)) is not None:
                            self._remove(slot, one)
                    return
            if time.monotonic() >= end:
                raise PoolUnhealthy(f"{self._name(slot)} was not given back within {timeout:g} s", "Wait for its holder")
            time.sleep(_PAUSE)

    def _name(self, slot: int) -> str:
        return f"{self.name}-pool-{slot}"

    def _ready(self, slot: int, lock: int) -> None:
        """See to it that the instance of a slot, whose lock the caller holds, runs and is healthy."""
        known = self._known.get(slot)
        if known is not None and time.monotonic() < known[1] and noted(lock) == known[0].id:
            return
        asked = time.monotonic()
        one = self._look(slot)
        if one is not None and (not one.running or one.health == "unhealthy"):
            note(lock, "")  # before, or another process could still trust it if we died here
            self._remove(slot, one)
            one = None
        try:
            one = self._healthy(one) if one is not None else self._healthy(self._make(slot), self.steady)
        except CapacityError as error:
            self._say(Kind.FAILED, slot, reason=error.message)
            raise
        if noted(lock) != one.id:
            note(lock, one.id)
        self._known[slot] = (one, asked + _TRUSTED)

    def _look(self, slot: int) -> Container | None:
        try:
            one = inspect(self._engine, self._name(slot))
        except ContainerGone:
            return None
        if (one.labels.get(LABEL), one.labels.get(SLOT)) != (self.name, str(slot)):
            raise _foreign(one.name, self.name)
        return one

    def _make(self, slot: int) -> Container:
        labels = {LABEL: self.name, SLOT: str(slot)} | ({_KEEP: "true"} if self._stands else {})
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

    def _remove(self, slot: int, one: Container) -> None:
        self._say(Kind.REMOVING, slot, id=one.id, image=one.image, memory=one.memory, cpus=one.cpus)
        lifecycle.remove(self._engine, one.id, one.name)
        self._say(Kind.REMOVED, slot, id=one.id)

    def _say(self, kind: Kind, slot: int, **detail: Any) -> None:
        """A line in the journal; without a step's number, which in a move to a pool is that of a container it replaces."""
        if self.journal is not None:
            name = self._name(slot)
            key = str(ServiceKey(ServiceKey.STANDALONE, name))
            self.journal.write(kind, service=key, host=self._engine.host.name, container=name, **detail)

    def _healthy(self, one: Container, steady: float = 0.0) -> Container:
        began, first = time.monotonic(), one
        waits = {"starting": _HEALTHY_WITHIN, None: steady, "": steady}
        while one.running and time.monotonic() - began < waits.get(one.health, 0.0):
            time.sleep(_PAUSE)
            one = inspect(self._engine, one.id, one.name)
        again = one.restart_count > first.restart_count  # its restart policy hides that it ends
        if again or not one.running or one.health not in {None, "", "healthy"}:
            raise PoolUnhealthy(f"{one.name} does not become healthy: {self._why(one)}", "Mend that, then try again")
        return one

    def _why(self, one: Container) -> str:
        """What is wrong with an instance, and its last words: it may be removed before anybody can read its log."""
        said = [line for line in last_lines(self._engine, one.id, 20) if line.strip()]
        state = f"it ended with exit code {one.exit_code}" if one.state == "exited" else f"it is {one.state}"
        state += " and restarts" if one.restart_count else ""
        words = f", and said: {redact(said[-1])}" if said else ""
        return f"{state}, {one.health or 'no health'}{words}"

    def _leave(self) -> None:
        """Tell the watcher that this user goes; it removes the containers when it was the last."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait(60)


def pool_folder(name: str, engine: Engine) -> Path:
    """Where a pool's locks are, a folder for each pool and Engine and user; whoever is a member of it makes it."""
    place = Path(tempfile.gettempdir()) / f"capacity-pools-{os.getuid()}"
    make_own(place, "Set TMPDIR to a folder of your own")
    address = "".join(letter if letter.isalnum() else "-" for letter in engine.host.address)[-80:]
    return place / f"{name}{address}"


def lock_file(folder: Path) -> Path:
    """The file that all users of a pool hold together."""
    return folder / "users.lock"


def containers_of(engine: Engine, name: str) -> list[Container]:
    """The containers of a pool, running or not."""
    with engine_errors(engine.host.name, "list its containers"):
        found = engine.api.containers(all=True, filters={"label": f"{LABEL}={name}"})
    described = []
    for one in found:
        with suppress(ContainerGone):  # meanwhile
            described.append(inspect(engine, one["Id"]))
    return [one for one in described if re.fullmatch(r"\d{1,3}", one.labels.get(SLOT, ""), re.ASCII)]


def refuse_foreign(engine: Engine, name: str, size: int) -> None:
    """Refuse a pool where containers that are not of it have the names of its instances.

    Raises:
        InputError: there is one; it is left as it is.
        EngineError: no answer.
    """
    wanted = {f"{name}-pool-{slot}": {LABEL: name, SLOT: str(slot)} for slot in range(size)}
    with engine_errors(engine.host.name, "list its containers"):
        found = engine.api.containers(all=True, filters={"name": f"{name}-pool-"})
    for one in found:
        labels = one.get("Labels") or {}
        for called in (said.lstrip("/") for said in one.get("Names") or []):
            if called in wanted and not wanted[called].items() <= labels.items():
                raise _foreign(called, name)


def _foreign(container: str, name: str) -> InputError:
    hint = f"Remove it with docker rm, rename it with docker rename {container} NEW, or take another name for the pool"
    return InputError(f"The container {container} has the name of an instance of the pool {name!r} and is not of it", hint)


def stands(found: Sequence[Container]) -> bool:
    """Whether a pool of these containers was made to stay when its users go."""
    return any(_KEEP in one.labels for one in found)


def leave_pool(engine: Engine, name: str) -> None:
    """Remove all containers of a pool that nobody uses any more, unless it was made to stay."""
    found = containers_of(engine, name)
    for one in () if stands(found) else found:
        lifecycle.remove(engine, one.id, one.name)


def _watch(folder: Path, name: str, engine: Engine) -> subprocess.Popen[bytes]:
    """A process that outlives this one: when its input ends, it removes the pool unless somebody else still uses it."""
    command = [sys.executable, "-m", "capacity.operations.watcher", str(lock_file(folder)), name, engine.host.address]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")  # noqa: S603 - words, no shell
