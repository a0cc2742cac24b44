"""What the tests of operations share: containers that fail in known ways, and what of a fleet must be as before."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from capacity.inventory import Inventory, snapshot
from capacity.inventory.engine import connect_all
from capacity.operations import RestartLoop, find_restart_loops
from capacity.operations.causes import load_causes
from capacity.settings import Settings
from tests.changes.fleet import Fleet
from tests.servers import wait_for
from tests.servers_docker import client

LOOP: dict[str, Any] = {"restart_policy": {"Name": "always"}, "stop_signal": "SIGKILL"}
QUICK: dict[str, Any] = {"stop_signal": "SIGKILL"}  # as process 1, sleep does not end when asked


def own_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and journals of the test's own."""
    monkeypatch.setattr("capacity.operations.pool_place.ROOTS", (folder,))
    monkeypatch.setenv("CAPACITY_APPLY__JOURNAL", str(folder / "journal"))
    monkeypatch.setattr("capacity.operations.record._SPARE", folder / "spare")


def says(text: str, code: int = 1) -> list[str]:
    """A command that says something and dies."""
    return ["sh", "-c", f"echo '{text}' >&2; exit {code}"]


def fingerprint(found: Inventory) -> list[tuple[object, ...]]:
    """What of a fleet must be as before; between two tries a container in a loop runs or waits, which is the same here."""
    return [
        (
            one.name,
            "loop" if one.restart_count and one.restart_policy != "no" and one.state in {"restarting", "running"} else one.state,
            *(one.memory, one.memory_swap, one.cpus, one.cpuset, one.restart_policy, one.image, one.environment, one.ports),
        )
        for one in found.containers
    ]


def seen(settings: Settings) -> list[tuple[object, ...]]:
    """The fingerprint of what runs now."""
    return fingerprint(snapshot(settings.engine))


def loops_of(settings: Settings, **options: Any) -> dict[str, RestartLoop]:
    """Restart loops by the container's name."""
    with connect_all(settings.engine) as (engines, _):
        return {one.container: one for one in find_restart_loops(engines, load_causes(), **options)}


def hold(mib: int) -> list[str]:
    """A command that holds so much memory, says `ready` and sleeps."""
    script = f"x=$(dd if=/dev/zero bs=1M count={mib} 2>/dev/null | tr '\\0' a); echo ready; exec 3<&0; while :; do sleep 1; done"
    return ["sh", "-c", script]


def block(mib: int) -> list[str]:
    """A command that fills one block of so much memory, all at once, and waits for ever for somebody to take it."""
    return ["sh", "-c", f"mkfifo /tmp/pipe; exec 3<>/tmp/pipe; exec dd if=/dev/zero of=/tmp/pipe bs={mib}M"]


def low(shop: Fleet, name: str, mib: int) -> None:
    """A container that may be stopped and holds so much memory."""
    shop.run(name, hold(mib), labels={"priority": "low"}, **QUICK)


def ready(shop: Fleet, *names: str) -> None:
    """Wait until containers have said so."""
    with closing(client(shop.engine)) as api:
        for name in names:
            wait_for(lambda name=name: b"ready" in api.containers.get(name).logs() or None, name)


def git(folder: Path, *words: str) -> None:
    """Git in a folder, with an author."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)
