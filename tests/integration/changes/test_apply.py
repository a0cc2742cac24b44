"""Applying plans on a real Engine and real compose files: both change together, are verified, and
go back together.
"""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from capacity._compose import declarations, drift, load_project
from capacity._docker import snapshot
from capacity.changes import applied_changes, apply_plan, dry_run, failure_cooldowns, rollback
from capacity.errors import ChangeRefused, InputError, Locked
from capacity.model import Setting
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import MIB, Fleet, cpus, memory, other, plan_of, project


def test_container_and_file_change_together(shop: Fleet) -> None:
    """Raises and lowers of memory and CPU reach the Engine and the file, and nothing else in the
    file changes.
    """
    file = shop.up(project(web="mem_limit: 64m; cpus: 0.5", db=""))
    plan = plan_of(
        memory("shop/web", 64, 96),
        cpus("shop/web", 0.5, 0.3, throttled_after=1.0),
        memory("shop/db", None, 128),
    )
    result = apply_plan(plan, shop.settings(observe=0.5))
    assert result.state == "finished"
    assert [outcome.state for outcome in result.outcomes] == ["done"] * 3
    limits = shop.limits("shop-web-1")
    assert (limits["Memory"], limits["MemorySwap"], limits["NanoCpus"]) == (
        96 * MIB,
        192 * MIB,
        300_000_000,
    )
    assert shop.memory("shop-db-1") == 128
    deploy = "deploy:;  resources:;    limits:;      memory: 128m"
    assert file.read_text() == project(web="mem_limit: 96m; cpus: 0.3", db=deploy)
    assert drift(snapshot(shop.settings().engine)) == []


def test_raises_come_before_lowers(shop: Fleet) -> None:
    """One service's raise is applied before another's lowering, whatever their names."""
    shop.up(project(a="mem_limit: 64m", z="mem_limit: 64m"))
    result = apply_plan(
        plan_of(memory("shop/a", 64, 48), memory("shop/z", 64, 96)), shop.settings()
    )
    assert [outcome.service for outcome in result.outcomes] == ["shop/z", "shop/a"]


def test_a_dry_run_says_everything_and_touches_nothing(shop: Fleet) -> None:
    """Bodies and patch are those that would be sent; Engine, file and journal stay as they are."""
    file = shop.up(project(web="mem_limit: 64m"))
    before = file.read_bytes()
    previews, refused = dry_run(plan_of(memory("shop/web", 64, 96)), shop.settings())
    assert refused == []
    assert previews[0].bodies == {"shop-web-1": {"Memory": 96 * MIB, "MemorySwap": 192 * MIB}}
    assert previews[0].files[str(file)][1] == before.decode().replace("64m", "96m")
    assert file.read_bytes() == before
    assert shop.memory("shop-web-1") == 64
    assert not (shop.folder / "journal").exists()


def test_a_rollback_restores_every_byte_and_limit(shop: Fleet) -> None:
    """Values come back exactly; a limit that was not there is lifted, or with `exact` the container
    made anew.
    """
    file = shop.up(project(web="mem_limit: 100000000b; cpus: 0.5", db=""))
    before = file.read_bytes()
    plan = plan_of(
        memory("shop/web", 100_000_000 / MIB, 200),
        memory("shop/db", None, 64),
        cpus("shop/db", None, 1.0, throttled_after=1),
    )
    settings = shop.settings()
    first = apply_plan(plan, settings)
    assert [result.state for result in rollback(first.run, settings)] == ["undone", "undone"]
    assert file.read_bytes() == before
    limits = shop.limits("shop-web-1")
    assert (limits["Memory"], limits["MemorySwap"]) == (100_000_000, 200_000_000)
    (db,) = snapshot(settings.engine).of("shop/db")
    assert db.memory is None
    assert drift(snapshot(settings.engine)) == []
    second = apply_plan(plan, shop.settings(), services="shop/web")
    assert [result.state for result in rollback(second.run, settings, exact=True)] == ["undone"]
    assert shop.limits("shop-web-1")["Memory"] == 100_000_000


def test_an_exact_rollback_leaves_no_limit_behind(shop: Fleet) -> None:
    """A container that had no limit has the Engine's own zero again."""
    shop.up(project(db=""))
    run = apply_plan(plan_of(memory("shop/db", None, 64)), shop.settings()).run
    rollback(run, shop.settings(), exact=True)
    assert shop.limits("shop-db-1")["Memory"] == 0


