"""Run a job once: alone, with its output kept where it fails, and its result remembered."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from capacity._common.file_lock import file_lock
from capacity._common.files import write_text
from capacity.errors import Locked
from capacity.operations._schedule.jobs import Job
from capacity.operations._schedule.recurrence import parse_zone
from capacity.operations._schedule.state import (
    JobState,
    exposition,
    read_state,
    write_state,
)
from capacity.settings import Settings

__all__ = ["due_jobs", "run_due", "run_job"]

_KEPT_LOG = 20_000  # characters of the output of a failed run
_DONE = (0, 3)  # 3: the page is there, but a project was not judged or a delivery failed
_DUE = "due"  # what the lock of those who run what is due is called
_RETRY_AFTER, _RETRIES = 3600, 5  # seconds; runs in a row that fail

Runner = Callable[[Sequence[str]], tuple[int, str]]


def run_job(
    job: Job, jobs: Sequence[Job], settings: Settings, *, run: Runner | None = None
) -> JobState:
    """Run one job now and remember the result; the metrics of all are written anew.

    Args:
        job: which one.
        jobs: all of them.
        settings: where states, reports and metrics go.
        run: runs arguments of the program, gives exit code and output; for tests.

    Raises:
        Locked: it is running already.
        StorageError: its state cannot be kept.
    """
    folder = settings.schedule.state
    with _alone(folder, job.name):
        before = read_state(folder, job.name)
        started = time.time()
        code, output = (run or _run)(job.arguments)
        ended = time.time()
        well = code in _DONE
        state = replace(
            before,
            started=started,
            seconds=ended - started,
            exit_code=code,
            succeeded=ended if well else before.succeeded,
            failures=0 if well else before.failures + 1,
            log=str(folder / f"{job.name}.log") if code else "",
        )
        if code:
            write_text(folder / f"{job.name}.log", output[-_KEPT_LOG:])
        write_state(folder, job.name, state)
    if settings.schedule.textfile is not None:
        states = {each.name: read_state(folder, each.name) for each in jobs}
        write_text(settings.schedule.textfile, exposition(states))
    return state


def due_jobs(jobs: Sequence[Job], settings: Settings, now: datetime | None = None) -> list[Job]:
    """Jobs that have not been started since they were last due, so that missed runs are caught up
    once; and failed ones again after an hour, a few times.
    """
    moment = now or datetime.now(UTC)
    zone = parse_zone(settings.schedule.zone)
    found = []
    for job in jobs:
        state = read_state(settings.schedule.state, job.name)
        missed = state.started < job.when.before(moment, zone).timestamp()
        again = 0 < state.failures < _RETRIES and moment.timestamp() - state.started > _RETRY_AFTER
        if missed or again:
            found.append(job)
    return found


def run_due(
    chosen: Sequence[Job], jobs: Sequence[Job], settings: Settings, *, run: Runner | None = None
) -> list[tuple[Job, JobState]]:
    """Run those of the chosen jobs that are due, one after the other, and what became of them;
    nothing where another process does so, and no job that runs already.

    Raises:
        StorageError: a state cannot be kept.
    """
    done = []
    with suppress(Locked), _alone(settings.schedule.state, _DUE):
        for job in due_jobs(chosen, settings):
            with suppress(Locked):
                done.append((job, run_job(job, jobs, settings, run=run)))
    return done


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """No second run of a job beside the first."""
    with file_lock(folder / f"{name}.lock", lambda holder: _running(name, holder)):
        yield


def _running(name: str, holder: str) -> Locked:
    by = f" by {holder}" if holder else ""
    return Locked(f"The job {name} is run already{by}", "Wait for it, or look at what holds it up")


def _run(arguments: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "capacity", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout
