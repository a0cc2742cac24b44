"""A fleet shared out by a real Dask scheduler over two real workers, one of which is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from capacity._api import prepare_window, recommend_in_blocks
from capacity._common.progress import Silent
from capacity.errors import WorkError
from capacity.model import Resource
from capacity.settings import Settings, override
from tests.fixtures.fleets.archived_fleets import END, archived_fleet

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed; the extra `scale` brings it"
)
ROOT = Path(__file__).parents[2]
_SOON = 60.0  # seconds, on a busy machine


@contextmanager
def program(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of Dask; ended by its own id."""
    command = [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]]
    with (folder / f"{arguments[0]}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler on the loopback."""
    file = tmp_path / "scheduler.json"
    listening = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show")
    with program(tmp_path, "dask_scheduler", *listening, "--scheduler-file", str(file)):
        with distributed.Client(scheduler_file=str(file), timeout=_SOON) as client:
            address = str(client.scheduler.address)
        yield address


@contextmanager
def worker(folder: Path, address: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker without a nanny: killed, it stays dead."""
    settings = ("--no-nanny", "--nthreads", "1", "--no-dashboard", "--name", name)
    local = ("--local-directory", str(folder / name), "--host", "127.0.0.1")
    with program(folder, "dask_worker", address, *settings, *local) as process:
        yield process


def fleet_of(folder: Path, address: str | None, block: int = 3) -> Settings:
    """A fleet in blocks, and who works on them."""
    settings = override(archived_fleet(folder), "compute__block", block)
    return settings if address is None else override(settings, "compute__scheduler", address)


def recommended(settings: Settings, progress: Silent | None = None) -> pd.DataFrame:
    """Limits of CPU."""
    window = prepare_window(settings, source="lab", as_of=END, offline=True)
    return recommend_in_blocks(window, Resource.CPU, settings=settings, progress=progress).table


class KillsOne(Silent):
    """Kills a worker, as a machine that loses power, once some blocks are done."""

    def __init__(self, victim: subprocess.Popen[bytes]) -> None:
        self.victim = victim
        self.passes: list[str] = []
        self.done = 0

    def start(self, what: str, total: int) -> None:
        """Note the pass."""
        del total
        self.passes.append(what)

    def advance(self, note: str = "") -> None:
        """One block is done."""
        del note
        self.done += 1
        if self.done == 3:
            self.victim.send_signal(signal.SIGKILL)
            self.victim.wait()


def runs_of_blocks(address: str) -> dict[str, int]:
    """How often each block of each pass was finished, as the scheduler has seen it."""

    def finished(dask_scheduler: object) -> dict[str, int]:
        counts: dict[str, int] = {}
        for entry in dask_scheduler.transition_log:  # type: ignore[attr-defined]  # Dask's own
            if tuple(entry[1:3]) == ("processing", "memory"):
                counts[str(entry[0])] = counts.get(str(entry[0]), 0) + 1
        return counts

    with distributed.Client(address, set_as_default=False) as client:
        counts: dict[str, int] = client.run_on_scheduler(finished)
        return counts


def test_two_workers_give_the_bytes_of_one_machine_though_one_is_killed(
    scheduler: str, tmp_path: Path
) -> None:
    """The blocks that were done when it was killed are not done again."""
    expected = recommended(fleet_of(tmp_path / "here", None))
    shared = fleet_of(tmp_path / "shared", scheduler)
    with worker(tmp_path, scheduler, "left"), worker(tmp_path, scheduler, "right") as right:
        with distributed.Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=_SOON)
        progress = KillsOne(right)
        found = recommended(shared, progress)
        counts = runs_of_blocks(scheduler)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert progress.passes[0] == "Learning from blocks of services"
    again = {key: count for key, count in counts.items() if count > 1}
    assert len(again) <= 1, again  # one may have been done, and lost before it was fetched


def test_ctrl_c_ends_the_command_and_frees_the_workers(scheduler: str, tmp_path: Path) -> None:
    """The command is gone within a moment, its folder too, and nothing of it is left to be done."""
    settings = fleet_of(tmp_path / "shared", scheduler, block=1)
    config = tmp_path / "capacity.toml"
    config.write_text(
        f'[archive]\npath = "{settings.archive.path}"\n'
        f"[report]\nstep = {settings.report.step}\nwindow_days = {settings.report.window_days}\n"
        f'[compute]\nblock = 1\nscheduler = "{scheduler}"\n'
    )
    command = ["recommend", "--config", str(config), "--offline", "--as-of", END.isoformat()]
    with worker(tmp_path, scheduler, "left"):
        with distributed.Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=_SOON)
        running = subprocess.Popen(
            [sys.executable, "-m", "capacity", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until = time.monotonic() + _SOON
        while not list(settings.archive.path.glob(".blocks-*/*")) and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=_SOON)
        assert running.returncode == 130, said
        assert not list(settings.archive.path.glob(".blocks-*"))
        with distributed.Client(scheduler, set_as_default=False) as client:
            left = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        assert left == 0


def test_a_scheduler_without_workers_is_refused(scheduler: str, tmp_path: Path) -> None:
    """One line says what to start; nothing waits for ever."""
    with pytest.raises(WorkError, match="has no workers"):
        recommended(fleet_of(tmp_path / "shared", scheduler))
