"""A step on its way to the process that stores it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from capacity._collect.steps import StepValue
from capacity.errors import StorageError
from capacity.model import Signal

__all__ = ["ClosedStep", "Unstored", "read_step", "store_apart", "write_step"]

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


@dataclass(frozen=True)
class Unstored:
    """What could not be stored of a step, and why."""

    rest: ClosedStep
    error: StorageError


def store_apart(path: Path, closed: ClosedStep) -> Unstored | None:
    """Store a step in the archive at `path`, in a process of its own; what it could not store."""
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
    except subprocess.TimeoutExpired as error:
        said = error.stdout or b""
        text = said if isinstance(said, str) else said.decode("utf-8", "replace")
        return Unstored(_rest(closed, text), _not_stored(error))
    except OSError as error:
        return Unstored(closed, _not_stored(error))
    if not done.returncode:
        return None
    message, _, hint = done.stderr.strip().rpartition("\n")
    cause = StorageError(message or f"A step was not stored (exit {done.returncode})", hint)
    return Unstored(_rest(closed, done.stdout), cause)


def _not_stored(error: Exception) -> StorageError:
    return StorageError(f"Cannot store a step: {error}", "Is the machine overloaded?")


def _rest(closed: ClosedStep, stored: str) -> ClosedStep:
    """A step without the signals that were stored, which events would be added to twice."""
    names = stored.split()
    left = {signal: rows for signal, rows in closed.values.items() if str(signal) not in names}
    return replace(closed, values=left)


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
