"""From the archive to a `History`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from capacity.errors import NoHistory
from capacity.history._archive.archive import Archive, SourceRecord, StoredDay
from capacity.history._history import History, usage_frame
from capacity.history._metrics.signals import CATALOGUE, SignalScope
from capacity.history._services import SeriesBlock
from capacity.history._validity import drop_impossible, dropped_notes
from capacity.model import Resource, Signal
from capacity.settings._load import Settings

__all__ = ["day_key", "load_history", "unix_time", "utc_days"]

_DAY = 86_400
_REMEMBERED = pd.Timedelta("400D")  # before the window, of which the highest peaks are known


@dataclass
class _Seen:
    """What the days of a window say beside samples, by service; the latest day has the last word.

    Attributes:
        uneven: how far the worst replica is above the mean one, at most.
    """

    hosts: dict[str, str] = field(default_factory=dict)
    replicas: dict[str, int] = field(default_factory=dict)
    uneven: dict[str, float] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)

    def add(self, signal: Signal, stored: StoredDay) -> None:
        """Add a day; other signals than use may end before a service moved or was scaled."""
        self.notes.update(stored.warnings)
        if signal not in {Signal.CPU, Signal.MEMORY}:
            return
        block = stored.block
        self.hosts.update(zip(block.names, block.hosts, strict=True))
        self.replicas.update(zip(block.names, block.replicas, strict=True))
        for name, ratio in block.uneven.items():
            self.uneven[name] = max(ratio, self.uneven.get(name, 1.0))


def load_history(
    archive: Archive,
    record: SourceRecord,
    settings: Settings,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal] = tuple(Signal),
    notes: Iterable[str] = (),
) -> History:
    """The history of a window from the archive alone.

    Raises:
        NoHistory: the archive has no usage in the window.
    """
    frames: dict[Signal, pd.DataFrame] = {}
    seen = _Seen(notes=set(notes))
    for signal in signals:
        if str(signal) in record.queries:
            days = _days(archive, record, settings, signal, start=start, end=end, seen=seen)
            frame = _assemble(days, CATALOGUE[signal].step(settings.report.step), start, end)
            if frame is not None:
                frames[signal] = frame
        elif not CATALOGUE[signal].optional:
            seen.notes.add(f"The source has no metrics for {signal}.")
    if not any(
        signal in frames and not frames[signal].empty for signal in (Signal.CPU, Signal.MEMORY)
    ):
        raise NoHistory(
            f"{record.name} has no CPU or memory samples of containers from {start:%Y-%m-%d %H:%M} "
            f"to {end:%Y-%m-%d %H:%M} UTC",
            "`capacity doctor` shows which metrics and labels are there; for an earlier window "
            "give --as-of",
        )
    frames, dropped = drop_impossible(frames, seen.hosts)
    past = _past_peaks(archive, record, settings, frames, seen.hosts, start)
    return History(
        frames=frames,
        start=start,
        end=end,
        step=pd.Timedelta(seconds=settings.report.step),
        source=record.url or record.name,
        hosts=seen.hosts,
        replicas=seen.replicas,
        uneven=seen.uneven,
        queries={Signal(name): text for name, text in record.queries.items()},
        notes=(*sorted(seen.notes), *dropped_notes(dropped)),
        dropped=dropped,
        past_peaks=past,
    )


def _days(
    archive: Archive,
    record: SourceRecord,
    settings: Settings,
    signal: Signal,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    seen: _Seen,
) -> Iterator[tuple[date, SeriesBlock]]:
    """The stored days of a signal, one at a time; what they say beside samples goes to `seen`."""
    step = CATALOGUE[signal].step(settings.report.step)
    key = day_key(record, record.queries[str(signal)], signal, settings)
    for day in utc_days(start, end):
        stored = archive.read(record.name, signal, key, step, day)
        if stored is not None and stored.block.names:
            seen.add(signal, stored)
            yield day, stored.block


def _past_peaks(
    archive: Archive,
    record: SourceRecord,
    settings: Settings,
    frames: Mapping[Signal, pd.DataFrame],
    hosts: Mapping[str, str],
    start: pd.Timestamp,
) -> dict[Resource, pd.DataFrame]:
    """Highest sample of the archived days before the window, without what cannot be true."""
    before = {}
    for resource in Resource:
        query = record.queries.get(str(resource.usage))
        if query is not None:
            before[resource.usage] = archive.daily_peaks(
                record.name,
                resource.usage,
                day_key(record, query, resource.usage, settings),
                CATALOGUE[resource.usage].step(settings.report.step),
                start=(start - _REMEMBERED).date(),
                end=start.date(),
            )
    sizes = {
        signal: frames[signal]
        for signal in (Signal.HOST_CORES, Signal.HOST_MEMORY_TOTAL)
        if signal in frames
    }
    possible, _ = drop_impossible({**sizes, **before}, hosts)
    return {resource: possible[resource.usage] for resource in Resource if resource.usage in before}


def _assemble(
    days: Iterable[tuple[date, SeriesBlock]], step: int, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame | None:
    """One frame over the window from blocks of days, of which one is held at a time; None without
    any.
    """
    first = pd.Timestamp(start.date(), tz="UTC")
    points = _DAY // step
    column: dict[str, int] = {}
    values = np.empty((len(list(utc_days(start, end))) * points, 0))
    for day, block in days:
        new = [name for name in block.names if name not in column]
        if new:
            column |= {name: number for number, name in enumerate(new, start=len(column))}
            more = np.full((len(values), len(new)), np.nan)
            values = np.hstack([values, more]) if values.size else more
        row = (pd.Timestamp(day, tz="UTC") - first).days * points
        values[row : row + points, [column[name] for name in block.names]] = block.values.T
    if not column:
        return None
    frame = usage_frame(values, list(column), unix_time(first), step)
    inside = (frame.index >= start) & (frame.index < end)
    lower, upper = int(inside.argmax()), len(inside) - int(inside[::-1].argmax())
    frame = frame.iloc[lower:upper]
    kept = sorted(frame.columns[frame.notna().any()])
    # a copy of a large fleet's samples only where it changes something
    return frame if kept == list(frame.columns) else frame[kept]


def day_key(record: SourceRecord, query: str, signal: Signal, settings: Settings) -> str:
    """What days are kept under: the query, and the labels that decided which service a container
    belongs to.
    """
    if record.kind in {"import", "collect"} or CATALOGUE[signal].scope is not SignalScope.SERVICE:
        return query
    labels = settings.identity.model_dump(exclude_defaults=True)
    return query if not labels else f"{query} # {json.dumps(labels, sort_keys=True)}"


def utc_days(start: pd.Timestamp, end: pd.Timestamp) -> Iterator[date]:
    day = start.date()
    while pd.Timestamp(day, tz="UTC") < end:
        yield day
        day += timedelta(days=1)


def unix_time(time: pd.Timestamp) -> int:
    return int(time.timestamp())
