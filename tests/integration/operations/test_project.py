"""Back to a git revision of a whole project: all its files, its env file, its replicas, and
everything back when it fails.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from capacity._docker import snapshot
from capacity.changes import apply_plan, rollback, rollback_preview
from capacity.changes._journal.listing import journal_history
from capacity.changes._journal.models import FinishedEntry, Kind
from capacity.changes._journal.runs import journal_runs
from capacity.errors import ChangeRefused, InputError
from capacity.operations._emergency import revision as revisions
from capacity.operations._emergency.revision import to_revision
from capacity.operations._emergency.undo_release import undo_release
from tests.fixtures.fleets.faults import git, own_place, seen
from tests.fixtures.running.fleet import MIB, Fleet, memory, plan_of, project
from tests.fixtures.running.servers import require, wait_for


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and a spare journal of the test's own."""
    own_place(tmp_path, monkeypatch)


def compose(shop: Fleet, *words: str, name: str = "shop") -> None:
    """Compose in the folder of a project."""
    command = [str(require("docker-compose")), "--project-name", name, *words]
    subprocess.run(
        command, cwd=shop.folder / name, env=shop.environment(), capture_output=True, check=True
    )


def committed(file: Path, *names: str) -> None:
    """A repository with what lies there now, or with these files of it."""
    git(file.parent, "init")
    git(file.parent, "add", *(names or ["."]))
    git(file.parent, "commit", "-m", "good")


def replicas(shop: Fleet, key: str) -> dict[str, int | None]:
    """Name -> memory limit in MiB of the running containers of a service."""
    found = snapshot(shop.settings().engine).of(key)
    return {
        container.name: container.memory and container.memory // MIB
        for container in found
        if container.running
    }


def test_all_files_of_a_project_go_back_and_one_that_git_never_had_stays(shop: Fleet) -> None:
    """The override of then with the file of then, the env file and the file that git ignores as
    they are now; and back again.
    """
    file = shop.up(project(web="mem_limit: ${SIZE}m"), variables="SIZE=64\n")
    override, own = file.with_name("compose.override.yaml"), file.with_name("own.yaml")
    override.write_text("services:\n  web:\n    labels: {age: old}\n")
    own.write_text("services:\n  web:\n    pids_limit: 40\n")
    committed(file, "compose.yaml", override.name)
    file.write_text(project(web="mem_limit: 32m"))
    override.write_text("services:\n  web:\n    labels: {age: new}\n")
    given = ("--env-file", str(shop.folder / "own.env"))
    compose(
        shop, *given, "-f", "compose.yaml", "-f", override.name, "-f", own.name, "up", "--detach"
    )
    settings, before, texts = (
        shop.settings(),
        seen(shop.settings()),
        (file.read_text(), override.read_text(), own.read_text()),
    )
    (planned,) = to_revision(settings, file, "HEAD")
    assert (
        planned.reason
        == "compose.yaml, compose.override.yaml as of then; own.yaml as it is, git does not have it"
    )
    assert (seen(settings), (file.read_text(), override.read_text(), own.read_text())) == (
        before,
        texts,
    )
    assert [result.state for result in to_revision(settings, file, "HEAD", dry_run=False)] == [
        "started"
    ]
    (web,) = snapshot(settings.engine).of("shop/web")
    assert (web.memory, web.labels["age"], web.pids) == (64 * MIB, "old", 40)
    assert (override.read_text(), own.read_text()) == (
        "services:\n  web:\n    labels: {age: old}\n",
        texts[2],
    )
    undo_release(settings, dry_run=False)
    assert (seen(settings), (file.read_text(), override.read_text(), own.read_text())) == (
        before,
        texts,
    )
    (web,) = snapshot(settings.engine).of("shop/web")
    assert (web.labels["age"], web.pids) == ("new", 40)


