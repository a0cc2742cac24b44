"""What can go wrong half way, on a real Engine: every run ends in a state that is said, and from
which one can go on or back.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from capacity._compose import drift
from capacity._docker import snapshot
from capacity.changes import apply_plan, dry_run, resume, resume_preview, rollback
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.lock import apply_lock
from capacity.changes._journal.models import Entry, Kind
from capacity.changes._journal.runs import journal_runs
from capacity.errors import ApplyFailed, Locked, StorageError
from capacity.model import Setting
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.docker_engine import Engine, _pings, busybox_image, client, dockerd
from tests.fixtures.running.fleet import (
    MIB,
    Fleet,
    fleet,
    in_folder,
    memory,
    other,
    plan_of,
    project,
)
from tests.fixtures.running.servers import Command, require, running, wait_for


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One Engine for the module."""
    with fleet(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.fixture
def shop(whole: Fleet, tmp_path: Path) -> Iterator[Fleet]:
    """An empty Engine and a folder of the test's own."""
    made = in_folder(whole, tmp_path)
    yield made
    made.clear()


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kind, Callable[[], Any]], None]:
    """Do something in the moment after the first line of a kind is in the journal."""

    def install(kind: Kind, what: Callable[[], Any]) -> None:
        append = Journal.append
        done: list[bool] = []

        def appending(self: Journal, entry: Entry) -> Entry:
            append(self, entry)
            if entry.kind is kind and not done:
                done.append(True)
                what()
            return entry

        monkeypatch.setattr(Journal, "append", appending)

    return install


def remove(shop: Fleet, name: str) -> None:
    """Remove a container behind everybody's back."""
    with closing(client(shop.engine)) as api:
        api.containers.get(name).remove(force=True)


def test_a_conflict_takes_the_step_back_and_the_run_goes_on(shop: Fleet) -> None:
    """409 from the Engine: that container is as before, the other one is changed."""
    shop.run("one", mem_limit=64 * MIB)
    shop.run("two", mem_limit=64 * MIB)
    plan = plan_of(
        other("standalone/one", Setting.MEMORY_SWAP, 128 * MIB, 32 * MIB),
        memory("standalone/two", 64, 96),
    )
    result = apply_plan(plan, shop.settings())
    states = {outcome.service: outcome for outcome in result.outcomes}
    assert (result.state, states["standalone/one"].state, states["standalone/two"].state) == (
        "failed",
        "failed",
        "done",
    )
    assert "refused to update one" in states["standalone/one"].reason
    assert (shop.limits("one")["MemorySwap"], shop.memory("two")) == (128 * MIB, 96)


FILL = ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; sleep 600"]


