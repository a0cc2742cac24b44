"""Restart loops on a real Engine: found, fixed, rolled back, and the fleet as it was before."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from capacity._cli.commands.operations.restarts import _loop_row
from capacity._compose import load_project
from capacity.changes import apply_plan, rollback
from capacity.model import Setting
from tests.fixtures.fleets.faults import (
    LOOP,
    QUICK,
    block,
    container_named,
    in_pause,
    loops_of,
    own_place,
    says,
    seen,
)
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, MIB, Fleet, memory, other, plan_of
from tests.fixtures.running.servers import wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and a spare journal of the test's own."""
    own_place(tmp_path, monkeypatch)


def test_loops_are_found_with_their_cause_and_a_change_that_mends_them(shop: Fleet) -> None:
    """Killed for memory, a dependency that refuses, a port in use, a variable that is missing: each
    gets its own proposal.
    """
    grow = 'x=aaaaaaaaaaaaaaaa; while :; do x="$x$x"; done'
    shop.run("hungry", ["sh", "-c", grow], mem_limit=8 * MIB, memswap_limit=8 * MIB, **LOOP)
    shop.run(
        "waiting",
        says("dial tcp 10.0.0.5:5432: connect: connection refused password=hunter2"),
        **LOOP,
    )
    shop.run("bound", says("listen tcp 0.0.0.0:8080: bind: address already in use"), **LOOP)
    shop.run("unset", says("required environment variable DATABASE_URL is not set"), **LOOP)
    shop.run("steady", **QUICK)
    causes = {
        "hungry": "out-of-memory",
        "waiting": "dependency-not-ready",
        "bound": "address-in-use",
        "unset": "missing-variable",
    }

    def said() -> dict[str, str]:
        return {
            name: found.diagnosis.cause
            for name, found in loops_of(shop.settings(), more_than=2).items()
        }

    wait_for(lambda: said() == causes or None, "four loops with their causes")
    found = loops_of(shop.settings(), more_than=2)
    (more,) = found["hungry"].changes
    assert (more.resource, more.before, more.after) == (Setting.MEMORY, 8 * MIB, 16 * MIB)
    (policy,) = found["waiting"].changes
    assert (policy.resource, policy.before, policy.after) == (
        Setting.RESTART_POLICY,
        "always",
        "on-failure:3",
    )
    assert "service_healthy" in found["waiting"].advice
    assert not found["bound"].changes
    assert not found["unset"].changes
    assert "DATABASE_URL" in found["unset"].diagnosis.lines[-1]
    assert "hunter2" not in repr(found)


def test_the_last_try_tells_and_what_ends_well_keeps_its_policy(shop: Fleet) -> None:
    """Neither an old line of an earlier start nor a complaint of a process that ends with 0 leads
    to a change.
    """
    there = shop.folder / "second"
    there.mkdir()
    first = (
        f"[ -e {there}/done ] && {{ echo 'panic: index out of range' >&2; exit 2; }}; touch "
        f"{there}/done;"
    )
    script = f"{first} echo 'bind: address already in use' >&2; exit 1"
    shop.run("moved", ["sh", "-c", script], volumes=[f"{there}:{there}"], **LOOP)
    shop.run("batch", says("connection refused, will use the fallback", 0), **LOOP)
    settings = shop.settings()
    found = wait_for(
        lambda: loops if len(loops := loops_of(settings, more_than=3)) > 1 else None, "two loops"
    )
    assert (found["moved"].diagnosis.cause, found["moved"].changes) == ("crash", ())
    assert (found["batch"].diagnosis.cause, found["batch"].changes) == ("dependency-not-ready", ())
    with closing(client(shop.engine)) as api:
        api.containers.get("moved").stop()
    later = loops_of(settings, more_than=3)
    assert (later["moved"].ended, later["moved"].back_off, later["batch"].ended) == (
        True,
        False,
        False,
    )
    assert [_loop_row(later[name])["state"] == "ended" for name in ("moved", "batch")] == [
        True,
        False,
    ]


def test_a_loop_that_a_change_does_not_end_gets_its_former_policy_back_and_is_tried_again(
    shop: Fleet,
) -> None:
    """Down for good after three retries would be worse than the loop: the change is undone, with
    the reason and the exit code.
    """
    shop.run("waiting", says("connection refused", 7), **LOOP)
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1) or None, "a loop")
    before = seen(settings)
    changes = loops_of(settings, more_than=1)["waiting"].changes
    (done,) = apply_plan(
        plan_of(*changes), shop.settings(observe=in_pause(settings, "waiting") + 3)
    ).outcomes
    assert (done.state, done.reason) == (
        "failed",
        "waiting ended with exit code 7, and is not tried again",
    )
    assert container_named(settings, "waiting").restart_policy == "always"
    wait_for(lambda: seen(settings) == before or None, "the former state")


def test_after_the_change_the_loop_is_gone_and_rollback_restores_the_policy(shop: Fleet) -> None:
    """What it waits for is there at the next try: it runs with three retries, and a rollback brings
    the former policy back.
    """
    there = shop.folder / "there"
    script = f"[ -e {there}/db ] && exec sleep 600; echo 'connection refused' >&2; exit 1"
    there.mkdir()
    shop.run("waiting", ["sh", "-c", script], volumes=[f"{there}:{there}"], **LOOP)
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1) or None, "a loop")
    changes, pause = (
        loops_of(settings, more_than=1)["waiting"].changes,
        in_pause(settings, "waiting"),
    )
    (there / "db").touch()
    done = apply_plan(plan_of(*changes), shop.settings(observe=pause + 3))
    assert [(each.state, each.reason) for each in done.outcomes] == [("done", "")]
    assert (
        container_named(settings, "waiting").state,
        container_named(settings, "waiting").restart_policy,
    ) == ("running", "on-failure:3")
    wait_for(lambda: not loops_of(settings, more_than=1) or None, "the end of the list: it runs on")
    rollback(done.run, settings)
    assert (
        container_named(settings, "waiting").state,
        container_named(settings, "waiting").restart_policy,
    ) == ("running", "always")


