"""A pool on a real Engine: leases that nobody shares or loses, replaced instances, nothing left
behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from capacity._docker.engine import connect_all
from capacity.errors import EngineRefused, InputError, PoolBusy, PoolUnhealthy
from capacity.operations import InstancePool
from capacity.operations._pools import commands
from capacity.operations._pools.locks import place_of
from capacity.operations._pools.session import _TRUSTED
from capacity.settings import ApplySettings, EngineSettings, Settings
from tests.fixtures.running.docker_engine import Engine, busybox_image, client, dockerd
from tests.fixtures.running.lock_holder import SLEEP, hold, pool, steps
from tests.fixtures.running.servers import wait_for

MIB = 1 << 20


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine with one image."""
    with dockerd(tmp_path_factory.mktemp("dockerd")) as server:
        busybox_image(server, "busybox:local")
        yield server


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of this test alone; its locks are where everybody's are, in a folder of the
    module's Engine.
    """
    monkeypatch.setenv("CAPACITY_APPLY__JOURNAL", str(tmp_path / "journal"))


def names(engine: Engine, name: str) -> list[str]:
    """Containers of a pool."""
    label = {"label": f"capacity.pool={name}"}
    with closing(client(engine)) as docker:
        return sorted(
            found.name
            for found in docker.containers.list(all=True, filters=label, ignore_removed=True)
        )


def test_never_more_than_its_size_never_shared_and_gone_in_the_end(
    engine: Engine, tmp_path: Path
) -> None:
    """Sixteen threads and three more processes, one killed with a lease in hand: every lease is
    given, none is shared or lost.

    Each process has a TMPDIR of its own, which is no reason not to see the others.

    The pool's own books are not asked: a file that only one holder can have tells of sharing, and
    counters that a holder reads and writes again without any protection lose a step when two do it
    at once.
    """
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "shared").touch()
    counts: list[int] = []
    with pool(engine.url, "many", 3) as mine, ExitStack() as stack:
        threads = [
            threading.Thread(target=lambda: counts.append(hold(mine, marks, 600)))
            for _ in range(16)
        ]
        words = [sys.executable, "-m", "tests.fixtures.running.lock_holder", engine.url, str(marks)]
        others: list[subprocess.Popen[str]] = []
        for what in ("killed", "200", "200"):
            own = tmp_path / f"tmp-{len(others)}"
            own.mkdir()
            options: dict[str, Any] = {
                "stdout": subprocess.PIPE,
                "env": {**os.environ, "TMPDIR": str(own)},
                "text": True,
            }
            others.append(stack.enter_context(subprocess.Popen([*words, what], **options)))
        victim = others.pop(0)
        assert victim.stdout is not None
        assert victim.stdout.readline() == "leased\n"
        for thread in threads:
            thread.start()
        wait_for(
            lambda: sum(steps(marks)) > 1000 or None, "leases beside the one that is to be killed"
        )
        victim.kill()
        for thread in threads:
            thread.join()
        elsewhere = [int(other.communicate()[0]) for other in others]
        assert names(engine, "many") == ["many-pool-0", "many-pool-1", "many-pool-2"]
        assert [state.leased for state in mine.status()] == [False] * 3
    assert (marks / "shared").read_text() == ""
    assert (counts, elsewhere) == ([600] * 16, [200] * 2)
    assert sum(steps(marks)) == 16 * 600 + 2 * 200 + 1
    assert len(steps(marks)) == 3
    assert all(steps(marks))
    assert names(engine, "many") == []


def test_instances_have_the_limits_of_the_pool(engine: Engine) -> None:
    """Memory and cores as asked for."""
    with pool(engine.url, "limits", 1), closing(client(engine)) as docker:
        made = docker.containers.get("limits-pool-0").attrs["HostConfig"]
    assert (made["Memory"], made["NanoCpus"]) == (64 * MIB, 100_000_000)


def test_a_dead_instance_is_replaced(engine: Engine) -> None:
    """Killed or removed behind the pool's back: the next lease gets a new one that runs."""
    with pool(engine.url, "dead", 1) as mine:
        with mine.lease() as first:
            pass
        with closing(client(engine)) as docker:
            docker.containers.get(first.name).kill()
        time.sleep(_TRUSTED)
        with mine.lease() as second:
            assert second.id != first.id
        with closing(client(engine)) as docker:
            docker.containers.get(second.name).remove(force=True)
        time.sleep(_TRUSTED)
        with mine.lease() as third, closing(client(engine)) as docker:
            assert docker.containers.get(third.id).status == "running"


