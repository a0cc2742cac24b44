"""Emergencies on a real Engine: stop what matters least, start what matters most, empty a cache,
and bring everything back.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from capacity._cli import app
from capacity._docker import snapshot
from capacity.changes import apply_plan, resume, rollback
from capacity.changes._journal.listing import journal_history
from capacity.changes._journal.models import Kind
from capacity.changes._journal.runs import journal_runs
from capacity.errors import ChangeRefused, InputError
from capacity.operations._emergency.flush_redis import flush
from capacity.operations._emergency.journal import (
    journal_folders,
    last_run,
    open_stops,
    writable_folder,
)
from capacity.operations._emergency.release import release
from capacity.operations._emergency.restart_critical import restart_critical
from capacity.operations._emergency.undo_release import undo_release
from capacity.settings import Settings
from tests.fixtures.fleets.faults import QUICK, low, own_place, ready, seen
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import MIB, Fleet, memory, plan_of
from tests.fixtures.running.redis_server import redis_image
from tests.fixtures.running.servers import wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and a spare journal of the test's own."""
    own_place(tmp_path, monkeypatch)
    monkeypatch.delenv(
        "CAPACITY_APPLY__JOURNAL", raising=False
    )  # some tests name a journal of their own


def test_release_stops_the_largest_first_until_enough_and_undo_brings_all_back(shop: Fleet) -> None:
    """Dry run first; then only what is needed stops, nothing without the label, and the fleet is as
    it was after undo.
    """
    low(shop, "small", 2)
    low(shop, "large", 24)
    low(shop, "middle", 10)
    shop.run("vital", **QUICK)
    ready(shop, "small", "large", "middle")
    settings, before = shop.settings(), seen(shop.settings())
    (largest,) = release(settings, memory=1)
    wanted = largest.memory + 2 * MIB
    planned = release(settings, memory=wanted)
    assert [(result.container, result.state) for result in planned] == [
        ("large", "would-stop"),
        ("middle", "would-stop"),
    ]
    assert seen(settings) == before
    done = release(settings, memory=wanted, dry_run=False)
    assert [(result.container, result.state) for result in done] == [
        ("large", "stopped"),
        ("middle", "stopped"),
    ]
    assert sum(result.memory for result in done) >= wanted
    states = {container.name: container.state for container in snapshot(settings.engine).containers}
    assert states == {"large": "exited", "middle": "exited", "small": "running", "vital": "running"}
    assert [result.container for result in undo_release(settings)] == ["middle", "large"]
    assert [result.state for result in undo_release(settings, dry_run=False)] == [
        "started",
        "started",
    ]
    assert seen(settings) == before
    with pytest.raises(InputError, match="Nothing was stopped"):
        undo_release(settings)


def test_nothing_is_stopped_without_the_label(shop: Fleet) -> None:
    """Where nobody said what may be stopped, nothing is."""
    shop.run("vital", **QUICK)
    with pytest.raises(InputError, match="priority=low"):
        release(shop.settings(), memory=1, dry_run=False)


def test_critical_services_start_after_what_they_need(shop: Fleet) -> None:
    """The labels that Compose puts on containers give the order; what needs a broken one is not
    started.
    """

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
    before = seen(settings)
    with closing(client(shop.engine)) as api:
        for name in ("web", "api", "db"):
            api.containers.get(name).stop(timeout=0)
        assert [result.container for result in restart_critical(settings, ["shop/web"])] == [
            "db",
            "api",
            "web",
        ]
        done = restart_critical(settings, ["shop/web"], dry_run=False)
        assert [(result.container, result.state) for result in done] == [
            ("db", "started"),
            ("api", "started"),
            ("web", "started"),
        ]
        assert seen(settings) == before
        api.containers.get("db").remove(force=True)
        sick = {"test": ["CMD", "false"], "interval": 100_000_000, "retries": 1}
        made("db", healthcheck=sick)
        for name in ("web", "api", "db"):
            api.containers.get(name).stop(timeout=0)
    done = restart_critical(settings, ["shop/web"], dry_run=False)
    assert [(result.container, result.state) for result in done] == [
        ("db", "failed"),
        ("api", "skipped"),
        ("web", "skipped"),
    ]