def test_a_file_of_the_project_that_the_revision_does_not_have_is_refused(shop: Fleet) -> None:
    """Git has the override now and had none then: nobody can say what was meant, so nothing is
    touched.
    """
    file = shop.up(project(web="mem_limit: 64m"))
    committed(file)
    override = file.with_name("compose.override.yaml")
    override.write_text("services:\n  web:\n    mem_limit: 32m\n")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-m", "override")
    compose(shop, "up", "--detach")
    before = seen(shop.settings())
    with pytest.raises(
        InputError,
        match=r"compose\.override\.yaml belongs to the project now, and HEAD~1 does not have it",
    ):
        to_revision(shop.settings(), file, "HEAD~1", dry_run=False)
    assert (seen(shop.settings()), replicas(shop, "shop/web")) == (before, {"shop-web-1": 32})
    assert not shop.settings().apply.journal.exists()
    override.unlink()
    with pytest.raises(InputError, match="which is not there"):
        to_revision(shop.settings(), file, "HEAD~1", dry_run=False)


def test_the_default_override_counts_also_where_nothing_runs(shop: Fleet) -> None:
    """Without containers to tell, the project is what Compose itself would find in the folder."""
    file = shop.up(project(web=""))
    file.with_name("compose.override.yaml").write_text("services:\n  web:\n    mem_limit: 48m\n")
    committed(file)
    compose(shop, "down")
    file.with_name("compose.override.yaml").write_text("services:\n  web:\n    mem_limit: 32m\n")
    assert [
        result.state for result in to_revision(shop.settings(), file, "HEAD", dry_run=False)
    ] == ["started"]
    assert replicas(shop, "shop/web") == {"shop-web-1": 48}
    undo_release(shop.settings(), dry_run=False)
    assert replicas(shop, "shop/web") == {}
    assert "32m" in file.with_name("compose.override.yaml").read_text()


def test_a_scaled_service_keeps_its_number_unless_the_revision_says_one(shop: Fleet) -> None:
    """Three stay three there and back; a revision with two makes two (Compose chooses which), and
    its rollback three again.
    """
    file = shop.up(project(web="mem_limit: 64m"))
    committed(file)
    file.write_text(project(web="mem_limit: 48m;deploy:;  replicas: 2"))
    git(file.parent, "commit", "-am", "two")
    file.write_text(project(web="mem_limit: 32m"))
    compose(shop, "up", "--detach", "--scale", "web=3")
    settings = shop.settings()
    for revision, number, size in (("HEAD~1", 3, 64), ("HEAD", 2, 48)):
        assert [
            result.state for result in to_revision(settings, file, revision, dry_run=False)
        ] == ["started"]
        assert [*replicas(shop, "shop/web").values()] == [size] * number
        undo_release(settings, dry_run=False)
        assert [*replicas(shop, "shop/web").values()] == [32] * 3


def test_a_revision_that_has_more_of_a_service_is_taken_back_to_fewer(shop: Fleet) -> None:
    """The first container is the same before and after: what came beside it goes all the same."""
    file = shop.up(project(web="scale: 2"))
    committed(file)
    file.write_text(project(web="scale: 1"))
    compose(shop, "up", "--detach")
    settings, before = shop.settings(), seen(shop.settings())
    to_revision(settings, file, "HEAD", dry_run=False)
    assert len(replicas(shop, "shop/web")) == 2
    undo_release(settings, dry_run=False)
    assert seen(settings) == before


