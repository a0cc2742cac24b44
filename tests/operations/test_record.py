"""Runs of emergencies in the journal: their order, and the way out of those that were interrupted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from capacity.changes.journal import Kind, list_runs, open_journal, still_stopped, way_out
from capacity.operations.record import journalled, open_stops
from capacity.settings import Settings


def settings(folder: Path) -> Settings:
    """A journal of the test's own."""
    return Settings(apply={"journal": folder})


@pytest.mark.parametrize(
    ("started", "kinds", "hint"),
    [
        ({"plan": "p"}, [], "capacity apply --resume"),
        ({"plan": "p"}, [Kind.INTENT, Kind.FINISHED], ""),
        ({"why": "emergency-release"}, [], ""),
        ({"why": "emergency-release"}, [Kind.STOPPING], "capacity emergency undo --yes"),
        ({"why": "emergency-release"}, [Kind.STOPPING, Kind.STOPPED], "capacity emergency undo --yes"),
        ({"why": "emergency-release"}, [Kind.STOPPING, Kind.STOPPED, Kind.STARTED_AGAIN], ""),
        ({"why": "emergency-restart"}, [Kind.STARTED_AGAIN], ""),
        ({"why": "emergency-revision"}, [Kind.INTENT], "capacity rollback run"),
        ({"why": "emergency-revision"}, [Kind.INTENT, Kind.DONE, Kind.FINISHED], ""),
    ],
)
def test_the_hint_fits_what_was_interrupted(tmp_path: Path, started: dict[str, str], kinds: list[Kind], hint: str) -> None:
    """A plan is resumed, what was stopped is started, a revision is taken back, and what left nothing open stops nobody."""
    with closing((journal := open_journal(tmp_path, "run")).handle):
        journal.write(Kind.STARTED, **started)
        for kind in kinds:
            journal.write(kind, step=0)
        found = way_out("run", journal.entries())
    assert (hint in found) if hint else found == ""


def test_what_was_begun_last_is_undone_first_also_within_a_second(tmp_path: Path) -> None:
    """Runs are named by the second and by what they do; their order is that of their first lines."""
    for what in ("pool-migrate", "emergency-release", "emergency-release"):
        with journalled(settings(tmp_path), what) as journal:
            journal.write(Kind.STOPPING, step=0, service="a/b", container=what, id="1")
    begun = [entries[0].time for _, entries in list_runs(tmp_path)]
    assert sorted(begun) != begun or len({name[:15] for name, _ in list_runs(tmp_path)}) > 1
    names = [run for _, run, _ in open_stops(settings(tmp_path))]
    assert [name.partition("-")[2] for name in names] in (
        ["pool-migrate", "emergency-release", "emergency-release-2"],
        ["pool-migrate", "emergency-release", "emergency-release"],  # where a new second began between the two
    )


def test_a_stop_that_failed_is_not_open(tmp_path: Path) -> None:
    """The container runs: nothing has to be started again."""
    with closing((journal := open_journal(tmp_path, "run")).handle):
        journal.write(Kind.STOPPING, step=0)
        journal.write(Kind.FAILED, step=0)
        journal.write(Kind.STOPPING, step=1)
        assert [one.step for one in still_stopped(journal.entries())] == [1]
