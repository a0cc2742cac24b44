"""Emergencies beside other work, with a host that is away, and with what is critical: on a real
Engine.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capacity._cli import app
from capacity._docker import snapshot
from capacity.changes import RunResult, apply_plan
from capacity.changes._journal.models import Kind
from capacity.changes._journal.runs import journal_runs
from capacity.changes._result import StepResult
from capacity.errors import CapacityError, Locked
from capacity.model import Setting
from capacity.operations._emergency.flush_redis import flush
from capacity.operations._emergency.release import release
from capacity.operations._emergency.restart_critical import restart_critical
from capacity.operations._emergency.revision import to_revision
from capacity.operations._emergency.undo_release import undo_release
from tests.fixtures.fleets.faults import QUICK, git, low, own_place, ready, seen
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import MIB, Fleet, memory, other, plan_of, project
from tests.fixtures.running.servers import require, wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks, journal and folder of the test's own."""
    own_place(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)


def configured(shop: Fleet, *, away: bool = False, critical: tuple[str, ...] = ()) -> None:
    """Settings in a file, with a second host that does not answer where a test wants one."""
    hosts = f'here = "{shop.engine.url}"\n' + f'there = "unix://{shop.folder}/none.sock"\n' * away
    text = f"[engine.hosts]\n{hosts}[operations]\ncritical = {json.dumps(critical)}\n"
    (shop.folder / "capacity.toml").write_text(text)


def run(*words: str) -> tuple[int, str, str]:
    """Exit code and both streams of a command; an error is on the second one."""
    done = CliRunner().invoke(app, words)
    error = done.exception
    if error is not None and not isinstance(error, (CapacityError, SystemExit)):
        raise error
    failed = error if isinstance(error, CapacityError) else None
    return (
        failed.exit_code if failed else done.exit_code,
        done.stdout,
        done.stderr + str(failed or ""),
    )


def rows(said: str) -> list[tuple[str, str, str]]:
    """Service, host and state of each row."""
    return [(row["service"], row["host"], row["state"]) for row in json.loads(said)]


def stopped(shop: Fleet, name: str) -> None:
    """Stop a container behind everybody's back."""
    with closing(client(shop.engine)) as api:
        api.containers.get(name).stop(timeout=0)


def test_what_is_critical_is_looked_at_after_any_rollback(shop: Fleet) -> None:
    """A run goes back, and the critical service that is down is said as failed; without one that is
    down all is well.
    """
    shop.run("web", mem_limit=32 * MIB, memswap_limit=64 * MIB, **QUICK)
    shop.run("db", **QUICK)
    configured(shop, critical=("standalone/db", "standalone/none"))
    apply_plan(plan_of(memory("standalone/web", 32, 48)), shop.settings())
    code, out, _ = run("emergency", "rollback", "--json")
    assert (code, [(row["what"], row["change"], row["state"]) for row in json.loads(out)]) == (
        0,
        [("memory", "48 MiB -> 32 MiB", "would-go-back")],
    )
    assert shop.memory("web") == 48
    stopped(shop, "db")
    code, out, said = run("emergency", "rollback", "--yes", "--json")
    assert (code, shop.memory("web"), "Not everything could be brought back" in said) == (
        1,
        32,
        True,
    )
    assert [(row["service"], row["outcome"], row["why"]) for row in json.loads(out)] == [
        ("standalone/web", "undone", ""),
        ("standalone/db", "failed", "critical, and it is exited, no health"),
        ("standalone/none", "failed", "critical, and it has no container"),
    ]
    configured(shop, critical=("standalone/web",))
    apply_plan(plan_of(memory("standalone/web", 32, 48)), shop.settings())
    assert run("emergency", "rollback", "--yes")[0] == 0


def test_a_cpuset_that_cannot_be_emptied_is_said_and_exact_empties_it(shop: Fleet) -> None:
    """The Engine takes no empty cpuset on a running container: the outcome names the way, and that
    way leaves none.
    """
    shop.up(project(web=""))
    configured(shop)
    plan = plan_of(other("shop/web", Setting.CPUSET, None, "0"))
    apply_plan(plan, shop.settings())
    code, out, _ = run("emergency", "rollback", "--yes", "--json")
    (row,) = json.loads(out)
    cores = shop.limits("shop-web-1")["CpusetCpus"]
    assert (code, row["outcome"], bool(cores)) == (0, "undone", True)
    assert row["why"].startswith(
        f"shop-web-1 shows cpuset {cores}, which is all of here, where it was empty: --exact makes"
    )
    with closing(client(shop.engine)) as api:
        api.containers.get("shop-web-1").remove(force=True)
    shop.up(project(web=""))
    apply_plan(plan, shop.settings())
    code, out, _ = run("emergency", "rollback", "--exact", "--yes", "--json")
    assert (code, json.loads(out)[0]["why"], shop.limits("shop-web-1")["CpusetCpus"]) == (0, "", "")


