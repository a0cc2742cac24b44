"""From the server to the archive, and from the archive to a `History`."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity._common.progress import Progress, Silent
from capacity.errors import Denied, NoHistory, SourceError, Unreachable
from capacity.history._archive import SETTLE, Archive, SourceRecord, StoredDay, source_name
from capacity.history._history import History, usage_frame
from capacity.history._prometheus.client import PrometheusSource, Range
from capacity.history._prometheus.parse import parse_matrix
from capacity.history._services import SeriesBlock, merge_replicas
from capacity.history._signals import CATALOGUE, SignalScope, choose_query, render_query
from capacity.history._validity import drop_impossible, dropped_notes
from capacity.model import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from capacity.settings import Settings

__all__ = ["Fetched", "fetch", "load_history", "remember_source"]

_DAY = 86_400
_SCRAPES_A_RATE = 4  # a rate needs two samples; four survive a missed scrape
_USUAL_SCRAPE = 60
_HOPELESS = 8  # failures before the first answer
_GONE = 2  # times in a row that the server was not reached
_NAMED = 5  # days of a note
_CLOCKS_APART = 120  # seconds that two clocks may differ before it matters

_log = logging.getLogger("capacity")


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: range queries sent, days that were there already, signals the server lacks,
    its warnings, and days that the server could not answer.
    """

    source: SourceRecord
    asked: int
    kept: int
    missing: tuple[Signal, ...]
    warnings: tuple[str, ...]
    failed: int = 0


@dataclass(frozen=True)
class _Task:
    signal: Signal
    day: date
    asked: Range
    final: bool


class _Failures:
    """Days that the server could not answer: named and left out, unless it answers nothing."""

    def __init__(self) -> None:
        self._errors: list[tuple[_Task, SourceError]] = []
        self._unreachable = 0
        self._answered = False

    def add(self, task: _Task, error: SourceError) -> None:
        """Remember a failure.

        Raises:
            SourceError: this one, where asking on is of no use.
        """
        self._errors.append((task, error))
        self._unreachable += isinstance(error, Unreachable)
        hopeless = len(self._errors) >= _HOPELESS and not self._answered
        if isinstance(error, Denied) or hopeless or self._unreachable >= _GONE:
            raise error

    def answered(self) -> None:
        """The server gave an answer."""
        self._unreachable, self._answered = 0, True

    def raise_if_all(self, asked: int) -> None:
        """Raise the first failure where nothing was answered."""
        if self._errors and len(self._errors) == asked:
            raise self._errors[0][1]

    @property
    def count(self) -> int:
        """Days of a signal that are missing."""
        return len(self._errors)

    def notes(self) -> tuple[str, ...]:
        """One sentence a signal: which days are missing, and why the first one is."""
        days: dict[Signal, list[date]] = {}
        reasons: dict[Signal, str] = {}
        for task, error in self._errors:
            days.setdefault(task.signal, []).append(task.day)
            reasons.setdefault(task.signal, error.message)
        return tuple(
            f"Incomplete: {signal} of {_named(found)} could not be fetched "
            f"({reasons[signal]}). The next fetch asks again."
            for signal, found in days.items()
        )


