"""New containers on a real Engine as the old ones were: what the files do not say, what was edited
meanwhile, what needs what.
"""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from capacity._docker import snapshot
from capacity.changes import apply_plan, dry_run, rollback
from capacity.changes._journal.runs import journal_runs
from capacity.model import Setting
from capacity.operations._emergency.revision import to_revision
from capacity.operations._emergency.undo_release import undo_release
from tests.fixtures.fleets.faults import QUICK, git, hold, own_place, ready, seen
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import MIB, SLEEP, Fleet, memory, other, plan_of, project
from tests.fixtures.running.servers import require, wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and a spare journal of the test's own."""
    own_place(tmp_path, monkeypatch)


def updated(shop: Fleet, name: str, memory: str, restart: str) -> None:
    """What somebody changes by hand."""
    with closing(client(shop.engine)) as api:
        api.containers.get(name).update(
            mem_limit=memory, memswap_limit=memory, restart_policy={"Name": restart}
        )


def with_two_revisions(shop: Fleet, before: str, now: str) -> Path:
    """A project that runs by its second revision."""
    file = shop.up(before)
    git(file.parent, "init")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "one")
    file.write_text(now)
    git(file.parent, "commit", "-am", "two")
    command = [str(require("docker-compose")), "up", "--detach"]
    subprocess.run(
        command, cwd=file.parent, env=shop.environment(), capture_output=True, check=True
    )
    return file


def edited(file: Path) -> None:
    """An edit that nobody brings up."""
    file.write_text(file.read_text() + "    environment: {NEVER: deployed}\n")


def labels(shop: Fleet, key: str) -> dict[str, str]:
    """What Compose wrote onto the one container of a service to know it again, and its id."""
    (container,) = snapshot(shop.settings().engine).of(key)
    return {
        "id": container.id,
        **{
            name: container.labels[f"com.docker.compose.{name}"]
            for name in ("config-hash", "depends_on")
        },
    }


def test_limits_that_only_the_engine_knew_come_back_and_what_was_stopped_is_stopped(
    shop: Fleet,
) -> None:
    """A revision and back: limits set by hand, a restart policy, and a service that somebody had
    stopped.
    """
    file = with_two_revisions(
        shop, project(web="mem_limit: 64m", low=""), project(web="mem_limit: 96m", low="")
    )
    updated(shop, "shop-web-1", "128m", "unless-stopped")
    with closing(client(shop.engine)) as api:
        api.containers.get("shop-low-1").stop(timeout=0)
    settings = shop.settings()
    before = seen(settings)
    assert {result.state for result in to_revision(settings, file, "HEAD~1", dry_run=False)} == {
        "started"
    }
    assert shop.memory("shop-web-1") == 64
    assert {result.state for result in undo_release(settings, dry_run=False)} == {"back"}
    assert seen(settings) == before


def test_a_revision_that_fails_leaves_what_only_the_engine_knew(shop: Fleet) -> None:
    """What is rolled back at once has the limits, and the running set, of before."""
    bad = project(web="mem_limit: 64m", low="").replace(
        'command: ["sleep"', 'entrypoint: ["false"]\n    command: ["sleep"', 1
    )
    file = with_two_revisions(shop, bad, project(web="mem_limit: 96m", low=""))
    updated(shop, "shop-web-1", "128m", "always")
    with closing(client(shop.engine)) as api:
        api.containers.get("shop-low-1").stop(timeout=0)
    before = seen(shop.settings())
    done = to_revision(shop.settings(), file, "HEAD~1", dry_run=False)
    assert [result.state for result in done if result.state == "not-back"] == []
    assert "failed" in {result.state for result in done}
    assert seen(shop.settings()) == before


def test_an_edit_that_was_never_brought_up_is_said(shop: Fleet) -> None:
    """The dry run tells that the rollback is by the present file, and the rollback does not say
    that all is as before.
    """
    file = with_two_revisions(shop, project(web="mem_limit: 64m"), project(web="mem_limit: 96m"))
    edited(file)
    (planned,) = to_revision(shop.settings(), file, "HEAD~1")
    assert "made before the present files were edited (environment NEVER)" in planned.reason
    to_revision(shop.settings(), file, "HEAD~1", dry_run=False)
    (back,) = undo_release(shop.settings(), dry_run=False)
    assert back.state == "failed"
    assert "environment NEVER" in back.reason


