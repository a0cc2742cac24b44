"""A fleet on a private Engine for the tests of applying: Compose projects, settings, plans, and what is in force."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from capacity.changes import MadeFrom, Plan, make_plan
from capacity.model import Change, Reason, Resource, What
from capacity.settings import Settings
from tests.servers import TOOLS, require
from tests.servers_docker import Engine, busybox_image, client, dockerd

MIB = 2**20
SLEEP = 'command: ["sleep", "600"]'
IMAGE = "stack:latest"


@dataclass(frozen=True)
class Fleet:
    """An Engine with the image `stack:latest`, and a folder for one test's projects and journal."""

    engine: Engine
    folder: Path

    def up(self, text: str, name: str = "shop", file: str = "compose.yaml", variables: str = "") -> Path:
        """Start a project of that text, with an env file of its own where there are variables; returns its file."""
        path = self.folder / name / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, newline="")
        words = [str(require("docker-compose")), "--project-directory", str(path.parent), "--project-name", name]
        if variables:
            (self.folder / "own.env").write_text(variables)
            words += ["--env-file", str(self.folder / "own.env")]
        subprocess.run([*words, "up", "--detach"], env=self.environment(), capture_output=True, check=True)
        return path

    def environment(self) -> dict[str, str]:
        """What `docker-compose` and `capacity` need to find Engine, program and journal."""
        return {
            "DOCKER_HOST": self.engine.url,
            "HOME": str(self.folder),
            "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "CAPACITY_APPLY__JOURNAL": str(self.folder / "journal"),
            "CAPACITY_APPLY__OBSERVE": "0",
        }

    def settings(self, **rules: Any) -> Settings:
        """Settings for this Engine, without observation unless a test wants some."""
        apply = {"journal": self.folder / "journal", "observe": 0, **rules}
        return Settings(engine={"hosts": {"here": self.engine.url}}, apply=apply)

    def run(self, name: str, command: Iterable[str] = ("sleep", "600"), **more: Any) -> Any:
        """Start a container outside Compose."""
        with closing(client(self.engine)) as api:
            return api.containers.run(IMAGE, [*command], detach=True, name=name, **{"network_mode": "none", **more})

    def limits(self, name: str) -> dict[str, Any]:
        """The Engine's own description of a container's limits."""
        with closing(client(self.engine)) as api:
            found: dict[str, Any] = api.containers.get(name).attrs["HostConfig"]
            return found

    def memory(self, name: str) -> int:
        """Its memory limit in MiB."""
        return int(self.limits(name)["Memory"]) // MIB

    def clear(self) -> None:
        """Remove every container."""
        with closing(client(self.engine)) as api:
            for container in api.containers.list(all=True, ignore_removed=True):
                container.remove(force=True, v=True)


@contextmanager
def fleet(directory: Path) -> Iterator[Fleet]:
    """An Engine for the tests of a module."""
    with dockerd(directory / "docker") as engine:
        busybox_image(engine, "stack")
        yield Fleet(engine, directory)
    # a daemon whose containers used the host's network leaves that mounted, and its folder behind
    short = Path(engine.url.removeprefix("unix://")).parent
    subprocess.run(["umount", short / "exec" / "netns" / "default"], check=False, capture_output=True)
    shutil.rmtree(short, ignore_errors=True)


def in_folder(whole: Fleet, folder: Path) -> Fleet:
    """The same Engine for another test."""
    return replace(whole, folder=folder)


def memory(service: str, before: float | None, after: float, reason: Reason = Reason.REQUESTED, **evidence: float) -> Change:
    """A change of a memory limit, in MiB."""
    return Change(service, Resource.MEMORY, None if before is None else before * MIB, after * MIB, reason, evidence)


def cpus(service: str, before: float | None, after: float, **evidence: float) -> Change:
    """A change of a CPU limit, in cores."""
    return Change(service, Resource.CPU, before, after, Reason.REQUESTED, evidence)


def other(service: str, what: What, before: Any, after: Any) -> Change:
    """A change of anything else."""
    return Change(service, what, before, after, Reason.REQUESTED)


def plan_of(*changes: Change, days: float = 7, files: dict[str, str] | None = None) -> Plan:
    """A plan made now."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = MadeFrom(history="h", settings="s", code="1", files=files or {})
    return make_plan(changes, hosts={}, as_of=now, valid_until=now + timedelta(days=days), made_from=made)


def project(**services: str) -> str:
    """The text of a compose file with services that sleep; each value is more lines for its service, split at `;`."""
    lines = ["services:"]
    for name, more in services.items():
        lines += [f"  {name}:  # {name}", f"    image: {IMAGE}", "    network_mode: none", f"    {SLEEP}"]
        lines += ["    stop_grace_period: 0s"]  # as process 1, sleep does not end when asked
        lines += [f"    {line}" for line in re.split(r";(?: (?! ))?", more) if line.strip()]
    return "\n".join(lines) + "\n"
