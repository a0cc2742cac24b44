"""From the server to the archive, and from the archive to a `History`."""

from __future__ import annotations

import dataclasses
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from capacity._common.progress import Progress, Silent
from capacity.errors import BadAnswer, SourceError
from capacity.history._archive.archive import SETTLE, Archive, StoredDay
from capacity.history._archive.records import SourceRecord, source_name
from capacity.history._fetch.failures import DayTask, Failures
from capacity.history._load import day_key, unix_time, utc_days
from capacity.history._metrics.profiles import Profile, find_profile
from capacity.history._metrics.query_rendering import render_query
from capacity.history._metrics.signals import CATALOGUE, Query, choose_query
from capacity.history._prometheus.client import PrometheusSource, Range
from capacity.history._prometheus.parse import Answer, parse_matrix
from capacity.history._service_series import SeriesBlock, merge_replicas
from capacity.model import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from capacity.settings import IdentitySettings, Settings

__all__ = ["Fetched", "fetch"]

_DAY = 86_400
_SAMPLES_OF_A_RATE = 2
_SCRAPES_A_RATE = 4  # a rate needs two samples; four survive a missed scrape
_USUAL_SCRAPE = 60
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


def fetch(
    source: PrometheusSource,
    archive: Archive,
    settings: Settings,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal] = tuple(Signal),
    name: str = "",
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
        name: of the source in the archive, whatever its address; default one made of the address.
        refresh: ask again for final days too.
        progress: told about each day.
        now: the clock, Unix seconds.

    Raises:
        SourceError: the server refused or answered nothing, or is gone; days that came before are
            kept, and the message says what is missing. A day that it cannot answer while it answers
            others is a warning.
        StorageError: the archive cannot be written.
    """
    progress = progress or Silent()
    wanted = tuple(signals)
    record, missing, profile = _remember_source(
        source, archive, settings, start=start, end=end, signals=wanted, name=name
    )
    identity = profile.identity(settings.identity)
    ahead = _clock_ahead(source)
    tasks, kept = _tasks(
        archive, record, settings, wanted, start, end, refresh=refresh, now=now() - ahead
    )
    failed = Failures(tasks)
    progress.start(f"Fetching from {source.address}", len(tasks))
    try:
        warnings = _bring(
            source, archive, tasks, _Storing(record, settings, identity), failed, progress
        )
        failed.raise_if_all()
    except SourceError as error:
        raise failed.named_on(error) from error
    finally:
        progress.finish()
    told = sorted({*warnings, *_of_the_clock(ahead, source.address)})
    return Fetched(record, len(tasks), kept, missing, (*told, *failed.notes()), failed.count)


def _of_the_clock(ahead: float, address: str) -> tuple[str, ...]:
    """What to say of a clock that is so many seconds ahead of the server's."""
    if not ahead:
        return ()
    _log.warning("This machine's clock is %+.0f s off that of %s", ahead, address)
    told = (
        f"This machine's clock is {ahead:+.0f} s off the server's; the server's decides which days "
        "are over."
    )
    return (told,)


@dataclass(frozen=True)
class _Storing:
    """Where answers go, and how their series become services."""

    record: SourceRecord
    settings: Settings
    identity: IdentitySettings


def _bring(
    source: PrometheusSource,
    archive: Archive,
    tasks: Sequence[DayTask],
    storing: _Storing,
    failed: Failures,
    progress: Progress,
) -> set[str]:
    """Ask for the days and store each as soon as it has come; what the server warned of.

    While a day is written the next one is parsed. Leaving the block waits for the last write, also
    after Ctrl-C.
    """
    warnings: set[str] = set()
    asked = {task.asked: task for task in tasks}
    with (
        ThreadPoolExecutor(1, thread_name_prefix="capacity-write") as writer,
        closing(source.answers(task.asked for task in tasks)) as answers,
    ):
        writing: Future[None] | None = None
        for query, future in answers:
            task = asked[query]
            progress.advance(f"{task.signal} {task.day}")
            try:
                answer = _parsed(future.result(), query)
            except SourceError as error:
                failed.add(task, error)
                continue
            failed.answered(task)
            warnings.update(answer.warnings)
            merged = merge_replicas(answer, CATALOGUE[task.signal], storing.identity)
            final = task.final and not answer.warnings
            day = StoredDay(_whole_day(merged, query.step), final, answer.warnings)
            if writing:
                writing.result()
            key = day_key(storing.record, query.query, task.signal, storing.settings)
            writing = writer.submit(_store, archive, storing.record.name, task, key, day)
        if writing:
            writing.result()
    return warnings


def _parsed(body: bytes, query: Range) -> Answer:
    """An answer, of the moments that were asked for."""
    found = parse_matrix(body, start=query.start, step=query.step, points=query.points)
    return _asked_for(found, query)


