"""Looking after an archive: what it holds, whether it is whole, and letting go of old days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from capacity.errors import StorageError
from capacity.history._archive.archive import Archive, check_regular
from capacity.history._archive.daily_peaks import SUMMARY
from capacity.history._archive.folders import (
    DayFile,
    DaysFolder,
    check_day,
    find_folders,
    readable_archive,
)
from capacity.history._archive.parquet import Damaged, Footer, read_block, read_footer

__all__ = [
    "ArchiveStatus",
    "DamagedFile",
    "PrunedDays",
    "archive_status",
    "prune_archive",
    "verify_archive",
]


@dataclass(frozen=True)
class ArchiveStatus:
    """What an archive holds of one query for a signal of a source.

    Attributes:
        source: name of the source.
        signal: name of the signal.
        step: seconds between samples.
        current: whether the source asks this query now; reports read no other.
        days: days stored.
        oldest, newest: first and last of them, UTC; None without any.
        gaps: days between these two that are not there.
        services: rows (services, or hosts) of the day with the most.
        service_days: rows of all days together.
        size: bytes of the days' files.
        damaged: files set aside, or without a readable footer.
    """

    source: str
    signal: str
    step: int
    current: bool
    days: int
    oldest: date | None
    newest: date | None
    gaps: tuple[date, ...]
    services: int
    service_days: int
    size: int
    damaged: int

    @property
    def bytes_per_service_day(self) -> float | None:
        """Bytes on disk of one row of one day; None without rows."""
        return self.size / self.service_days if self.service_days else None


@dataclass(frozen=True)
class DamagedFile:
    """A file of an archive that cannot be used, and why."""

    path: Path
    cause: str


@dataclass(frozen=True)
class PrunedDays:
    """Days of one folder that were removed, or would be.

    Attributes:
        source: name of the source.
        signal: name of the signal.
        files: the days' files, oldest first, with those set aside as damaged.
        size: bytes of these.
    """

    source: str
    signal: str
    files: tuple[Path, ...]
    size: int


def archive_status(path: Path, source: str | None = None) -> tuple[ArchiveStatus, ...]:
    """What an archive holds, by source, signal and query. Of each file only the footer is read.

    Args:
        path: folder of the archive.
        source: name of a source; None for all.

    Raises:
        InputError: there is no such archive or source.
        StorageError: it cannot be read.
    """
    with readable_archive(path):
        queries = {record.name: record.queries for record in Archive(path).sources()}
        return tuple(
            _status(folder, queries.get(folder.source, {}).get(folder.signal))
            for folder in find_folders(path, source)
        )


def verify_archive(path: Path, source: str | None = None) -> Iterator[DamagedFile | None]:
    """Read every file of an archive whole, with its checksums, against the place where it lies.

    Nothing is changed: what is damaged is set aside by the next run that reads it, and the next
    fetch asks for that day again.

    Args:
        path: folder of the archive.
        source: name of a source; None for all.

    Yields:
        for each file in turn what is wrong with it, or None.

    Raises:
        InputError, StorageError: as of `archive_status`.
    """
    with readable_archive(path):
        folders = find_folders(path, source)
        for name in sorted({folder.path.parent for folder in folders}):
            record = Archive(path).source(name.name)
            lost = DamagedFile(name / "source.json", "it is missing or no record of this source")
            yield None if record else lost
        for folder in folders:
            for file in folder.files:
                yield _fault(folder, file)
            if (summary := folder.path / SUMMARY).exists():
                yield _summary_fault(summary)


def prune_archive(
    path: Path, before: date, source: str | None = None, *, dry_run: bool = True
) -> tuple[PrunedDays, ...]:
    """Remove the days before a date. Peaks of these days are then known no more.

    Args:
        path: folder of the archive.
        before: the first UTC day that is kept.
        source: name of a source; None for all.
        dry_run: only tell what would be removed.

    Raises:
        InputError: there is no such archive or source.
        StorageError: a file cannot be removed; those before it are gone.
    """
    pruned = []
    with readable_archive(path):
        for folder in find_folders(path, source):
            old = tuple(file.path for file in folder.files if file.day < before)
            if not old:
                continue
            size = sum(file.lstat().st_size for file in old)
            if not dry_run:
                # first, for it holds peaks of what goes; it is made again from what stays
                (folder.path / SUMMARY).unlink(missing_ok=True)
                for file in old:
                    file.unlink(missing_ok=True)
            pruned.append(PrunedDays(folder.source, folder.signal, old, size))
    return tuple(pruned)


def _status(folder: DaysFolder, query: str | None) -> ArchiveStatus:
    """The state of one folder; `query` is what its source asks now."""
    days, rows, size, damaged, current = [], [], 0, 0, False
    for file in folder.files:
        footer = None if file.aside else _footer(file.path)
        if footer is None:
            damaged += 1
            continue
        # the labels of a service's identity may follow the query
        current = query is not None and str(footer.meta.get("query")).partition(" # ")[0] == query
        days.append(file.day)
        rows.append(footer.rows)
        size += footer.size
    return ArchiveStatus(
        source=folder.source,
        signal=folder.signal,
        step=folder.step,
        current=current,
        days=len(days),
        oldest=days[0] if days else None,
        newest=days[-1] if days else None,
        gaps=_gaps(days),
        services=max(rows, default=0),
        service_days=sum(rows),
        size=size,
        damaged=damaged,
    )


def _footer(path: Path) -> Footer | None:
    """A file's footer; None where it is damaged or gone meanwhile."""
    try:
        check_regular(path.stat())
        return read_footer(path)
    except (Damaged, FileNotFoundError):
        return None


def _gaps(days: list[date]) -> tuple[date, ...]:
    """Days between the first and the last that are missing."""
    if not days:
        return ()
    span = (days[-1] - days[0]).days
    return tuple(sorted({days[0] + timedelta(days=index) for index in range(span)} - {*days}))


def _fault(folder: DaysFolder, file: DayFile) -> DamagedFile | None:
    if file.aside:
        return DamagedFile(file.path, "it was set aside when a run found it damaged")
    try:
        check_day(file.path, folder, file.day)
    except FileNotFoundError:  # another run has set it aside or pruned it
        return None
    except (Damaged, StorageError) as error:
        return DamagedFile(file.path, str(error))
    return None


def _summary_fault(path: Path) -> DamagedFile | None:
    try:
        check_regular(path.stat())
        read_block(path)
    except FileNotFoundError:
        return None
    except (Damaged, StorageError) as error:
        return DamagedFile(path, f"{error}; it is made again from the days")
    return None
