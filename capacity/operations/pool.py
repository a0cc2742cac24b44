"""A pool of identical containers behind leases: N of one image instead of one for everybody."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from capacity.changes import lifecycle
from capacity.errors import ContainerGone, InputError, PoolUnhealthy
from capacity.inventory.containers import Container, read_container
from capacity.inventory.engine import Engine, connect_all, engine_errors, inspect
from capacity.operations.leases import exclusive, lease, leased, note, noted
from capacity.settings import EngineSettings, load_settings

__all__ = ["LABEL", "Instance", "InstancePool", "PoolState", "pool_folder", "remove_pool"]

LABEL = "capacity.pool"
_SLOT = "capacity.pool.slot"
_MOST = 256
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
        keep: leave the containers when the last user goes.
        settings: which Engine; default of the settings. The first one is used.
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
    _stack: ExitStack = field(default_factory=ExitStack, init=False, repr=False)
    _known: dict[int, tuple[Container, float]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _MOST:
            raise InputError(f"A pool of {self.size} instances", f"Choose 1 to {_MOST}")
        if not self.name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"{self.name!r} is no name for a pool", "Use letters, digits, - and _")

    def __enter__(self) -> Self:
        """Connect, and see to it that all instances run.

        Raises:
            EngineError: no answer, or no such image.
            PoolUnhealthy: an instance does not become healthy.
        """
        engines, _ = self._stack.enter_context(connect_all(self.settings or load_settings().engine))
        self._engine = next(iter(engines.values()))
        self.folder = pool_folder(self.name, self._engine)
        if not self.keep:  # it is told to look only after our own lock is gone: blocks end in the opposite order
            self._watcher = _watch(self.folder, self.name, self._engine)
            self._stack.callback(self._leave)
        users = self._stack.enter_context((self.folder / "users.lock").open("a+b"))
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            for slot in range(self.size):
                with exclusive(self.folder / f"slot-{slot}.lock", wait=False) as free:
                    if free is not None:
                        self._ready(slot, free)
        except BaseException:
            self._stack.close()
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
        found = {int(one.labels[_SLOT]): one for one in containers_of(self._engine, self.name)}
        held = leased(self.folder, self.size)
        states = []
        for slot in range(self.size):
            one = found.get(slot)
            state, health = (one.state, one.health) if one is not None else ("missing", None)
            states.append(PoolState(slot, self._name(slot), state, health, held[slot]))
        return states

    def scale(self, size: int, timeout: float = 30.0) -> None:
        """Grow at once; shrink once the instances beyond have been given back.

        Raises:
            InputError: impossible size.
            PoolUnhealthy: a new instance does not become healthy, or one beyond is not given back in time.
        """
        if not 1 <= size <= _MOST:
            raise InputError(f"A pool of {size} instances", f"Choose 1 to {_MOST}")
        before, self.size = self.size, size
        for slot in range(before, size):
            with exclusive(self.folder / f"slot-{slot}.lock") as mine:
                assert mine is not None
                self._ready(slot, mine)
        for slot in range(size, before):
            self._drain(slot, timeout)

    def _drain(self, slot: int, timeout: float) -> None:
        end = time.monotonic() + timeout
        while True:
            with exclusive(self.folder / f"slot-{slot}.lock", wait=False) as free:
                if free is not None:
                    note(free, "")
                    lifecycle.remove(self._engine, self._name(slot))
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
            lifecycle.remove(self._engine, one.id, one.name)
            one = None
        one = self._healthy(one if one is not None else self._make(slot))
        if noted(lock) != one.id:
            note(lock, one.id)
        self._known[slot] = (one, asked + _TRUSTED)

    def _look(self, slot: int) -> Container | None:
        try:
            return inspect(self._engine, self._name(slot))
        except ContainerGone:
            return None

    def _make(self, slot: int) -> Container:
        labels = {LABEL: self.name, _SLOT: str(slot)}
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
        )
        lifecycle.start(self._engine, made.id, made.name)
        return inspect(self._engine, made.id, made.name)

    def _healthy(self, one: Container) -> Container:
        end = time.monotonic() + _HEALTHY_WITHIN
        while one.running and one.health == "starting" and time.monotonic() < end:
            time.sleep(_PAUSE)
            one = inspect(self._engine, one.id, one.name)
        if not one.running or one.health not in {None, "", "healthy"}:
            hint = f"docker logs {one.name} tells why"
            raise PoolUnhealthy(f"{one.name} does not become healthy: it is {one.state}, {one.health or 'no health'}", hint)
        return one

    def _leave(self) -> None:
        """Tell the watcher that this user goes; it removes the containers when it was the last."""
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        self._watcher.wait(60)


def pool_folder(name: str, engine: Engine) -> Path:
    """The folder of a pool's locks, one for each pool and Engine and user."""
    place = Path(tempfile.gettempdir()) / f"capacity-pools-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid():
        raise InputError(f"{place} belongs to somebody else", "Set TMPDIR to a folder of your own")
    address = "".join(letter if letter.isalnum() else "-" for letter in engine.host.address)[-80:]
    folder = place / f"{name}{address}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def containers_of(engine: Engine, name: str) -> list[Container]:
    """The containers of a pool, running or not."""
    with engine_errors(engine.host.name, "list its containers"):
        found = engine.api.containers(all=True, filters={"label": f"{LABEL}={name}"})
        return [read_container(engine.host.name, engine.api.inspect_container(one["Id"])) for one in found]


def remove_pool(engine: Engine, name: str) -> list[str]:
    """Remove all containers of a pool, leased or not; their names."""
    found = containers_of(engine, name)
    for one in found:
        lifecycle.remove(engine, one.id, one.name)
    return [one.name for one in found]


def _watch(folder: Path, name: str, engine: Engine) -> subprocess.Popen[bytes]:
    """A process that outlives this one: when its input ends, it removes the pool unless somebody else still uses it."""
    command = [sys.executable, "-m", "capacity.operations.watcher", str(folder / "users.lock"), name, engine.host.address]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, cwd="/")  # noqa: S603 - words, no shell