def test_every_kind_of_live_change(shop: Fleet) -> None:
    """Cpuset, pids, reservation, swap and restart policy are set live, and in the file."""
    file = shop.up(project(web="mem_limit: 64m"))
    plan = plan_of(
        other("shop/web", Setting.CPUSET, None, "0"),
        other("shop/web", Setting.PIDS, None, 50),
        other("shop/web", Setting.RESERVATION, None, 32 * MIB),
        other("shop/web", Setting.MEMORY_SWAP, 128 * MIB, 96 * MIB),
        other("shop/web", Setting.RESTART_POLICY, "no", "on-failure:3"),
    )
    started = snapshot(shop.settings().engine).of("shop/web")[0].started_at
    result = apply_plan(plan, shop.settings())
    assert result.refused == []
    assert [outcome.reason for outcome in result.outcomes] == [""]
    (web,) = snapshot(shop.settings().engine).of("shop/web")
    assert (web.cpuset, web.pids, web.reservation, web.memory_swap) == ("0", 50, 32 * MIB, 96 * MIB)
    assert (web.restart_policy, web.started_at) == ("on-failure:3", started)
    service = load_project(file).services["web"]
    assert (service.cpuset, service.resources.pids, service.restart) == ("0", 50, "on-failure:3")
    assert drift(snapshot(shop.settings().engine)) == []
    rollback(result.run, shop.settings())
    (web,) = snapshot(shop.settings().engine).of("shop/web")
    assert (web.pids, web.memory_swap, web.restart_policy, web.started_at) == (
        None,
        128 * MIB,
        "no",
        started,
    )


def test_what_cannot_change_live_takes_a_new_container(shop: Fleet) -> None:
    """Environment and health check come from the edited file through Compose, and go back the same
    way.
    """
    file = shop.up(project(web="mem_limit: 64m; environment:;  MODE: slow", db=""))
    before = file.read_bytes()
    plan = plan_of(
        other("shop/web", Setting.ENVIRONMENT, {"MODE": "slow"}, {"MODE": "fast", "MORE": "1"}),
        other(
            "shop/web",
            Setting.HEALTH_CHECK,
            None,
            {"test": ["CMD", "true"], "interval": "1s", "retries": 3},
        ),
        memory("shop/web", 64, 96),
    )
    old = {
        container.service: container.id for container in snapshot(shop.settings().engine).containers
    }
    result = apply_plan(plan, shop.settings(observe=1))
    assert [outcome.reason for outcome in result.outcomes] == ["", ""]
    with closing(client(shop.engine)) as api:
        attrs = api.containers.get("shop-web-1").attrs
        assert {"MODE=fast", "MORE=1"} <= set(attrs["Config"]["Env"])
        assert attrs["Config"]["Healthcheck"]["Test"] == ["CMD", "true"]
        assert attrs["HostConfig"]["Memory"] == 96 * MIB
        assert api.containers.get("shop-db-1").id == old["db"]
    rollback(result.run, shop.settings())
    assert file.read_bytes() == before
    with closing(client(shop.engine)) as api:
        attrs = api.containers.get("shop-web-1").attrs
        assert "MODE=slow" in attrs["Config"]["Env"]
        assert attrs["HostConfig"]["Memory"] == 64 * MIB


def test_a_quota_stays_a_quota(shop: Fleet) -> None:
    """A container made with a quota refuses NanoCpus, so its quota is changed; back at no limit it
    has none.
    """
    shop.run("one", cpu_period=50_000, cpu_quota=25_000)
    shop.run("two")
    plan = plan_of(
        cpus("standalone/one", 0.5, 0.8, throttled_after=1),
        cpus("standalone/two", None, 0.5, throttled_after=1),
    )
    assert apply_plan(plan, shop.settings()).state == "finished"
    limits = shop.limits("one")
    assert limits["CpuQuota"] / limits["CpuPeriod"] == 0.8
    assert shop.limits("two")["NanoCpus"] == 500_000_000


HOG = ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; sleep 600"]


