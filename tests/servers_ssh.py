"""A private OpenSSH server on the loopback, and the client's configuration that reaches it with a key of its own."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import Command, free_port, require, running

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SshHost", "sshd"]


@dataclass(frozen=True)
class SshHost:
    """A host to log in to: `ssh://user@host:port`, and a folder with an `ssh` that knows key and host."""

    address: str
    programs: Path
    log: Path


@contextmanager
def sshd(directory: Path) -> Iterator[SshHost]:
    """Run OpenSSH's server for this user alone, with keys made for the occasion."""
    program, client, keygen, port = require("sshd"), require("ssh"), require("ssh-keygen"), free_port()
    directory.mkdir(parents=True)
    for name in ("host", "own"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # what Debian's server is confined to before login
    lines = [
        f"HostKey {directory / 'host'}",
        f"AuthorizedKeysFile {directory / 'own.pub'}",
        "ListenAddress 127.0.0.1",
        "PasswordAuthentication no",
        "PermitRootLogin prohibit-password",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
    ]
    (directory / "sshd_config").write_text("\n".join(lines) + "\n")
    host = (directory / "host.pub").read_text()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {host}")
    options = [f"IdentityFile {directory / 'own'}", f"UserKnownHostsFile {directory / 'known_hosts'}", "IdentitiesOnly yes"]
    (directory / "ssh_config").write_text("\n".join(options) + "\n")
    programs = directory / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {client} -F {directory / "ssh_config"} "$@"\n')
    (programs / "ssh").chmod(0o755)
    command: Command = [program, "-D", "-e", "-f", directory / "sshd_config", "-p", str(port)]
    with running("sshd", command, directory, lambda: _greets(port)) as server:
        yield SshHost(f"ssh://{getuser()}@127.0.0.1:{port}", programs, server.log)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(8).startswith(b"SSH-2.0-")
    except OSError:
        return False
