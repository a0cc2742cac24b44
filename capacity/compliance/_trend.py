"""The score over the weeks: one line of JSON an evaluation, and what changed since an earlier
one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from capacity._common.files import cause_of, write_text
from capacity.compliance._evaluate import Report
from capacity.compliance._verdicts import Status
from capacity.errors import StorageError

__all__ = ["Difference", "ScoreRecord", "Week", "compare", "read_records", "record", "trend"]

_WEEK = timedelta(weeks=1)


@dataclass(frozen=True)
class ScoreRecord:
    """One evaluation: score 0 to 1 or None, evaluations by status, and rule id and subject of
    everything that failed.
    """

    at: datetime
    score: float | None
    counts: Mapping[str, int]
    failing: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Week:
    """A week that begins on Monday `start`, UTC, and its last evaluation; None when there was
    none.
    """

    start: datetime
    last: ScoreRecord | None


@dataclass(frozen=True)
class Difference:
    """Rule id and subject of what fails now and did not, of what no longer fails, and of what still
    does.
    """

    new: tuple[tuple[str, str], ...]
    fixed: tuple[tuple[str, str], ...]
    standing: tuple[tuple[str, str], ...]


def record(report: Report, file: str | Path, at: datetime) -> ScoreRecord:
    """Add an evaluation to a file, which is made where it is missing, and return it.

    Raises:
        StorageError: unwritable, or damaged.
    """
    entry = ScoreRecord(
        at=at.astimezone(UTC),
        score=report.score,
        counts={str(status): count for status, count in report.counts.items()},
        failing=report.failing_pairs(),
    )

    path = Path(file)
    lines = [_line(record) for record in (*read_records(path), entry)]
    write_text(path, "".join(lines))
    return entry


def _line(entry: ScoreRecord) -> str:
    said = {
        "at": entry.at.isoformat(timespec="seconds"),
        "score": entry.score,
        "counts": dict(entry.counts),
        "failing": [list(pair) for pair in entry.failing],
    }
    return json.dumps(said, separators=(",", ":")) + "\n"


def read_records(file: str | Path) -> tuple[ScoreRecord, ...]:
    """The evaluations of a file by time; none where there is no file.

    Raises:
        StorageError: unreadable, or a line that is no evaluation.
    """
    path = Path(file)
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"Cannot read the record {path}: {cause_of(error)}",
            "Name another file, or move this one away",
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_read(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            cause = f"{path}:{number}: no record of an evaluation ({error!r})"
            raise StorageError(cause, "Remove that line, or move the file away") from error
    return tuple(sorted(found, key=lambda record: record.at))


def _read(said: Any) -> ScoreRecord:
    score = said["score"]
    if score is not None and not (
        isinstance(score, (int, float)) and math.isfinite(score) and 0 <= score <= 1
    ):
        raise ValueError("a score lies between 0 and 1")
    at = datetime.fromisoformat(said["at"])
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    counts = {str(Status(name)): int(count) for name, count in said["counts"].items()}
    return ScoreRecord(
        at.astimezone(UTC),
        score,
        counts,
        tuple((str(rule), str(subject)) for rule, subject in said["failing"]),
    )


def trend(file: str | Path, now: datetime, weeks: int = 12) -> tuple[Week, ...]:
    """The last evaluation of each of the last weeks, this one included, the oldest first.

    Raises:
        StorageError: as `read_records`.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=midnight.weekday())
    records = [record for record in read_records(file) if record.at <= now]
    starts = [monday - _WEEK * back for back in range(weeks - 1, -1, -1)]
    return tuple(
        Week(
            start,
            next(
                (record for record in reversed(records) if start <= record.at < start + _WEEK), None
            ),
        )
        for start in starts
    )


def compare(before: ScoreRecord, after: ScoreRecord) -> Difference:
    """What is new, fixed and still failing between two evaluations."""
    old, new = {*before.failing}, {*after.failing}
    return Difference(tuple(sorted(new - old)), tuple(sorted(old - new)), tuple(sorted(old & new)))