def test_the_engine_is_not_asked_again_until_something_speaks_against_an_instance(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its word is taken for a while, but not after the holder's block failed, nor after another
    user replaced the instance.
    """
    monkeypatch.setattr("capacity.operations._pools.session._TRUSTED", 600.0)
    with pool(engine.url, "trust", 1) as mine, closing(client(engine)) as docker:
        with mine.lease() as first:
            docker.containers.get(first.name).kill()
        with mine.lease() as second:
            assert second.id == first.id
        with pytest.raises(RuntimeError, match="no answer"), mine.lease():
            raise RuntimeError("no answer")
        with mine.lease() as third:
            assert third.id != first.id
            assert docker.containers.get(third.id).status == "running"
        docker.containers.get(third.name).kill()
        with pool(engine.url, "trust", 1) as other, mine.lease() as fourth:
            assert fourth.id != third.id
            assert [state.state for state in other.status()] == ["running"]


def test_waiting_has_an_end(engine: Engine) -> None:
    """With every instance leased the next one is told so in time."""
    with pool(engine.url, "busy", 1) as mine, mine.lease():
        began = time.monotonic()
        with pytest.raises(PoolBusy, match="None of 1"), mine.lease(timeout=0.3):
            raise AssertionError("two leases on one instance")
        assert time.monotonic() - began < 5
        assert [state.leased for state in mine.status()] == [True]


def test_scaling_grows_at_once_and_shrinks_after_the_lease(engine: Engine) -> None:
    """Up to three, back to one; an instance that is leased is waited for."""
    with pool(engine.url, "scale", 1) as mine:
        mine.scale(3)
        assert len(names(engine, "scale")) == 3
        mine.scale(1)
        assert names(engine, "scale") == ["scale-pool-0"]
        mine.scale(2)
        held = [mine.lease(), mine.lease()]
        for lease in held:
            lease.__enter__()
        with pytest.raises(PoolUnhealthy, match="not given back"):
            mine.scale(1, timeout=0.3)
        for lease in held:
            lease.__exit__(None, None, None)


def test_a_growth_that_fails_takes_its_new_instances_back(engine: Engine, tmp_path: Path) -> None:
    """The health check that the first instance passed fails: the pool is as it was, and can be
    leased.
    """
    well = tmp_path / "well"
    well.touch()
    health = {"Test": ["CMD", "test", "-e", "/shared/well"], "Interval": 100_000_000, "Retries": 1}
    shared = {"Binds": [f"{tmp_path}:/shared:ro"]}
    with pool(engine.url, "grown", 1, health=health, host_config=shared) as mine:
        well.unlink()
        wrong = "grown-pool-1 does not become healthy: it is running, unhealthy"
        with pytest.raises(PoolUnhealthy, match=wrong):
            mine.scale(3)
        assert names(engine, "grown") == ["grown-pool-0"]
        assert [state.number for state in mine.status()] == [0]
        well.touch()
        with mine.lease(timeout=5) as instance:
            assert instance.number == 0


def test_two_users_share_and_the_last_one_cleans_up(engine: Engine) -> None:
    """The containers of a pool stay while anybody uses it."""
    with pool(engine.url, "shared", 2) as mine:
        with pool(engine.url, "shared", 2) as other, mine.lease() as first, other.lease() as second:
            assert first.number != second.number
        assert len(names(engine, "shared")) == 2
    assert names(engine, "shared") == []
    with connect_all(EngineSettings(hosts={"test": engine.url})) as (engines, _):
        assert not place_of("shared", engines["test"]).folder.exists()


def test_a_pool_that_stands_outlives_the_programs_that_join_it(
    engine: Engine, tmp_path: Path
) -> None:
    """Also when such a program has replaced its only instance; and a program's own pool cannot be
    made to stay.
    """
    journal = ApplySettings(journal=tmp_path / "journal")
    settings = Settings(engine=EngineSettings(hosts={"test": engine.url}), apply=journal)
    wanted = pool(engine.url, "stands", 1, keep=True)
    commands.pool_up(settings, wanted, dry_run=False)
    with pool(engine.url, "stands", 1) as joined, closing(client(engine)) as docker:
        docker.containers.get("stands-pool-0").remove(force=True)
        time.sleep(_TRUSTED)
        with joined.lease() as instance:
            assert instance.name == "stands-pool-0"
    assert names(engine, "stands") == ["stands-pool-0"]
    commands.pool_down(settings, "stands", dry_run=False)
    with pool(engine.url, "stands", 1), pytest.raises(InputError, match="belongs to a program"):
        commands.pool_up(settings, wanted, dry_run=False)
    assert names(engine, "stands") == []


def test_a_killed_user_leaves_nothing_and_blocks_nobody(engine: Engine) -> None:
    """Kill -9 with a lease in hand: another user gets the instance at once; alone, the watcher
    removes the pool.
    """
    script = f"""
import time
from capacity.operations import InstancePool
from capacity.settings import EngineSettings
with InstancePool("killed", "busybox:local", 1, command={SLEEP!r}, memory=1 << 26,
                  cpus=0.1, network="none",
                  settings=EngineSettings(hosts={{"test": {engine.url!r}}})) as pool:
    with pool.lease():
        print("leased", flush=True)
        time.sleep(600)
"""

    def crash() -> None:
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as user:
            assert user.stdout is not None
            assert user.stdout.readline() == b"leased\n"
            user.send_signal(signal.SIGKILL)

    crash()
    wait_for(lambda: not names(engine, "killed") or None, "the watcher")
    with pool(engine.url, "killed", 1) as mine:
        blocker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert blocker.stdout is not None
        assert blocker.stdout.readline() == b"leased\n"
        blocker.send_signal(signal.SIGKILL)
        blocker.communicate()
        with mine.lease(timeout=30):
            assert len(names(engine, "killed")) == 1


def test_what_cannot_be_is_refused(engine: Engine) -> None:
    """No instances, an odd name, an image that is not there; nothing is left behind."""
    with pytest.raises(InputError, match="0 instances"):
        pool(engine.url, "none", 0)
    for name in ("a/b", "", "пул", "_x", "-x", "x" * 64, "x" * 300, "a\n", "٣"):
        with pytest.raises(InputError, match="is no name for a pool"):
            pool(engine.url, name, 1)
    for cpus in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="is no limit"):
            pool(engine.url, "none", 1, cpus=cpus)
    settings = EngineSettings(hosts={"test": engine.url})
    with (
        pytest.raises((EngineRefused, Exception), match="nowhere"),
        InstancePool("gone", "nowhere:1", 1, settings=settings),
    ):
        raise AssertionError("an image from nowhere")
    assert names(engine, "gone") == []