def test_a_lowering_below_use_is_refused(shop: Fleet) -> None:
    """What is in use, or was lately, does not fit under the new limit: neither container nor file
    is touched.
    """
    shop.run("full", HOG, mem_limit=128 * MIB, shm_size="64m")
    shop.run("past", mem_limit=128 * MIB)
    plan = plan_of(memory("standalone/full", 128, 32), memory("standalone/past", 128, 32))
    from tests.fixtures.running.servers import wait_for

    wait_for(lambda: "40+0" in _log(shop, "full"), "the memory is in use")
    result = apply_plan(plan, shop.settings(), peaks={"standalone/past": 100.0 * MIB}.get)
    assert {outcome.service: outcome.state for outcome in result.outcomes} == {
        "standalone/full": "refused",
        "standalone/past": "refused",
    }
    assert all("too low" in outcome.reason for outcome in result.outcomes)
    assert (shop.memory("full"), shop.memory("past")) == (128, 128)


def _log(shop: Fleet, name: str) -> str:
    with closing(client(shop.engine)) as api:
        return str(api.containers.get(name).logs().decode())


def test_a_service_that_gets_worse_goes_back_by_itself(shop: Fleet) -> None:
    """Killed for memory under the new limit: its limit and file come back, the other service's
    stay, and it is held back.
    """
    grow = (
        'command: ["sh", "-c", "sleep 2; dd if=/dev/zero of=/dev/shm/x bs=1M count=60; sleep 600"]'
    )
    file = shop.up(
        project(web="mem_limit: 128m; shm_size: 128m", db="mem_limit: 64m").replace(
            'command: ["sleep", "600"]', grow, 1
        )
    )
    plan = plan_of(memory("shop/web", 128, 32), memory("shop/db", 64, 96))
    settings = shop.settings(observe=4)
    result = apply_plan(plan, settings)
    states = {outcome.service: outcome for outcome in result.outcomes}
    assert (result.state, states["shop/web"].state, states["shop/db"].state) == (
        "failed",
        "failed",
        "done",
    )
    assert "memory" in states["shop/web"].reason or "stopped" in states["shop/web"].reason
    assert (shop.memory("shop-web-1"), shop.memory("shop-db-1")) == (128, 96)
    services = load_project(file).services
    assert (services["web"].resources.memory, services["db"].resources.memory) == (
        128 * MIB,
        96 * MIB,
    )
    held = failure_cooldowns(settings.apply.journal, datetime.now(UTC), 72)
    assert "held back until" in held["shop/web"]
    again = apply_plan(plan_of(memory("shop/web", 128, 32)), settings)
    assert "held back" in again.refused[0].reason
    assert (
        failure_cooldowns(settings.apply.journal, datetime.now(UTC) + timedelta(hours=73), 72) == {}
    )
    assert [
        adjustment.outcome for adjustment in applied_changes(settings.apply.journal, "shop/web")
    ] == ["failed"]


def test_throttling_above_the_promise_goes_back(shop: Fleet) -> None:
    """A spinning service whose new CPU limit throttles it more than promised gets its cores
    back.
    """
    shop.run("spin", ["sh", "-c", "while :; do :; done"], nano_cpus=1_500_000_000)
    result = apply_plan(plan_of(cpus("standalone/spin", 1.5, 0.2)), shop.settings(observe=2.5))
    assert result.outcomes[0].state == "failed"
    assert "throttled" in result.outcomes[0].reason
    assert shop.limits("spin")["NanoCpus"] == 1_500_000_000


def test_a_failed_canary_spares_the_rest(shop: Fleet) -> None:
    """The first service does not hold, so the second is never touched."""
    shop.run("aa", ["sh", "-c", "while :; do :; done"], nano_cpus=1_500_000_000)
    shop.run("bb", nano_cpus=1_500_000_000)
    plan = plan_of(cpus("standalone/aa", 1.5, 0.2), cpus("standalone/bb", 1.5, 1.0))
    result = apply_plan(plan, shop.settings(observe=2.5), canary=1)
    assert [refusal.reason for refusal in result.refused] == ["the canary failed"]
    assert shop.limits("bb")["NanoCpus"] == 1_500_000_000


def test_the_first_replica_can_be_the_canary(shop: Fleet) -> None:
    """One service with three replicas: one is changed and watched, then the others and the file."""
    file = shop.up(project(web="mem_limit: 64m; scale: 3"))
    result = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings(), canary=1)
    assert [outcome.state for outcome in result.outcomes] == ["done", "done"]
    assert [shop.memory(f"shop-web-{number}") for number in (1, 2, 3)] == [96, 96, 96]
    assert "96m" in file.read_text()
    assert {result.state for result in rollback(result.run, shop.settings())} == {"undone"}
    assert [shop.memory(f"shop-web-{number}") for number in (1, 2, 3)] == [64, 64, 64]
    assert "64m" in file.read_text()


