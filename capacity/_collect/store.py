"""Steps into the archive, each as soon as it is over: an end by force loses the open one alone.

`python -m capacity._collect.store` stores the step on its standard input, and ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from capacity._collect.step_transfer import ClosedStep, read_step
from capacity._collect.steps import COLLECTED, StepValue, step_end
from capacity.errors import CapacityError
from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._service_series import SeriesBlock
from capacity.model import Signal

__all__ = ["store_step"]

_DAY = 86_400
_QUERY = "collected"


def store_step(
    path: Path, closed: ClosedStep, told: Callable[[Signal], object] = lambda _: None
) -> None:
    """Add a step to its day in the archive; a day whose every step is there is final.

    Args:
        path: of the archive.
        closed: the step.
        told: called with each signal as soon as it is stored.

    Raises:
        StorageError: the archive cannot be written.
        Locked: another process holds the source's record.
    """
    archive = Archive(path)
    values = {signal: rows for signal, rows in closed.values.items() if rows}
    for signal, rows in values.items():
        _store(archive, signal, closed.end, rows, closed.step)
        told(signal)
    known = archive.source(COLLECTED)
    queries = {str(signal): _QUERY for signal in values}
    # last, so that no source is known before its first day is stored
    if queries and (known is None or not queries.items() <= known.queries.items()):
        archive.record(SourceRecord(COLLECTED, "", "collect", closed.interval, queries))


def _store(
    archive: Archive, signal: Signal, end: int, rows: Mapping[str, StepValue], step: int
) -> None:
    width = CATALOGUE[signal].step(step)
    at = step_end(end, width)
    day = datetime.fromtimestamp(at, UTC).date()
    place = at % _DAY // width
    stored = archive.read(COLLECTED, signal, _QUERY, width, day)
    block = _with_step(stored.block if stored else None, signal, place, rows, _DAY // width)
    archive.write(COLLECTED, signal, _QUERY, width, day, StoredDay(block, _complete(block), ()))


def _complete(block: SeriesBlock) -> bool:
    return bool(np.isfinite(block.values).any(axis=0).all())


def _with_step(
    known: SeriesBlock | None,
    signal: Signal,
    place: int,
    rows: Mapping[str, StepValue],
    points: int,
) -> SeriesBlock:
    """The day with one step more; hourly signals are added up or compared with the hour so far."""
    names = sorted({*(known.names if known else ()), *rows})
    row_of = {name: row for row, name in enumerate(names)}
    values = np.full((len(names), points), np.nan)
    hosts, replicas = [""] * len(names), [0] * len(names)
    if known is not None:
        for old, name in enumerate(known.names):
            row = row_of[name]
            values[row] = known.values[old]
            hosts[row], replicas[row] = known.hosts[old], known.replicas[old]
    for name, now in rows.items():
        row = row_of[name]
        before = values[row, place]
        values[row, place] = now.value if np.isnan(before) else _both(signal, before, now.value)
        hosts[row], replicas[row] = ",".join(sorted(now.hosts)), now.replicas
    return SeriesBlock(names, hosts, replicas, values)


def _both(signal: Signal, before: float, now: float) -> float:
    """Two values of one hour, or of one step that a restart of the collector has cut."""
    return before + now if CATALOGUE[signal].unit == "events" else max(before, now)


def _tell(signal: Signal) -> None:
    """Say on standard output what is stored, in case that the rest cannot be."""
    os.write(1, f"{signal}\n".encode())


def main() -> str | None:
    """Store what comes on standard input; the answer is what went wrong."""
    try:
        store_step(*read_step(sys.stdin.read()), _tell)
    except CapacityError as error:
        return f"{error.message}\n{error.hint}"
    return None


if __name__ == "__main__":
    sys.exit(main())
