"""A pool of identical containers behind leases: N of one image instead of one for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from capacity.changes._journal.journal import Journal
from capacity.operations._pools.session import Instance, PoolSession, PoolState, open_pool
from capacity.operations._pools.spec import PoolSpec

__all__ = ["InstancePool"]


@dataclass(frozen=True)
class InstancePool(PoolSpec):
    """N identical containers of one image with limits, leased one at a time to threads and
    processes of one user and machine.

    Every process that uses the pool of one name shares its containers, and must ask for the same;
    the last one that leaves removes them. Where it is killed, a small watcher process does, which
    outlives each user. Others than this user on this machine are refused: they could
    not see who has a lease.

    Attributes:
        name: of the pool; containers are called `NAME-pool-0` and so on.
        image: what they run.
        size: how many, never more; `status` has as many as it was scaled to.
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

    journal: Journal | Path | None = field(default=None, repr=False)
    as_it_stands: bool = False
    _opened: list[tuple[PoolSession, ExitStack]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def __enter__(self) -> Self:
        """Connect, and see to it that all instances run.

        Raises:
            InputError: another container has the name of an instance, the host cannot hold them, or
                a pool of this name stands that is not the same, or another user's or machine's.
            EngineError: no answer.
            PoolUnhealthy: an instance does not become healthy.
        """
        stack = ExitStack()
        opening = open_pool(self, self.journal, as_it_stands=self.as_it_stands)
        self._opened.append((stack.enter_context(opening), stack))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; whoever leaves last removes the containers."""
        self._opened.pop()[1].close()

    @contextmanager
    def lease(self, timeout: float = 30.0) -> Iterator[Instance]:
        """A healthy instance that nobody else has until the block ends; a dead one is replaced
        first.

        The Engine is asked for its health, but not again for one that it called healthy a twentieth
        of a second ago, unless the block of its last holder ended with an error. One that cannot be
        replaced is passed over.

        Args:
            timeout: seconds to wait for one that is free.

        Raises:
            InputError: an impossible time.
            PoolBusy: none was free in time.
            PoolUnhealthy: those that were free could not be replaced in time; the message has the
                cause.
            EngineUnreachable: no answer.
        """
        with self._session.lease(timeout) as instance:
            yield instance

    def status(self) -> list[PoolState]:
        """Every slot as it is now."""
        return self._session.status()

    def scale(self, size: int, timeout: float = 30.0) -> None:
        """Grow at once; shrink once the instances beyond have been given back, the last one first.

        Others that use the pool follow with their next lease.

        Args:
            size: how many instances there are to be.
            timeout: seconds to wait for each that is leased.

        Raises:
            InputError: impossible size or time, or more than the host holds.
            PoolUnhealthy: a new instance does not become healthy, and the pool is as it was; or one
                beyond is not given back in time.
        """
        self._session.scale(size, timeout)

    @property
    def _session(self) -> PoolSession:
        return self._opened[-1][0]