def test_plans_for_other_limits_or_times_are_refused(shop: Fleet) -> None:
    """Each change that no longer fits says why; a plan past its time is refused as a whole."""
    file = shop.up(project(web="mem_limit: 64m", db="mem_limit: 64m"))
    plan = plan_of(
        memory("shop/web", 48, 96),
        memory("shop/db", 32, 64),
        memory("shop/gone", 1, 64),
        cpus("shop/db", None, 64),
    )
    _, refused = dry_run(plan, shop.settings())
    reasons = {refusal.change.label: refusal.reason for refusal in refused}
    assert reasons["shop/web memory"] == "the plan was made for 48 MiB, in force is 64 MiB"
    assert reasons["shop/db memory"] == "it is in force already"
    assert "no container" in reasons["shop/gone memory"]
    assert "cores" in reasons["shop/db cpus"]
    with pytest.raises(ChangeRefused, match="was valid until"):
        apply_plan(plan_of(memory("shop/web", 64, 96), days=-1), shop.settings())
    with pytest.raises(InputError, match="No change of the plan"):
        dry_run(plan, shop.settings(), services="other/*")
    stale = plan_of(memory("shop/web", 64, 96), files={str(file): "0" * 64})
    assert "has changed since" in dry_run(stale, shop.settings())[1][0].reason


def test_only_one_apply_at_a_time(shop: Fleet) -> None:
    """The lock names who holds it."""
    from capacity.changes._journal.lock import apply_lock

    shop.run("one", mem_limit=64 * MIB)
    with (
        apply_lock(shop.folder / "journal"),
        pytest.raises(Locked, match=rf"process {os.getpid()}"),
    ):
        apply_plan(plan_of(memory("standalone/one", 64, 96)), shop.settings())


def test_windows_and_rate_are_kept(shop: Fleet) -> None:
    """Outside every window nothing is changed; beyond the hour's number services wait."""
    shop.run("one", mem_limit=64 * MIB)
    shop.run("two", mem_limit=64 * MIB)
    plan = plan_of(memory("standalone/one", 64, 96), memory("standalone/two", 64, 96))
    moment = plan.as_of.replace(hour=12, minute=0)
    with pytest.raises(ChangeRefused, match="No maintenance window"):
        apply_plan(plan, shop.settings(windows=["22:00-04:00"]), clock=lambda: moment)
    result = apply_plan(
        plan, shop.settings(most_per_hour=1, windows=["11:30-12:30"]), clock=lambda: moment
    )
    assert [outcome.state for outcome in result.outcomes] == ["done", "refused"]
    assert (shop.memory("one"), shop.memory("two")) == (96, 64)


def test_runs_go_back_in_their_order(shop: Fleet) -> None:
    """An older run is not rolled back under a newer one that changed the same limit."""
    shop.run("one", mem_limit=64 * MIB)
    older = apply_plan(plan_of(memory("standalone/one", 64, 96)), shop.settings())
    newer = apply_plan(plan_of(memory("standalone/one", 96, 128)), shop.settings())
    with pytest.raises(ChangeRefused, match=newer.run):
        rollback(older.run, shop.settings())
    rollback(newer.run, shop.settings())
    rollback(older.run, shop.settings())
    assert shop.memory("one") == 64


def test_a_rollback_keeps_what_people_wrote_since(shop: Fleet) -> None:
    """Only the edited lines go back; a new service and a comment stay. Lines changed again are left
    to a person.
    """
    file = shop.up(project(web="mem_limit: 64m", db="mem_limit: 64m"))
    run = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings()).run
    text = file.read_text() + "# a note\n"
    file.write_text(text)
    assert [result.state for result in rollback(run, shop.settings())] == ["undone"]
    assert file.read_text() == text.replace("96m", "64m")
    run = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings()).run
    file.write_text(file.read_text().replace("96m", "80m"))
    (outcome,) = rollback(run, shop.settings())
    assert (outcome.state, "by hand" in outcome.reason) == ("failed", True)


