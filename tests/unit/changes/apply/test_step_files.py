"""The files of one step: what was proved of the project counts as long as its files stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capacity._common.files import digest
from capacity._compose.declared import DeclaredProject, load_declared
from capacity._docker.engine import Engine
from capacity.changes._apply.preflight import Step
from capacity.changes._apply.step import _stands, perform_step, redo_step
from capacity.changes._journal.journal import Journal, open_journal
from capacity.model import StepState
from tests.fixtures.fleets.engines import Kernel, engine_on
from tests.fixtures.running.fleet import memory, plan_of

BASE = "services:\n  web:\n    image: a\n    mem_limit: 64m\n"
OVER = "services:\n  web:\n    cpus: 1\n"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A run's journal."""
    opened = open_journal(tmp_path / "journal", "r1")
    with closing(opened.handle):
        yield opened


@pytest.fixture
def engine() -> Engine:
    """One that no file step asks anything."""
    return engine_on(Kernel("2", 0))


def shop(folder: Path) -> DeclaredProject:
    """A project of two files."""
    files = [folder / "compose.yaml", folder / "compose.override.yaml"]
    for file, text in zip(files, (BASE, OVER), strict=True):
        file.write_text(text)
    return load_declared("shop", files, folder)


def step_of(declared: DeclaredProject, engine: Engine) -> Step:
    """One that sets the memory in the files alone."""
    changes = tuple(plan_of(memory("shop/web", 64, 96)).changes)
    return Step(1, "shop/web", engine.host, "file", changes, (), declared)


def test_a_step_edits_the_file_that_says_it(
    tmp_path: Path, journal: Journal, engine: Engine
) -> None:
    """Of several, and leaves the others."""
    declared = shop(tmp_path)
    result = perform_step(step_of(declared, engine), engine, journal)
    assert result.state is StepState.DONE
    assert "takes effect at the next `docker compose up`" in result.reason
    assert declared.files[0].read_text() == BASE.replace("64m", "96m")
    assert declared.files[1].read_text() == OVER


def test_another_file_that_has_changed_since_is_looked_at_again(
    tmp_path: Path, journal: Journal, engine: Engine
) -> None:
    """What a crash interrupted goes on only while no other file has the last word by then."""
    declared = shop(tmp_path)
    done = perform_step(step_of(declared, engine), engine, journal)
    assert done.entry is not None
    proved = {path: digest(path.read_bytes()) for path in declared.files}
    assert _stands(done.entry, proved)
    declared.files[1].write_text(f"{OVER}    mem_limit: 80m\n")
    assert not _stands(done.entry, proved)
    assert not _stands(done.entry, {})
    again = redo_step(done.entry, engine, journal)
    assert again.state is StepState.FAILED
    assert "overrides memory" in again.reason
    assert declared.files[0].read_text() == BASE
