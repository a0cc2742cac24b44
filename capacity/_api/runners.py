"""Who works on the blocks of a run: the cores of this machine, or the workers of a Dask scheduler.

Both call the same function on the same blocks, and hand back its answers as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from capacity._common.version import VERSION
from capacity.errors import InputError, WorkError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Runner", "local_runner", "open_runner"]

T = TypeVar("T")
R = TypeVar("R")
_WAIT = "10s"  # for a scheduler to answer
_RETRIES = 3  # of a block whose worker was lost or failed


class Runner(Protocol):
    """Calls a function on every task."""

    def __call__(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Position of each task and its answer, as they come."""


def local_runner(workers: int) -> Runner:
    """So many threads of this process: most of the work is done in numpy, which lets others run."""

    def run(work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        from joblib import Parallel, delayed

        def numbered(number: int, task: T) -> tuple[int, R]:
            return number, work(task)

        parallel = Parallel(workers, backend="threading", return_as="generator_unordered")
        yield from parallel(delayed(numbered)(*each) for each in enumerate(tasks))

    return run


@contextmanager
def open_runner(scheduler: str | None, workers: int) -> Iterator[Runner]:
    """The workers of a scheduler where one is named, else the cores of this machine.

    Raises:
        InputError: Dask is not installed.
        WorkError: the scheduler does not answer, has no workers, or these run another version.
    """
    if scheduler is None:
        yield local_runner(workers)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(
            f"{scheduler} needs Dask, which is not installed",
            "Install capacity-notebooks[scale], or leave --scheduler out",
        ) from error
    try:
        client = Client(scheduler, timeout=_WAIT, set_as_default=False)  # type: ignore[no-untyped-call]  # Dask types half of it
    except (OSError, ValueError) as error:
        raise WorkError(
            f"The scheduler {scheduler} does not answer: {error}",
            "Start it with `dask scheduler`, and workers with `dask worker`",
        ) from error
    with client:
        _check_workers(client, scheduler)
        yield _dask_runner(client)


def _check_workers(client: Client, scheduler: str) -> None:
    versions = client.run(_version)
    if not versions:
        raise WorkError(
            f"The scheduler {scheduler} has no workers", "Start some with `dask worker`"
        )
    other = {worker: found for worker, found in versions.items() if found != VERSION}
    if other:
        worker, found = min(other.items())
        raise WorkError(
            f"The worker {worker} runs capacity {found}, this is {VERSION}",
            "Install the same version on all machines",
        )


def _version() -> str:
    return VERSION


def _dask_runner(client: Client) -> Runner:
    def run(work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
        from distributed import as_completed

        futures = client.map(work, tasks, pure=False, retries=_RETRIES)
        places = {future.key: number for number, future in enumerate(futures)}
        try:
            for future in as_completed(futures, loop=client.loop):  # type: ignore[no-untyped-call]  # the same
                yield places[future.key], future.result()
                future.release()
        finally:  # also after Ctrl-C: nobody waits for the answers
            client.cancel(futures)  # type: ignore[no-untyped-call]  # the same

    return run