def test_a_job_that_has_done_its_work_is_not_run_again(shop: Fleet) -> None:
    """What waits for its end starts; one that has not ended well is run first, and its end with 0
    is what counts.
    """

    def made(name: str, needs: str = "", command: Sequence[str] = ("sleep", "600")) -> None:
        place = {"project": "shop", "service": name, "depends_on": needs}
        labels = {f"com.docker.compose.{key}": value for key, value in place.items()}
        shop.run(name, command, labels=labels, **QUICK)

    def ended(name: str) -> bool | None:
        return {
            container.name: container.state for container in snapshot(settings.engine).containers
        }[name] == "exited" or None

    settings, waits = shop.settings(), "service_completed_successfully:false"
    made("migrate", command=["sh", "-c", "exit 0"])
    made("web", f"migrate:{waits}")
    wait_for(lambda: ended("migrate"), "the job's end")
    with closing(client(shop.engine)) as api:
        began = api.containers.get("migrate").attrs["State"]["StartedAt"]
        api.containers.get("web").stop(timeout=0)
        done = restart_critical(settings, ["shop/web"], dry_run=False)
        assert [(result.container, result.state) for result in done] == [("web", "started")]
        assert api.containers.get("migrate").attrs["State"]["StartedAt"] == began
        assert [
            result.state for result in restart_critical(settings, ["shop/migrate"], dry_run=False)
        ] == ["started"]
        assert api.containers.get("migrate").attrs["State"]["StartedAt"] != began


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_does_not_keep_anybody_from_stopping_and_undoing(
    shop: Fleet, tmp_path: Path
) -> None:
    """With no room for a journal it is written to memory, and undo finds it there."""
    low(shop, "small", 2)
    ready(shop, "small")
    with small_disk(tmp_path / "disk") as disk:
        settings = shop.settings(journal=disk / "journal")
        before = seen(settings)
        (disk / "filler").write_bytes(b"x" * 900_000)
        assert [result.state for result in release(settings, memory=1, dry_run=False)] == [
            "stopped"
        ]
        ((folder, run, _),) = open_stops(settings)
        assert folder == journal_folders(settings)[1]
        assert [result.state for result in undo_release(settings, dry_run=False)] == ["started"]
        (kinds,) = [
            [entry.kind for entry in entries]
            for name, entries in journal_runs(folder)
            if name == run
        ]
        assert Kind.STARTED_AGAIN in kinds
        assert seen(settings) == before


