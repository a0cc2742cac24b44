"""Real servers for tests: each context manager starts one on a free loopback port and ends it by its own pid.

The servers of Docker are in `tests.servers_docker`; `tools/system-packages` installs all programs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import textwrap
import time
import urllib.error
import urllib.request
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

TOOLS = Path(__file__).resolve().parent.parent / ".tools" / "bin"
READY_SECONDS = 60
LOG_TAIL = 30  # lines
BLOCK_SECONDS = 7200  # the length of a Prometheus block

T = TypeVar("T")
Command: TypeAlias = "list[str | Path]"

# A proxy named in the environment must not see traffic to loopback.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerFailedError(RuntimeError):
    """A server ended or did not become ready in time; the message holds the tail of its log."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    pid: int
    directory: Path
    log: Path


def missing(what: str) -> NoReturn:
    """End the test because `what` is missing: a failure in CI, a skip with the reason elsewhere."""
    reason = f"{what}; `tools/system-packages` installs what the tests on real servers need"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require(program: str) -> Path:
    """Find a program, our own .tools/bin first because a `docker-compose` elsewhere may be version 1."""
    places = os.pathsep.join([str(TOOLS), os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(program, path=places)
    return Path(found) if found else missing(f"the program {program} is missing")


def free_port() -> int:
    """Ask the kernel for a port of 127.0.0.1 that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str, data: bytes | None = None) -> bytes:
    """GET `url`, or POST `data` to it, past any proxy."""
    with _direct.open(url, data=data, timeout=30) as response:
        body: bytes = response.read()
        return body


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = READY_SECONDS) -> T:
    """Poll until `condition` returns something true and return that; `what` names it when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Tell whether a server is ready; one behind TLS or a password says so with 400 or 401."""
    try:
        fetch(url)
    except urllib.error.HTTPError as error:
        with error:
            return error.code in {400, 401}
    except (OSError, HTTPException):
        return False
    return True


def stop(process: subprocess.Popen[bytes], grace: float = 20) -> None:
    """Terminate the process, wait, and kill it if it stays."""
    process.terminate()
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])


@contextmanager
def running(name: str, command: Command, directory: Path, ready: Callable[[], bool]) -> Iterator[Server]:
    """Run a server with its log in `directory` until the block ends; its `url` is left to the caller."""
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / f"{name}.log"
    # The daemons of Docker look for iptables and docker-proxy where only root's PATH does.
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
    with log.open("wb") as output:
        # A session of its own, so Ctrl-C reaches the test alone and the test ends its servers in order.
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        try:
            wait_for(lambda: process.poll() is not None or ready(), f"{name} is ready")
        except TimeoutError as error:
            raise ServerFailedError(f"{error}; the end of {log}:\n{tail(log)}") from None
        if process.poll() is not None:
            raise ServerFailedError(f"{name} ended with {process.returncode}; the end of {log}:\n{tail(log)}")
        yield Server(url="", pid=process.pid, directory=directory, log=log)
    finally:
        stop(process)


@contextmanager
def web_server(name: str, command: Command, directory: Path, port: int, path: str) -> Iterator[Server]:
    """Run a web server that is ready when it answers to `path`."""
    url = f"http://127.0.0.1:{port}"
    with running(name, command, directory, lambda: answers(url + path)) as server:
        yield Server(url=url, pid=server.pid, directory=directory, log=server.log)


def scrape(job: str, *servers: Server) -> str:
    """Write the scrape configuration of one job for `prometheus(scrape_config=...)`."""
    targets = [server.url.removeprefix("http://") for server in servers]
    return f"- job_name: {json.dumps(job)}\n  static_configs:\n  - targets: {json.dumps(targets)}\n"


@contextmanager
def prometheus(
    directory: Path,
    *,
    scrape_config: str | None = None,
    tsdb: Path | None = None,
    extra_args: Sequence[str] = (),
    rule_files: Sequence[Path] = (),
    alertmanagers: Sequence[Server] = (),
) -> Iterator[Server]:
    """Run Prometheus, scraping the YAML list `scrape_config` every second, on the blocks in `tsdb` if given."""
    program, port = require("prometheus"), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    targets = [server.url.removeprefix("http://") for server in alertmanagers]
    config = [
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}",
        f"rule_files: {json.dumps([str(path.resolve()) for path in rule_files])}",
        f"alerting: {json.dumps({'alertmanagers': [{'static_configs': [{'targets': targets}]}]})}",
        "scrape_configs:",
        textwrap.dedent(scrape_config or ""),
    ]
    (directory / "prometheus.yml").write_text("\n".join(config))
    command: Command = [
        program,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={tsdb or directory / 'tsdb'}",
        "--storage.tsdb.retention.time=10y",  # history for tests may lie anywhere in time
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-lifecycle",
        "--rules.alert.resend-delay=1s",  # the first alert precedes the discovery of Alertmanager, the next is in 1 min
        *extra_args,
    ]
    with web_server("prometheus", command, directory, port, "/-/ready") as server:
        yield server


@contextmanager
def victoria_metrics(directory: Path, *, extra_args: Sequence[str] = ()) -> Iterator[Server]:
    """Run VictoriaMetrics, showing what arrives at once."""
    program, port = require("victoria-metrics"), free_port()
    command: Command = [
        program,
        f"-storageDataPath={directory / 'victoria'}",
        "-retentionPeriod=10y",
        "-search.latencyOffset=0s",
        f"-httpListenAddr=127.0.0.1:{port}",
        *extra_args,
    ]
    with web_server("victoria-metrics", command, directory, port, "/health") as server:
        yield server


def import_samples(victoria: Server, text: str) -> None:
    """Give VictoriaMetrics OpenMetrics or Prometheus text, or its own JSON lines, and make it visible."""
    path = "/api/v1/import" if text.lstrip().startswith("{") else "/api/v1/import/prometheus"
    fetch(victoria.url + path, text.encode())
    fetch(f"{victoria.url}/internal/force_flush")
    fetch(f"{victoria.url}/internal/resetRollupResultCache")


@contextmanager
def alertmanager(directory: Path, config: str, *, extra_args: Sequence[str] = ()) -> Iterator[Server]:
    """Run Alertmanager with the text of its configuration file, without clustering."""
    program, port = require("prometheus-alertmanager"), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "alertmanager.yml").write_text(textwrap.dedent(config))
    command: Command = [
        program,
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={directory / 'alertmanager'}",
        "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}",
        *extra_args,
    ]
    with web_server("alertmanager", command, directory, port, "/-/ready") as server:
        yield server


@contextmanager
def node_exporter(directory: Path) -> Iterator[Server]:
    """Run node_exporter; it also shows the metrics of every `*.prom` file in `directory`."""
    program, port = require("prometheus-node-exporter"), free_port()
    command: Command = [program, f"--collector.textfile.directory={directory}", f"--web.listen-address=127.0.0.1:{port}"]
    with web_server("node-exporter", command, directory, port, "/") as server:
        yield server


@contextmanager
def redis(directory: Path) -> Iterator[Server]:
    """Run Redis without writing anything to disk."""
    program, port = require("redis-server"), free_port()
    command: Command = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", directory, "--save", ""]
    with running("redis", command, directory, lambda: _pongs(port)) as server:
        yield Server(url=f"redis://127.0.0.1:{port}/0", pid=server.pid, directory=directory, log=server.log)


def _pongs(port: int) -> bool:
    """Tell whether Redis answers to PING; while loading it answers with an error."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def openmetrics_blocks(series: Mapping[str, Iterable[tuple[float, float]]]) -> Iterator[str]:
    """Write `name{labels}` -> (timestamp, value) samples as OpenMetrics text, one text per aligned two hours."""
    blocks: defaultdict[int, list[str]] = defaultdict(list)
    for name, samples in series.items():
        for timestamp, value in samples:
            blocks[int(timestamp // BLOCK_SECONDS)].append(f"{name} {value!r} {timestamp!r}")
    for _, lines in sorted(blocks.items()):
        yield "\n".join([*lines, "# EOF\n"])


def backfill(directory: Path, blocks: Iterable[str]) -> Path:
    """Make blocks of OpenMetrics texts for `prometheus(tsdb=...)`, fastest with one text per two hours.

    promtool reads a whole file again for every two hours in it.
    """
    promtool = require("promtool")
    database = directory / "tsdb"
    database.mkdir(parents=True, exist_ok=True)
    source = directory / "block.om"
    for text in blocks:
        source.write_text(text if text.rstrip().endswith("# EOF") else f"{text.rstrip()}\n# EOF\n")
        command: Command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", source, database]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerFailedError(f"promtool could not backfill {source}: {done.stderr.strip()}")
    source.unlink(missing_ok=True)
    return database