def test_a_value_that_another_file_overrides_is_found_out(shop: Fleet) -> None:
    """The value is edited where it stands, in the override file, and only there."""
    base = shop.up(project(web="mem_limit: 64m"))
    over = base.with_name("compose.override.yaml")
    over.write_text("services:\n  web:\n    mem_limit: 80m\n")
    shop.up(base.read_text())
    result = apply_plan(plan_of(memory("shop/web", 80, 96)), shop.settings())
    assert [outcome.reason for outcome in result.outcomes] == [""]
    assert "96m" in over.read_text()
    assert "64m" in base.read_text()


def test_variables_come_from_the_env_file_that_the_project_was_started_with(shop: Fleet) -> None:
    """`--env-file` is a label of the containers: the files mean the same to us, and a new container
    gets the same values.
    """
    text = project(web="environment:;  MODE: ${MODE};mem_limit: ${SIZE}", db="")
    shop.up(text, variables="MODE=slow\nSIZE=64m\n")
    settings = shop.settings()
    running = snapshot(settings.engine)
    assert drift(running) == []
    web = declarations(running.containers)["shop"].service("web")
    assert web is not None
    assert web.resources.memory == 64 * MIB
    change = other("shop/web", Setting.ENVIRONMENT, None, {"EXTRA": "1"})
    assert apply_plan(plan_of(change), settings).state == "finished"
    with closing(client(shop.engine)) as api:
        assert {"MODE=slow", "EXTRA=1"} <= set(
            api.containers.get("shop-web-1").attrs["Config"]["Env"]
        )
    assert shop.memory("shop-web-1") == 64
    (shop.folder / "own.env").unlink()
    _, refused = dry_run(plan_of(memory("shop/db", None, 64)), settings)
    assert "own.env is not on this machine" in refused[0].reason


@pytest.mark.parametrize("said", ["", "ulimits: {nofile: 500, nproc: 9}", "ulimits: {nproc: 9}"])
@pytest.mark.parametrize("recreate", [True, False])
def test_ulimits_are_those_of_a_new_container(shop: Fleet, said: str, recreate: bool) -> None:
    """Of this run's where it may replace them, else of the next `up`; both go back."""
    file = shop.up(project(web=said))
    before, settings = file.read_bytes(), shop.settings(recreate=recreate)
    (web,) = snapshot(settings.engine).containers
    was = {"nofile": "500"} if "nofile" in said else None
    plan = plan_of(other("shop/web", Setting.ULIMITS, was, {"nofile": "600:700"}))
    done = apply_plan(plan, settings)
    assert [bool(outcome.reason) for outcome in done.outcomes] == [not recreate]
    apart = drift(snapshot(settings.engine))
    wanted = {**web.ulimits, "nofile": "600:700"}
    assert [row.declared for row in apart] == ([] if recreate else [wanted])
    assert [result.state for result in rollback(done.run, settings)] == ["undone"]
    assert file.read_bytes() == before
    assert drift(snapshot(settings.engine)) == []
    assert snapshot(settings.engine).containers[0].ulimits == web.ulimits


@pytest.mark.parametrize("said", ["", "scale: 1", "deploy: {replicas: 1}"])
@pytest.mark.parametrize("number", [0, 3])
def test_replicas_are_those_of_the_next_up(shop: Fleet, said: str, number: int) -> None:
    """The file says them, and drift, until then; both go back."""
    file = shop.up(project(web=said, db=""))
    before, settings = file.read_bytes(), shop.settings()
    plan = plan_of(other("shop/web", Setting.REPLICAS, 1 if said else None, number))
    previews, _ = dry_run(plan, settings)
    assert [preview.step.mode for preview in previews] == ["file"]
    done = apply_plan(plan, settings)
    assert ["next `docker compose up`" in outcome.reason for outcome in done.outcomes] == [True]
    (row,) = drift(snapshot(settings.engine))
    assert (row.what, row.live, row.declared) == (Setting.REPLICAS, 1, number)
    assert [result.state for result in rollback(done.run, settings)] == ["undone"]
    assert file.read_bytes() == before
    assert drift(snapshot(settings.engine)) == []


def test_what_waits_is_said_beside_what_is_in_force(shop: Fleet) -> None:
    """Of one service, raised and scaled by one plan."""
    shop.up(project(web="mem_limit: 64m;scale: 1"))
    scaled = other("shop/web", Setting.REPLICAS, 1, 2)
    done = apply_plan(plan_of(memory("shop/web", 64, 96), scaled), shop.settings())
    assert shop.memory("shop-web-1") == 96
    (outcome,) = done.outcomes
    assert outcome.reason.startswith("replicas: written to the compose file")
