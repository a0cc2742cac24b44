"""Killed at every line of the journal on a real Engine: going on leads to the planned state, going
back to the former one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from capacity._compose import drift
from capacity._docker import snapshot
from capacity.changes import applied_changes, apply_plan, resume, resume_preview, rollback
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Entry, Kind
from capacity.changes._journal.runs import journal_runs
from capacity.errors import ChangeRefused, InputError
from capacity.model import Setting
from tests.fixtures.running.fleet import (
    MIB,
    Fleet,
    cpus,
    fleet,
    in_folder,
    memory,
    other,
    plan_of,
    project,
)

FILE = project(web="mem_limit: 64m; cpus: 0.5; scale: 2", db="mem_limit: 64m")
PLANNED = FILE.replace("mem_limit: 64m\n    cpus: 0.5", "mem_limit: 96m\n    cpus: 0.7")
PLAN = plan_of(memory("shop/web", 64, 96), cpus("shop/web", 0.5, 0.7, throttled_after=1.0))
LINES = 8  # started, intent, file-written, two updated, done, verified, finished


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Engine for the module."""
    with fleet(tmp_path_factory.mktemp("killed")) as made:
        yield made


@pytest.fixture(scope="module")
def running(whole: Fleet) -> tuple[Fleet, Path]:
    """The project, started once; every test puts it back to its beginning."""
    return whole, whole.up(FILE)


def killed_at(fleet_here: Fleet, line: int, *, torn: bool = False) -> None:
    """Apply the plan in a process that dies by SIGKILL just before it would write that line, or
    half way through it.
    """
    child = os.fork()
    if child == 0:
        count = 0
        append = Journal.append

        def dying(self: Journal, entry: Entry) -> Entry:
            nonlocal count
            count += 1
            if count == line:
                if torn:
                    self.handle.write(b'{"time":"2026-')
                    self.handle.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            return append(self, entry)

        Journal.append = dying  # type: ignore[method-assign]
        try:
            apply_plan(PLAN, fleet_here.settings())
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def state(
    fleet_here: Fleet, file: Path
) -> tuple[str, set[tuple[int | None, int | None, float | None]]]:
    """The file's text, and the limits of both replicas."""
    found = snapshot(fleet_here.settings().engine).of("shop/web")
    assert len(found) == 2
    return file.read_text(), {
        (container.memory, container.memory_swap, container.cpus) for container in found
    }


FORMER = (FILE, {(64 * MIB, 128 * MIB, 0.5)})
CHANGED = (PLANNED, {(96 * MIB, 192 * MIB, 0.7)})


@pytest.mark.parametrize(
    ("line", "torn"), [*((line, False) for line in range(1, LINES + 1)), (3, True), (5, True)]
)
def test_goes_on_to_the_plan_or_back(
    running: tuple[Fleet, Path], tmp_path: Path, line: int, torn: bool
) -> None:
    """One interrupted run goes on to the planned state, another back to the former one; nothing is
    lost, nothing half done.
    """
    here, file = in_folder(running[0], tmp_path), running[1]
    assert state(here, file) == FORMER
    killed_at(here, line, torn=torn)
    if line == 1:  # nothing was begun, so there is nothing to go on with, and nothing in the way
        with pytest.raises(InputError, match="came to its end"):
            resume(here.settings())
        assert state(here, file) == FORMER
        apply_plan(PLAN, here.settings())
    else:
        with pytest.raises(ChangeRefused, match="did not come to its end"):
            apply_plan(PLAN, here.settings())
        halfway = state(here, file)
        _, ahead = resume_preview(here.settings())
        assert {(preview.service, preview.state) for preview in ahead} <= {
            ("shop/web", "would-finish"),
            ("shop/web", "would-apply"),
        }
        assert bool(ahead) or halfway == CHANGED
        assert state(here, file) == halfway
        result = resume(here.settings())
        assert result.state == "finished"
    assert state(here, file) == CHANGED
    assert {
        adjustment.outcome for adjustment in applied_changes(here.settings().apply.journal)
    } == {"verified"}
    assert drift(snapshot(here.settings().engine)) == []
    ((run, _),) = journal_runs(here.settings().apply.journal)
    rollback(run, here.settings())
    assert state(here, file) == FORMER
    if line > 1:
        again = in_folder(here, tmp_path / "again")
        killed_at(again, line, torn=torn)
        ((run, _),) = journal_runs(again.settings().apply.journal)
        assert {result.state for result in rollback(run, again.settings())} <= {"undone"}
        assert state(again, file) == FORMER


def test_a_rollback_that_is_killed_is_run_again(
    running: tuple[Fleet, Path], tmp_path: Path
) -> None:
    """Half a rollback cannot be resumed as an apply; the same command ends it."""
    here, file = in_folder(running[0], tmp_path), running[1]
    run = apply_plan(PLAN, here.settings()).run
    child = os.fork()
    if child == 0:
        append = Journal.append

        def dying(self: Journal, entry: Entry) -> Entry:
            if entry.kind is Kind.UNDONE:
                os.kill(os.getpid(), signal.SIGKILL)
            return append(self, entry)

        Journal.append = dying  # type: ignore[method-assign]
        try:
            rollback(run, here.settings())
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    with pytest.raises(InputError, match="was being rolled back"):
        resume(here.settings())
    rollback(run, here.settings())
    assert state(here, file) == FORMER


def test_killed_while_compose_replaces_a_container(
    running: tuple[Fleet, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the file is written and before Compose has said anything: going on makes the new
    container.
    """
    here, file = in_folder(running[0], tmp_path), running[1]
    monkeypatch.setenv("PATH", here.environment()["PATH"])
    plan = plan_of(other("shop/db", Setting.ENVIRONMENT, None, {"A": "1"}))
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(
            "capacity.changes._apply.step.recreate",
            lambda *_: os.kill(os.getpid(), signal.SIGKILL),
        )
        try:
            apply_plan(plan, here.settings())
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    assert "A" in file.read_text()
    result = resume(here.settings())
    assert result.state == "finished"
    (db,) = snapshot(here.settings().engine).of("shop/db")
    assert "A" in db.environment
    rollback(result.run, here.settings())
    (db,) = snapshot(here.settings().engine).of("shop/db")
    assert "A" not in db.environment
    assert file.read_text() == FILE