def test_a_restart_does_what_it_can_where_a_host_is_away(shop: Fleet) -> None:
    """What is down on the host that answers is started; what could not be looked at is named, with
    exit code 1.
    """
    shop.run("web", **QUICK)
    stopped(shop, "web")
    configured(shop, away=True)
    words = ("emergency", "restart", "standalone/web", "far/db", "--json")
    wanted = [("standalone/web", "here"), ("far/db", "-"), ("-", "there")]
    code, out, said = run(*words)
    assert (code, rows(out)) == (
        1,
        [(*place, state) for place, state in zip(wanted, DRY, strict=True)],
    )
    assert "there does not answer: nothing was looked at there" in said
    code, out, _ = run(*words, "--yes")
    assert (code, rows(out)) == (
        1,
        [(*place, state) for place, state in zip(wanted, ("started", *DRY[1:]), strict=True)],
    )
    assert {
        container.name: container.state for container in snapshot(shop.settings().engine).containers
    } == {"web": "running"}
    configured(shop)
    code, _, said = run("emergency", "restart", "standalone/web", "far/db")
    assert (code, "far/db has no container" in said) == (2, True)


DRY = ("would-start", "failed", "unreachable")


def test_a_release_names_the_host_that_is_away(shop: Fleet) -> None:
    """Nothing can be freed there: it is said, and with `--yes` the exit code is 1 although the
    other host is done.
    """
    low(shop, "small", 4)
    ready(shop, "small")
    configured(shop, away=True)
    code, out, said = run("emergency", "release", "--memory", "1k", "--json")
    assert (code, rows(out)) == (
        0,
        [("standalone/small", "here", "would-stop"), ("-", "there", "unreachable")],
    )
    assert "there does not answer: nothing would be freed there" in said
    code, out, said = run("emergency", "release", "--memory", "1k", "--json", "--yes")
    assert (code, rows(out)[0]) == (1, ("standalone/small", "here", "stopped"))
    assert "there does not answer: nothing freed there" in said
    assert "less than" not in said
    code, _, said = run("emergency", "release", "--memory", "1k")
    assert (code, "has the label priority=low (there does not answer)" in said) == (2, True)


def test_stops_run_beside_each_other(shop: Fleet) -> None:
    """Five that take two seconds each to end are down in less than three stops, each announced
    before and named after.
    """
    patient = {"labels": {"priority": "low"}, "stop_signal": "SIGWINCH"}
    for number in range(5):
        shop.run(f"patient-{number}", **patient)
    with closing(client(shop.engine)) as api:
        for number in range(5):
            api.containers.get(f"patient-{number}").remove(force=True)
            api.api.create_container(
                "stack:latest",
                ["sleep", "600"],
                name=f"patient-{number}",
                labels=patient["labels"],
                stop_signal="SIGWINCH",
                stop_timeout=2,
                host_config=api.api.create_host_config(network_mode="none"),
            )
            api.containers.get(f"patient-{number}").start()
    told: list[StepResult] = []
    settings, began = shop.settings(), time.monotonic()
    done = release(settings, memory=1 << 40, dry_run=False, progress=told.append)
    took = time.monotonic() - began
    assert ({result.state for result in done}, told, took < 3 * 2) == ({"stopped"}, done, True)
    ((_, entries),) = journal_runs(settings.apply.journal)
    for step in range(5):
        assert [entry.kind for entry in entries if entry.step == step] == [
            Kind.STOPPING,
            Kind.STOPPED,
        ]
    assert {result.state for result in undo_release(settings, dry_run=False)} == {"started"}


def test_the_dry_run_of_undo_says_what_it_would_try(shop: Fleet) -> None:
    """One that can start, one that is gone, one that runs again under its name, and one whose host
    is away.
    """
    for name in ("kept", "gone", "anew"):
        shop.run(name, labels={"priority": "low"}, **QUICK)
    settings = shop.settings()
    release(settings, memory=1 << 40, dry_run=False)
    with closing(client(shop.engine)) as api:
        for name in ("gone", "anew"):
            api.containers.get(name).remove()
    shop.run("anew", **QUICK)
    before, found = (
        seen(settings),
        {result.container: (result.state, result.reason) for result in undo_release(settings)},
    )
    assert found == {
        "kept": ("would-start", ""),
        "gone": ("would-give-up", "it is gone, and would be given up"),
        "anew": ("back", "it runs again as anew"),
    }
    assert seen(settings) == before
    away = settings.model_copy(
        update={
            "engine": settings.engine.model_copy(
                update={"hosts": {"here": f"unix://{shop.folder}/none.sock"}}
            )
        }
    )
    assert {(result.state, result.reason) for result in undo_release(away)} == {
        ("would-start", "here does not answer")
    }
    assert {result.container: result.state for result in undo_release(settings, dry_run=False)} == {
        "kept": "started",
        "gone": "failed",
        "anew": "back",
    }


