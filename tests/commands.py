"""The command line as its users meet it: a process with an exit code and two streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["capacity", "environment"]


def environment(archive: Path, **more: str) -> dict[str, str]:
    """This process's environment without settings of capacity, with an archive of the test's own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CAPACITY_")}
    return {**clean, "CAPACITY_ARCHIVE__PATH": str(archive), **more}


def capacity(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `capacity ARGUMENTS` in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "capacity", *arguments],
        cwd=folder,
        env=environment(folder / "archive", **more),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