def test_a_plan_that_takes_a_new_container_brings_nothing_else_along(shop: Fleet) -> None:
    """A limit set by hand stays in force and comes back with the rollback; a pending edit is
    refused, by the dry run too.
    """
    file = shop.up(project(web="mem_limit: 64m"))
    updated(shop, "shop-web-1", "96m", "unless-stopped")
    before = seen(shop.settings())
    plan = plan_of(other("shop/web", Setting.ENVIRONMENT, None, {"MODE": "fast"}))
    result = apply_plan(plan, shop.settings())
    assert [outcome.state for outcome in result.outcomes] == ["done"]
    (web,) = snapshot(shop.settings().engine).of("shop/web")
    assert (web.memory, web.restart_policy, "MODE" in web.environment) == (
        96 * MIB,
        "unless-stopped",
        True,
    )
    ((run, _),) = journal_runs(shop.settings().apply.journal)
    assert [result.state for result in rollback(run, shop.settings())] == ["undone"]
    assert seen(shop.settings()) == before
    edited(file)
    again = plan_of(other("shop/web", Setting.ENVIRONMENT, None, {"MODE": "slow"}))
    (preview,), _ = dry_run(again, shop.settings())
    assert "made before its compose files were edited (environment NEVER)" in preview.refused
    assert [outcome.state for outcome in apply_plan(again, shop.settings()).outcomes] == ["refused"]
    assert seen(shop.settings()) == before


def test_compose_finds_no_difference_where_there_is_none(shop: Fleet) -> None:
    """A service that the revision does not change is not replaced, and one that was replaced alone
    knows what it needs.
    """
    api = "depends_on: [db]"
    file = with_two_revisions(
        shop,
        project(db="", api=api, web="mem_limit: 64m"),
        project(db="", api=api, web="mem_limit: 96m"),
    )
    before = labels(shop, "shop/api")
    to_revision(shop.settings(), file, "HEAD~1", dry_run=False)
    assert labels(shop, "shop/api") == before
    undo_release(shop.settings(), dry_run=False)
    assert labels(shop, "shop/api") == before
    apply_plan(
        plan_of(other("shop/api", Setting.ENVIRONMENT, None, {"MODE": "fast"})), shop.settings()
    )
    assert labels(shop, "shop/api")["depends_on"] == before["depends_on"]
    run = list(journal_runs(shop.settings().apply.journal))[-1][0]
    rollback(run, shop.settings())
    assert labels(shop, "shop/api") | {"id": ""} == before | {"id": ""}


def test_a_former_limit_below_the_use_is_said_and_set_with_exact(shop: Fleet) -> None:
    """The Engine does not take it from a running container: a stop and a start do, where that is
    asked for.
    """
    waits = ["sh", "-c", f"while [ ! -e /go ]; do sleep 0.1; done; {hold(24)[2]}"]
    shop.run("hungry", waits, mem_limit=16 * MIB, memswap_limit=16 * MIB, **QUICK)
    assert (
        apply_plan(plan_of(memory("standalone/hungry", 16, 128)), shop.settings()).state
        == "finished"
    )
    with closing(client(shop.engine)) as api:
        api.containers.get("hungry").exec_run(["touch", "/go"])
    ready(shop, "hungry")
    run = list(journal_runs(shop.settings().apply.journal))[-1][0]
    (failed,) = rollback(run, shop.settings())
    assert (failed.state, "--exact stops it" in failed.reason) == ("failed", True)
    assert shop.memory("hungry") == 128
    (back,) = rollback(run, shop.settings(), exact=True)
    assert (back.state, shop.memory("hungry")) == ("undone", 16)


def test_what_could_not_start_before_need_not_start_after(shop: Fleet) -> None:
    """Undoing what fixed a container that could not run is complete where it is there again and
    does not run.
    """
    needs = """command: ["sh", "-c", "[ -n \\"$$MODE\\" ] && exec sleep 600"]"""
    file = shop.up(project(web="").replace(SLEEP, needs))
    wait_for(
        lambda: (
            {container.state for container in snapshot(shop.settings().engine).containers}
            == {"exited"}
            or None
        ),
        "its end",
    )
    before = seen(shop.settings())
    done = apply_plan(
        plan_of(other("shop/web", Setting.ENVIRONMENT, None, {"MODE": "fast"})), shop.settings()
    )
    assert [outcome.state for outcome in done.outcomes] == ["done"]
    run = list(journal_runs(shop.settings().apply.journal))[-1][0]
    assert [result.state for result in rollback(run, shop.settings())] == ["undone"]
    after = [(row[0], *row[2:]) for row in seen(shop.settings())]
    assert after == [(row[0], *row[2:]) for row in before]
    assert {container.state for container in snapshot(shop.settings().engine).containers} <= {
        "created",
        "exited",
    }
    assert "environment" not in file.read_text()
