"""What a pool is to have on a real Engine is remembered, kept, and refused where it cannot be."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from capacity._docker import snapshot
from capacity._docker.engine import connect_all
from capacity.changes._journal.listing import journal_history
from capacity.errors import (
    EngineRefused,
    InputError,
    PoolBusy,
    PoolUnhealthy,
)
from capacity.operations import InstancePool
from capacity.operations._pools.commands import (
    pool_down,
    pool_scale,
    pool_up,
)
from capacity.operations._pools.locks import place_of
from tests.fixtures.fleets.faults import QUICK, own_place, seen
from tests.fixtures.fleets.pools import remove, states, work
from tests.fixtures.running.docker_engine import client
from tests.fixtures.running.fleet import IMAGE, MIB, Fleet


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and journals of the test's own."""
    own_place(tmp_path, monkeypatch)


def test_what_a_pool_is_to_have_is_known_after_an_instance_was_removed_by_hand(shop: Fleet) -> None:
    """It is missing in the list, and `up` of the same size makes it again; also where it was not
    the first time scaled.
    """
    settings = shop.settings()
    pool_up(settings, work(shop, 3, keep=True), dry_run=False)
    remove(shop, 1, 2)
    assert states(shop) == [(0, "running"), (1, "missing"), (2, "missing")]
    made = pool_up(settings, work(shop, 3, keep=True), dry_run=False)
    assert [(step.number, step.state) for step in made] == [
        (0, "stays"),
        (1, "created"),
        (2, "created"),
    ]
    assert states(shop) == [(0, "running"), (1, "running"), (2, "running")]
    remove(shop, 0, 2)
    with pytest.raises(InputError, match=r"has 3 instances, not 2. `capacity pool scale work 2`"):
        pool_up(settings, work(shop, 2, keep=True))
    pool_scale(settings, "work", 2, dry_run=False)
    assert states(shop) == [(0, "running"), (1, "running")]
    with work(shop, 2, command=["sleep", "5"], as_it_stands=True) as joined:
        assert [state.leased for state in joined.status()] == [False, False]
    remove(shop, 0)
    assert states(shop) == [(0, "missing"), (1, "running")]
    pool_down(settings, "work", dry_run=False)


def test_without_its_note_a_pool_is_as_large_as_its_instances_say(shop: Fleet) -> None:
    """Somebody has cleared the folder of the locks: the labels tell."""
    settings = shop.settings()
    pool_up(settings, work(shop, 3, keep=True), dry_run=False)
    remove(shop, 1, 2)
    with connect_all(settings.engine) as (engines, _):
        folder = place_of("work", engines["here"]).folder
    for file in folder.iterdir():
        file.unlink()
    assert states(shop) == [(0, "running"), (1, "missing"), (2, "missing")]
    pool_down(settings, "work", dry_run=False)


def test_programs_follow_a_pool_that_is_scaled(shop: Fleet) -> None:
    """Who uses a pool of two has three instances after another has scaled it, and no more than one
    later.
    """
    with work(shop, 2) as pool, work(shop, 2) as other:
        pool.scale(3)
        with other.lease(), other.lease(), other.lease(5) as third:
            assert third.name.startswith("work-pool-")
        pool.scale(1)
        with other.lease() as first:
            assert first.number == 0
            with pytest.raises(PoolBusy), other.lease(0.3):
                raise AssertionError("there is a second one")
        assert [state.number for state in other.status()] == [0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"image": "other:1"}, f"stands already, with image {IMAGE}"),
        ({"memory": 32 * MIB}, "with memory without a limit"),
        ({"cpus": 0.5}, "with cpus without a limit"),
        ({"command": ["sleep", "5"]}, "with command sleep 600"),
        ({"environment": {"LEVEL": "debug"}}, r"with other variables \(LEVEL\)"),
        ({"network": "host"}, "with network none"),
        ({"health": {"Test": ["CMD", "true"]}}, "with another health check"),
        ({"config": {"User": "7"}}, "with another user"),
        ({"size": 3}, "has 2 instances, not 3. Ask for 2, or take another name"),
    ],
)
def test_a_program_that_asks_for_another_pool_of_a_name_is_refused(
    shop: Fleet, more: dict[str, Any], said: str
) -> None:
    """What stands is not silently taken for it, and goes on."""
    with closing(client(shop.engine)) as api:
        api.images.get(IMAGE).tag("other", "1")
    with work(shop) as mine:
        with pytest.raises(InputError, match=said), replace(work(shop), **more):
            raise AssertionError("it was joined")
        with mine.lease() as instance:
            assert instance.name in {
                container.name
                for container in snapshot(shop.settings().engine).containers
                if container.running
            }


def test_an_instance_that_cannot_be_replaced_does_not_stop_the_others(shop: Fleet) -> None:
    """Its name is taken: leases go to the other, and who finds that one busy is told the cause when
    the time is over.
    """
    with work(shop, 2) as mine:
        remove(shop, 0)
        shop.run("work-pool-0", **QUICK)
        for _ in range(20):
            with mine.lease(timeout=5) as instance:
                assert instance.number == 1
        with mine.lease():
            began = time.monotonic()
            wrong = (
                "None of 2 instances could be had within 1 s: The container work-pool-0 has the "
                "name of an instance"
            )
            with pytest.raises(PoolUnhealthy, match=wrong), mine.lease(timeout=1):
                raise AssertionError("the other was leased")
            assert 1 <= time.monotonic() - began < 10
        with closing(client(shop.engine)) as api:
            api.containers.get("work-pool-0").remove(force=True)
        with mine.lease(), mine.lease(timeout=20) as instance:
            assert instance.name in {"work-pool-0", "work-pool-1"}


