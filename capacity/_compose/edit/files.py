"""Compose files on disk, and an edit rolled back out of a newer text."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

from capacity._common.files import read_bounded
from capacity._common.plain_data import PlainMapping
from capacity._compose.edit.splice import newline
from capacity._compose.edit.verify import read, same
from capacity.errors import EditRefused, StorageError

__all__ = ["read_bytes", "read_exactly", "undo_text"]


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        StorageError: unreadable.
    """
    try:
        return read_bounded(path)
    except OSError as error:
        raise StorageError(
            f"Cannot read {path}: {error.strerror}", "Correct its permissions, or restore it"
        ) from error


def read_exactly(path: Path) -> str:
    """The text of a file with its own line breaks.

    Raises:
        StorageError: unreadable, or no UTF-8.
    """
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is no UTF-8 text", "Edit it by hand") from error


def undo_text(before: str, after: str, current: str) -> str:
    """The current text without the edit that made `after` of `before`, whatever else changed since.

    Raises:
        EditRefused: the edited lines themselves have changed since.
    """
    if current == after:
        return before
    was, edited, present = (read(text).services for text in (before, after, current))
    if all(same(was.get(name), present.get(name)) for name in _touched(was, edited)):
        return current  # the edit is not in it
    old, new, now = (_lines(text) for text in (before, after, current))
    places = _places(new, now)
    for tag, i1, i2, j1, j2 in reversed(
        SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    ):
        if tag == "equal":
            continue
        start = places.get(j1)
        end = (start or 0) + j2 - j1
        if start is None or now[start:end] != new[j1:j2] or _goes_on(new, j1, j2, now[end:]):
            raise EditRefused(
                "The edited lines of the compose file have changed since",
                "Put the former limit back by hand",
            )
        now[start:end] = old[i1:i2]
    undone = "".join(now)
    undone = undone if current.endswith("\n") else undone.rstrip("\r\n")
    if not _undone(was, edited, present, read(undone).services):
        raise EditRefused(
            "The edit of the compose file cannot be rolled back exactly",
            "Put the former limit back by hand",
        )
    return undone


def _lines(text: str) -> list[str]:
    """The lines with their breaks; an editor may have given the last one its own by now."""
    finished = text if text.endswith("\n") else text + newline(text, len(text))
    return finished.splitlines(keepends=True)


def _touched(was: PlainMapping, edited: PlainMapping) -> set[str]:
    return {name for name in was if not same(was[name], edited.get(name))}


def _places(new: list[str], now: list[str]) -> dict[int, int]:
    """Where the lines of one text stand in another; the end of the text counts as a line."""
    found = {len(new): len(now)}
    for first, second, size in SequenceMatcher(
        None, new, now, autojunk=False
    ).get_matching_blocks():
        found |= {first + offset: second + offset for offset in range(size)}
    return found


def _goes_on(new: list[str], start: int, end: int, behind: list[str]) -> bool:
    """Whether somebody has put something below the edited lines, which would be left without a
    key.
    """
    if start == end or behind[:1] == new[end : end + 1]:
        return False
    written = (line for line in behind if line.strip() and not line.lstrip().startswith("#"))
    return _indent(next(written, "")) > _indent(new[start])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _undone(
    was: PlainMapping, edited: PlainMapping, now: PlainMapping, result: PlainMapping
) -> bool:
    """Whether every service means what it should: not edited as now, edited as before if nobody
    changed it since.
    """
    touched = _touched(was, edited)
    if now.keys() != result.keys():
        return False
    kept = all(same(result[name], now[name]) for name in result if name not in touched)
    return kept and all(
        same(result[name], was[name]) for name in touched if same(now.get(name), edited[name])
    )
