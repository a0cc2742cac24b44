"""From the archive to a `History`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from capacity.errors import NoHistory
from capacity.history._archive.archive import Archive
from capacity.history._archive.records import SourceRecord
from capacity.history._history import History, usage_frame
from capacity.history._joined_sources import Freshness, host_names, join_blocks, name_hosts
from capacity.history._metrics.signals import CATALOGUE, SignalQuery, SignalScope
from capacity.history._service_series import SeriesBlock
from capacity.history._validity import drop_impossible, dropped_notes
from capacity.model import Resource, Signal
from capacity.settings._load import Settings

__all__ = [
    "ArchivedFleet",
    "day_key",
    "load_history",
    "look_through",
    "services_lately",
    "unix_time",
    "utc_days",
]

_DAY = 86_400
_USE = frozenset({Signal.CPU, Signal.MEMORY})
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
    freshness: Freshness = field(default_factory=Freshness)

    def add(self, signal: Signal, block: SeriesBlock) -> None:
        """Add a day; other signals than use may end before a service moved or was scaled."""
        if signal not in _USE:
            return
        self.hosts.update(zip(block.names, block.hosts, strict=True))
        self.replicas.update(zip(block.names, block.replicas, strict=True))
        for name, ratio in block.uneven.items():
            self.uneven[name] = max(ratio, self.uneven.get(name, 1.0))


@dataclass(frozen=True)
class _Sources:
    """Where the days of a fleet lie: in one source of the archive, or in several."""

    archive: Archive
    records: Sequence[SourceRecord]
    settings: Settings
    only: frozenset[str] | None = None

    def days(
        self, signal: Signal, start: pd.Timestamp, end: pd.Timestamp, seen: _Seen
    ) -> Iterator[tuple[date, SeriesBlock]]:
        """The stored days of a signal, one at a time, each joined from all sources; what they say
        beside samples goes to `seen`.
        """
        entry, step = CATALOGUE[signal], CATALOGUE[signal].step(self.settings.report.step)
        only = self.only if entry.scope is SignalScope.SERVICE else None
        for day in utc_days(start, end):
            blocks = []
            for record in self._with(signal):
                key = day_key(record, record.queries[str(signal)], signal, self.settings)
                stored = self.archive.read(record.name, signal, key, step, day, only)
                if stored is not None and stored.block.names:
                    blocks.append(self._named(stored.block, entry, record))
                    seen.notes.update(stored.warnings)
                    if signal in _USE and len(self.records) > 1:
                        seen.freshness.add(record.name, blocks[-1], day, step, end)
            if blocks:
                joined = blocks[0] if len(blocks) == 1 else join_blocks(blocks, entry)
                seen.add(signal, joined)
                yield day, joined

    def daily_peaks(self, signal: Signal, start: date, end: date) -> pd.DataFrame | None:
        """Highest sample of each day, of whichever source; None where nobody was asked."""
        found = [
            self.archive.daily_peaks(
                record.name,
                signal,
                day_key(record, record.queries[str(signal)], signal, self.settings),
                CATALOGUE[signal].step(self.settings.report.step),
                start=start,
                end=end,
                only=self.only,
            )
            for record in self._with(signal)
        ]
        if len(found) < 2:
            return found[0] if found else None
        return pd.concat(found).groupby(level=0).max()

    def lacking(self, signals: Iterable[Signal]) -> Iterator[str]:
        """What to say of signals that a source has no metrics for."""
        for signal in signals:
            if CATALOGUE[signal].optional:
                continue
            lack = [record.name for record in self.records if str(signal) not in record.queries]
            if len(lack) == len(self.records):
                yield f"The source has no metrics for {signal}."
            else:
                yield from (f"{name} has no metrics for {signal}." for name in lack)

    def queries(self) -> dict[Signal, str]:
        """Signal -> PromQL it was asked with, of the first source that has it."""
        return {
            Signal(name): text
            for record in reversed(self.records)
            for name, text in record.queries.items()
        }

    def _with(self, signal: Signal) -> list[SourceRecord]:
        return [record for record in self.records if str(signal) in record.queries]

    def _named(self, block: SeriesBlock, entry: SignalQuery, record: SourceRecord) -> SeriesBlock:
        """A day with its hosts called as in the fleet."""
        known, several = self.settings.sources.get(record.name), len(self.records) > 1
        only = None if known is None else known.host
        if only is None and not several:
            return block
        return name_hosts(block, entry, host_names(record.name, only, several=several))


def load_history(
    archive: Archive,
    records: Sequence[SourceRecord],
    settings: Settings,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal] = tuple(Signal),
    notes: Iterable[str] = (),
    only: frozenset[str] | None = None,
) -> History:
    """The history of a window from the archive alone, of one source or of several as one fleet, or
    of these services of it alone.

    Raises:
        NoHistory: the archive has no usage in the window.
    """
    sources, wanted = _Sources(archive, records, settings, only), tuple(signals)
    seen = _Seen(notes={*notes, *sources.lacking(wanted)})
    frames: dict[Signal, pd.DataFrame] = {}
    for signal in wanted:
        days = sources.days(signal, start, end, seen)
        frame = _assemble(days, CATALOGUE[signal].step(settings.report.step), start, end)
        if frame is not None:
            frames[signal] = frame
    if not any(signal in frames and not frames[signal].empty for signal in _USE):
        raise NoHistory(
            f"{' and '.join(record.name for record in records)} has no CPU or memory samples of "
            f"containers from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC",
            "`capacity doctor` shows which metrics and labels are there; for an earlier window "
            "give --as-of",
        )
    frames, dropped = drop_impossible(frames, seen.hosts)
    several = [record.name for record in records] if len(records) > 1 else []
    return History(
        frames=frames,
        start=start,
        end=end,
        step=pd.Timedelta(seconds=settings.report.step),
        source=" + ".join(record.url or record.name for record in records),
        hosts=seen.hosts,
        replicas=seen.replicas,
        uneven=seen.uneven,
        queries=sources.queries(),
        notes=(*sorted({*seen.notes, *seen.freshness.notes(several)}), *dropped_notes(dropped)),
        dropped=dropped,
        past_peaks=_past_peaks(sources, frames, seen.hosts, start),
        measured_until=seen.freshness.by_service() if several else {},
    )


@dataclass(frozen=True)
class ArchivedFleet:
    """Which services the archive holds in a window, and what only all of them tell.

    Attributes:
        services: with CPU or memory samples, sorted.
        measured_until: service -> newest sample of the sources that know it; of one source empty.
        notes: what the reader should know.
        fingerprint: hash of every stored day that was read.
    """

    services: tuple[str, ...]
    measured_until: Mapping[str, pd.Timestamp]
    notes: tuple[str, ...]
    fingerprint: str


def look_through(
    archive: Archive,
    records: Sequence[SourceRecord],
    settings: Settings,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal],
) -> ArchivedFleet:
    """Read every stored day of a window once, one at a time: checksums are held against them, and
    damaged days are set aside before anybody builds on them.
    """
    sources, wanted = _Sources(archive, records, settings), tuple(signals)
    seen, digest = _Seen(notes={*sources.lacking(wanted)}), hashlib.sha256()
    for signal in wanted:
        for day, block in sources.days(signal, start, end, seen):
            digest.update(f"{signal} {day} {block.names!r}".encode())
            digest.update(np.ascontiguousarray(block.values).data)
    several = [record.name for record in records] if len(records) > 1 else []
    return ArchivedFleet(
        tuple(sorted(seen.hosts)),
        seen.freshness.by_service() if several else {},
        tuple(sorted({*seen.notes, *seen.freshness.notes(several)})),
        digest.hexdigest()[:16],
    )


def services_lately(
    archive: Archive, records: Sequence[SourceRecord], settings: Settings, end: pd.Timestamp
) -> int:
    """About how many services there were on the last stored day before the end of a window."""
    total = 0
    for record in records:
        for signal in sorted(_USE & {Signal(name) for name in record.queries}):
            key = day_key(record, record.queries[str(signal)], signal, settings)
            step = CATALOGUE[signal].step(settings.report.step)
            total += archive.rows_before(record.name, signal, key, step, end.date())
            break
    return total


def _past_peaks(
    sources: _Sources,
    frames: Mapping[Signal, pd.DataFrame],
    hosts: Mapping[str, str],
    start: pd.Timestamp,
) -> dict[Resource, pd.DataFrame]:
    """Highest sample of the archived days before the window, without what cannot be true."""
    before = {}
    for resource in Resource:
        found = sources.daily_peaks(resource.usage, (start - _REMEMBERED).date(), start.date())
        if found is not None:
            before[resource.usage] = found
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
