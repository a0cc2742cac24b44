"""A fleet on a private Engine with everything that runs beside it, each part of which can die and
come back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.report import make_archive
from capacity.history._archive.archive import Archive
from tests.fixtures.running.docker_engine import _pings, busybox_image, dockerd
from tests.fixtures.running.fleet import Fleet, project
from tests.fixtures.running.servers import (
    Command,
    Server,
    answers,
    free_port,
    prometheus,
    running,
    scrape,
    wait_for,
)
from tests.integration.changes.test_apply_faults import again

SERVICES = ("web", "db", "cache")
START_MIB = 64
DISK = "96m"
_PATIENCE = 240.0  # seconds that a command may take


class Part:
    """Something that runs beside the fleet; it is killed, and started again."""

    def __init__(self, start: Callable[[], AbstractContextManager[Server]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self.pid = 0

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._stack = ExitStack()
        self.pid = self._stack.enter_context(self._start()).pid

    def kill(self) -> None:
        """End it at once."""
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{self.pid}/exe").exists(), "it is gone")

    def stop(self) -> None:
        """End it in order; one that was killed is reaped."""
        self._stack.close()

    def restart(self) -> None:
        """Start it once more after it was killed."""
        self.stop()
        self.start()


@dataclass
class World:
    """The fleet, its disk, and what runs beside it.

    Attributes:
        fleet: Engine and folder; all that capacity writes is on a small disk of its own.
        parts: prometheus, collector and monitor.
        engine: the daemon.
        tracebacks: what commands said that nobody should see.
    """

    fleet: Fleet
    parts: dict[str, Part]
    engine: Part
    tracebacks: list[str] = field(default_factory=list)

    @property
    def disk(self) -> Path:
        """Where everything is written."""
        return self.fleet.folder

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command of capacity."""
        return subprocess.Popen(
            [sys.executable, "-m", "capacity", *words],
            cwd=self.disk,
            env=os.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Wait for a command; its exit code and what it said. One that hangs is killed: -99."""
        try:
            _, said = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return -99, "it did not end"
        if "Traceback" in said:
            self.tracebacks.append(said)
        return process.returncode, said

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command of capacity to its end."""
        return self.end(self.begin(*words))


def kill_command(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Kill a command that runs; the processes that it had started, which must end by themselves."""
    children: list[psutil.Process] = []
    if process.poll() is None:
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        process.kill()
    return children


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Everything, started; ended in order."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "soak", disk], check=True)
    try:
        with (
            dockerd(folder / "docker", extra_args=["--live-restore"]) as engine,
            ExitStack() as ends,
        ):
            busybox_image(engine, "stack")
            fleet = Fleet(engine, disk)
            os.environ |= {
                **fleet.environment(),
                "CAPACITY_ARCHIVE__PATH": str(disk / "archive"),
                "CAPACITY_APPLY__COOLDOWN_HOURS": "0",
                "CAPACITY_MONITOR__INTERVAL": "2",
            }
            make_archive(Archive(disk / "archive"), 20)
            fleet.up(
                project(web="scale: 2; mem_limit: 64m", db="mem_limit: 64m", cache="mem_limit: 64m")
            )
            parts = _parts(folder, disk)
            daemon = Part(lambda: again_as_server(fleet))
            daemon.pid = engine.pid
            ends.callback(daemon.stop)
            for part in parts.values():
                part.start()
                ends.callback(part.stop)
            yield World(fleet, parts, daemon)
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@contextmanager
def again_as_server(fleet: Fleet) -> Iterator[Server]:
    """The daemon once more after it was killed."""
    with again(fleet.engine):
        short = Path(fleet.engine.url.removeprefix("unix://"))
        pid = int((short.parent / "pid").read_text())
        wait_for(lambda: _pings(short), "the daemon")
        yield Server(fleet.engine.url, pid, fleet.folder, short)


def _parts(folder: Path, disk: Path) -> dict[str, Part]:
    """Prometheus, the collector that it scrapes, and the monitor; each on a port of its own."""
    metrics, collected, watched = free_port(), free_port(), free_port()
    os.environ["CAPACITY_PROMETHEUS__URL"] = f"http://127.0.0.1:{metrics}"
    collector: Command = [
        *("env", "CAPACITY_REPORT__STEP=10", "CAPACITY_COLLECT__INTERVAL=1"),
        *(sys.executable, "-m", "capacity", "collect", "--port", str(collected)),
    ]
    monitor: Command = [
        *(sys.executable, "-m", "capacity", "monitor", disk / "shop" / "compose.yaml"),
        *("--port", str(watched)),
    ]
    target = Server(f"http://127.0.0.1:{collected}", 0, folder, folder)
    return {
        "collector": Part(
            lambda: running(
                "collector",
                collector,
                folder / "collector",
                lambda: answers(f"{target.url}/metrics"),
            )
        ),
        "prometheus": Part(
            lambda: prometheus(
                folder / "prometheus", scrape_config=scrape("collector", target), port=metrics
            )
        ),
        "monitor": Part(
            lambda: running(
                "monitor",
                monitor,
                folder / "monitor",
                lambda: answers(f"http://127.0.0.1:{watched}/health"),
            )
        ),
    }


@contextmanager
def full_disk(disk: Path) -> Iterator[None]:
    """Not a byte more can be written."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as handle:
        try:
            while True:
                handle.write(b"x" * 65_536)
        except OSError:
            pass  # it is full
    try:
        yield
    finally:
        filler.unlink()
