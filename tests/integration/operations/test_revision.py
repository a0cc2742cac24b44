"""Back to a git revision on a real Engine, and back from there; a move to a pool and back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from capacity._docker import snapshot
from capacity.changes import apply_plan, rollback
from capacity.changes._journal.listing import journal_history
from capacity.changes._journal.runs import journal_runs
from capacity.errors import ChangeRefused, InputError, PoolUnhealthy
from capacity.operations._emergency.git_project import project_at_revision
from capacity.operations._emergency.journal import open_stops
from capacity.operations._emergency.revision import to_revision
from capacity.operations._emergency.undo_release import undo_release
from capacity.operations._pools.commands import pool_down, pool_scale, pool_states
from capacity.operations._pools.migrate import migrate
from tests.fixtures.fleets.faults import QUICK, git, own_place, seen
from tests.fixtures.running.fleet import MIB, Fleet, plan_of, project
from tests.fixtures.running.servers import require, wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and a spare journal of the test's own."""
    own_place(tmp_path, monkeypatch)


def test_a_move_to_a_pool_and_back(shop: Fleet) -> None:
    """Four containers become a pool of two; the journal brings them back, and a pool that cannot be
    healthy stops nothing.
    """
    for number in range(4):
        shop.run(f"agent-{number}", mem_limit=32 * MIB, memswap_limit=32 * MIB, **QUICK)
    settings, names = shop.settings(), [f"agent-{number}" for number in range(4)]
    before = seen(settings)
    planned = migrate(settings, "agents", names, 2)
    assert (planned.memory_before, planned.memory_after) == (128 * MIB, 64 * MIB)
    assert seen(settings) == before
    migrate(settings, "agents", names, 2, dry_run=False)
    states = {container.name: container.state for container in snapshot(settings.engine).containers}
    assert states == dict.fromkeys(names, "exited") | {
        "agents-pool-0": "running",
        "agents-pool-1": "running",
    }
    assert shop.memory("agents-pool-1") == 32
    pool_scale(settings, "agents", 1, dry_run=False)
    assert [
        (state.name, state.state, state.leased) for state in pool_states(settings, "agents")
    ] == [("agents-pool-0", "running", False)]
    assert {result.state for result in undo_release(settings, dry_run=False)} == {"started"}
    pool_down(settings, "agents", dry_run=False)
    assert seen(settings) == before


def test_a_pool_that_does_not_become_healthy_changes_nothing(shop: Fleet) -> None:
    """The containers that stood alone run on, and nothing of the pool is left."""
    sick = {"test": ["CMD", "false"], "interval": 100_000_000, "retries": 1}
    shop.run("agent-0", healthcheck=sick, **QUICK)
    settings, before = shop.settings(), seen(shop.settings())
    with pytest.raises(PoolUnhealthy, match="does not become healthy"):
        migrate(settings, "agents", ["agent-0"], 2, dry_run=False)
    assert seen(settings) == before


def test_ctrl_c_of_a_move_to_a_pool_says_that_all_is_as_before(shop: Fleet) -> None:
    """A signal while the Engine stops the first: it is started again after its end, no pool is
    left, the last line says so.
    """
    for name in ("agent-0", "agent-1"):
        shop.run(name)
    settings, before = shop.settings(), seen(shop.settings())
    starts = {
        container.name: container.started_at for container in snapshot(settings.engine).containers
    }
    words = [
        sys.executable,
        "-m",
        "capacity",
        "pool",
        "migrate",
        "agents",
        "agent-0",
        "agent-1",
        "--size",
        "1",
        "--yes",
    ]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        words, env={**os.environ, **shop.environment()}, cwd=shop.folder, **pipes
    ) as asked:
        wait_for(lambda: open_stops(settings) or None, "the first stop")
        asked.send_signal(signal.SIGINT)
        said = asked.communicate(timeout=60)[1]
    last = "capacity: interrupted; everything was rolled back, all is as it was before"
    assert (asked.returncode, said.splitlines()[-1:]) == (130, [last])
    assert seen(settings) == before
    again = {
        container.name: container.started_at > starts[container.name]
        for container in snapshot(settings.engine).containers
    }
    assert again == {"agent-0": True, "agent-1": False}


