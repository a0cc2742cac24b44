"""How an archive lies on disk: a folder a source, in it a folder a query, in it a file a day."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from capacity._common.files import storage_error
from capacity._common.plain_data import PlainMapping
from capacity.errors import InputError
from capacity.history._archive.archive import folder_name, read_day
from capacity.history._archive.parquet import Damaged

__all__ = [
    "DayFile",
    "DaysFolder",
    "check_day",
    "find_folders",
    "readable_archive",
]

_FOLDER = re.compile(r"(?P<signal>[a-z0-9_-]+)-(?P<step>[0-9]{1,6})s-[0-9a-f]{8}")
_DAY_FILE = re.compile(r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})\.parquet(?P<aside>\.damaged)?")


@dataclass(frozen=True)
class DayFile:
    """A file of a day; `aside`: a run found it damaged.

    Attributes:
        path: where it lies.
        day: UTC.
        aside: whether it was set aside.
    """

    path: Path
    day: date
    aside: bool


@dataclass(frozen=True)
class DaysFolder:
    """Days of one query for a signal of a source."""

    path: Path
    signal: str
    step: int

    @property
    def source(self) -> str:
        """Name of the source."""
        return self.path.parent.name

    @cached_property
    def files(self) -> tuple[DayFile, ...]:
        """By day; names that are no day's are somebody else's."""
        found = (self.file(path.name) for path in sorted(self.path.iterdir()))
        return tuple(file for file in found if file is not None)

    def file(self, name: str) -> DayFile | None:
        """The file of that name, there or not; None where it is no day's."""
        said = _DAY_FILE.fullmatch(name)
        try:
            day = date.fromisoformat(said["day"]) if said else None
        except ValueError:
            return None
        return DayFile(self.path / name, day, bool(said["aside"])) if said and day else None


@contextmanager
def readable_archive(path: Path) -> Iterator[None]:
    """What fails in the block is told of the archive.

    Raises:
        InputError: there is no archive.
        StorageError: what failed.
    """
    try:
        if not path.is_dir():
            raise InputError(f"There is no archive {path}", "Run `capacity fetch` first")
        yield
    except OSError as error:
        raise storage_error(Path(error.filename or path), error) from error


def find_folders(archive: Path, source: str | None) -> list[DaysFolder]:
    """Folders of days, by source, signal and query.

    Raises:
        InputError: there is no such source.
    """
    sources = sorted(place.name for place in archive.iterdir() if _is_source(place))
    if source is not None and source not in sources:
        held = ", ".join(sources) or "nothing"
        raise InputError(
            f"The archive {archive} has no source {source!r} (it holds {held})",
            "Name one of these with --source",
        )
    found = []
    for name in sources if source is None else [source]:
        for place in sorted((archive / name).iterdir()):
            folder = _folder_of(place)
            if folder is not None and place.is_dir():
                found.append(folder)
    return found


def _folder_of(place: Path) -> DaysFolder | None:
    """What a folder holds, by its name alone; None where that is none of an archive's."""
    named = _FOLDER.fullmatch(place.name)
    return DaysFolder(place, named["signal"], int(named["step"])) if named else None


def check_day(path: Path, folder: DaysFolder, day: date) -> None:
    """Read a day's file whole, with its checksums, against the folder it belongs into.

    Raises:
        Damaged: it does not, or it is none.
        FileNotFoundError: no such file.
        StorageError: it cannot be read for another reason.
    """
    expected: PlainMapping = {"signal": folder.signal, "step": folder.step, "day": day.isoformat()}
    _, meta = read_day(path, expected)
    if folder_name(folder.signal, folder.step, str(meta.get("query"))) != folder.path.name:
        raise Damaged("it holds another query")


def _is_source(place: Path) -> bool:
    """Whether a folder of an archive is of a source: it has a record, or days without one."""
    return place.is_dir() and (
        (place / "source.json").exists()
        or any(_FOLDER.fullmatch(inside.name) for inside in place.iterdir())
    )
