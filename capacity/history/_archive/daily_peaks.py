"""Highest sample of each archived day: what outlives the window.

Days are summarised once into `peaks.parquet` beside them; a day that was written again is read
again. The summary is only a shortcut: without it, or where it is damaged, all days are read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from capacity._common.plain_data import PlainMapping
from capacity.errors import StorageError
from capacity.history._archive.parquet import Damaged, read_block, write_block
from capacity.history._service_series import SeriesBlock

__all__ = ["SUMMARY", "read_daily_peaks"]

SUMMARY = "peaks.parquet"  # beside the days
_FORMAT = 1

_log = logging.getLogger("capacity")

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class _Summary:
    """Peaks of some days, and what their files were when these were read."""

    stamps: dict[str, _Stamp]
    peaks: pd.DataFrame


def read_daily_peaks(
    folder: Path,
    days: Iterable[str],
    read: Callable[[date], SeriesBlock | None],
    only: frozenset[str] | None = None,
) -> pd.DataFrame:
    """Highest sample of each day x services; NaN = not seen.

    Args:
        folder: of the days' files.
        days: ISO dates of stored days.
        read: gives a stored day, None where it is gone or damaged.
        only: services wanted; None = all.

    Returns:
        float64 frame on UTC midnights, one row a day that could be read.
    """
    wanted = sorted(days)
    known = _read_summary(folder / SUMMARY)
    stamps = {day: _stamp(folder / f"{day}.parquet") for day in wanted}
    stale = [day for day in wanted if known.stamps.get(day) != stamps[day]]
    rows = {}
    for day in stale:
        block = read(date.fromisoformat(day))
        if block is not None:
            rows[day] = _peaks_of(block)
    kept = known.peaks.drop(index=stale, errors="ignore")
    found = pd.concat([kept, pd.DataFrame.from_dict(rows, orient="index", dtype=np.float64)])
    if rows:
        fresh = {day: stamp for day, stamp in stamps.items() if day in rows and stamp is not None}
        old = {day: stamp for day, stamp in known.stamps.items() if day in kept.index}
        _write_summary(folder / SUMMARY, _Summary({**old, **fresh}, found))
    found = found.loc[[day for day in wanted if day in found.index]]
    found.index = pd.DatetimeIndex(pd.to_datetime(found.index, utc=True)).as_unit("s")
    if only is not None:
        found = found.loc[:, [name in only for name in found.columns]]
    return found.dropna(axis=1, how="all")


def _peaks_of(block: SeriesBlock) -> dict[str, float]:
    known = np.isfinite(block.values)
    highest = np.where(known, block.values, -np.inf).max(axis=1, initial=-np.inf)
    return {
        name: float(value)
        for name, value in zip(block.names, highest, strict=True)
        if np.isfinite(value)
    }


def _stamp(file: Path) -> _Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _read_summary(file: Path) -> _Summary:
    nothing = _Summary({}, pd.DataFrame(dtype=np.float64))
    try:
        block, meta = read_block(file)
        if meta.get("format") != _FORMAT:
            return nothing
        stamps = _stamps(meta)
        return _Summary(stamps, pd.DataFrame(block.values.T, index=[*stamps], columns=block.names))
    except FileNotFoundError:
        return nothing
    except (Damaged, KeyError, TypeError, ValueError) as error:
        _log.warning("%s is damaged (%s); the days are read again", file, error)
        return nothing


def _stamps(meta: PlainMapping) -> dict[str, _Stamp]:
    days, stamps = meta["days"], meta["stamps"]
    if not isinstance(days, list) or not isinstance(stamps, list):
        raise TypeError("it does not say of which days it is")
    return {
        str(day): (int(time), int(size)) for day, (time, size) in zip(days, stamps, strict=True)
    }


def _write_summary(file: Path, summary: _Summary) -> None:
    days = sorted(summary.stamps)
    peaks = summary.peaks.loc[days]
    names = [str(name) for name in peaks.columns]
    values = np.ascontiguousarray(peaks.to_numpy(np.float64).T)
    block = SeriesBlock(names, [""] * len(names), [0] * len(names), values)
    meta: PlainMapping = {
        "format": _FORMAT,
        "days": days,
        "stamps": [summary.stamps[day] for day in days],
    }
    try:
        write_block(file, block, meta)
    except StorageError as error:  # an archive that may only be read is slower, not broken
        _log.info("Peaks of archived days cannot be kept: %s", error)