@contextmanager
def observing(shop: Fleet, *names: str, seconds: float) -> Iterator[list[RunResult]]:
    """An apply that has changed these containers and observes them; its result is there when the
    block has ended.
    """
    results: list[RunResult] = []
    plan = plan_of(*(memory(f"standalone/{name}", 32, 48) for name in names))
    thread = threading.Thread(
        target=lambda: results.append(apply_plan(plan, shop.settings(observe=seconds)))
    )
    thread.start()
    try:
        wait_for(lambda: all(shop.memory(name) == 48 for name in names) or None, "the changes")
        yield results
    finally:
        thread.join()


def test_an_emergency_does_not_wait_for_an_observation(shop: Fleet) -> None:
    """Release, flush and restart run beside an apply; what they stop is said as theirs, and is not
    started by the apply.
    """
    policy: dict[str, Any] = {"restart_policy": {"Name": "always"}}
    for name, more in (("web", {}), ("victim", {"labels": {"priority": "low"}, **policy})):
        shop.run(name, mem_limit=32 * MIB, memswap_limit=64 * MIB, **{**QUICK, **more})
    settings = shop.settings()
    with observing(shop, "web", "victim", seconds=6) as results:
        assert [result.state for result in release(settings, memory=1 << 40, dry_run=False)] == [
            "stopped"
        ]
        assert flush(settings, "web", dry_run=False).state == "failed"  # it is no Redis
        assert restart_critical(settings, ["standalone/web"], dry_run=False) == []
    outcomes = {outcome.service: outcome for outcome in results[0].outcomes}
    assert (outcomes["standalone/web"].state, outcomes["standalone/victim"].state) == (
        "done",
        "failed",
    )
    release_run = next(
        run for run, _ in journal_runs(settings.apply.journal) if run.endswith("release")
    )
    assert (
        f"the run {release_run} stopped it, and it stays so" in outcomes["standalone/victim"].reason
    )
    states = {container.name: container.state for container in snapshot(settings.engine).containers}
    assert states == {"web": "running", "victim": "exited"}
    assert [result.state for result in undo_release(settings, dry_run=False)] == ["started"]


def test_going_back_waits_for_an_apply_and_says_how_to_end_it(shop: Fleet) -> None:
    """Rollback and revision touch what is being changed: the refusal names process, run, signal and
    what to do then.
    """
    shop.run("web", mem_limit=32 * MIB, memswap_limit=64 * MIB, **QUICK)
    file = shop.up(project(db=""))
    git(file.parent, "init")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "good")
    configured(shop)
    with observing(shop, "web", seconds=5):
        ((name, _),) = journal_runs(shop.settings().apply.journal)
        code, _, said = run("emergency", "rollback", "--yes")
        assert (code, f"(run {name})" in said, "end it with `kill -INT " in said) == (1, True, True)
        assert f"then `capacity rollback {name} --yes`" in said
        with pytest.raises(Locked, match=rf"by .*\(process \d+\) \(run {name}\)"):
            to_revision(shop.settings(), file, "HEAD", dry_run=False)


def test_a_flush_is_in_the_journal_of_its_service(shop: Fleet) -> None:
    """Also one that failed: its service's entries show it."""
    shop.run("cache", **QUICK)
    configured(shop)
    assert run("emergency", "release", "--flush", "cache", "--yes")[0] == 1
    code, out, _ = run("journal", "--service", "standalone/cache", "--json")
    assert (code, [(load["what"], load["outcome"]) for load in json.loads(out)]) == (
        0,
        [("flush", "failed")],
    )
    assert json.loads(run("journal", "--service", "standalone/other", "--json")[1]) == []


def test_what_a_service_needs_is_known_after_it_was_made_alone(shop: Fleet) -> None:
    """Compose leaves its label empty then: the compose file tells, so that what it needs still
    starts first.
    """
    file = shop.up(project(web="depends_on: [db]", db=""))
    settings = shop.settings()
    command = [
        str(require("docker-compose")),
        "up",
        "--detach",
        "--no-deps",
        "--force-recreate",
        "web",
    ]
    subprocess.run(
        command, cwd=file.parent, env=shop.environment(), capture_output=True, check=True
    )
    labels = snapshot(settings.engine).of("shop/web")[0].labels
    assert labels["com.docker.compose.depends_on"] == ""
    stopped(shop, "shop-web-1")
    stopped(shop, "shop-db-1")
    assert [result.container for result in restart_critical(settings, ["shop/web"])] == [
        "shop-db-1",
        "shop-web-1",
    ]


@pytest.mark.parametrize("address", ["http://x", "https://x:1", "npipe://x", "word", "tcp://"])
def test_an_address_that_is_none_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """No host is looked for: the variable is named, and the addresses that there are."""
    (tmp_path / "capacity.toml").write_text("")
    monkeypatch.setenv("DOCKER_HOST", address)
    code, _, said = run("inventory")
    assert (code, f"DOCKER_HOST is {address!r}" in said) == (2, True)
    assert "Write it as unix:///path/docker.sock, tcp://host:port or ssh://user@host" in said
