"""New containers for a service through Compose itself: what the Engine cannot change live comes from the edited file."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from capacity.changes.journal import Entry
from capacity.errors import EngineRefused, InputError
from capacity.inventory.engine import Engine
from capacity.model import ServiceKey

__all__ = ["compose_program", "recreate", "recreate_command"]

_SECONDS = 600


def compose_program() -> list[str]:
    """The words that start Compose v2: `docker compose` where the plugin is there, else `docker-compose`.

    Raises:
        InputError: neither is there.
    """
    docker = shutil.which("docker")
    if docker:
        asked = subprocess.run([docker, "compose", "version"], capture_output=True, check=False, timeout=60)  # noqa: S603 - found by name
        if asked.returncode == 0:
            return [docker, "compose"]
    alone = shutil.which("docker-compose")
    if alone:
        return [alone]
    raise InputError("Compose is not installed", "Install the docker compose plugin, or set apply.recreate = false")


def recreate_command(intent: Entry, *, force: bool = False, replicas: int | None = None) -> list[str]:
    """The words after the program that bring a service in line with its files, and nothing else.

    Without a number Compose would go back to that of the files, or to one: `--scale` leaves no trace there.
    """
    project = intent.detail["project"]
    files = [word for file in project["files"] for word in ("--file", file)]
    files += [word for file in project.get("env_files", []) for word in ("--env-file", file)]
    service = ServiceKey.parse(intent.service).service
    where = ["--project-name", project["name"], "--project-directory", project["folder"]]
    number = ["--scale", f"{service}={replicas}"] if replicas else []
    forced = ["--force-recreate"] if force else []
    return [*where, *files, "up", "--detach", "--no-deps", "--no-build", *number, *forced, service]


def recreate(intent: Entry, engine: Engine, *, replicas: int | None, force: bool = False) -> None:
    """Have Compose replace the containers of a step's service where they differ from the files, or all of them.

    Args:
        intent: the step.
        engine: where it runs.
        replicas: how many there are to be; None or 0 leaves that to the files.
        force: replace them all.

    Raises:
        EngineRefused: Compose failed; the message holds its last line.
        InputError: Compose is not installed.
    """
    command = [*compose_program(), *recreate_command(intent, force=force, replicas=replicas)]
    with tempfile.TemporaryDirectory(prefix="capacity-") as scratch:
        _run(intent, command, _environment(engine, Path(scratch)))


def _environment(engine: Engine, scratch: Path) -> dict[str, str]:
    """What points Compose at the same Engine that we talk to."""
    ours = {name: value for name, value in os.environ.items() if name not in {"DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"}}
    ours["DOCKER_HOST"] = engine.host.address
    if engine.tls is not None:
        certificate, key = engine.tls.cert or (None, None)
        for name, file in (("ca.pem", engine.tls.ca_cert), ("cert.pem", certificate), ("key.pem", key)):
            if file:
                (scratch / name).symlink_to(Path(file).absolute())
        ours |= {"DOCKER_CERT_PATH": str(scratch), "DOCKER_TLS_VERIFY": "1"}
    return ours


def _run(intent: Entry, command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - words, no shell
            command, env=environment, capture_output=True, text=True, check=False, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise EngineRefused(f"{intent.service}: Compose did not finish in {_SECONDS} s", "Look at the service") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise EngineRefused(
            f"{intent.service}: Compose could not replace it: {said[-1] if said else 'no reason'}", "Correct that"
        )
