"""A private Docker Engine and what looks at it: dockerd, cAdvisor, an image without a registry."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker

from tests.servers import Command, Server, free_port, missing, require, running, web_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Engine(Server):
    """A running Docker daemon; `url` is its unix socket, `root` its data directory."""

    root: Path


def client(engine: Server) -> Any:
    """Open docker-py on the engine; use it with `contextlib.closing`, an open socket is a warning."""
    return docker.DockerClient(base_url=engine.url, timeout=60)


def _pings(path: Path) -> bool:
    """Tell whether a daemon answers on its socket; docker-py would leave a socket open if not."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


@contextmanager
def dockerd(directory: Path, *, extra_args: Sequence[str] = ()) -> Iterator[Engine]:
    """Run a private Docker daemon without a bridge: containers use the network `none` or `host`."""
    program = require("dockerd")
    if os.geteuid() != 0:
        missing("a private dockerd needs root")
    # A unix socket's path holds at most 108 characters, and pytest's directories are long.
    short = Path(tempfile.mkdtemp(prefix="capacity-"))
    root, path = directory / "docker", short / "docker.sock"
    command: Command = [
        program,
        f"--host=unix://{path}",
        f"--data-root={root}",
        f"--exec-root={short / 'exec'}",
        f"--pidfile={short / 'pid'}",
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
        *extra_args,
    ]
    clean = True
    try:
        with running("dockerd", command, directory, lambda: _pings(path)) as server:
            engine = Engine(f"unix://{path}", server.pid, directory, server.log, root)
            try:
                yield engine
            finally:
                clean = _pings(path)
                if clean:
                    remove_containers(engine)
    finally:
        if not clean:
            _end_orphans(directory, short, [*command, "--live-restore"], root)
        shutil.rmtree(short, ignore_errors=True)


def _end_orphans(directory: Path, short: Path, command: Command, root: Path) -> None:
    """End the containers of a daemon that the test killed; only a daemon can do that, so start it again."""
    # Its containerd died with it; as a zombie that no init reaps it would pass for a running one.
    (short / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
    path = short / "docker.sock"
    with running("dockerd-again", command, directory, lambda: _pings(path)) as server:
        remove_containers(Engine(f"unix://{path}", server.pid, directory, server.log, root))
    # The killed daemon had mounted its root over itself, and the second one leaves that alone.
    subprocess.run(["umount", root], check=False, capture_output=True)


def remove_containers(engine: Server) -> None:
    """Remove all containers, so the daemon need not wait ten seconds for each and none outlives it."""
    with closing(client(engine)) as api:
        for container in api.containers.list(all=True, ignore_removed=True):
            container.remove(force=True, v=True)


def busybox_image(engine: Server, name: str) -> str:
    """Import an image that holds nothing but the static busybox and its links; return its name with a tag."""
    program = require("busybox")
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program.resolve(), "bin/busybox")
        for applet in applets:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(link)
        for path, mode in (("tmp", 0o1777), ("etc", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755)):
            folder = tarfile.TarInfo(path)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            tar.addfile(folder)
    repository, _, tag = name.partition(":")
    with closing(client(engine)) as api:
        changes = ["ENV PATH=/bin", 'CMD ["/bin/sh"]']
        api.api.import_image_from_data(archive.getvalue(), repository=repository, tag=tag or "latest", changes=changes)
    return f"{repository}:{tag or 'latest'}"


@contextmanager
def cadvisor(directory: Path, engine: Engine, *, extra_args: Sequence[str] = ()) -> Iterator[Server]:
    """Run cAdvisor on the engine, looking at every container once a second."""
    program, port = require("cadvisor"), free_port()
    command: Command = [
        program,
        f"-docker={engine.url}",
        f"-docker_root={engine.root}",
        "-listen_ip=127.0.0.1",
        f"-port={port}",
        "-housekeeping_interval=1s",
        "-allow_dynamic_housekeeping=false",
        *extra_args,
    ]
    with web_server("cadvisor", command, directory, port, "/healthz") as server:
        yield server