@pytest.mark.parametrize("way", ["failure", "rollback", "undo"])
def test_services_that_only_the_revision_had_go_with_it(shop: Fleet, way: str) -> None:
    """Made by the run, removed when it is rolled back, by itself or by a person; the journal has
    both.
    """
    dies = {"web": 'entrypoint: ["false"]'} if way == "failure" else {"web": "mem_limit: 64m"}
    file = shop.up(project(**dies, cache=""))
    committed(file)
    compose(shop, "down")
    shop.up(project(web="mem_limit: 32m"))
    settings, before = shop.settings(), seen(shop.settings())
    done = to_revision(settings, file, "HEAD", dry_run=False)
    assert [(result.service, result.state) for result in done] == [
        ("shop/cache", "started"),
        ("shop/web", "failed" if way == "failure" else "started"),
    ]
    ((run, _),) = journal_runs(settings.apply.journal)
    if way == "rollback":
        assert [result.state for result in rollback(run, settings)] == ["undone", "undone"]
    elif way == "undo":
        assert {result.state for result in undo_release(settings, dry_run=False)} == {"back"}
    assert seen(settings) == before
    ((_, entries),) = journal_runs(settings.apply.journal)
    made = [
        (entry.kind, entry.detail.container)
        for entry in entries
        if entry.kind in {Kind.CREATED, Kind.REMOVED}
    ]
    assert made == [(Kind.CREATED, "shop-cache-1"), (Kind.REMOVED, "shop-cache-1")]
    assert ("shop/cache", "create", "rolled back") in [
        (adjustment.service, adjustment.what, adjustment.outcome)
        for adjustment in journal_history([settings.apply.journal])
    ]


def test_a_container_that_somebody_made_since_stays(shop: Fleet) -> None:
    """Only what the run made is removed: another one of the same service is said, and left
    alone.
    """
    file = shop.up(project(web="", cache=""))
    committed(file)
    compose(shop, "down")
    shop.up(project(web="mem_limit: 32m"))
    settings = shop.settings()
    to_revision(settings, file, "HEAD", dry_run=False)
    compose(shop, "up", "--detach", "--force-recreate", "cache")
    ((run, _),) = journal_runs(settings.apply.journal)
    states = {result.service: (result.state, result.reason) for result in rollback(run, settings)}
    assert states["shop/web"] == ("undone", "")
    assert states["shop/cache"] == (
        "failed",
        "shop-cache-1 was made by somebody else since, and stays: remove it yourself",
    )
    assert "shop-cache-1" in {container.name for container in snapshot(settings.engine).containers}


@pytest.fixture
def two(shop: Fleet) -> tuple[Fleet, Path]:
    """A project whose revision has two services with other limits."""
    file = shop.up(project(web="mem_limit: 64m", db="mem_limit: 64m"))
    committed(file)
    shop.up(project(web="mem_limit: 32m", db="mem_limit: 32m"))
    return shop, file


def interrupted_at(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, call: int, error: BaseException
) -> None:
    """Make a function fail at its n-th call."""
    real, calls = getattr(place, name), []

    def first(*words: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise error
        return real(*words, **options)

    monkeypatch.setattr(place, name, first)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), RuntimeError("no")])