@pytest.mark.parametrize("revision", ["", " ", ":0", ":", "-p", "HEAD:compose.yaml", "HEAD^{tree}"])
def test_only_a_commit_is_a_revision(tmp_path: Path, revision: str) -> None:
    """What git would take for its staging area, an option or a file is refused by its name; what is
    staged is never read.
    """
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web: {image: good}\n")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "good")
    file.write_text("services:\n  web: {image: staged}\n")
    git(tmp_path, "add", ".")
    with pytest.raises(InputError, match=re.escape(revision or "''")):
        project_at_revision(file, revision)
    for good in ("HEAD", "main", "main~0", "@"):
        assert project_at_revision(file, good).project.services["web"].model["image"] == "good"


def test_back_to_a_git_revision_service_by_service(shop: Fleet) -> None:
    """The former file is checked first, then each service follows it; a rollback of that brings the
    present state back.
    """
    good = project(web="mem_limit: 64m;depends_on: [db]", db="mem_limit: 64m")
    file = shop.up(good)
    git(file.parent, "init")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "good")
    file.write_text("services:\n  web: {imagee: x}\n")
    git(file.parent, "commit", "-am", "invalid")
    shop.up(project(web="mem_limit: 32m;depends_on: [db]", db="mem_limit: 32m"))
    git(file.parent, "commit", "-am", "present")
    settings, present = shop.settings(), file.read_text()
    before = seen(settings)
    with pytest.raises(InputError, match="not valid, nothing was touched"):
        to_revision(settings, file, "HEAD~1", dry_run=False)
    with pytest.raises(InputError, match="git cannot show"):
        to_revision(settings, file, "nowhere", dry_run=False)
    planned = to_revision(settings, file, "HEAD~2")
    assert [(result.service, result.state) for result in planned] == [
        ("shop/db", "would-start"),
        ("shop/web", "would-start"),
    ]
    assert (file.read_text(), seen(settings)) == (present, before)
    done = to_revision(settings, file, "HEAD~2", dry_run=False)
    assert [(result.service, result.state) for result in done] == [
        ("shop/db", "started"),
        ("shop/web", "started"),
    ]
    assert file.read_text() == good
    assert (shop.memory("shop-web-1"), shop.memory("shop-db-1")) == (64, 64)
    (run,) = [name for name, _ in journal_runs(settings.apply.journal)]
    rollback(run, settings)
    assert (file.read_text(), seen(settings)) == (present, before)


def test_a_revision_that_does_not_come_up_is_taken_back(shop: Fleet) -> None:
    """A service that dies, or a critical one that is missing: file and containers are as they
    were.
    """
    file = shop.up(project(web="mem_limit: 32m"))
    present = file.read_text()
    git(file.parent, "init")
    file.write_text(present.replace('["sleep", "600"]', '["false"]'))
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "bad")
    file.write_text(present)
    settings = shop.settings()
    before = seen(settings)
    (done,) = to_revision(settings, file, "HEAD", dry_run=False)
    assert done.state == "failed"
    assert (file.read_text(), seen(settings)) == (present, before)
    critical = settings.model_copy(
        update={"operations": settings.operations.model_copy(update={"critical": ["shop/db"]})}
    )
    git(file.parent, "commit", "-am", "good")
    done_too = to_revision(critical, file, "HEAD", dry_run=False)
    assert [(result.service, result.state) for result in done_too] == [
        ("shop/web", "started"),
        ("shop/db", "failed"),
    ]