def fetch(
    source: PrometheusSource,
    archive: Archive,
    settings: Settings,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal] = tuple(Signal),
    refresh: bool = False,
    progress: Progress | None = None,
    now: Callable[[], float] = time.time,
) -> Fetched:
    """Bring the archive up to date with the server, one UTC day and signal a request.

    Args:
        source: the server.
        archive: where the days go; each is written as soon as it has come, so an interrupted fetch
            goes on where it stopped.
        settings: step, identity, metric names, query budget.
        start: first moment wanted, UTC.
        end: the moment after the last, UTC.
        signals: which ones; those whose metrics the server lacks are left out and listed.
        refresh: ask again for final days too.
        progress: told about each day.
        now: the clock, Unix seconds.

    Raises:
        SourceError: the server refused or answered nothing, or is gone; days that came before are
            kept. A day that it cannot answer while it answers others is a warning.
        StorageError: the archive cannot be written.
    """
    progress = progress or Silent()
    wanted = tuple(signals)
    record, missing = remember_source(
        source, archive, settings, start=start, end=end, signals=wanted
    )
    ahead = _clock_ahead(source)
    warnings: set[str] = set()
    if ahead:
        warnings.add(
            f"This machine's clock is {ahead:+.0f} s off the server's; the server's decides which "
            "days are over."
        )
        _log.warning("This machine's clock is %+.0f s off that of %s", ahead, source.address)
    tasks, kept = _tasks(
        archive, record, settings, wanted, start, end, refresh=refresh, now=now() - ahead
    )
    asked = {task.asked: task for task in tasks}
    failed = _Failures()
    progress.start(f"Fetching from {source.address}", len(tasks))
    try:
        # While a day is written the next one is parsed. Leaving the block waits for the last write,
        # also after Ctrl-C.
        with ThreadPoolExecutor(1, thread_name_prefix="capacity-write") as writer:
            writing: Future[None] | None = None
            for query, future in source.answers(task.asked for task in tasks):
                task = asked[query]
                progress.advance(f"{task.signal} {task.day}")
                try:
                    answer = parse_matrix(
                        future.result(), start=query.start, step=query.step, points=query.points
                    )
                except SourceError as error:
                    failed.add(task, error)
                    continue
                failed.answered()
                block = _whole_day(
                    merge_replicas(answer, CATALOGUE[task.signal], settings.identity), query.step
                )
                warnings.update(answer.warnings)
                if writing:
                    writing.result()
                day = StoredDay(block, task.final and not answer.warnings, answer.warnings)
                writing = writer.submit(
                    _store,
                    archive,
                    record.name,
                    task,
                    _key(record, query.query, task.signal, settings),
                    day,
                )
            if writing:
                writing.result()
    finally:
        progress.finish()
    failed.raise_if_all(len(tasks))
    return Fetched(
        record, len(tasks), kept, missing, (*sorted(warnings), *failed.notes()), failed.count
    )


def _named(days: list[date]) -> str:
    shown = ", ".join(str(day) for day in days[:_NAMED])
    return shown + (f" and {len(days) - _NAMED} more days" if len(days) > _NAMED else "")


def _store(archive: Archive, source: str, task: _Task, key: str, day: StoredDay) -> None:
    """Add what has come to what is there; an empty answer changes nothing."""
    if not np.isfinite(day.block.values).any():
        return
    known = archive.read(source, task.signal, key, task.asked.step, task.day)
    if known:
        day = dataclasses.replace(day, block=combine(day.block, known.block))
    archive.write(source, task.signal, key, task.asked.step, task.day, day)


def remember_source(
    source: PrometheusSource,
    archive: Archive,
    settings: Settings,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal],
) -> tuple[SourceRecord, tuple[Signal, ...]]:
    """What the server is and how to ask it, kept in the archive; and the signals it has no metrics
    for.
    """
    kind = source.kind()
    name = source_name(source.address, kind)
    known = archive.source(name)
    present = source.metric_names(_unix(start), _unix(end))
    interval = (known.scrape_interval if known else 0) or _scrape_interval(
        source, settings, _unix(end)
    )
    queries: dict[str, str] = dict(known.queries) if known else {}
    missing = []
    for signal in signals:
        entry = CATALOGUE[signal]
        chosen = choose_query(entry, present, settings.metrics)
        if chosen is None:
            missing.append(signal)
            continue
        window = (
            entry.step(settings.report.step)
            if entry.hourly
            else _window(settings, interval or _USUAL_SCRAPE)
        )
        queries[str(signal)] = render_query(chosen, settings.identity, settings.metrics, window)
    return archive.record(SourceRecord(name, source.address, kind, interval, queries)), tuple(
        missing
    )


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
            all_notes.add(f"The source has no metrics for {signal}.")
            continue
        step = CATALOGUE[signal].step(settings.report.step)
        days = []
        for day in _days(start, end):
            stored = archive.read(
                record.name, signal, _key(record, query, signal, settings), step, day
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
    )