def test_an_interruption_takes_everything_back(
    two: tuple[Fleet, Path], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Between the two services: files and containers are as before, the error goes on, and the
    journal says why.
    """
    shop, file = two
    settings, before, present = shop.settings(), seen(shop.settings()), file.read_text()
    interrupted_at(monkeypatch, revisions, "recreate", 2, error)
    with pytest.raises(type(error)):
        to_revision(settings, file, "HEAD", dry_run=False)
    assert (seen(settings), file.read_text()) == (before, present)
    ((_, entries),) = journal_runs(settings.apply.journal)
    assert isinstance(entries[-1], FinishedEntry)
    assert entries[-1].detail.state == "rolled-back"
    (said,) = [entry.detail.why for entry in entries if entry.kind is Kind.ROLLBACK]
    assert said == f"interrupted: {type(error).__name__}"
    assert apply_plan(plan_of(), settings).outcomes == []


@pytest.mark.parametrize("way", ["undo", "rollback"])
def test_where_the_way_back_is_interrupted_too_the_run_stays_open(
    two: tuple[Fleet, Path], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Applying is refused with what to do, and both commands that it could be bring everything
    back.
    """
    shop, file = two
    settings, before, present = shop.settings(), seen(shop.settings()), file.read_text()
    interrupted_at(monkeypatch, revisions, "recreate", 2, KeyboardInterrupt())
    interrupted_at(
        monkeypatch,
        importlib.import_module("capacity.changes._rollback.rollback"),
        "undo_step",
        2,
        KeyboardInterrupt(),
    )
    with pytest.raises(KeyboardInterrupt):
        to_revision(settings, file, "HEAD", dry_run=False)
    assert seen(settings) != before
    ((run, entries),) = journal_runs(settings.apply.journal)
    assert Kind.FINISHED not in {entry.kind for entry in entries}
    with pytest.raises(
        ChangeRefused, match=f"did not come to its end.*`capacity rollback {run} --yes`"
    ):
        apply_plan(plan_of(), settings)
    if way == "undo":
        assert {result.state for result in undo_release(settings, dry_run=False)} == {"back"}
    else:
        assert {result.state for result in rollback(run, settings)} == {"undone"}
    assert (seen(settings), file.read_text()) == (before, present)
    assert apply_plan(plan_of(), settings).outcomes == []


def test_ctrl_c_of_the_command_takes_everything_back(shop: Fleet) -> None:
    """A signal while it waits for the health of the first service: fleet and file are as before
    when it has ended.
    """
    slow = "healthcheck:;  test: [CMD, 'false'];  interval: 40s;  retries: 1"
    file = shop.up(project(web=slow, db=slow))
    committed(file)
    shop.up(project(web="", db=""))
    settings, before, present = shop.settings(), seen(shop.settings()), file.read_text()
    words = [
        sys.executable,
        "-m",
        "capacity",
        "emergency",
        "rollback",
        "--revision",
        "HEAD",
        "--compose",
        str(file),
        "--yes",
    ]
    with subprocess.Popen(
        words, env={**os.environ, **shop.environment()}, cwd=shop.folder, stderr=subprocess.PIPE
    ) as asked:
        wait_for(
            lambda: (
                [
                    container
                    for container in snapshot(settings.engine).containers
                    if container.health == "starting"
                ]
                or None
            ),
            "its start",
        )
        asked.send_signal(signal.SIGINT)
        said = asked.communicate(timeout=60)[1]
    assert asked.returncode == 130
    assert b"interrupted; everything was rolled back, all is as it was before" in said
    assert (seen(settings), file.read_text()) == (before, present)
    ((_, entries),) = journal_runs(settings.apply.journal)
    assert isinstance(entries[-1], FinishedEntry)
    assert entries[-1].detail.state == "rolled-back"


def test_a_plan_and_a_revision_on_one_service_go_back_in_their_order(
    two: tuple[Fleet, Path],
) -> None:
    """The older of the two is refused while the later one stands, whichever kind it is; a dry run
    refuses too.
    """
    shop, file = two
    settings = shop.settings()
    plan = apply_plan(plan_of(memory("shop/web", 32, 40)), settings).run
    to_revision(settings, file, "HEAD", dry_run=False)
    first = next(run for run, _ in journal_runs(settings.apply.journal) if run.endswith("revision"))
    later = apply_plan(plan_of(memory("shop/db", 64, 80)), settings).run
    for older, newer, what in (
        (plan, first, "shop/web as a whole"),
        (first, later, "shop/db memory"),
    ):
        with pytest.raises(
            ChangeRefused,
            match=f"The run {newer} changed {what} later.*Roll that back first: {newer}",
        ):
            rollback(older, settings)
        with pytest.raises(ChangeRefused, match="Roll that back first"):
            rollback_preview(older, settings)
    rows = [
        (preview.service, preview.what, preview.now, preview.former)
        for preview in rollback_preview(later, settings)
    ]
    assert rows == [("shop/db", "memory", "80 MiB", "64 MiB")]
    for run in (later, first, plan):
        assert {result.state for result in rollback(run, settings)} == {"undone"}
    assert (replicas(shop, "shop/web"), replicas(shop, "shop/db")) == (
        {"shop-web-1": 32},
        {"shop-db-1": 32},
    )
