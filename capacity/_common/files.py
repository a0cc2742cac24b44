"""Files on disk: written whole or not at all, and what to tell a person when that fails."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from capacity._common.text.printable import visible
from capacity.errors import StorageError

__all__ = [
    "cause_of",
    "digest",
    "file_parts",
    "making_folder",
    "read_bounded",
    "scratch_folder",
    "storage_error",
    "sweep",
    "sync_folder",
    "write_atomically",
    "write_text",
]

MOST_BYTES = 2**25  # of what people write by hand
_TEMPORARY = re.compile(r"\..+\.[^.]+\.tmp", re.DOTALL)
_NULL_DEVICE = os.makedev(1, 3)  # people name it for an empty file
_LEFT_BEHIND = 3600.0  # seconds after which a temporary file belongs to nobody
_MAKING = ".making-"
_JUST_MADE = 60.0  # seconds in which the lock of a new folder may still be missing


def digest(content: bytes) -> str:
    """The SHA-256 of a content, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_bounded(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file of at most `most` bytes, or of /dev/null; a pipe or another
    device could keep a reader waiting for ever.

    Raises:
        OSError: unreadable, no regular file, or too large; `strerror` says which.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name holds a NUL") from error
    with os.fdopen(descriptor, "rb") as handle:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) and found.st_rdev != _NULL_DEVICE:
            raise OSError(errno.EINVAL, "it is no regular file")
        content = handle.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes")
    return content


def file_parts(names: Iterable[str], empty: str) -> dict[str, str]:
    """A part of a file name for each name: no two are alike on any file system, and none leaves its
    folder. A name that is changed for that carries its hash behind a `+`, which no other has.

    Args:
        names: anything.
        empty: what the empty name becomes.
    """
    plain = {name: re.sub(r"[^A-Za-z0-9._-]", "_", name)[:100] for name in names}
    counts = Counter(part.lower() for part in plain.values())
    return {
        name: part
        if name == part and counts[part.lower()] == 1 and part.strip(".")
        else f"{part or empty}+{digest(name.encode('utf-8', 'surrogatepass'))[:12]}"
        if name or counts[""] > 1 or empty in counts
        else empty
        for name, part in plain.items()
    }


def write_atomically(
    path: Path, content: bytes | Callable[[Path], object], *, keep_metadata: bool = False
) -> None:
    """Write a file beside its place, then rename it: after a crash there is the old or the new one.

    What a process that was killed left behind in the same folder is swept an hour later.

    Args:
        path: its folder is made. A link is replaced, so that nobody's link leads a write elsewhere;
            with `keep_metadata` it stays one.
        content: the bytes, or a function that writes them to a temporary path.
        keep_metadata: the new file gets the owner, mode and times of the old one, which must exist
            and be writable.

    Raises:
        StorageError: the folder or the file cannot be written, or the disk is full; the file is as
            it was.
    """
    place = path.resolve() if keep_metadata else path
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")
    try:
        if keep_metadata and not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only")
        place.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        if keep_metadata:
            _copy_metadata(place, temporary)
        temporary.replace(place)
        sync_folder(place.parent)
        sweep(place.parent)
    except (OSError, ValueError) as error:
        raise storage_error(path, error) from error
    finally:
        with suppress(OSError, ValueError):  # after a success it is gone; or there can be none
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text as `write_atomically` does.

    Raises:
        StorageError: as of `write_atomically`.
    """
    write_atomically(path, text.encode())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of a folder.

    Raises:
        OSError: it does not take them.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files that goes when the block ends.

    Raises:
        StorageError: there is no room for it.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="capacity-"))
    except OSError as error:  # without room there is no place either, as `tempfile` says it
        raise StorageError(
            f"There is no room for temporary files: {cause_of(error)}",
            "Free /tmp, or set TMPDIR to another folder",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def making_folder(place: Path) -> Iterator[Path]:
    """A hidden folder in `place` for what is put in its place once it is whole; it goes when the
    block ends. Those that killed processes left there go first.

    Raises:
        OSError: it cannot be made.
    """
    for left in place.glob(f"{_MAKING}*"):
        with suppress(OSError):  # another process may sweep too
            old = time.time() - left.stat().st_mtime > _JUST_MADE
            with _locked_folder(left) as mine:
                if mine and old:
                    shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_MAKING, dir=place) as made:
        folder = Path(made)
        with _locked_folder(folder):
            yield folder


@contextmanager
def _locked_folder(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which ends with its process; whether it was free."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or a file system without locks
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def cause_of(error: Exception) -> str:
    """What went wrong, for a sentence that names the file: an `OSError`'s words alone, without
    their number and the path.
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def storage_error(path: Path, error: OSError | ValueError) -> StorageError:
    """What to tell a person whose disk or permissions failed, or whose path has a NUL."""
    if isinstance(error, ValueError):
        return StorageError(f"Cannot use {visible(str(path))}: {error}", "Name another file")
    hints = {
        errno.ENOSPC: "Free some space on that disk, then run it again: what was finished is kept",
        errno.EDQUOT: "Your quota is used up; free some space, then run it again",
        errno.EACCES: "Choose a folder you may write to, or correct its permissions",
        errno.EROFS: "That file system is read-only; choose another folder",
    }
    cause = cause_of(error)
    return StorageError(
        f"Cannot use {path}: {cause}",
        hints.get(error.errno or 0, "Check the folder, then run it again"),
    )


def _copy_metadata(old: Path, new: Path) -> None:
    shutil.copystat(old, new)
    facts = old.stat()
    with suppress(PermissionError):  # only root gives files away
        os.chown(new, facts.st_uid, facts.st_gid)


def sweep(folder: Path) -> None:
    """Remove the temporary files of processes that were killed more than an hour ago."""
    for left in folder.glob(".*.tmp"):
        with suppress(OSError):  # another process may sweep too
            old = time.time() - left.stat().st_mtime > _LEFT_BEHIND
            if _TEMPORARY.fullmatch(left.name) and old:
                left.unlink()