def test_the_engines_own_failure_leaves_file_and_container(
    shop: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 for a limit below use, which the check before would have caught: the file is put back."""
    text = project(web="mem_limit: 128m; shm_size: 64m").replace(
        '["sleep", "600"]', '["sh", "-c", "' + FILL[2] + '"]'
    )
    file = shop.up(text)
    with closing(client(shop.engine)) as api:
        wait_for(lambda: b"40+0" in api.containers.get("shop-web-1").logs(), "the memory is in use")
    monkeypatch.setattr("capacity.changes._apply.step_groups.check_lowering", lambda *_: None)
    result = apply_plan(plan_of(memory("shop/web", 128, 16)), shop.settings())
    assert result.outcomes[0].state == "failed"
    assert file.read_text() == text
    assert shop.memory("shop-web-1") == 128


def test_a_container_removed_before_its_step(shop: Fleet, after: Any) -> None:
    """The step is refused, nothing is touched, the rest of the plan goes on."""
    file = shop.up(project(web="mem_limit: 64m", db="mem_limit: 64m"))
    after(Kind.STARTED, lambda: remove(shop, "shop-db-1"))
    result = apply_plan(
        plan_of(memory("shop/web", 64, 96), memory("shop/db", 64, 96)), shop.settings()
    )
    assert {outcome.service: outcome.state for outcome in result.outcomes} == {
        "shop/web": "done",
        "shop/db": "refused",
    }
    assert file.read_text().count("96m") == 1


def test_a_container_removed_in_the_middle_of_its_step(shop: Fleet, after: Any) -> None:
    """The file is put back, and the outcome says that the container is gone."""
    text = project(web="mem_limit: 64m")
    file = shop.up(text)
    after(Kind.FILE_WRITTEN, lambda: remove(shop, "shop-web-1"))
    result = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings())
    assert (result.state, result.outcomes[0].state) == ("failed", "failed")
    assert "shop-web-1" in result.outcomes[0].reason
    assert file.read_text() == text


def test_a_renamed_container_is_not_touched(shop: Fleet, after: Any) -> None:
    """Renamed between the check and its step, it is somebody else's business now."""
    shop.run("one", mem_limit=64 * MIB)

    def rename() -> None:
        with closing(client(shop.engine)) as api:
            api.containers.get("one").rename("another")

    after(Kind.STARTED, rename)
    result = apply_plan(plan_of(memory("standalone/one", 64, 96)), shop.settings())
    assert "is called another now" in result.outcomes[0].reason
    assert shop.memory("another") == 64


def test_a_limit_that_somebody_changes_meanwhile(shop: Fleet, after: Any) -> None:
    """Changed between check and step: refused with what is in force."""
    shop.run("one", mem_limit=64 * MIB)

    def meddle() -> None:
        with closing(client(shop.engine)) as api:
            api.containers.get("one").update(mem_limit="80m", memswap_limit="160m")

    after(Kind.STARTED, meddle)
    result = apply_plan(plan_of(memory("standalone/one", 64, 96)), shop.settings())
    assert "has become 80 MiB" in result.outcomes[0].reason
    assert shop.memory("one") == 80


def test_a_compose_file_that_somebody_edits_meanwhile(shop: Fleet, after: Any) -> None:
    """Edited between the intent and the writing: their text stays, the container is not touched."""
    text = project(web="mem_limit: 64m")
    file = shop.up(text)
    after(Kind.INTENT, lambda: file.write_text(text + "# mine\n"))
    result = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings())
    assert result.outcomes[0].state == "failed"
    assert "changed by somebody" in result.outcomes[0].reason
    assert file.read_text() == text + "# mine\n"
    assert shop.memory("shop-web-1") == 64
    assert drift(snapshot(shop.settings().engine)) == []


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[None]:
    """A file system of its own in a folder."""
    done = subprocess.run(["mount", *words, str(folder)], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_compose_file(shop: Fleet) -> None:
    """The container keeps its limit too."""
    text = project(web="mem_limit: 64m")
    file = shop.up(text)
    with mounted(file.parent, "--bind", "-o", "ro", str(file.parent)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(file.parent)], check=True)
        result = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings())
    assert "read-only" in result.outcomes[0].reason.lower()
    assert (file.read_text(), shop.memory("shop-web-1")) == (text, 64)


def fill(folder: Path) -> Path:
    """Leave no room in a folder's file system."""
    ballast = folder / "ballast"
    handle = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(handle, b"x" * 4096)
    os.close(handle)
    return ballast


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # closing what a full disk did not take
def test_a_full_disk_under_the_compose_file(shop: Fleet) -> None:
    """The file is whole, the container keeps its limit."""
    place = shop.folder / "shop"
    place.mkdir()
    with mounted(place, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        text = project(web="mem_limit: 64m")
        file = shop.up(text)
        fill(place)
        result = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings())
        assert "No space" in result.outcomes[0].reason
        assert (file.read_text(), shop.memory("shop-web-1")) == (text, 64)


def test_a_full_disk_without_a_lock_file(tmp_path: Path) -> None:
    """The lock cannot say whose it is: that is one error with a next step; with room again the lock
    is had, and is refused.
    """
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        ballast = fill(tmp_path)
        with (
            pytest.raises(StorageError, match=r"Cannot use .*lock: No space.*Free some space"),
            apply_lock(tmp_path),
        ):
            raise AssertionError("a lock that names nobody")
        ballast.unlink()
        with (
            apply_lock(tmp_path),
            pytest.raises(Locked, match=rf"process {os.getpid()}"),
            apply_lock(tmp_path),
        ):
            raise AssertionError("two hold the lock")


