"""A step on its way to the process that stores it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from capacity._collect.steps import StepValue
from capacity.errors import StorageError
from capacity.model import Signal

__all__ = ["ClosedStep", "read_step", "store_apart", "write_step"]

_PATIENCE = 120  # seconds; a step is written in one


@dataclass(frozen=True)
class ClosedStep:
    """A step that is over.

    Attributes:
        end: Unix seconds.
        step: its length in seconds.
        interval: seconds between samples.
        values: signal -> service or host -> what the step was.
    """

    end: int
    step: int
    interval: int
    values: Mapping[Signal, Mapping[str, StepValue]]


def store_apart(path: Path, closed: ClosedStep) -> None:
    """Store a step in the archive at `path`, in a process of its own.

    Raises:
        StorageError: it could not be stored.
    """
    command = [sys.executable, "-m", "capacity._collect.store"]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command,
            input=write_step(path, closed),
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StorageError(f"Cannot store a step: {error}", "Is the machine overloaded?") from error
    if done.returncode:
        message, _, hint = done.stderr.strip().rpartition("\n")
        raise StorageError(message or f"A step was not stored (exit {done.returncode})", hint)


def write_step(path: Path, closed: ClosedStep) -> str:
    """The step and its archive as one line of JSON."""
    rows = {
        str(signal): {
            name: [value.value, sorted(value.hosts), value.replicas]
            for name, value in values.items()
        }
        for signal, values in closed.values.items()
    }
    return json.dumps([str(path.absolute()), closed.end, closed.step, closed.interval, rows])


def read_step(text: str) -> tuple[Path, ClosedStep]:
    """What `write_step` wrote."""
    path, end, step, interval, rows = json.loads(text)
    values = {
        Signal(signal): {
            name: StepValue(value, frozenset(hosts), replicas)
            for name, (value, hosts, replicas) in found.items()
        }
        for signal, found in rows.items()
    }
    return Path(path), ClosedStep(end, step, interval, values)
