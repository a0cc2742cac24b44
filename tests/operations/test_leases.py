"""The folder of a pool's locks goes with its last user, and nobody is left with a lock that excludes nobody."""

from __future__ import annotations

import threading
from pathlib import Path

from capacity.errors import PoolBusy
from capacity.operations.leases import exclusive, lease, leased, member, retire

_TURNS = 300


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
    """Threads that lease one slot while others remove the folder whenever they can: never two at once, whoever waited."""
    users, inside, wrong = tmp_path / "pool" / "users.lock", [0], []
    left = threading.Event()

    def hold() -> None:
        for _ in range(_TURNS):
            try:
                with member(users), lease(users.parent, 1, 5.0, lambda *_: None):
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
