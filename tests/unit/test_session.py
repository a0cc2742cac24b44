"""How a run of tests goes: what its processes inherit, and the order of its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from tests.fixtures.session.order import files_in_turn


@dataclass(frozen=True)
class Mark:
    """A mark by its name."""

    name: str


@dataclass(frozen=True)
class Item:
    """A test as the order sees it."""

    path: str
    number: int
    marks: tuple[str, ...] = ()

    def iter_markers(self) -> list[Mark]:
        """Its marks."""
        return [Mark(name) for name in self.marks]


MARKS = st.sampled_from([(), ("program",), ("program", "engine"), ("slow",), ("metrics",)])


@pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" not in os.environ, reason="a single process uses all cores"
)
def test_a_process_beside_others_computes_with_one_thread() -> None:
    """Also in libraries that were loaded before any test ran."""
    assert np.linalg.norm(np.ones(3)) > 1
    threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    assert threads
    assert set(threads) == {int(os.environ["OMP_NUM_THREADS"])}


@given(files=st.lists(st.lists(MARKS, min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_order_keeps_every_test_and_files_together(files: list[list[tuple[str, ...]]]) -> None:
    """In the order of the file, whatever its tests are marked with."""
    items: list[Any] = [
        Item(f"test_{name}.py", number, marks)
        for name, tests in enumerate(files)
        for number, marks in enumerate(tests)
    ]
    placed: list[Any] = files_in_turn(items)
    names = [item.path for item in placed]
    assert sorted(placed, key=lambda item: (item.path, item.number)) == items
    for name in set(names):
        at = names.index(name)
        mine = placed[at : at + names.count(name)]
        assert [(item.path, item.number) for item in mine] == [(name, n) for n in range(len(mine))]


def test_slow_files_come_first_and_both_kinds_all_the_time() -> None:
    """What waits for servers goes beside what computes; of each kind the slow files first."""
    waits = [Item("waits.py", number, ("engine",)) for number in range(2)]
    slow_waits = [Item("slow_waits.py", 0, ("engine", "slow"))]
    slow, quick = [Item("slow.py", 0, ("slow",))], [Item("quick.py", 0)]
    placed: list[Any] = files_in_turn([*waits, *quick, *slow_waits, *slow])  # type: ignore[list-item]  # what it needs of them
    names = list(dict.fromkeys(item.path for item in placed))
    assert set(names[:2]) == {"slow_waits.py", "slow.py"}
    assert set(names[2:]) == {"waits.py", "quick.py"}
