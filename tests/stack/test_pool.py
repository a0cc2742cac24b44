"""A pool on a real Engine: leases that nobody shares or loses, replaced instances, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from capacity.errors import EngineRefused, InputError, PoolBusy, PoolUnhealthy
from capacity.operations import InstancePool
from capacity.settings import EngineSettings
from tests.servers import wait_for
from tests.servers_docker import Engine, busybox_image, client, dockerd

MIB = 1 << 20
SLEEP = ["busybox", "sleep", "600"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine with one image."""
    with dockerd(tmp_path_factory.mktemp("dockerd")) as server:
        busybox_image(server, "busybox:local")
        yield server


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools of this test alone."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def pool(engine: Engine, name: str, size: int, **more: object) -> InstancePool:
    """A pool of sleepers with limits."""
    settings = EngineSettings(hosts={"test": engine.url})
    options = {"command": SLEEP, "memory": 64 * MIB, "cpus": 0.1, "network": "none", "settings": settings} | more
    return InstancePool(name, "busybox:local", size, **options)  # type: ignore[arg-type]  # options of the pool


def names(engine: Engine, name: str) -> list[str]:
    """Containers of a pool."""
    with closing(client(engine)) as docker:
        return sorted(one.name for one in docker.containers.list(all=True, filters={"label": f"capacity.pool={name}"}))


def test_never_more_than_its_size_never_shared_and_gone_in_the_end(engine: Engine) -> None:
    """Sixteen threads take three instances many times: each is held by one at a time, none is lost, and all are removed."""
    busy = [threading.Lock() for _ in range(3)]
    done: list[int] = []
    shared: list[int] = []

    def work(mine: InstancePool) -> None:
        for _ in range(25):
            with mine.lease(timeout=60) as instance:
                if not busy[instance.number].acquire(blocking=False):
                    shared.append(instance.number)
                    continue
                done.append(instance.number)
                busy[instance.number].release()

    with pool(engine, "many", 3) as mine:
        threads = [threading.Thread(target=work, args=(mine,)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names(engine, "many") == ["many-pool-0", "many-pool-1", "many-pool-2"]
        with closing(client(engine)) as docker:
            made = docker.containers.get("many-pool-0").attrs["HostConfig"]
        assert (made["Memory"], made["NanoCpus"]) == (64 * MIB, 100_000_000)
    assert not shared
    assert len(done) == 16 * 25
    assert set(done) == {0, 1, 2}
    assert names(engine, "many") == []


def test_a_dead_instance_is_replaced(engine: Engine) -> None:
    """Killed or removed behind the pool's back: the next lease gets a new one that runs."""
    with pool(engine, "dead", 1) as mine:
        with mine.lease() as first:
            pass
        with closing(client(engine)) as docker:
            docker.containers.get(first.name).kill()
        with mine.lease() as second:
            assert second.id != first.id
        with closing(client(engine)) as docker:
            docker.containers.get(second.name).remove(force=True)
        with mine.lease() as third, closing(client(engine)) as docker:
            assert docker.containers.get(third.id).status == "running"


def test_waiting_has_an_end(engine: Engine) -> None:
    """With every instance leased the next one is told so in time."""
    with pool(engine, "busy", 1) as mine, mine.lease():
        began = time.monotonic()
        with pytest.raises(PoolBusy, match="None of 1"), mine.lease(timeout=0.3):
            raise AssertionError("two leases on one instance")
        assert time.monotonic() - began < 5
        assert [state.leased for state in mine.status()] == [True]


def test_scaling_grows_at_once_and_shrinks_after_the_lease(engine: Engine) -> None:
    """Up to three, back to one; an instance that is leased is waited for."""
    with pool(engine, "scale", 1) as mine:
        mine.scale(3)
        assert len(names(engine, "scale")) == 3
        mine.scale(1)
        assert names(engine, "scale") == ["scale-pool-0"]
        mine.scale(2)
        held = [mine.lease(), mine.lease()]
        for one in held:
            one.__enter__()
        with pytest.raises(PoolUnhealthy, match="not given back"):
            mine.scale(1, timeout=0.3)
        for one in held:
            one.__exit__(None, None, None)


def test_two_users_share_and_the_last_one_cleans_up(engine: Engine) -> None:
    """The containers of a pool stay while anybody uses it."""
    with pool(engine, "shared", 2) as one:
        with pool(engine, "shared", 2) as other, one.lease() as first, other.lease() as second:
            assert first.number != second.number
        assert len(names(engine, "shared")) == 2
    assert names(engine, "shared") == []


def test_a_killed_user_leaves_nothing_and_blocks_nobody(engine: Engine, tmp_path: Path) -> None:
    """Kill -9 with a lease in hand: another user gets the instance at once; alone, the watcher removes the pool."""
    script = f"""
import time
from capacity.operations import InstancePool
from capacity.settings import EngineSettings
with InstancePool("killed", "busybox:local", 1, command={SLEEP!r}, network="none",
                  settings=EngineSettings(hosts={{"test": {engine.url!r}}})) as pool:
    with pool.lease():
        print("leased", flush=True)
        time.sleep(600)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def crash() -> None:
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as user:
            assert user.stdout is not None
            assert user.stdout.readline() == b"leased\n"
            user.send_signal(signal.SIGKILL)

    crash()
    wait_for(lambda: not names(engine, "killed") or None, "the watcher")
    with pool(engine, "killed", 1) as mine:
        blocker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment)
        assert blocker.stdout is not None
        assert blocker.stdout.readline() == b"leased\n"
        blocker.send_signal(signal.SIGKILL)
        blocker.communicate()
        with mine.lease(timeout=5):
            assert len(names(engine, "killed")) == 1


def test_what_cannot_be_is_refused(engine: Engine) -> None:
    """No instances, an odd name, an image that is not there; nothing is left behind."""
    with pytest.raises(InputError, match="0 instances"):
        pool(engine, "none", 0)
    with pytest.raises(InputError, match="no name"):
        pool(engine, "a/b", 1)
    settings = EngineSettings(hosts={"test": engine.url})
    with pytest.raises((EngineRefused, Exception), match="nowhere"), InstancePool("gone", "nowhere:1", 1, settings=settings):
        raise AssertionError("an image from nowhere")
    assert names(engine, "gone") == []
