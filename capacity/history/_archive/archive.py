"""History on disk: Parquet, partitioned by source, signal and UTC day.

::

    <archive>/<source>/source.json                   what the source is
    <archive>/<source>/<signal>-<step>s-<query>/2026-11-22.parquet

A day is final when it is over (and the server has had an hour to settle), was answered completely
and without warnings, and is not empty; a final day is never asked for again. Days outlive the
server's own retention: nothing here deletes one, only `_upkeep` does when it is asked to.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from capacity._common.file_lock import file_lock
from capacity._common.files import read_bounded, storage_error, sweep, write_text
from capacity._common.plain_data import Plain, PlainMapping
from capacity.errors import InputError, Locked
from capacity.history._archive.daily_peaks import read_daily_peaks
from capacity.history._archive.parquet import Damaged, read_block, read_footer, write_block
from capacity.history._archive.records import (
    MOST_OF_A_RECORD,
    SourceRecord,
    parse_record,
    plain_address,
    record_text,
)
from capacity.history._service_series import SeriesBlock

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from capacity.model import Signal

__all__ = [
    "SETTLE",
    "Archive",
    "StoredDay",
    "check_regular",
    "folder_name",
    "read_day",
]

SETTLE = 3600  # seconds after midnight: late scrapes and compaction are done by then
_FORMAT = 1
_DAY = 86_400
_LONGEST_WAIT = 30.0  # seconds; a record is written in a moment

_log = logging.getLogger("capacity")


@dataclass(frozen=True)
class StoredDay:
    """A day as it lies in the archive."""

    block: SeriesBlock
    final: bool
    warnings: tuple[str, ...]


class Archive:
    """A folder of history. Safe for several runs at once: every write is a rename of a finished
    file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def sources(self) -> list[SourceRecord]:
        """All sources, by name."""
        records = [self._read_record(file) for file in sorted(self.path.glob("*/source.json"))]
        return [record for record in records if record is not None]

    def source(self, name: str) -> SourceRecord | None:
        """The source called `name`."""
        return self._read_record(self.path / name / "source.json")

    def find(self, wanted: str | None) -> SourceRecord:
        """The source of that name or address; without either the only one there is.

        Raises:
            InputError: none or several fit.
        """
        records = self.sources()
        address = plain_address(wanted) if wanted else None
        fitting = [
            record
            for record in records
            if wanted is None or record.name == wanted or record.url == address
        ]
        if len(fitting) == 1:
            return fitting[0]
        names = ", ".join(record.name for record in records) or "nothing"
        if not fitting:
            what = f"No history of {address} is" if wanted else "No history is"
            raise InputError(
                f"{what} in the archive {self.path} (it holds {names})",
                "Run `capacity fetch` first",
            )
        raise InputError(f"The archive {self.path} holds {names}", "Name one with --source")

    def record(self, source: SourceRecord) -> SourceRecord:
        """Keep what is known of a source, beside the queries that another run has recorded
        meanwhile; the sum of both.
        """
        lock = self.path / source.name / ".lock"
        with file_lock(lock, lambda holder: _held(lock, holder), wait=_LONGEST_WAIT):
            for folder in (self.path / source.name).glob("*/"):
                sweep(folder)
            known = self.source(source.name)
            if known is not None:
                source = replace(source, queries={**known.queries, **source.queries})
            if known != source:
                write_text(self.path / source.name / "source.json", record_text(source))
        return source

    def read(
        self,
        source: str,
        signal: Signal,
        query: str,
        step: int,
        day: date,
        only: frozenset[str] | None = None,
    ) -> StoredDay | None:
        """A stored day, or the rows of these names alone; None when it is not there. A damaged file
        is set aside as `*.damaged` and counts as not there.
        """
        path = self._file(source, signal, query, step, day)
        try:
            found = path.stat()
            expected: PlainMapping = {"query": query, "step": step, "day": day.isoformat()}
            block, meta = read_day(path, expected, only)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise storage_error(path, error) from error
        except Damaged as error:
            aside = path.with_name(path.name + ".damaged")
            _log.warning("%s is damaged (%s); set aside as %s", path, error, aside.name)
            try:
                if path.stat().st_ino == found.st_ino:  # else another run has fixed it meanwhile
                    path.replace(aside)
            except FileNotFoundError:
                return None  # another run was quicker
            except OSError as failure:
                raise storage_error(path, failure) from failure
            return None
        warnings = meta.get("warnings")
        told = tuple(map(str, warnings)) if isinstance(warnings, list) else ()
        return StoredDay(block, bool(meta.get("final")), told)

    def write(
        self, source: str, signal: Signal, query: str, step: int, day: date, stored: StoredDay
    ) -> None:
        """Store a day, whole or not at all.

        Raises:
            StorageError: the folder cannot be written or the disk is full.
        """
        meta: dict[str, Plain] = {
            "format": _FORMAT,
            "signal": str(signal),
            "query": query,
            "step": step,
            "day": day.isoformat(),
            "final": stored.final,
            "warnings": list(stored.warnings),
        }
        meta["checksum"] = _checksum(stored.block, meta)
        write_block(self._file(source, signal, query, step, day), stored.block, meta)

    def days(self, source: str, signal: Signal, query: str, step: int) -> list[str]:
        """ISO dates of the days stored."""
        return sorted(
            path.stem
            for path in self._folder(source, signal, query, step).glob("????-??-??.parquet")
        )

    def begins(
        self, source: str, signal: Signal, query: str, step: int, *, after: datetime
    ) -> float | None:
        """Unix seconds of the oldest sample stored; None where there is none, and where its day
        begins before `after`.

        Raises:
            StorageError: the day cannot be read.
        """
        for day in self.days(source, signal, query, step):
            if datetime.fromisoformat(day).replace(tzinfo=UTC) < after:
                return None
            if found := self._sampled(source, signal, query, step, day):
                return found[0]
        return None

    def ends(self, source: str, signal: Signal, query: str, step: int) -> float | None:
        """Unix seconds of the newest sample stored; None where there is none.

        Raises:
            StorageError: the day cannot be read.
        """
        for day in reversed(self.days(source, signal, query, step)):
            if found := self._sampled(source, signal, query, step, day):
                return found[-1]
        return None

    def _sampled(self, source: str, signal: Signal, query: str, step: int, day: str) -> list[float]:
        """When anything was sampled on a day, Unix seconds."""
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
        stored = self.read(source, signal, query, step, midnight.date())
        if stored is None:
            return []
        places = np.flatnonzero(np.isfinite(stored.block.values).any(axis=0))
        return [midnight.timestamp() + float(place) * step for place in places]

    def rows_before(self, source: str, signal: Signal, query: str, step: int, end: date) -> int:
        """Rows of the newest stored day up to `end`; 0 where there is none to be read."""
        days = [day for day in self.days(source, signal, query, step) if day <= end.isoformat()]
        if not days:
            return 0
        try:
            return read_footer(
                self._folder(source, signal, query, step) / f"{days[-1]}.parquet"
            ).rows
        except (Damaged, FileNotFoundError):
            return 0

    def daily_peaks(
        self,
        source: str,
        signal: Signal,
        query: str,
        step: int,
        *,
        start: date,
        end: date,
        only: frozenset[str] | None = None,
    ) -> pd.DataFrame:
        """Highest sample of each stored day from `start` up to but without `end`: UTC days x
        services, or these of them.
        """

        def read(day: date) -> SeriesBlock | None:
            stored = self.read(source, signal, query, step, day)
            return stored.block if stored is not None else None

        days = self.days(source, signal, query, step)
        wanted = [day for day in days if start.isoformat() <= day < end.isoformat()]
        return read_daily_peaks(self._folder(source, signal, query, step), wanted, read, only)

    def _file(self, source: str, signal: Signal, query: str, step: int, day: date) -> Path:
        return self._folder(source, signal, query, step) / f"{day.isoformat()}.parquet"

    def _folder(self, source: str, signal: Signal, query: str, step: int) -> Path:
        return self.path / source / folder_name(signal, step, query)

    def _read_record(self, file: Path) -> SourceRecord | None:
        try:
            return parse_record(read_bounded(file, MOST_OF_A_RECORD), file.parent.name)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise storage_error(file, error) from error
        except (ValueError, OSError):
            _log.warning("%s is unreadable; the source counts as new", file)
            return None