def _tasks(
    archive: Archive,
    record: SourceRecord,
    settings: Settings,
    wanted: Iterable[Signal],
    start: pd.Timestamp,
    end: pd.Timestamp,
    *,
    refresh: bool,
    now: float,
) -> tuple[list[_Task], int]:
    tasks, kept = [], 0
    for signal in wanted:
        query = record.queries.get(str(signal))
        if query is None:
            continue
        step = CATALOGUE[signal].step(settings.report.step)
        for day in _days(start, end):
            midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
            points = min(_DAY // step, (int(now) - midnight) // step + 1)
            if points <= 0:
                continue
            stored = (
                None
                if refresh
                else archive.read(
                    record.name, signal, _key(record, query, signal, settings), step, day
                )
            )
            if stored is not None and stored.final:
                kept += 1
                continue
            tasks.append(
                _Task(
                    signal,
                    day,
                    Range(query, midnight, step, points),
                    now >= midnight + _DAY + SETTLE,
                )
            )
    return tasks, kept


def combine(new: SeriesBlock, old: SeriesBlock) -> SeriesBlock:
    """`new` with what only `old` has: a server that has forgotten the beginning of a day does not
    take it from the archive.
    """
    if new.names == old.names and not (np.isnan(new.values) & ~np.isnan(old.values)).any():
        return new
    names = sorted({*new.names, *old.names})
    place = {name: index for index, name in enumerate(names)}
    values = np.full((len(names), new.values.shape[1]), np.nan)
    hosts, replicas = [""] * len(names), [0] * len(names)
    for block in (old, new):
        rows = [place[name] for name in block.names]
        values[rows] = np.where(np.isnan(block.values), values[rows], block.values)
        for row, host, count in zip(rows, block.hosts, block.replicas, strict=True):
            hosts[row], replicas[row] = host, count
    return SeriesBlock(names, hosts, replicas, values, {**old.uneven, **new.uneven})


def _key(record: SourceRecord, query: str, signal: Signal, settings: Settings) -> str:
    """What days are kept under: the query, and the labels that decided which service a container
    belongs to.
    """
    if record.kind == "import" or CATALOGUE[signal].scope is not SignalScope.SERVICE:
        return query
    labels = settings.identity.model_dump(exclude_defaults=True)
    return query if not labels else f"{query} # {json.dumps(labels, sort_keys=True)}"


def _clock_ahead(source: PrometheusSource) -> float:
    """Seconds this machine's clock is ahead of the server's; 0 if close enough."""
    before = time.time()
    answer = source.instant("vector(time())")
    if not answer:
        return 0.0
    ahead = (before + time.time()) / 2 - answer[0][1]
    return ahead if abs(ahead) > _CLOCKS_APART else 0.0


def _days(start: pd.Timestamp, end: pd.Timestamp) -> Iterator[date]:
    day = start.date()
    while pd.Timestamp(day, tz="UTC") < end:
        yield day
        day += timedelta(days=1)


def _whole_day(block: SeriesBlock, step: int) -> SeriesBlock:
    """Today's answer ends now; the rest of the day has no samples yet."""
    missing = _DAY // step - block.values.shape[1]
    return dataclasses.replace(
        block, values=np.pad(block.values, ((0, 0), (0, missing)), constant_values=np.nan)
    )


def _assemble(
    days: list[tuple[date, SeriesBlock]], step: int, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """One frame over the window from blocks of days."""
    names = sorted({name for _, block in days for name in block.names})
    column = {name: index for index, name in enumerate(names)}
    first = pd.Timestamp(start.date(), tz="UTC")
    points = _DAY // step
    values = np.full((len(list(_days(start, end))) * points, len(names)), np.nan)
    for day, block in days:
        row = (pd.Timestamp(day, tz="UTC") - first).days * points
        values[row : row + points, [column[name] for name in block.names]] = block.values.T
    frame = usage_frame(values, names, _unix(first), step)
    inside = (frame.index >= start) & (frame.index < end)
    lower, upper = int(inside.argmax()), len(inside) - int(inside[::-1].argmax())
    frame = frame.iloc[lower:upper]
    return frame.loc[:, frame.notna().any().to_numpy()]


def _scrape_interval(source: PrometheusSource, settings: Settings, at: int) -> int:
    """Seconds between scrapes of containers around `at`, guessed from how many samples ten minutes
    hold; 0 if none do.
    """
    metric = settings.metrics.get(
        "container_memory_working_set_bytes", "container_memory_working_set_bytes"
    )
    for moment in (at - 60, at - _DAY, at - 7 * _DAY):
        samples = f'{metric}{{{settings.identity.name}!=""}}[10m]'
        # only a container that was there before fills its ten minutes
        counts = source.instant(
            f"max(count_over_time({samples}) and count_over_time({samples} offset 10m))", moment
        )
        if counts and counts[0][1] > 0:
            return max(1, round(600 / counts[0][1]))
    return 0


def _window(settings: Settings, interval: int) -> int:
    return settings.prometheus.rate_window or max(settings.report.step, _SCRAPES_A_RATE * interval)


def _unix(time: pd.Timestamp) -> int:
    return int(time.timestamp())
