"""What a block of services knows between two passes over a fleet, as a file of plain arrays."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capacity._common.files import cause_of, write_atomically
from capacity.errors import StorageError
from capacity.forecasting._fitting import Blend
from capacity.forecasting._models.candidates import ChunkCandidates
from capacity.forecasting._models.conformal import Misses
from capacity.forecasting._preprocessing import Scaled

__all__ = ["read_blend", "read_candidates", "write_blend", "write_candidates"]

_TABLE = "table"
# numpy parses each header, and parsers of several threads count their depth as one in Python 3.11
_reading = threading.Lock()
Arrays = Mapping[str, NDArray[Any]]


def write_candidates(path: Path, chunk: ChunkCandidates) -> None:
    """Keep what the first pass has found.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    tables = {
        f"{_TABLE}/{back}/{name}": table
        for back, by_name in chunk.tables.items()
        for name, table in by_name.items()
    }
    _write(path, {**vars(chunk.scaled), "losses": chunk.losses, **tables})


def read_candidates(path: Path) -> ChunkCandidates:
    """What `write_candidates` kept.

    Raises:
        StorageError: it is not there, or damaged.
    """
    kept = _read(path)
    tables: dict[int, dict[str, NDArray[Any]]] = {}
    for key in kept:
        kind, _, rest = key.partition("/")
        if kind == _TABLE:
            back, _, name = rest.partition("/")
            tables.setdefault(int(back), {})[name] = kept[key]
    return ChunkCandidates(kept["losses"], tables, _scaled(kept), {})


def write_blend(path: Path, blend: Blend, scaled: Scaled) -> None:
    """Keep a blend, and the scale of its services.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    misses = blend.misses
    _write(
        path,
        {
            "forecast": blend.forecast,
            "unit": blend.unit,
            "share": blend.share,
            "misses": misses.scaled,
            "group": misses.group,
            "every": np.array(misses.every),
            "days": np.array(blend.days),
            "centre": scaled.centre,
            "spread": scaled.spread,
        },
    )


def read_blend(path: Path) -> tuple[Blend, NDArray[np.float64], NDArray[np.float64]]:
    """What `write_blend` kept: the blend, and centre and spread of each service.

    Raises:
        StorageError: it is not there, or damaged.
    """
    kept = _read(path)
    misses = Misses(kept["misses"], kept["group"], int(kept["every"]))
    blend = Blend(kept["forecast"], kept["unit"], kept["share"], misses, float(kept["days"]))
    return blend, kept["centre"], kept["spread"]


def _scaled(kept: Arrays) -> Scaled:
    names = ("samples", "means", "tops", "centre", "spread")
    return Scaled(*(kept[name] for name in names))


def _write(path: Path, arrays: Arrays) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as handle:
            np.savez(handle, allow_pickle=False, **arrays)

    write_atomically(path, write)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with _reading, np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except FileNotFoundError as error:
        raise StorageError(
            f"{path} is not there, which an earlier pass over this block wrote",
            "All workers must see one and the same archive folder, at the same path",
        ) from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StorageError(f"{path} cannot be read: {cause_of(error)}", "Run it again") from error
