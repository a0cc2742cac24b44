"""Faults injected on a real Engine, found, mended and undone: restart loops, a full host, a full disk, uneven cores."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from capacity.changes import apply_plan, rollback
from capacity.changes.journal import Kind, list_runs
from capacity.errors import InputError, PoolUnhealthy
from capacity.inventory import Inventory, snapshot
from capacity.inventory.engine import connect_all
from capacity.model import What
from capacity.operations import RestartLoop, find_restart_loops
from capacity.operations.affinity import balance, measure_load
from capacity.operations.causes import load_causes
from capacity.operations.emergency import flush, release, restart_critical, undo
from capacity.operations.pools import existing_pool, migrate, pool_down, pool_states
from capacity.operations.record import folders, open_stops
from capacity.operations.revision import to_revision
from capacity.settings import Settings
from capacity.sizing import TYPES
from tests.changes.fleet import IMAGE, MIB, Fleet, fleet, in_folder, plan_of, project
from tests.servers import wait_for
from tests.servers_docker import client

LOOP: dict[str, Any] = {"restart_policy": {"Name": "always"}, "stop_signal": "SIGKILL"}
QUICK: dict[str, Any] = {"stop_signal": "SIGKILL"}  # as process 1, sleep does not end when asked


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Engine for the module."""
    with fleet(tmp_path_factory.mktemp("operations")) as made:
        yield made