def test_a_full_disk_does_not_keep_anybody_from_going_back(
    shop: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose journal takes nothing more goes on in memory, is not rolled back twice by any
    command, and is listed once.
    """
    shop.run("web", mem_limit=16 * MIB, memswap_limit=32 * MIB, **QUICK)
    with small_disk(tmp_path / "disk") as disk:
        settings = shop.settings(journal=disk / "journal")
        before = seen(settings)
        apply_plan(plan_of(memory("standalone/web", 16, 24)), settings)
        assert seen(settings) != before
        (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free - 4096))
        folder, run, services = last_run(settings)
        assert (folder, services) == (disk / "journal", ["standalone/web"])
        spare = writable_folder(settings, folder, run)
        assert [result.state for result in rollback(run, settings, folder=spare)] == ["undone"]
        assert seen(settings) == before
        with pytest.raises(InputError, match="There is no run to roll back"):
            last_run(settings)
        assert [
            (adjustment.run, adjustment.outcome)
            for adjustment in journal_history(journal_folders(settings))
        ] == [(run, "rolled back")]
        for name, value in (
            shop.environment() | {"CAPACITY_APPLY__JOURNAL": str(disk / "journal")}
        ).items():
            monkeypatch.setenv(name, value)
        for words in ((run,), (run[:20],), (run, "--yes")):
            said = CliRunner().invoke(app, ["rollback", *words, "--json"])
            assert (said.exit_code, json.loads(said.stdout)) == (0, [])


def came_of(settings: Settings, service: str = "") -> list[tuple[str, str, str, str]]:
    """Container, action, outcome and occasion of everything in the journals."""
    found = journal_history(journal_folders(settings), service)
    return [
        (str(adjustment.containers[0].name), adjustment.what, adjustment.outcome, adjustment.why)
        for adjustment in found
    ]


def test_the_journal_lists_what_emergencies_did_and_what_came_of_it(
    shop: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A release that was undone, one that another run made good, one whose container is gone, and a
    restart that failed.
    """
    low(shop, "small", 2)
    ready(shop, "small")
    settings, began = shop.settings(), "emergency-release"
    release(settings, memory=1, dry_run=False)
    assert came_of(settings) == [("small", "stop", "stopped", began)]
    undo_release(settings, dry_run=False)
    assert came_of(settings) == [("small", "stop", "started again", began)]
    release(settings, memory=1, dry_run=False)
    restart_critical(settings, ["standalone/small"], dry_run=False)
    wanted = [("small", "stop", "started again", began)] * 2 + [
        ("small", "start", "started again", "emergency-restart")
    ]
    assert came_of(settings) == wanted
    ready(shop, "small")
    blocked = shop.settings(journal=tmp_path / "file")
    (tmp_path / "file").write_text("no folder")
    release(blocked, memory=1, dry_run=False)
    assert str(journal_folders(blocked)[1]) in caplog.text
    assert str(tmp_path / "file") in caplog.text
    assert came_of(settings) == [*wanted, ("small", "stop", "stopped", began)]
    with closing(client(shop.engine)) as api:
        api.containers.get("small").remove(force=True)
    assert [result.state for result in undo_release(settings, dry_run=False)] == ["failed"]
    assert came_of(settings, "small")[-1] == ("small", "stop", "still down", began)
    with pytest.raises(Exception, match="no such file"):
        shop.run("broken", ["/nowhere"])
    (done,) = restart_critical(settings, ["standalone/broken"], dry_run=False)
    assert (done.state, "--resume" in done.reason, "then try again" in done.reason) == (
        "failed",
        False,
        True,
    )
    shop.run("dying", ["sh", "-c", "exit 3"], **QUICK)
    wait_for(
        lambda: (
            {container.name: container.state for container in snapshot(settings.engine).containers}[
                "dying"
            ]
            == "exited"
            or None
        ),
        "its end",
    )
    (done,) = restart_critical(settings, ["standalone/dying"], dry_run=False)
    assert (done.state, "docker logs dying" in done.reason) == ("failed", True)
    assert came_of(settings, "standalone/dying") == [
        ("dying", "start", "failed", "emergency-restart")
    ]


KILLED = """
import os, signal, sys
from capacity._docker import lifecycle
from capacity.operations._emergency.release import release
from capacity.settings import Settings

def die(*words):
    os.kill(os.getpid(), signal.SIGKILL)

def stop_and_die(engine, container, name=""):
    if {at} == 0:
        die()
    api_stop(engine, container, name)
    die()

api_stop, lifecycle.stop = lifecycle.stop, stop_and_die
apply = {{"journal": sys.argv[2], "observe": 0}}
settings = Settings(engine={{"hosts": {{"here": sys.argv[1]}}}}, apply=apply)
release(settings, memory=1 << 40, dry_run=False)
"""


@pytest.mark.parametrize("at", [0, 1])
def test_a_release_killed_between_its_stops_is_undone_before_anything_is_applied(
    shop: Fleet, at: int
) -> None:
    """Kill -9 before the first stop or after it: applying is refused with the way out, which works,
    and then it is not.
    """
    for name in ("one", "two", "three"):
        shop.run(
            name, labels={"priority": "low"}, mem_limit=32 * MIB, memswap_limit=32 * MIB, **QUICK
        )
    settings = shop.settings()
    before = seen(settings)
    words = [
        sys.executable,
        "-c",
        KILLED.format(at=at),
        shop.engine.url,
        str(settings.apply.journal),
    ]
    killed = subprocess.run(
        words, env={**os.environ, "HOME": str(shop.folder)}, check=False, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr
    left = [found.state for found in snapshot(settings.engine).containers].count("running")
    assert left <= 2 if at else left == 3  # others may have been on their way
    plan = plan_of(memory("standalone/one", 32, 48))
    with pytest.raises(
        ChangeRefused, match=r"did not come to its end.*`capacity emergency undo --yes`"
    ):
        apply_plan(plan, settings)
    with pytest.raises(InputError, match="Every run came to its end"):
        resume(settings)
    assert {done.state for done in undo_release(settings, dry_run=False)} == {"started"}
    assert seen(settings) == before
    done = apply_plan(plan, settings)
    assert [outcome.state for outcome in done.outcomes] == ["done"]
    rollback(done.run, settings)
    assert seen(settings) == before


def test_a_real_cache_is_emptied_by_its_exact_name_and_with_a_yes_only(shop: Fleet) -> None:
    """Keys in two databases of a real Redis stay through a wrong name and a dry run, and are gone
    after the real one.
    """
    image, server = redis_image(shop.engine), ["redis-server", "--save", ""]
    settings = shop.settings()
    with closing(client(shop.engine)) as api:
        cache = api.containers.run(
            image, server, name="cache", detach=True, network_mode="none", **QUICK
        )

        def asked(*words: str) -> str:
            command = ["redis-cli", *words]  # an old Engine loses what a short command prints
            return wait_for(
                lambda: str(cache.exec_run(command).output.decode().strip()) or None, "an answer"
            )

        wait_for(lambda: asked("PING") == "PONG" or None, "Redis")
        assert asked("SET", "a", "1") == asked("-n", "3", "SET", "b", "2") == "OK"
        before = seen(settings)
        with pytest.raises(InputError, match="0 running containers"):
            flush(settings, "cach", dry_run=False)
        assert flush(settings, "cache").state == "would-flush"
        assert (asked("GET", "a"), asked("-n", "3", "GET", "b")) == ("1", "2")
        assert flush(settings, "cache", dry_run=False).state == "flushed"
        assert (asked("DBSIZE"), asked("-n", "3", "DBSIZE")) == ("0", "0")
        assert asked("SET", "a", "1") == asked("CONFIG", "SET", "requirepass", "other") == "OK"
        refused = flush(settings, "cache", dry_run=False)
        assert (refused.state, "NOAUTH" in refused.reason) == ("failed", True)
        assert asked("--no-auth-warning", "-a", "other", "GET", "a") == "1"
    assert seen(settings) == before
    assert came_of(settings) == [
        ("cache", "flush", state, "emergency-flush") for state in ("flushed", "failed")
    ]
    kinds = [
        [entry.kind for entry in entries] for _, entries in journal_runs(settings.apply.journal)
    ]
    assert kinds == [
        [Kind.STARTED, Kind.DONE, Kind.FINISHED],
        [Kind.STARTED, Kind.FAILED, Kind.FINISHED],
    ]
