"""What the journal lists of runs that no plan made, also of those that an older version wrote or a
crash cut off.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from capacity.changes._journal.journal import open_journal
from capacity.changes._journal.listing import journal_history
from capacity.changes._journal.models import Kind

ONE: dict[str, Any] = {"step": 0, "service": "a/b", "host": "here"}
NAMED: dict[str, Any] = {**ONE, "container": "a-b-1", "id": "1"}
POOL: dict[str, Any] = {"service": "standalone/p-pool-0", "host": "here", "container": "p-pool-0"}


def written(folder: Path, run: str, *lines: tuple[Kind, dict[str, Any]], why: str = "x") -> None:
    """A run with these lines."""
    with closing((journal := open_journal(folder, run)).handle):
        journal.write(Kind.STARTED, who="ada", why=why)
        for kind, detail in lines:
            journal.write(kind, **detail)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([(Kind.STOPPING, NAMED)], [("stop", "unfinished", "")]),
        (
            [(Kind.STOPPING, NAMED), (Kind.FAILED, {**ONE, "reason": "no"})],
            [("stop", "failed", "no")],
        ),
        ([(Kind.STOPPING, NAMED), (Kind.FINISHED, {"state": "failed"})], [("stop", "failed", "")]),
        ([(Kind.STARTED_AGAIN, NAMED), (Kind.FINISHED, {})], [("start", "started again", "")]),
        ([(Kind.STARTING, NAMED)], [("start", "unfinished", "")]),
        (
            [(Kind.REFUSED, {**NAMED, "reason": "it needs a/c"})],
            [("start", "skipped", "it needs a/c")],
        ),
        (
            [
                (Kind.CREATING, POOL),
                (Kind.STOPPING, NAMED),
                (Kind.CREATED, POOL),
                (Kind.STOPPED, NAMED),
            ],
            [("create", "created", ""), ("stop", "stopped", "")],
        ),
        (
            [
                (Kind.CREATING, POOL),
                (Kind.FAILED, {**POOL, "reason": "sick"}),
                (Kind.REMOVING, POOL),
                (Kind.REMOVED, POOL),
            ],
            [("create", "failed", "sick"), ("remove", "removed", "")],
        ),
    ],
)
def test_each_deed_has_its_end(
    tmp_path: Path, lines: list[tuple[Kind, dict[str, Any]]], found: list[tuple[str, str, str]]
) -> None:
    """A action without a line of its end is unfinished, or failed where its run came to an end."""
    written(tmp_path, "run", *lines)
    assert [
        (adjustment.what, adjustment.outcome, adjustment.detail)
        for adjustment in journal_history([tmp_path, tmp_path, tmp_path / "none"])
    ] == found


def test_runs_of_several_folders_are_one_list_by_time(tmp_path: Path) -> None:
    """The spare folder's too; a container that another run started again is up."""
    written(tmp_path / "a", "z", (Kind.STOPPING, NAMED), (Kind.STOPPED, NAMED))
    written(tmp_path / "b", "a", (Kind.CREATING, POOL))
    written(tmp_path / "a", "b", (Kind.STARTING, NAMED), (Kind.STARTED_AGAIN, NAMED))
    found = journal_history([tmp_path / "a", tmp_path / "b"])
    assert [
        (adjustment.run, adjustment.what, adjustment.outcome, adjustment.detail)
        for adjustment in found
    ] == [
        ("z", "stop", "started again", "by b"),
        ("a", "create", "unfinished", ""),
        ("b", "start", "started again", ""),
    ]
    assert [adjustment.run for adjustment in journal_history([tmp_path / "b"], "p-pool-0")] == ["a"]
