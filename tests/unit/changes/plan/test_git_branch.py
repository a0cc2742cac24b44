"""A branch with one commit a service, made beside whatever the person is doing in the working
tree.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from capacity._compose import DeclaredProject, load_project
from capacity.changes import commit_plan
from capacity.errors import InputError, WorkError
from capacity.model import Reason
from tests.fixtures.running.fleet import cpus, memory, plan_of, project
from tests.unit.changes.plan.test_exports import repository


def git(folder: Path, *words: str) -> str:
    """What git says."""
    return subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with a project in a folder of it."""
    file = tmp_path / "shop" / "compose.yaml"
    file.parent.mkdir()
    file.write_text(project(web="mem_limit: 64m", db=""))
    repository(tmp_path)
    return tmp_path


def projects(place: Path) -> dict[str, DeclaredProject]:
    """What the project declares."""
    file = place / "shop" / "compose.yaml"
    return {"shop": DeclaredProject("shop", (file,), file.parent, load_project(file, name="shop"))}


def test_one_commit_a_service_and_a_dirty_tree_untouched(place: Path) -> None:
    """The branch holds the edits of what is committed; index, files and HEAD are as they were."""
    file = place / "shop" / "compose.yaml"
    file.write_text(file.read_text() + "# not yet committed\n")
    (place / "staged").write_text("x\n")
    git(place, "add", "staged")
    before = (
        git(place, "status", "--porcelain"),
        git(place, "rev-parse", "HEAD"),
        file.read_text(),
    )
    plan = plan_of(
        memory("shop/web", 64, 96, Reason.BREACH_EXPECTED, peak_high=7e7),
        memory("shop/db", None, 128),
        cpus("shop/db", None, 1),
    )
    done = commit_plan(plan, projects(place), place / "shop")
    assert (
        git(place, "status", "--porcelain"),
        git(place, "rev-parse", "HEAD"),
        file.read_text(),
    ) == before
    assert done.name == f"capacity/{plan.plan_id}"
    assert list(done.commits) == ["shop/db", "shop/web"]
    log = git(place, "log", "--format=%s", f"main..{done.name}").splitlines()
    assert log == [
        "shop/web: memory 64 MiB -> 96 MiB",
        "shop/db: memory unlimited -> 128 MiB, cpus unlimited -> 1 core",
    ]
    body = git(place, "log", "-1", "--format=%b", done.name)
    assert "breach-expected" in body
    assert "peak_high: 7e+07" in body
    committed = git(place, "show", f"{done.name}:shop/compose.yaml")
    assert "not yet" not in committed
    assert git(place, "diff", "--numstat", f"{done.commits['shop/db']}", done.name).split()[:2] == [
        "1",
        "1",
    ]
    assert not git(place, "remote")
    with pytest.raises(InputError, match="exists already"):
        commit_plan(plan, projects(place), place)


def test_what_cannot_be_committed_is_said(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A service that the committed file does not know, one that says it already, no repository at
    all.
    """
    with pytest.raises(WorkError, match=r"says this already|none"):
        commit_plan(plan_of(memory("shop/web", 32, 64)), projects(place), place)
    done = commit_plan(
        plan_of(memory("shop/none", 64, 96), memory("shop/web", 64, 96)), projects(place), place
    )
    assert list(done.commits) == ["shop/web"]
    assert "do not declare" in done.refused["shop/none"]
    with pytest.raises(InputError, match="git rev-parse failed"):
        commit_plan(
            plan_of(memory("shop/web", 64, 96)), projects(place), tmp_path_factory.mktemp("bare")
        )