def _store(archive: Archive, source: str, task: DayTask, key: str, day: StoredDay) -> None:
    """Add what has come to what is there; an empty answer changes nothing."""
    if not np.isfinite(day.block.values).any():
        return
    known = archive.read(source, task.signal, key, task.asked.step, task.day)
    if known:
        day = dataclasses.replace(day, block=combine(day.block, known.block))
    archive.write(source, task.signal, key, task.asked.step, task.day, day)


def _remember_source(
    source: PrometheusSource,
    archive: Archive,
    settings: Settings,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    signals: Iterable[Signal],
    name: str,
) -> tuple[SourceRecord, tuple[Signal, ...], Profile]:
    """What the server is and how to ask it, kept in the archive; the signals it has no metrics for;
    and who measures its containers.
    """
    kind = source.kind()
    name = name or source_name(source.address, kind)
    known = archive.source(name)
    # a server younger than a step has samples after the last one alone
    present = source.metric_names(unix_time(start), unix_time(end) + settings.report.step)
    profile = find_profile(present, settings.metrics, settings.prometheus.profile)
    identity = profile.identity(settings.identity)
    interval = (known.scrape_interval if known else 0) or _scrape_interval(
        source, settings, profile, unix_time(end)
    )
    queries: dict[str, str] = dict(known.queries) if known else {}
    missing = []
    for signal in signals:
        entry = profile.entry(signal)
        chosen = choose_query(entry, present, settings.metrics)
        if chosen is None:
            if not entry.optional:
                missing.append(signal)
            continue
        window = entry.step(settings.report.step) if entry.hourly else _window(settings, interval)
        queries[str(signal)] = render_query(chosen, identity, settings.metrics, window)
    record = archive.record(SourceRecord(name, source.address, kind, interval, queries))
    return record, tuple(missing), profile


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
) -> tuple[list[DayTask], int]:
    tasks, kept = [], 0
    for signal in wanted:
        query = record.queries.get(str(signal))
        if query is None:
            continue
        step = CATALOGUE[signal].step(settings.report.step)
        for day in utc_days(start, end):
            midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
            points = min(_DAY // step, (int(now) - midnight) // step + 1)
            if points <= 0:
                continue
            stored = (
                None
                if refresh
                else archive.read(
                    record.name, signal, day_key(record, query, signal, settings), step, day
                )
            )
            if stored is not None and stored.final:
                kept += 1
                continue
            tasks.append(
                DayTask(
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


def _clock_ahead(source: PrometheusSource) -> float:
    """Seconds this machine's clock is ahead of the server's; 0 if close enough."""
    before = time.time()
    answer = source.instant("vector(time())")
    if not answer:
        return 0.0
    ahead = (before + time.time()) / 2 - answer[0][1]
    return ahead if abs(ahead) > _CLOCKS_APART else 0.0


def _asked_for(answer: Answer, query: Range) -> Answer:
    """The answer, if it is for the time that was asked about.

    Raises:
        BadAnswer: it is for another, and must not be kept as this day.
    """
    if answer.other_time is None:
        return answer
    raise BadAnswer(
        f"The server answered for another time: {answer.other_time:.15g} is not in "
        f"{query.start} to {query.end}",
        "Look at what stands between here and the server, such as a cache",
    )


def _whole_day(block: SeriesBlock, step: int) -> SeriesBlock:
    """Today's answer ends now; the rest of the day has no samples yet."""
    missing = _DAY // step - block.values.shape[1]
    return dataclasses.replace(
        block, values=np.pad(block.values, ((0, 0), (0, missing)), constant_values=np.nan)
    )


def _scrape_interval(
    source: PrometheusSource, settings: Settings, profile: Profile, at: int
) -> int:
    """Seconds between scrapes of containers around `at`, guessed from how many samples ten minutes
    hold; 0 if none do.
    """
    memory = profile.entry(Signal.MEMORY).queries[0].metrics[0]
    # other exporters have series of containers alone, some without their names
    selector = "$containers" if profile.cadvisor else ""
    series = Query(f"${memory}{{{selector}}}[10m]", (memory,))
    samples = render_query(series, profile.identity(settings.identity), settings.metrics, 600)
    for moment in (at - 60, at - _DAY, at - 7 * _DAY):
        # only a container that was there before fills its ten minutes
        counts = source.instant(
            f"max(count_over_time({samples}) and count_over_time({samples} offset 10m))", moment
        )
        if counts and counts[0][1] > 0:
            return max(1, round(600 / counts[0][1]))
    return 0


def _window(settings: Settings, interval: int) -> int:
    """Seconds that a rate looks back at scrapes every `interval` seconds, 0 if that is not known.

    Prometheus 3 leaves out what lies just at a window's beginning, so one of a single scrape would
    see one sample, and give nothing.
    """
    chosen = settings.prometheus.rate_window
    if chosen is not None:
        return max(chosen, _SAMPLES_OF_A_RATE * interval)
    return max(settings.report.step, _SCRAPES_A_RATE * (interval or _USUAL_SCRAPE))
