"""From the archive to a `History`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd

from capacity.errors import NoHistory
from capacity.history._archive import Archive, SourceRecord
from capacity.history._history import History, usage_frame
from capacity.history._services import SeriesBlock
from capacity.history._signals import CATALOGUE, SignalScope
from capacity.history._validity import drop_impossible, dropped_notes
from capacity.model import Resource, Signal
from capacity.settings._load import Settings

__all__ = ["day_key", "load_history", "unix_time", "utc_days"]

_DAY = 86_400
_REMEMBERED = pd.Timedelta("400D")  # before the window, of which the highest peaks are known


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
    hosts: dict[str, str] = {}
    replicas: dict[str, int] = {}
    uneven: dict[str, float] = {}
    all_notes = set(notes)
    for signal in signals:
        query = record.queries.get(str(signal))
        if query is None:
            if not CATALOGUE[signal].optional:
                all_notes.add(f"The source has no metrics for {signal}.")
            continue
        step = CATALOGUE[signal].step(settings.report.step)
        days = []
        for day in utc_days(start, end):
            stored = archive.read(
                record.name, signal, day_key(record, query, signal, settings), step, day
            )
            if stored is not None and stored.block.names:
                days.append((day, stored.block))
                all_notes.update(stored.warnings)
        if not days:
            continue
        frames[signal] = _assemble(days, step, start, end)
        if signal in {
            Signal.CPU,
            Signal.MEMORY,
        }:  # other signals may end before a service moved or was scaled
            for _, block in days:
                hosts.update(zip(block.names, block.hosts, strict=True))
                replicas.update(zip(block.names, block.replicas, strict=True))
                uneven.update(
                    {
                        name: max(ratio, uneven.get(name, 1.0))
                        for name, ratio in block.uneven.items()
                    }
                )
    if not any(
        signal in frames and not frames[signal].empty for signal in (Signal.CPU, Signal.MEMORY)
    ):
        raise NoHistory(
            f"{record.name} has no CPU or memory samples of containers from {start:%Y-%m-%d %H:%M} "
            f"to {end:%Y-%m-%d %H:%M} UTC",
            "`capacity doctor` shows which metrics and labels are there; for an earlier window "
            "give --as-of",
        )
    frames, dropped = drop_impossible(frames, hosts)
    past = _past_peaks(archive, record, settings, frames, hosts, start)
    return History(
        frames=frames,
        start=start,
        end=end,
        step=pd.Timedelta(seconds=settings.report.step),
        source=record.url or record.name,
        hosts=hosts,
        replicas=replicas,
        uneven=uneven,
        queries={Signal(name): text for name, text in record.queries.items()},
        notes=(*sorted(all_notes), *dropped_notes(dropped)),
        dropped=dropped,
        past_peaks=past,
    )


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
    days: list[tuple[date, SeriesBlock]], step: int, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """One frame over the window from blocks of days."""
    names = sorted({name for _, block in days for name in block.names})
    column = {name: index for index, name in enumerate(names)}
    first = pd.Timestamp(start.date(), tz="UTC")
    points = _DAY // step
    values = np.full((len(list(utc_days(start, end))) * points, len(names)), np.nan)
    for day, block in days:
        row = (pd.Timestamp(day, tz="UTC") - first).days * points
        values[row : row + points, [column[name] for name in block.names]] = block.values.T
    frame = usage_frame(values, names, unix_time(first), step)
    inside = (frame.index >= start) & (frame.index < end)
    lower, upper = int(inside.argmax()), len(inside) - int(inside[::-1].argmax())
    frame = frame.iloc[lower:upper]
    return frame.loc[:, frame.notna().any().to_numpy()]


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
