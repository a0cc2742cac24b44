"""Engines behind `ssh://`: a local socket whose every connection is carried by the system's own
ssh, as `docker` does it.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from capacity._common.files import scratch_folder
from capacity.errors import InputError

__all__ = ["ssh_command", "tunnel"]

_GRACE = 5  # seconds an ssh has to end


def ssh_command(address: str) -> list[str]:
    """The words that connect to the Engine of a host: keys, ports and jumps come from the user's
    own ssh configuration.

    Raises:
        InputError: no host in the address.
    """
    parts = urlsplit(address)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(
            f"{address!r} is no ssh address: {error}", "Write it as ssh://user@host"
        ) from error
    if not host or host.startswith("-") or (parts.username or "").startswith("-"):
        raise InputError(f"{address!r} is no ssh address", "Write it as ssh://user@host")
    words = ["ssh", "-o", "BatchMode=yes", "-T"]
    words += ["-l", parts.username] if parts.username else []
    words += ["-p", str(port)] if port else []
    socket_there = ["--host", f"unix://{parts.path}"] if parts.path not in {"", "/"} else []
    return [*words, host, "docker", *socket_there, "system", "dial-stdio"]


@contextmanager
def tunnel(address: str) -> Iterator[str]:
    """The address of a local socket that leads to the Engine behind `ssh://`.

    Raises:
        InputError: no host in the address.
    """
    command = ssh_command(address)
    started: list[subprocess.Popen[bytes]] = []
    with (
        scratch_folder() as folder,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        place = folder / "docker.sock"
        listener.bind(str(place))
        listener.listen(64)
        thread = threading.Thread(target=_serve, args=(listener, command, started), daemon=True)
        thread.start()
        try:
            yield f"unix://{place}"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread
            thread.join(_GRACE)
            for process in started:
                process.terminate()
            for process in started:
                _ended(process)


def _serve(
    listener: socket.socket, command: list[str], started: list[subprocess.Popen[bytes]]
) -> None:
    """Give each connection an ssh of its own, which reads from it and writes to it."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # the listener is shut
            return
        with (
            connection,
            suppress(OSError),
        ):  # without ssh the connection ends, and the caller says that nobody answers
            ends = connection.fileno()
            process = subprocess.Popen(command, stdin=ends, stdout=ends, stderr=subprocess.DEVNULL)  # noqa: S603 - words, no shell
            started.append(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