@pytest.mark.parametrize("timeout", [float("nan"), -1.0, -float("inf")])
def test_an_impossible_time_is_refused(shop: Fleet, timeout: float) -> None:
    """A wait for it would never end, or never begin."""
    with work(shop, 1) as mine:
        with pytest.raises(InputError, match="A lease cannot wait"), mine.lease(timeout):
            raise AssertionError("it was leased")
        with pytest.raises(InputError, match="A pool cannot wait"):
            mine.scale(2, timeout)


def test_a_paused_instance_is_replaced_and_not_leased(shop: Fleet) -> None:
    """It does no work; who leases gets a new one that runs, and an `up` says so first."""
    settings = shop.settings()
    pool_up(settings, work(shop, 1, keep=True), dry_run=False)
    with closing(client(shop.engine)) as api:
        paused = api.containers.get("work-pool-0")
        paused.pause()
        (step,) = pool_up(settings, work(shop, 1, keep=True))
        assert (step.state, step.note) == ("would-replace", "it is paused")
        with work(shop, 1) as mine, mine.lease() as instance:
            assert instance.id != paused.id
            api.containers.get(instance.name).pause()
        with work(shop, 1) as mine, mine.lease() as again:
            assert again.id != instance.id
            assert api.containers.get(again.id).status == "running"
    pool_down(settings, "work", dry_run=False)


def test_more_than_the_host_has_is_refused(shop: Fleet) -> None:
    """One instance beyond it, or all together, by the dry run, the real one, a program and a
    growth; the numbers are said.
    """
    settings = shop.settings()
    with connect_all(settings.engine) as (engines, _):
        has = engines["here"].host.memory
    third = has // 3 + MIB
    for pool in (
        work(shop, 1, memory=has + MIB, keep=True),
        work(shop, 3, memory=third, keep=True),
    ):
        for dry_run in (True, False):
            with pytest.raises(
                InputError,
                match=r"(of memory, not .* for one instance|3 instances of .* are .*, and here "
                r"has)",
            ):
                pool_up(settings, pool, dry_run=dry_run)
    with pytest.raises(InputError, match="Choose a size of at most 2"), work(shop, 3, memory=third):
        raise AssertionError("it was made")
    with pytest.raises(InputError, match="cores, not 4000"), work(shop, 1, cpus=4000.0):
        raise AssertionError("it was made")
    with work(shop, 2, memory=third) as mine, pytest.raises(InputError, match="3 instances of"):
        mine.scale(3)
    assert seen(settings) == []
    pool_up(settings, work(shop, 2, memory=third, keep=True), dry_run=False)
    for dry_run in (True, False):
        with pytest.raises(InputError, match="3 instances of"):
            pool_scale(settings, "work", 3, dry_run=dry_run)
    pool_down(settings, "work", dry_run=False)


def test_the_journal_has_what_a_program_does_with_its_pool(shop: Fleet, tmp_path: Path) -> None:
    """Each instance it makes, replaces and removes, the last removal as its own; one that makes
    nothing leaves no run.
    """
    with work(shop, 1) as mine:
        remove(shop, 0)
        with mine.lease(), work(shop, 1):
            pass
    found = journal_history([tmp_path / "journal"], "standalone/work-pool-0")
    assert [(adjustment.what, adjustment.outcome, adjustment.why) for adjustment in found] == [
        ("create", "created", "pool-use"),
        ("create", "created", "pool-use"),
        ("remove", "removed", "pool-leave"),
    ]
    assert sorted(
        {adjustment.run.partition("-")[2].rpartition("-")[0] for adjustment in found}
    ) == ["pool-leave", "pool-use"]
    assert len([*(tmp_path / "journal").glob("*/journal.jsonl")]) == 2


def test_what_a_program_cannot_remove_its_watcher_does(
    shop: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, of all instances or of one, or interrupted while it leaves."""
    places = ("session.remove_unused", "containers.lifecycle.remove")
    for place, error in product(places, (EngineRefused("no"), KeyboardInterrupt())):
        with monkeypatch.context() as patched:
            tried = Mock(side_effect=error)
            patched.setattr(f"capacity.operations._pools.{place}", tried)
            with suppress(KeyboardInterrupt), work(shop, 2):
                assert seen(shop.settings()) != []
        assert tried.called
        assert seen(shop.settings()) == []


def test_a_plan_can_be_applied_while_a_program_has_a_pool(shop: Fleet) -> None:
    """Its run is open and holds no lock; a pool of the command line is made beside it."""
    settings = shop.settings()
    with work(shop, 1):
        other = InstancePool(
            "other",
            IMAGE,
            1,
            command=["sleep", "600"],
            network="none",
            keep=True,
            settings=settings.engine,
        )
        made = pool_up(settings, other, dry_run=False)
        gone = pool_down(settings, "other", dry_run=False)
    assert len(made) == len(gone) == 1
    assert [step.state for step in [*made, *gone]] == ["created", "removed"]


def test_a_pool_goes_on_without_a_journal(
    shop: Fleet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file where its folder should be: that is said once, and leases are given."""
    (tmp_path / "file").touch()
    with work(shop, 2, journal=tmp_path / "file") as mine, mine.lease() as instance:
        assert instance.name.startswith("work-pool-")
    said = [
        record.getMessage() for record in caplog.records if "in no journal" in record.getMessage()
    ]
    assert len(said) == 1
    assert "the pool work" in said[0]