def test_a_job_that_ends_well_while_it_is_watched_is_fine(shop: Fleet) -> None:
    """One that ends with 0 has done its work, with more memory or with another restart policy; one
    that ends with 4 has not.
    """
    states = {}
    for name, code in (("well", 0), ("ill", 4)):
        shop.run(
            name, ["sh", "-c", f"sleep 3; exit {code}"], mem_limit=32 * MIB, memswap_limit=32 * MIB
        )
        (done,) = apply_plan(
            plan_of(memory(f"standalone/{name}", 32, 48)), shop.settings(observe=5)
        ).outcomes
        states[name] = (done.state, done.reason)
    assert states == {"well": ("done", ""), "ill": ("failed", "ill stopped (exit code 4)")}


IMPATIENT = f"""\
services:
  web:
    image: {IMAGE}
    network_mode: none
    restart: always
    command:
      - sh
      - -c
      - "[ -e /there/db ] && exec sleep 600; echo 'db:5432 connection refused' >&2; exit 1"
    stop_grace_period: 0s
    volumes: ["./there:/there"]
    depends_on: [db]  # what it needs
  db:
    image: {IMAGE}
    network_mode: none
    stop_grace_period: 0s
    command: ["sleep", "600"]
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
"""


def test_what_starts_too_early_waits_for_the_health_of_what_it_needs(shop: Fleet) -> None:
    """Few retries on the container, the condition in the file, both rolled back together."""
    file, settings = shop.up(IMPATIENT), shop.settings()
    wait_for(
        lambda: container_named(settings, "shop-db-1").health == "healthy" or None,
        "a healthy database",
    )
    loop = wait_for(lambda: loops_of(settings, more_than=2).get("shop-web-1"), "a loop")
    assert [change.resource for change in loop.changes] == [
        Setting.RESTART_POLICY,
        Setting.DEPENDS_ON,
    ]
    pause = in_pause(settings, "shop-web-1")
    (file.parent / "there" / "db").touch()
    done = apply_plan(plan_of(*loop.changes), shop.settings(observe=pause + 3))
    (outcome,) = done.outcomes
    assert (outcome.state, outcome.reason.partition(":")[0]) == ("done", "depends-on")
    web = load_project(file).services["web"]
    assert (dict(web.depends_on), web.restart) == ({"db": "service_healthy"}, "on-failure:3")
    assert container_named(settings, "shop-web-1").restart_policy == "on-failure:3"
    rollback(done.run, settings)
    assert file.read_text() == IMPATIENT
    assert container_named(settings, "shop-web-1").restart_policy == "always"


def test_what_ends_for_want_of_another_says_so_and_its_file_goes_back(shop: Fleet) -> None:
    """The database never gets well: the reason names it, and container and file are as they
    were.
    """
    sick = IMPATIENT.replace('"CMD", "true"', '"CMD", "false"').replace(
        "interval: 1s", "interval: 1s, retries: 1"
    )
    file, settings = shop.up(sick), shop.settings()
    wait_for(
        lambda: container_named(settings, "shop-db-1").health == "unhealthy" or None,
        "a sick database",
    )
    wait_for(lambda: loops_of(settings, more_than=2).get("shop-web-1"), "a loop")
    change = other("shop/web", Setting.RESTART_POLICY, "always", "on-failure:3")
    (done,) = apply_plan(
        plan_of(change), shop.settings(observe=in_pause(settings, "shop-web-1") + 3)
    ).outcomes
    wanted = (
        "shop-web-1 ended with exit code 1, and is not tried again; it needs what is not well: "
        "shop/db is unhealthy"
    )
    assert (done.state, done.reason) == ("failed", wanted)
    assert file.read_text() == sick
    assert container_named(settings, "shop-web-1").restart_policy == "always"


def test_more_memory_ends_a_loop_and_the_rollback_begins_it_again(shop: Fleet) -> None:
    """What needs 20 MiB is killed at 16, lives with the 32 that are proposed, and is in its loop
    again with the former limit.
    """
    shop.run("hungry", block(20), mem_limit=16 * MIB, memswap_limit=16 * MIB, **LOOP)
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1).get("hungry") or None, "a loop")
    wait_for(
        lambda: loops_of(settings, more_than=1)["hungry"].diagnosis.fix == "memory" or None,
        "the kernel's kill",
    )
    before = seen(settings)
    (change,) = loops_of(settings, more_than=1)["hungry"].changes
    assert (change.before, change.after) == (16 * MIB, 32 * MIB)
    done = apply_plan(plan_of(change), shop.settings(observe=in_pause(settings, "hungry") + 3))
    assert [(each.state, each.reason) for each in done.outcomes] == [("done", "")]
    assert (
        container_named(settings, "hungry").state,
        container_named(settings, "hungry").memory,
    ) == ("running", 32 * MIB)
    with closing(client(shop.engine)) as api:
        api.containers.get(
            "hungry"
        ).stop()  # the Engine does not lower a limit below what is in use
        rollback(done.run, settings)
        api.containers.get("hungry").start()
    wait_for(lambda: seen(settings) == before or None, "the former state")
