"""The folder of a pool's locks goes with its last user, and nobody is left with a lock that
excludes nobody.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from capacity.errors import PoolBusy
from capacity.operations._pools.leases import exclusive, lease, leased, member, retire
from capacity.operations._pools.watcher import _PATIENCE
from capacity.settings import EngineSettings

_TURNS = 300
_KILLED = 5


def test_a_folder_is_removed_only_while_nobody_uses_it(tmp_path: Path) -> None:
    """With a member it stays, without one it goes, and the next member makes it again."""
    users = tmp_path / "pool" / "users.lock"
    assert not retire(users)
    with member(users), exclusive(users.parent / "slot-0.lock"):
        assert leased(users.parent, 2) == [True, False]
        assert not retire(users)
    assert not (users.parent / "slot-1.lock").exists()
    assert retire(users)
    assert not users.parent.exists()
    with member(users):
        assert users.exists()


def test_no_slot_is_shared_while_the_folder_comes_and_goes(tmp_path: Path) -> None:
    """Threads that lease one slot while others remove the folder whenever they can: never two at
    once, whoever waited.
    """
    users, inside, wrong = tmp_path / "pool" / "users.lock", [0], []
    left = threading.Event()

    def hold() -> None:
        for _ in range(_TURNS):
            try:
                with member(users), lease(users.parent, 1, 5.0, ready, set()):
                    inside[0] += 1
                    wrong.extend(["shared"] * (inside[0] != 1))
                    inside[0] -= 1
            except PoolBusy:
                wrong.append("busy")

    def remove() -> None:
        while not left.is_set():
            retire(users, lambda: wrong.extend(["removed under a holder"] * (inside[0] != 0)))

    removers = [threading.Thread(target=remove) for _ in range(2)]
    holders = [threading.Thread(target=hold) for _ in range(4)]
    for thread in removers + holders:
        thread.start()
    for thread in holders:
        thread.join()
    left.set()
    for thread in removers:
        thread.join()
    assert wrong == []


def ready(_slot: int, _lock: int) -> str:
    """A slot needs nothing to be made ready."""
    return "ready"


def test_those_who_wait_look_less_often_the_more_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty threads look no more often together than a few, each still ends in its own time, and
    none stays counted.
    """
    users, waiting = tmp_path / "pool" / "users.lock", set[int]()
    looks, pauses = [0], list[float]()
    sleep = time.sleep

    def counted(seconds: float) -> None:
        looks[0] += 1
        pauses.append(seconds)
        sleep(seconds)

    def wait() -> None:
        with pytest.raises(PoolBusy), lease(users.parent, 1, 1.0, ready, waiting):
            pass

    monkeypatch.setattr("capacity.operations._pools.leases.time.sleep", counted)
    with member(users), lease(users.parent, 1, 0, ready, waiting):
        threads = [threading.Thread(target=wait) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert looks[0] < 1200  # 4,000 where each looks a hundred times a second
    assert max(pauses) == pytest.approx(0.05)
    assert waiting == set()


DYING = """
import os, sys, time
from pathlib import Path
from capacity.operations._pools.leases import member

with member(Path(sys.argv[1])):
    # the kernel closes what was opened last first: the output, this one, then the lock
    slow = os.memfd_create("slow")
    for _ in range(64):
        os.write(slow, bytes(1 << 20))
    os.dup2(1, 100)
    os.close(1)
    os.write(100, b"in")
    time.sleep(600)
"""


def test_the_lock_of_a_killed_process_is_waited_for(tmp_path: Path) -> None:
    """Its pipe ends before its lock is free: with patience the folder goes each time, and work is
    done once.
    """
    users, done = tmp_path / "pool" / "users.lock", []
    for _ in range(_KILLED):
        with subprocess.Popen(
            [sys.executable, "-c", DYING, str(users)], stdout=subprocess.PIPE, bufsize=0
        ) as user:
            assert user.stdout is not None
            assert user.stdout.read(2) == b"in"
            user.kill()
            assert user.stdout.read() == b""
            assert retire(users, lambda: done.append("removed"), patience=30.0)
        assert not users.parent.exists()
    assert done == ["removed"] * _KILLED


def test_a_user_who_says_that_it_leaves_is_not_waited_for(tmp_path: Path) -> None:
    """The watcher of one that leaves ends at once beside another user, whom it believes; after a
    kill it tries for a while.
    """
    users = tmp_path / "pool" / "users.lock"
    words = [
        str(users),
        "pool",
        "locks",
        "",
        EngineSettings(hosts={"here": f"unix://{tmp_path}/none"}).model_dump_json(),
    ]
    command = [sys.executable, "-m", "capacity.operations._pools.watcher", *words]
    with ExitStack() as other:
        other.enter_context(member(users))
        began = time.monotonic()
        left = subprocess.run(command, input=b".", capture_output=True, check=False)
        assert time.monotonic() - began < _PATIENCE
        assert (left.returncode, left.stderr) == (0, b"")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as killed:
            assert killed.stdin is not None
            killed.stdin.close()
            with pytest.raises(subprocess.TimeoutExpired):
                killed.wait(_PATIENCE / 3)
            other.close()
            assert killed.wait(30) == 1
            assert killed.stderr is not None
            assert (
                b"EngineUnreachable" in killed.stderr.read()
            )  # it had the pool for itself, and went for the containers


def test_a_watcher_loads_nothing_that_it_may_never_need() -> None:
    """One runs beside each user of a pool for as long as that does."""
    code = "import sys, capacity.operations._pools.watcher; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"docker", "pandas", "pydantic", "requests"} & set(done.stdout.split())
