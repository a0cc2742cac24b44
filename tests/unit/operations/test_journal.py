"""Runs of emergencies in the journal: their order, and the way out of those that were
interrupted.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from capacity._common.file_lock import owner
from capacity.changes._journal.journal import Journal, open_journal, read_journal
from capacity.changes._journal.listing import journal_history
from capacity.changes._journal.lock import apply_lock
from capacity.changes._journal.models import Kind
from capacity.changes._journal.runs import journal_runs, still_stopped, way_out
from capacity.errors import InputError, Locked, StorageError
from capacity.operations._emergency import journal as emergency_journal
from capacity.operations._emergency.journal import journal_folders, journalled_run, open_stops
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
        (
            {"why": "emergency-release"},
            [Kind.STOPPING, Kind.STOPPED],
            "capacity emergency undo --yes",
        ),
        ({"why": "emergency-release"}, [Kind.STOPPING, Kind.STOPPED, Kind.STARTED_AGAIN], ""),
        ({"why": "emergency-restart"}, [Kind.STARTED_AGAIN], ""),
        ({"why": "emergency-revision"}, [Kind.INTENT], "capacity rollback run --yes"),
        ({"why": "emergency-revision"}, [Kind.INTENT, Kind.DONE, Kind.FINISHED], ""),
    ],
)
def test_the_hint_fits_what_was_interrupted(
    tmp_path: Path, started: dict[str, Any], kinds: list[Kind], hint: str
) -> None:
    """A plan is resumed, what was stopped is started, a revision is rolled back, and what left
    nothing open stops nobody.
    """
    with closing((journal := open_journal(tmp_path, "run")).handle):
        journal.write(Kind.STARTED, **started)
        for kind in kinds:
            journal.write(kind, step=0)
        found = way_out("run", journal.entries())
    assert (hint in found) if hint else found == ""


def test_what_was_begun_last_is_undone_first_also_within_a_second(tmp_path: Path) -> None:
    """Runs are named by the second and by what they do; their order is that of their first
    lines.
    """
    for what in ("pool-migrate", "emergency-release", "emergency-release"):
        with journalled_run(settings(tmp_path), what) as journal:
            journal.write(Kind.STOPPING, step=0, service="a/b", container=what, id="1")
    begun = [entries[0].time for _, entries in journal_runs(tmp_path)]
    assert sorted(begun) != begun or len({name[:15] for name, _ in journal_runs(tmp_path)}) > 1
    names = [run for _, run, _ in open_stops(settings(tmp_path))]
    assert [name.partition("-")[2] for name in names] in (
        ["pool-migrate", "emergency-release", "emergency-release-2"],
        [
            "pool-migrate",
            "emergency-release",
            "emergency-release",
        ],  # where a new second began between the two
    )


def test_a_stop_that_failed_is_not_open(tmp_path: Path) -> None:
    """The container runs: nothing has to be started again."""
    with closing((journal := open_journal(tmp_path, "run")).handle):
        journal.write(Kind.STOPPING, step=0)
        journal.write(Kind.FAILED, step=0)
        journal.write(Kind.STOPPING, step=1)
        assert [entry.step for entry in still_stopped(journal.entries())] == [1]
        journal.write(Kind.GIVEN_UP, step=1)
        assert still_stopped(journal.entries()) == []


def test_a_damaged_run_does_not_hide_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All runs: it is left out, and its file and line are said once. That run by its name:
    refused.
    """
    with journalled_run(settings(tmp_path), "emergency-release") as journal:
        journal.write(Kind.STOPPING, step=0, service="a/b", container="b", id="1")
    (tmp_path / "20200101T000000-old").mkdir()
    damaged = tmp_path / "20200101T000000-old" / "journal.jsonl"
    damaged.write_text("garbage\n")
    assert [run for _, run, _ in open_stops(settings(tmp_path))] == [journal.run]
    assert [run for run, _ in journal_runs(tmp_path, skip_damaged=True)] == [journal.run]
    assert len(journal_history([tmp_path])) == 1
    assert caplog.text.count(f"{damaged}:1 is no line of a journal") == 1
    with pytest.raises(InputError, match="is no line of a journal"):
        read_journal(damaged.parent)
    with pytest.raises(InputError, match="is no line of a journal"):
        [*journal_runs(tmp_path)]


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_spare_folder_that_others_could_have_written_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Open to others, a link, or no folder at all: what stands there is not undone, and no journal
    is kept there.
    """
    monkeypatch.setattr(emergency_journal, "_SPARE", tmp_path)
    spare, real = tmp_path / f"capacity-journal-{os.getuid()}", tmp_path / "real"
    with closing((journal := open_journal(real, "run")).handle):
        journal.write(Kind.STARTED, why="emergency-release")
        journal.write(Kind.STOPPING, step=0, service="a/b", container="b", id="1")
    real.chmod(0o700)
    real.rename(spare)
    own = settings(tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    assert [run for _, run, _ in open_stops(own)] == ["run"]
    if kind == "open":
        spare.chmod(0o755)
    else:
        spare.rename(real)
        spare.symlink_to(real) if kind == "link" else spare.write_text("x")
    assert journal_folders(own) == [tmp_path / "file"]
    assert open_stops(own) == []
    assert f"{spare} is left out" in caplog.text
    with (
        pytest.raises(StorageError, match="capacity-journal"),
        journalled_run(own, "emergency-release"),
    ):
        raise AssertionError("a journal was opened")


def test_a_spare_folder_of_another_owner_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with the mode that ours has."""
    monkeypatch.setattr(emergency_journal, "_SPARE", tmp_path)
    spare = tmp_path / f"capacity-journal-{os.getuid()}"
    spare.mkdir(mode=0o700)
    assert journal_folders(settings(tmp_path / "a")) == [tmp_path / "a", spare]
    os.chown(spare, 12345, 12345)
    assert journal_folders(settings(tmp_path / "a")) == [tmp_path / "a"]


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    """Without the lock several emergencies may be under way at once: none writes into the journal
    of another.
    """
    own = settings(tmp_path)
    with (
        journalled_run(own, "emergency-flush", lock=False) as journal,
        journalled_run(own, "emergency-flush", lock=False) as other,
    ):
        assert journal.folder != other.folder
    assert [len(entries) for _, entries in journal_runs(tmp_path)] == [2, 2]
    with (
        journalled_run(own, "emergency-revision"),
        pytest.raises(Locked),
        journalled_run(own, "emergency-revision"),
    ):
        raise AssertionError("two hold the lock")