def read_day(
    path: Path, expected: PlainMapping, only: frozenset[str] | None = None
) -> tuple[SeriesBlock, PlainMapping]:
    """A day's file: its block and its meta, both as they were written.

    Args:
        path: of the file.
        expected: what the meta must hold besides.
        only: names of the rows wanted; None = all. Of some rows the pages' own checksums are held
            against what they hold, not the day's.

    Raises:
        Damaged: it is no such day.
        FileNotFoundError: no such file.
        StorageError: it cannot be read for another reason.
    """
    check_regular(path.stat())
    block, meta = read_block(path, only)
    if only is None and meta.get("checksum") != _checksum(block, meta):
        raise Damaged("its checksum does not hold")
    _verify(meta, expected)
    return block, meta


def check_regular(found: os.stat_result) -> None:
    """Raise `Damaged` for a pipe or a device, which could keep a reader waiting for ever."""
    if not stat.S_ISREG(found.st_mode):
        raise Damaged("it is no regular file")


def folder_name(signal: str, step: int, query: str) -> str:
    """Name of the folder of a signal's days: another query has another folder."""
    digest = hashlib.sha256(f"{_FORMAT} {query}".encode()).hexdigest()[:8]
    return f"{signal}-{step}s-{digest}"


def _held(lock: Path, holder: str) -> Locked:
    return Locked(
        f"{lock} is held by {holder or 'another process'}, for more than {_LONGEST_WAIT:.0f} s",
        "End that process, or try again when it is done",
    )


def _verify(meta: PlainMapping, expected: PlainMapping) -> None:
    """Raise `Damaged` unless meta is what was asked for."""
    for name, value in expected.items():
        if meta.get(name) != value:
            raise Damaged(f"it holds the {name} {meta.get(name)!r}")


def _checksum(block: SeriesBlock, meta: PlainMapping) -> int:
    """Of samples, names and meta: Parquet's checksums cover its pages, not its footer."""
    rest = {name: value for name, value in meta.items() if name != "checksum"}
    text = json.dumps(
        [rest, block.names, block.hosts, block.replicas, list(block.values.shape)], sort_keys=True
    )
    return zlib.crc32(np.ascontiguousarray(block.values).data, zlib.crc32(text.encode()))