def test_a_full_disk_under_the_journal(shop: Fleet, after: Any) -> None:
    """Nothing is done without its line; with room again the run goes on to its end."""
    journal = shop.folder / "journal"
    journal.mkdir()
    file = shop.up(project(web="mem_limit: 64m", db="mem_limit: 64m"))
    plan = plan_of(memory("shop/web", 64, 96), memory("shop/db", 64, 96))
    with mounted(journal, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        after(Kind.FILE_WRITTEN, lambda: fill(journal))
        with pytest.raises(ApplyFailed, match=r"stopped half way.*No space"):
            apply_plan(plan, shop.settings())
        (journal / "ballast").unlink()
        halfway = (shop.memory("shop-web-1"), shop.memory("shop-db-1"))
        _, ahead = resume_preview(shop.settings())
        assert sorted(preview.state for preview in ahead) == ["would-apply", "would-finish"]
        assert {preview.change for preview in ahead} == {"memory 64 MiB -> 96 MiB"}
        asked = capacity_here("apply", "--resume", folder=shop.folder, **shop.environment())
        assert (asked.returncode, asked.stderr) == (0, "Nothing was changed; --yes does it.\n")
        assert "Dry run: going on with" in asked.stdout
        assert (shop.memory("shop-web-1"), shop.memory("shop-db-1")) == halfway != (96, 96)
        assert resume(shop.settings()).state == "finished"
    assert (shop.memory("shop-web-1"), shop.memory("shop-db-1")) == (96, 96)
    assert file.read_text().count("96m") == 2


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # docker-py's sockets to an Engine that died
@pytest.mark.parametrize("way", ["on", "back"])
def test_an_engine_that_dies_in_the_middle(tmp_path: Path, after: Any, way: str) -> None:
    """The run stops and says how to go on; with the Engine back both ways lead to a whole state."""
    with dockerd(tmp_path / "docker", extra_args=["--live-restore"]) as engine:
        busybox_image(engine, "stack")
        shop = Fleet(engine, tmp_path)
        text = project(web="mem_limit: 64m", db="mem_limit: 64m")
        file = shop.up(text)
        plan = plan_of(memory("shop/web", 64, 96), memory("shop/db", 64, 96))
        after(Kind.UPDATED, lambda: kill(engine))
        with pytest.raises(ApplyFailed, match="apply --resume"):
            apply_plan(plan, shop.settings())
        with again(engine):
            if way == "on":
                assert resume(shop.settings()).state == "finished"
            else:
                ((run, _),) = journal_runs(shop.settings().apply.journal)
                rollback(run, shop.settings())
            limit = "96m" if way == "on" else "64m"
            assert file.read_text() == text.replace("64m", limit)
            assert {shop.memory("shop-web-1"), shop.memory("shop-db-1")} == {int(limit[:-1])}
            shop.clear()
    gc.collect()  # the sockets that docker-py left, while their warning is ignored


def kill(engine: Engine) -> None:
    """End the daemon at once; its containers live on."""
    os.kill(engine.pid, signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{engine.pid}/exe").exists(), "the daemon is gone")


@contextmanager
def again(engine: Engine) -> Iterator[None]:
    """The same daemon once more, on the same socket and data."""
    socket = Path(engine.url.removeprefix("unix://"))
    for left in (
        "exec/containerd/containerd.pid",
        "pid",
    ):  # of a process that nobody has reaped yet
        (socket.parent / left).unlink(missing_ok=True)
    command: Command = [
        require("dockerd"),
        f"--host={engine.url}",
        f"--data-root={engine.root}",
        f"--exec-root={socket.parent / 'exec'}",
        f"--pidfile={socket.parent / 'pid'}",
        *("--iptables=false", "--ip6tables=false", "--bridge=none", "--live-restore"),
    ]
    with running("dockerd-back", command, engine.directory, lambda: _pings(socket)):
        yield


def test_two_replicas_with_different_limits_are_refused(shop: Fleet) -> None:
    """Somebody changed one of two replicas: the plan was made for one value and says so."""
    shop.up(project(web="mem_limit: 64m; scale: 2"))
    with closing(client(shop.engine)) as api:
        api.containers.get("shop-web-2").update(mem_limit="80m", memswap_limit="160m")
    _, refused = dry_run(plan_of(memory("shop/web", 64, 96)), shop.settings())
    assert "in force is 64 MiB, 80 MiB" in refused[0].reason


def test_without_the_compose_file_nothing_is_changed(shop: Fleet) -> None:
    """A file that is not on this machine: refused, unless the settings want the container alone."""
    file = shop.up(project(web="mem_limit: 64m"))
    file.unlink()
    plan = plan_of(memory("shop/web", 64, 96))
    assert "is not on this machine" in dry_run(plan, shop.settings())[1][0].reason
    assert apply_plan(plan, shop.settings(live_only=True)).state == "finished"
    assert shop.memory("shop-web-1") == 96