def test_services_that_the_revision_does_not_have_are_stopped_and_come_back(shop: Fleet) -> None:
    """Two newer services stop, the dependent one first, and are kept; undo brings file and fleet
    back to what they were.
    """
    file = shop.up(project(web="mem_limit: 64m"))
    git(file.parent, "init")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "good")
    shop.up(
        project(
            web="mem_limit: 32m",
            cache="stop_signal: SIGKILL",
            worker="stop_signal: SIGKILL;depends_on: [cache]",
        )
    )
    other = file.with_name("other.yaml")
    other.write_text(project(elsewhere=""))
    words = [
        str(require("docker-compose")),
        "--file",
        str(other),
        "--project-name",
        "shop",
        "up",
        "--detach",
    ]
    subprocess.run(words, env=shop.environment(), capture_output=True, check=True)
    settings, present = shop.settings(), file.read_text()
    before = seen(settings)
    ids = {container.name: container.id for container in snapshot(settings.engine).containers}
    planned = to_revision(settings, file, "HEAD")
    wanted = [("shop/worker", "stop"), ("shop/cache", "stop"), ("shop/web", "start")]
    assert [(result.service, result.state) for result in planned] == [
        (name, f"would-{what}") for name, what in wanted
    ]
    assert (file.read_text(), seen(settings)) == (present, before)
    done = to_revision(settings, file, "HEAD", dry_run=False)
    assert [(result.service, result.state) for result in done] == [
        (name, {"stop": "stopped", "start": "started"}[what]) for name, what in wanted
    ]
    states = {
        container.name: (container.state, container.memory)
        for container in snapshot(settings.engine).containers
    }
    actions = [
        (adjustment.service, adjustment.what, adjustment.outcome)
        for adjustment in journal_history([settings.apply.journal])
    ]
    assert actions == [
        ("shop/worker", "stop", "done"),
        ("shop/cache", "stop", "done"),
        ("shop/web", "recreate", "done"),
    ]
    assert states == {
        "shop-cache-1": ("exited", None),
        "shop-elsewhere-1": ("running", None),
        "shop-web-1": ("running", 64 * MIB),
        "shop-worker-1": ("exited", None),
    }
    assert {result.service for result in undo_release(settings)} == {
        "shop/web",
        "shop/cache",
        "shop/worker",
    }
    assert file.read_text() != present
    assert {result.state for result in undo_release(settings, dry_run=False)} == {"back"}
    assert (file.read_text(), seen(settings)) == (present, before)
    now = {container.name: container.id for container in snapshot(settings.engine).containers}
    assert all(
        now[name] == ids[name] for name in ("shop-cache-1", "shop-worker-1", "shop-elsewhere-1")
    )
    with pytest.raises(InputError, match="Nothing was stopped"):
        undo_release(settings)


def test_a_present_file_that_cannot_be_read_is_no_obstacle(shop: Fleet) -> None:
    """That is a reason to go back; afterwards the file is the former one, and undo puts the
    unreadable one there again.
    """
    file = shop.up(project(web="mem_limit: 64m"))
    git(file.parent, "init")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "good")
    good = file.read_text()
    file.write_text("services: [")
    settings = shop.settings()
    before = seen(settings)
    assert [result.state for result in to_revision(settings, file, "HEAD", dry_run=False)] == [
        "started"
    ]
    assert (file.read_text(), seen(settings)) == (good, before)
    undo_release(settings, dry_run=False)
    assert (file.read_text(), seen(settings)) == ("services: [", before)


KILLED = """
import os, signal, sys
from pathlib import Path
from capacity._docker import lifecycle
from capacity.operations._emergency.revision import to_revision
from capacity.settings import Settings

def stop_and_die(engine, container, name=""):
    stop(engine, container, name)
    os.kill(os.getpid(), signal.SIGKILL)

stop, lifecycle.stop = lifecycle.stop, stop_and_die
apply = {"journal": sys.argv[2], "observe": 0}
settings = Settings(engine={"hosts": {"here": sys.argv[1]}}, apply=apply)
to_revision(settings, Path(sys.argv[3]), "HEAD", dry_run=False)
"""


def test_a_rollback_to_a_revision_that_was_killed_is_taken_back(shop: Fleet) -> None:
    """Kill -9 after its first stop: applying is refused with the way out, and after it file and
    fleet are as they were.
    """
    file = shop.up(project(web="mem_limit: 64m"))
    git(file.parent, "init")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "good")
    shop.up(project(web="mem_limit: 32m", cache="stop_signal: SIGKILL"))
    settings, present = shop.settings(), file.read_text()
    before = seen(settings)
    words = [sys.executable, "-c", KILLED, shop.engine.url, str(settings.apply.journal), str(file)]
    killed = subprocess.run(
        words, env={**os.environ, **shop.environment()}, check=False, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr
    assert seen(settings) != before
    ((run, _),) = journal_runs(settings.apply.journal)
    with pytest.raises(
        ChangeRefused, match=f"did not come to its end.*`capacity rollback {run} --yes`"
    ):
        apply_plan(plan_of(), settings)
    assert {result.state for result in undo_release(settings, dry_run=False)} == {"back"}
    assert (file.read_text(), seen(settings)) == (present, before)
    assert apply_plan(plan_of(), settings).outcomes == []
