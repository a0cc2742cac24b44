"""New containers for a service through Compose itself: what the Engine cannot change live comes
from the edited file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from capacity._common.files import scratch_folder
from capacity._compose.declared import load_declared
from capacity._docker.engine import Engine, engine_errors, inspect
from capacity.changes._journal.models import IntentEntry
from capacity.errors import ContainerGone, EngineRefused, InputError
from capacity.model import ServiceKey

__all__ = ["compose_program", "recreate"]

_SECONDS = 600
_COMPOSE = "com.docker.compose."


def compose_program() -> list[str]:
    """The words that start Compose v2: `docker compose` where the plugin is there, else
    `docker-compose`.

    Raises:
        InputError: neither is there.
    """
    docker = shutil.which("docker")
    if docker:
        asked = subprocess.run(  # noqa: S603 - found by name
            [docker, "compose", "version"], capture_output=True, check=False, timeout=60
        )
        if asked.returncode == 0:
            return [docker, "compose"]
    alone = shutil.which("docker-compose")
    if alone:
        return [alone]
    raise InputError(
        "Compose is not installed",
        "Install the docker compose plugin, or set apply.recreate = false",
    )


def _up_words(
    intent: IntentEntry,
    *,
    force: bool = False,
    replicas: int | None = None,
    alone: bool = True,
    start: bool = True,
) -> list[str]:
    """The words after the program that bring a service in line with its files, and nothing else.

    Without a number Compose would go back to that of the files, or to one: `--scale` leaves no
    trace there.
    """
    service = ServiceKey.parse(intent.service).service
    number = ["--scale", f"{service}={replicas}"] if replicas else []
    forced = ["--force-recreate"] if force else []
    how = ["--detach" if start else "--no-start", *(["--no-deps"] if alone else [])]
    return [*_project_words(intent), "up", *how, "--no-build", *number, *forced, service]


def _project_words(intent: IntentEntry) -> list[str]:
    project = intent.detail.project
    assert project is not None
    files = [word for file in project.files for word in ("--file", file)]
    files += [word for file in project.env_files for word in ("--env-file", file)]
    return ["--project-name", project.name, "--project-directory", project.folder, *files]


def recreate(
    intent: IntentEntry,
    engine: Engine,
    *,
    replicas: int | None,
    force: bool = False,
    start: bool = True,
) -> None:
    """Have Compose replace the containers of a step's service where they differ from the files, or
    all of them.

    What the service needs is left alone. Where Compose would find it in line with the files it is
    told of it all the same, or the new container would lack the label of what it needs, and differ
    by that from what the next `up` makes.

    Args:
        intent: the step.
        engine: where it runs.
        replicas: how many there are to be; None or 0 leaves that to the files.
        force: replace them all.
        start: start them too.

    Raises:
        EngineRefused: Compose failed; the message holds its last line.
        InputError: Compose is not installed.
    """
    program = compose_program()
    with scratch_folder() as scratch:
        environment = _environment(engine, scratch)
        alone = not start or not _needs_are_in_line(intent, engine, program, environment)
        _run(
            intent,
            [
                *program,
                *_up_words(intent, force=force, replicas=replicas, alone=alone, start=start),
            ],
            environment,
        )


def _needs_are_in_line(
    intent: IntentEntry, engine: Engine, program: list[str], environment: dict[str, str]
) -> bool:
    """Whether all that a service needs runs, well and as its files say: then Compose leaves it
    alone.
    """
    project = intent.detail.project
    assert project is not None
    declared = load_declared(project.name, project.files, project.folder, project.env_files)
    services = declared.project.services if declared.project is not None else {}
    left, needs = [ServiceKey.parse(intent.service).service], set[str]()
    while left:
        found = services.get(left.pop())
        new = set(found.depends_on if found is not None else ()) - needs
        needs |= new
        left += sorted(new)
    if not needs:
        return bool(services)
    said = _run(intent, [*program, *_project_words(intent), "config", "--hash", "*"], environment)
    hashes = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    return all(_is_in_line(engine, project.name, name, hashes.get(name, "")) for name in needs)


def _is_in_line(engine: Engine, project: str, service: str, wanted: str) -> bool:
    labels = [
        f"{_COMPOSE}project={project}",
        f"{_COMPOSE}service={service}",
        f"{_COMPOSE}oneoff=False",
    ]
    try:
        with engine_errors(engine.host.name, f"list the containers of {project}/{service}"):
            found = engine.api.containers(all=True, filters={"label": labels})
            made = [inspect(engine, new["Id"]) for new in found]
            images = {
                container.image: str(engine.api.inspect_image(container.image)["Id"])
                for container in made
            }
    except ContainerGone:  # meanwhile, or its image was removed
        return False
    return bool(made) and all(
        container.running
        and container.health in {None, "", "healthy"}
        and container.labels.get(f"{_COMPOSE}config-hash") == wanted
        and container.labels.get(f"{_COMPOSE}image", images[container.image])
        == images[container.image]  # else Compose would replace it
        for container in made
    )


def _environment(engine: Engine, scratch: Path) -> dict[str, str]:
    """What points Compose at the same Engine that we talk to."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DOCKER_CONTEXT", "DOCKER_TLS_VERIFY"}
    }
    ours["DOCKER_HOST"] = engine.host.address
    if engine.tls is not None:
        certificate, key = engine.tls.cert or (None, None)
        for name, file in (
            ("ca.pem", engine.tls.ca_cert),
            ("cert.pem", certificate),
            ("key.pem", key),
        ):
            if file:
                (scratch / name).symlink_to(Path(file).absolute())
        ours |= {"DOCKER_CERT_PATH": str(scratch), "DOCKER_TLS_VERIFY": "1"}
    return ours


def _run(intent: IntentEntry, command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - words, no shell
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineRefused(
            f"{intent.service}: Compose did not finish in {_SECONDS} s", "Look at the service"
        ) from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise EngineRefused(
            f"{intent.service}: Compose could not replace it: {said[-1] if said else 'no reason'}",
            "Correct that",
        )
    return done.stdout