@pytest.mark.parametrize(
    ("what", "back"),
    [
        ("pool-up", False),
        ("pool-scale", False),
        ("pool-migrate", False),
        ("emergency-revision", True),
    ],
)
def test_who_is_refused_learns_what_runs_and_the_way_out_of_that(
    tmp_path: Path, what: str, back: bool
) -> None:
    """The run by its occasion, not a plan; a rollback is offered only for a run that it can take
    back.
    """
    with (
        journalled_run(settings(tmp_path), what) as mine,
        pytest.raises(Locked) as refused,
        apply_lock(tmp_path),
    ):
        raise AssertionError("two hold the lock")
    said, number = str(refused.value), os.getpid()
    assert said.startswith(f"`{what}` is under way, begun by ")
    assert (
        f"(process {number}) (run {mine.run}). Wait for it, or end it with `kill -INT {number}`"
        in said
    )
    assert (f", then `capacity rollback {mine.run} --yes`" in said) == ("rollback" in said) == back


def test_a_rollback_under_way_is_called_so(tmp_path: Path) -> None:
    """Also of a plan's run: it is not applied, and the same rollback goes on with it later."""
    with apply_lock(tmp_path), closing((journal := open_journal(tmp_path, "run")).handle):
        journal.write(Kind.STARTED, who="somebody", plan="p")
        journal.write(Kind.ROLLBACK, who=owner())
        with (
            pytest.raises(
                Locked, match=r"A run is being rolled back by .*then `capacity rollback run --yes`"
            ),
            apply_lock(tmp_path),
        ):
            raise AssertionError("two hold the lock")


def test_a_block_that_ends_its_run_itself_leaves_it_open_where_it_does_not(tmp_path: Path) -> None:
    """No last line is written for it, after a failure: the run counts as unfinished."""

    def interrupted(journal: Journal) -> None:
        journal.write(Kind.INTENT, step=1, service="a/b")
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        journalled_run(settings(tmp_path), "emergency-revision", ends=False) as journal,
    ):
        interrupted(journal)
    entries = read_journal(journal.folder)
    assert [entry.kind for entry in entries] == [Kind.STARTED, Kind.INTENT]
    assert f"capacity rollback {journal.run} --yes" in way_out(journal.run, entries)