@pytest.fixture
def shop(whole: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """An empty Engine, a folder, locks and a spare journal of the test's own."""
    made = in_folder(whole, tmp_path)
    monkeypatch.setenv("PATH", made.environment()["PATH"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("capacity.operations.record._SPARE", tmp_path / "spare")
    yield made
    made.clear()


def says(text: str, code: int = 1) -> list[str]:
    """A command that says something and dies."""
    return ["sh", "-c", f"echo '{text}' >&2; exit {code}"]


def fingerprint(found: Inventory) -> list[tuple[object, ...]]:
    """What of a fleet must be as before."""
    return [(one.name, one.state, one.memory, one.cpus, one.cpuset, one.restart_policy, one.image) for one in found.containers]


def loops_of(settings: Settings, **options: Any) -> dict[str, RestartLoop]:
    """Restart loops by the container's name."""
    with connect_all(settings.engine) as (engines, _):
        return {one.container: one for one in find_restart_loops(engines, load_causes(), **options)}


def test_loops_are_found_with_their_cause_and_a_change_that_mends_them(shop: Fleet) -> None:
    """Killed for memory, a dependency that refuses, a port in use, a variable that is missing: each gets its own proposal."""
    grow = 'x=aaaaaaaaaaaaaaaa; while :; do x="$x$x"; done'
    shop.run("hungry", ["sh", "-c", grow], mem_limit=8 * MIB, memswap_limit=8 * MIB, **LOOP)
    shop.run("waiting", says("dial tcp 10.0.0.5:5432: connect: connection refused password=hunter2"), **LOOP)
    shop.run("bound", says("listen tcp 0.0.0.0:8080: bind: address already in use"), **LOOP)
    shop.run("unset", says("required environment variable DATABASE_URL is not set"), **LOOP)
    shop.run("steady", **QUICK)
    names = {"hungry", "waiting", "bound", "unset"}
    wait_for(lambda: loops_of(shop.settings(), more_than=2).keys() >= names or None, "four loops")
    found = loops_of(shop.settings(), more_than=2)
    assert found.keys() == names
    assert {name: one.diagnosis.cause for name, one in found.items()} == {
        "hungry": "out-of-memory",
        "waiting": "dependency-not-ready",
        "bound": "address-in-use",
        "unset": "missing-variable",
    }
    (memory,) = found["hungry"].changes
    assert (memory.resource, memory.before, memory.after) == (What.MEMORY, 8 * MIB, 12 * MIB)
    (policy,) = found["waiting"].changes
    assert (policy.resource, policy.before, policy.after) == (What.RESTART_POLICY, "always", "on-failure:3")
    assert "service_healthy" in found["waiting"].advice
    assert not found["bound"].changes
    assert not found["unset"].changes
    assert "DATABASE_URL" in found["unset"].diagnosis.lines[-1]
    assert "hunter2" not in repr(found)


def test_after_the_change_the_loop_is_gone_and_rollback_restores_the_policy(shop: Fleet) -> None:
    """A dependency loop gets three retries, ends, and its former policy comes back with a rollback."""
    shop.run("waiting", says("connection refused"), **LOOP)
    settings = shop.settings()
    wait_for(lambda: loops_of(settings, more_than=1) or None, "a loop")
    changes = loops_of(settings, more_than=1)["waiting"].changes
    wait_for(lambda: snapshot(settings.engine).containers[0].state == "restarting" or None, "the pause before the next try")
    done = apply_plan(plan_of(*changes), shop.settings(observe=8))
    assert [(one.state, one.reason) for one in done.outcomes] == [("done", "")]
    wait_for(lambda: snapshot(settings.engine).containers[0].state == "exited" or None, "its last retry")
    assert snapshot(settings.engine).containers[0].restart_policy == "on-failure:3"
    rollback(done.run, settings)
    assert snapshot(settings.engine).containers[0].restart_policy == "always"


def low(shop: Fleet, name: str, mib: int) -> None:
    """A container that may be stopped and holds so much memory."""
    hold = f"x=$(dd if=/dev/zero bs=1M count={mib} 2>/dev/null | tr '\\0' a); echo ready; exec 3<&0; while :; do sleep 1; done"
    shop.run(name, ["sh", "-c", hold], labels={"priority": "low"}, **QUICK)


def ready(shop: Fleet, *names: str) -> None:
    """Wait until containers have said so."""
    with closing(client(shop.engine)) as api:
        for name in names:
            wait_for(lambda name=name: b"ready" in api.containers.get(name).logs() or None, name)


def test_release_stops_the_largest_first_until_enough_and_undo_brings_all_back(shop: Fleet) -> None:
    """Dry run first; then only what is needed stops, nothing without the label, and the fleet is as it was after undo."""
    low(shop, "small", 2)
    low(shop, "large", 24)
    low(shop, "middle", 10)
    shop.run("vital", **QUICK)
    ready(shop, "small", "large", "middle")
    settings, before = shop.settings(), fingerprint(snapshot(shop.settings().engine))
    planned = release(settings, memory=26 * MIB)
    assert [(one.container, one.state) for one in planned] == [("large", "would-stop"), ("middle", "would-stop")]
    assert fingerprint(snapshot(settings.engine)) == before
    done = release(settings, memory=26 * MIB, dry_run=False)
    assert [(one.container, one.state) for one in done] == [("large", "stopped"), ("middle", "stopped")]
    assert sum(one.memory for one in done) >= 26 * MIB
    states = {one.name: one.state for one in snapshot(settings.engine).containers}
    assert states == {"large": "exited", "middle": "exited", "small": "running", "vital": "running"}
    assert [one.container for one in undo(settings)] == ["middle", "large"]
    assert [one.state for one in undo(settings, dry_run=False)] == ["started", "started"]
    assert fingerprint(snapshot(settings.engine)) == before
    with pytest.raises(InputError, match="Nothing was stopped"):
        undo(settings)


def test_nothing_is_stopped_without_the_label(shop: Fleet) -> None:
    """Where nobody said what may be stopped, nothing is."""
    shop.run("vital", **QUICK)
    with pytest.raises(InputError, match="priority=low"):
        release(shop.settings(), memory=1, dry_run=False)


def test_critical_services_start_after_what_they_need(shop: Fleet) -> None:
    """The labels that Compose puts on containers give the order; what needs a broken one is not started."""

    def made(name: str, needs: str = "", **more: Any) -> None:
        labels = {
            "com.docker.compose.project": "shop",
            "com.docker.compose.service": name,
            "com.docker.compose.depends_on": needs,
        }
        shop.run(name, labels=labels, **{**QUICK, **more})

    made("web", "api:service_healthy:false")
    made("api", "db:service_started:false,cache:service_started:true")
    made("db")
    made("cache")
    settings = shop.settings()
    with closing(client(shop.engine)) as api:
        for name in ("web", "api", "db"):
            api.containers.get(name).stop(timeout=0)
        assert [one.container for one in restart_critical(settings, ["shop/web"])] == ["db", "api", "web"]
        done = restart_critical(settings, ["shop/web"], dry_run=False)
        assert [(one.container, one.state) for one in done] == [("db", "started"), ("api", "started"), ("web", "started")]
        api.containers.get("db").remove(force=True)
        sick = {"test": ["CMD", "false"], "interval": 100_000_000, "retries": 1}
        made("db", healthcheck=sick)
        for name in ("web", "api", "db"):
            api.containers.get(name).stop(timeout=0)
    done = restart_critical(settings, ["shop/web"], dry_run=False)
    assert [(one.container, one.state) for one in done] == [("db", "failed"), ("api", "skipped"), ("web", "skipped")]


def test_a_full_disk_does_not_keep_anybody_from_stopping_and_undoing(shop: Fleet, tmp_path: Path) -> None:
    """With no room for a journal it is written to memory, and undo finds it there."""
    low(shop, "small", 2)
    ready(shop, "small")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        settings = shop.settings(journal=disk / "journal")
        (disk / "filler").write_bytes(b"x" * 900_000)
        assert [one.state for one in release(settings, memory=1, dry_run=False)] == ["stopped"]
        ((folder, run, _),) = open_stops(settings)
        assert folder == folders(settings)[1]
        assert [one.state for one in undo(settings, dry_run=False)] == ["started"]
        (kinds,) = [[entry.kind for entry in entries] for name, entries in list_runs(folder) if name == run]
        assert Kind.STARTED_AGAIN in kinds
        assert snapshot(settings.engine).containers[0].running
    finally:
        subprocess.run(["umount", disk], check=True)


def test_cores_change_through_the_plan_and_come_back(shop: Fleet) -> None:
    """Measured load, proposed cpusets, applied and in force; a rollback restores the former ones."""
    shop.run("busy", ["sh", "-c", "while :; do :; done"], cpuset_cpus="0", nano_cpus=300_000_000, **QUICK)
    shop.run("postgres", cpuset_cpus="0", **QUICK)
    settings = shop.settings()
    before = fingerprint(snapshot(settings.engine))
    with connect_all(settings.engine) as (engines, _):
        load = measure_load(engines, snapshot(settings.engine), 1.0)
    assert 0.1 < load["standalone/busy"] < 0.5
    assert load["standalone/postgres"] < 0.05
    found = snapshot(settings.engine)
    cores = found.hosts[0].cores
    if cores < 2:
        pytest.skip("one core cannot be balanced")
    last = str(cores - 1)
    (host,) = balance(found, load, TYPES, ranges={"standard": last, "infrastructure": "0", "critical": "0"})
    assert {change.service: change.after for change in host.changes} == {"standalone/busy": last}
    assert host.placement.imbalance <= host.placement.round_robin
    done = apply_plan(plan_of(*host.changes), settings)
    assert shop.limits("busy")["CpusetCpus"] == last
    rollback(done.run, settings)
    assert fingerprint(snapshot(settings.engine)) == before


def test_a_move_to_a_pool_and_back(shop: Fleet) -> None:
    """Four containers become a pool of two; the journal brings them back, and a pool that cannot be healthy stops nothing."""
    for number in range(4):
        shop.run(f"agent-{number}", mem_limit=32 * MIB, memswap_limit=32 * MIB, **QUICK)
    settings, names = shop.settings(), [f"agent-{number}" for number in range(4)]
    before = fingerprint(snapshot(settings.engine))
    planned = migrate(settings, "agents", names, 2)
    assert (planned.memory_before, planned.memory_after) == (128 * MIB, 64 * MIB)
    assert fingerprint(snapshot(settings.engine)) == before
    migrate(settings, "agents", names, 2, dry_run=False)
    states = {one.name: one.state for one in snapshot(settings.engine).containers}
    assert states == dict.fromkeys(names, "exited") | {"agents-pool-0": "running", "agents-pool-1": "running"}
    with existing_pool(settings, "agents") as pool:
        assert pool.memory == 32 * MIB
        pool.scale(1)
    assert [(one.name, one.state, one.leased) for one in pool_states(settings, "agents")] == [("agents-pool-0", "running", False)]
    assert {one.state for one in undo(settings, dry_run=False)} == {"started"}
    pool_down(settings, "agents")
    assert fingerprint(snapshot(settings.engine)) == before


def test_a_pool_that_does_not_become_healthy_changes_nothing(shop: Fleet) -> None:
    """The containers that stood alone run on, and nothing of the pool is left."""
    sick = {"test": ["CMD", "false"], "interval": 100_000_000, "retries": 1}
    shop.run("agent-0", healthcheck=sick, **QUICK)
    settings, before = shop.settings(), fingerprint(snapshot(shop.settings().engine))
    with pytest.raises(PoolUnhealthy, match="does not become healthy"):
        migrate(settings, "agents", ["agent-0"], 2, dry_run=False)
    assert fingerprint(snapshot(settings.engine)) == before


def test_a_cache_is_flushed_by_its_exact_name_only(shop: Fleet) -> None:
    """The command runs inside the named container, and the answer of the server counts, not the exit code."""
    fake = (
        "mkdir -p /bin; printf '#!/bin/sh\\necho $* >> /tmp/asked; cat /tmp/answer\\n' > /bin/redis-cli; chmod +x /bin/redis-cli"
    )
    shop.run("cache", ["sh", "-c", f"{fake}; echo OK > /tmp/answer; echo ready; sleep 600"], **QUICK)
    ready(shop, "cache")
    settings = shop.settings()
    with pytest.raises(InputError, match="0 running containers"):
        flush(settings, "cach", dry_run=False)
    assert flush(settings, "cache").state == "would-flush"
    with closing(client(shop.engine)) as api:
        cache = api.containers.get("cache")
        assert cache.exec_run(["cat", "/tmp/asked"]).exit_code != 0
        assert flush(settings, "cache", dry_run=False).state == "flushed"
        assert cache.exec_run(["cat", "/tmp/asked"]).output == b"FLUSHALL\n"
        cache.exec_run(["sh", "-c", "echo NOAUTH Authentication required. > /tmp/answer"])
    refused = flush(settings, "cache", dry_run=False)
    assert (refused.state, "NOAUTH" in refused.note) == ("failed", True)


def git(folder: Path, *words: str) -> None:
    """Git in a folder, with an author."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_back_to_a_git_revision_service_by_service(shop: Fleet) -> None:
    """The former file is checked first, then each service follows it; a rollback of that brings the present state back."""
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
    before = fingerprint(snapshot(settings.engine))
    with pytest.raises(InputError, match="not valid, nothing was touched"):
        to_revision(settings, file, "HEAD~1", dry_run=False)
    with pytest.raises(InputError, match="git cannot show"):
        to_revision(settings, file, "nowhere", dry_run=False)
    planned = to_revision(settings, file, "HEAD~2")
    assert [(one.service, one.state) for one in planned] == [("shop/db", "would-start"), ("shop/web", "would-start")]
    assert (file.read_text(), fingerprint(snapshot(settings.engine))) == (present, before)
    done = to_revision(settings, file, "HEAD~2", dry_run=False)
    assert [(one.service, one.state) for one in done] == [("shop/db", "started"), ("shop/web", "started")]
    assert file.read_text() == good
    assert (shop.memory("shop-web-1"), shop.memory("shop-db-1")) == (64, 64)
    (run,) = [name for name, _ in list_runs(settings.apply.journal)]
    rollback(run, settings)
    assert (file.read_text(), fingerprint(snapshot(settings.engine))) == (present, before)


def test_a_revision_that_does_not_come_up_is_taken_back(shop: Fleet) -> None:
    """A service that dies, or a critical one that is missing: file and containers are as they were."""
    file = shop.up(project(web="mem_limit: 32m"))
    present = file.read_text()
    git(file.parent, "init")
    file.write_text(present.replace('["sleep", "600"]', '["false"]'))
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "bad")
    file.write_text(present)
    settings = shop.settings()
    before = fingerprint(snapshot(settings.engine))
    (done,) = to_revision(settings, file, "HEAD", dry_run=False)
    assert done.state == "failed"
    assert (file.read_text(), fingerprint(snapshot(settings.engine))) == (present, before)
    critical = settings.model_copy(update={"operations": settings.operations.model_copy(update={"critical": ["shop/db"]})})
    git(file.parent, "commit", "-am", "good")
    time.sleep(1.1)  # runs are named by the second
    done_too = to_revision(critical, file, "HEAD", dry_run=False)
    assert [(one.service, one.state) for one in done_too] == [("shop/web", "started"), ("shop/db", "failed")]
    assert IMAGE in present
