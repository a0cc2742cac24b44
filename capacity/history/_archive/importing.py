"""Usage frames from files: history that no server has, kept in the archive like any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from capacity.errors import InputError
from capacity.history._archive.archive import Archive, StoredDay
from capacity.history._archive.records import SourceRecord
from capacity.history._fetch.fetch import combine
from capacity.history._metrics.signals import CATALOGUE
from capacity.history._service_series import SeriesBlock
from capacity.model import ServiceKey, Signal

if TYPE_CHECKING:
    from pathlib import Path

    from capacity.settings import Settings

__all__ = ["Imported", "import_frame"]

_QUERY = "import"
_DAY = 86_400
_HINT = (
    "The first column is the time (ISO or Unix seconds), every other a service; CPU in cores, "
    "memory in bytes"
)
_UNIX_YEARS = (
    1e8,
    1e11,
)  # 1973 to 5138 in seconds; milliseconds lie above, years and row numbers below


@dataclass(frozen=True)
class Imported:
    """What an import stored: services, UTC days (ISO), and what was fixed in the file."""

    services: int
    days: list[str]
    notes: tuple[str, ...]


def import_frame(
    file: Path, archive: Archive, settings: Settings, *, signal: Signal | str, name: str = "import"
) -> Imported:
    """Store a usage frame from a Parquet or CSV file as the source `name`; days already stored are
    added to.

    Args:
        file: first column (or index) the time, ISO or Unix seconds, UTC unless it says otherwise;
            one column a service. CPU in cores, memory in bytes; empty = no sample.
        archive: where it goes.
        settings: the step that samples are brought to: the maximum of memory and limits within it,
            the mean of all others.
        signal: what the file holds.
        name: of the source; `--source NAME --offline` works from it.

    Raises:
        InputError: no such frame, a time that is none, a text or a negative number where a sample
            should be.
        StorageError: the archive cannot be written.
    """
    signal = Signal(signal)
    record = _record(archive, signal, name)
    notes: list[str] = []
    frame = _numbers(_with_times(_read(file), file, notes), file, notes)
    step = CATALOGUE[signal].step(settings.report.step)
    frame = _on_grid(frame, signal, step)
    record = archive.record(record)
    days = []
    times = pd.DatetimeIndex(frame.index)
    for midnight in times.floor("D").unique():
        inside = times.floor("D") == midnight
        part = frame[inside]
        values = np.full((len(part.columns), _DAY // step), np.nan)
        slots = ((times[inside] - midnight) // pd.Timedelta(seconds=step)).to_numpy(np.int64)
        values[:, slots] = part.to_numpy(np.float64).T
        block = _known(
            SeriesBlock(
                list(part.columns), [""] * len(part.columns), [1] * len(part.columns), values
            )
        )
        if not block.names:
            continue
        stored = archive.read(name, signal, _QUERY, step, midnight.date())
        final = StoredDay(
            combine(block, stored.block) if stored else block, final=True, warnings=()
        )
        archive.write(name, signal, _QUERY, step, midnight.date(), final)
        days.append(midnight.date().isoformat())
    if not days:
        raise InputError(f"{file} has no sample in it", _HINT)
    return Imported(len(frame.columns), days, tuple(notes))


def _record(archive: Archive, signal: Signal, name: str) -> SourceRecord:
    if not name or name.startswith(".") or "/" in name or "\0" in name or len(name.encode()) > 200:
        raise InputError(
            f"{name!r} cannot be the name of a source", "Choose a short word such as payroll"
        )
    if CATALOGUE[signal].scope != "service":
        raise InputError(
            f"{signal} is not measured per service",
            "Only signals of services can be imported, such as memory",
        )
    known = archive.source(name)
    if known is not None and known.kind != "import":
        raise InputError(
            f"The archive already has a source {name} that was fetched from {known.url}",
            "Choose another --name",
        )
    return SourceRecord(name, "", "import", 0, {str(signal): _QUERY})


def _read(file: Path) -> pd.DataFrame:
    """The table in `file`, its index as the first column."""
    import pyarrow as pa

    try:
        with file.open("rb") as handle:
            start = handle.read(4)
        if start == b"PAR1":
            frame = pd.read_parquet(file)
            return frame if type(frame.index) is pd.RangeIndex else frame.reset_index()
        reading: dict[str, Any] = {"encoding": "utf-8-sig", "skipinitialspace": True}
        table: pd.DataFrame = pd.read_csv(file, **reading)
        first = pd.read_csv(file, header=None, nrows=1, dtype=str, keep_default_na=False, **reading)
        if len(first.columns) == len(
            table.columns
        ):  # pandas has renamed the second of two equal names
            table.columns = pd.Index(first.iloc[0], dtype=object)
    except OSError as error:
        if error.errno is None:  # pyarrow's own
            raise InputError(f"{file} is no usage frame: {_line(error)}", _HINT) from error
        raise InputError(
            f"Cannot read {file}: {error.strerror}", "Name a readable Parquet or CSV file"
        ) from error
    except (
        pa.ArrowException,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        ValueError,
    ) as error:
        raise InputError(f"{file} is no usage frame: {_line(error)}", _HINT) from error
    return table


def _with_times(table: pd.DataFrame, file: Path, notes: list[str]) -> pd.DataFrame:
    """The table with its time as a sorted UTC index without duplicates."""
    if len(table.columns) < 2:
        raise InputError(f"{file} has no column beside the first", _HINT)
    if not len(table):
        raise InputError(f"{file} has no rows", _HINT)
    times = _times(table.iloc[:, 0], file)
    frame = table.iloc[:, 1:].set_axis(times, axis=0)
    named = [str(ServiceKey.parse(str(column).strip())) for column in frame.columns]
    twice = sorted({column for column in named if named.count(column) > 1})
    if twice:
        raise InputError(
            f"{file} has two columns for {twice[0]}",
            "Give each service one column, the worst replica's",
        )
    frame.columns = pd.Index(named, dtype=object)
    if not frame.index.is_monotonic_increasing:
        notes.append("The rows were not in the order of time; they were sorted.")
        frame = frame.sort_index(kind="stable")
    return frame


def _times(column: pd.Series[Any], file: Path) -> pd.DatetimeIndex:
    try:
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            seconds = column.to_numpy(np.float64)
            strange = seconds[~((seconds >= _UNIX_YEARS[0]) & (seconds < _UNIX_YEARS[1]))]
            if len(strange):
                raise InputError(
                    f"{file}: {strange[0]:g} in the first column is no Unix time in seconds", _HINT
                )
            times = pd.to_datetime(np.rint(seconds * 1000), unit="ms", utc=True)
        else:
            times = pd.DatetimeIndex(
                pd.to_datetime(column, utc=True, format=None if _is_time(column) else "ISO8601")
            )
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{file}: the first column {str(column.name)!r} is no time: {_line(error)}", _HINT
        ) from error
    if times.hasnans:
        raise InputError(f"{file}: the first column {str(column.name)!r} has an empty time", _HINT)
    return pd.DatetimeIndex(times.as_unit("ms"))


def _is_time(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(column))


def _numbers(frame: pd.DataFrame, file: Path, notes: list[str]) -> pd.DataFrame:
    """All samples as float64: no text, nothing negative, infinite ones dropped, several of one
    moment merged.
    """
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
            raise InputError(f"{file}: the column {name!r} holds no numbers", _HINT)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        wrong = np.flatnonzero(np.isnan(numbers) & column.notna().to_numpy())
        if len(wrong):
            row = int(wrong[0])
            text = repr(column.iloc[row])[:60]
            raise InputError(
                f"{file}: {text} in the column {name!r} at {frame.index[row]:%Y-%m-%d %H:%M} is no "
                "number",
                _HINT,
            )
        columns[name] = numbers
    values = np.stack(list(columns.values()), axis=1)
    below = np.argwhere(values < 0)
    if len(below):
        row, place = (int(index) for index in below[0])
        what = (
            f"{values[row, place]:g} in the column {frame.columns[place]!r} at "
            f"{frame.index[row]:%Y-%m-%d %H:%M}"
        )
        raise InputError(f"{file}: {what} is negative", "Usage is never negative; correct the file")
    endless = np.isinf(values)
    if endless.any():
        notes.append(f"{int(endless.sum())} infinite values were taken as no sample.")
        values[endless] = np.nan
    clean = pd.DataFrame(values, index=frame.index, columns=frame.columns)
    again = int(clean.index.duplicated().sum())
    if again:
        notes.append(f"{again} rows repeat a time; the maximum was taken.")
        clean = clean.groupby(level=0).max()
    return clean


def _on_grid(frame: pd.DataFrame, signal: Signal, step: int) -> pd.DataFrame:
    """One row a step that has samples; a step ends at its grid point, as everywhere."""
    unix = pd.DatetimeIndex(frame.index).as_unit("ms").asi8
    ends = -(-unix // (step * 1000)) * step
    moments = pd.DatetimeIndex(pd.to_datetime(ends, unit="s", utc=True))
    groups = frame.groupby(moments)
    if CATALOGUE[signal].unit == "bytes" or signal is Signal.CPU_LIMIT:
        return groups.max()
    return groups.sum(min_count=1) if CATALOGUE[signal].unit == "events" else groups.mean()


def _known(block: SeriesBlock) -> SeriesBlock:
    """Without the services that have no sample that day."""
    rows = np.flatnonzero(~np.isnan(block.values).all(axis=1)).tolist()
    return SeriesBlock(
        [block.names[row] for row in rows],
        [block.hosts[row] for row in rows],
        [block.replicas[row] for row in rows],
        block.values[rows],
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
