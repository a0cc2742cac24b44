"""A user of a pool who watches for others on the same instance by means that the pool knows nothing of.

`python -m tests.operations.holder ENGINE FOLDER LEASES` is one in a process of its own; `killed` for LEASES keeps one for ever.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from capacity.operations import Instance, InstancePool
from capacity.settings import EngineSettings

SLEEP = ["busybox", "sleep", "600"]
_DIES_WITHIN = 5.0  # seconds for the kernel to end a killed process: its lock goes a little earlier than it does


def pool(address: str, name: str, size: int, **more: object) -> InstancePool:
    """A pool of sleepers with limits."""
    settings = EngineSettings(hosts={"test": address})
    options = {"command": SLEEP, "memory": 1 << 26, "cpus": 0.1, "network": "none", "settings": settings} | more
    return InstancePool(name, "busybox:local", size, **options)  # type: ignore[arg-type]  # options of the pool


def hold(mine: InstancePool, folder: Path, leases: int) -> int:
    """Take so many leases one after the other; how many there were."""
    for _ in range(leases):
        with mine.lease(timeout=120) as instance:
            mark = _enter(instance, folder)
            _step(instance, folder)
            mark.unlink()
    return leases


def steps(folder: Path) -> list[int]:
    """How often each instance was held, as its holders counted."""
    return [len(one.read_bytes()) for one in sorted(folder.glob("*.count"))]


def _enter(instance: Instance, folder: Path) -> Path:
    """Make the file that one holder alone can make; who finds it there says so."""
    mark = folder / f"{instance.id}.mark"
    try:
        handle = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        if not _was_killed(mark):
            with (folder / "shared").open("a") as said:
                said.write(f"{instance.name} has two holders\n")
        handle = os.open(mark, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    return mark


def _was_killed(mark: Path) -> bool:
    """Whether the process that left a mark is dead, or dies within a moment; a holder that lives takes its mark away."""
    end = time.monotonic() + _DIES_WITHIN
    while time.monotonic() < end:
        who = mark.read_text() if mark.exists() else "self"
        try:
            state = Path(f"/proc/{who or 'self'}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def _step(instance: Instance, folder: Path) -> None:
    """Count one more without protection: two who do it at once lose one."""
    file = folder / f"{instance.id}.count"
    before = file.read_bytes() if file.exists() else b""
    file.write_bytes(before + b".")


def main() -> None:
    """Hold as the words say."""
    address, folder, leases = sys.argv[1:4]
    with pool(address, "many", 3) as mine:
        if leases != "killed":
            sys.stdout.write(str(hold(mine, Path(folder), int(leases))))
            return
        with mine.lease() as instance:
            _enter(instance, Path(folder))
            _step(instance, Path(folder))
            sys.stdout.write("leased\n")
            sys.stdout.flush()
            time.sleep(600)


if __name__ == "__main__":
    main()
