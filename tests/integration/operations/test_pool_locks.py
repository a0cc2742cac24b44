"""Whose a pool is on a real Engine: who does not see its locks is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from capacity._docker import snapshot
from capacity._docker.engine import connect_all
from capacity.errors import (
    EngineUnreachable,
    InputError,
    PoolBusy,
    PoolUnhealthy,
    StorageError,
)
from capacity.operations._pools.commands import (
    pool_down,
    pool_scale,
    pool_states,
    pool_up,
)
from capacity.operations._pools.locks import LOCKS, place_of
from tests.fixtures.fleets.faults import QUICK, own_place, seen
from tests.fixtures.fleets.pools import remove, work
from tests.fixtures.running.fleet import Fleet


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks and journals of the test's own."""
    own_place(tmp_path, monkeypatch)


def elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """See other locks from here on, as another user or machine does."""
    folder.mkdir()
    monkeypatch.setattr("capacity.operations._pools.locks.ROOTS", (folder,))


def test_who_does_not_see_the_locks_of_a_pool_is_refused(
    shop: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command and every program; the owner is named, nothing is touched, and the owner's
    leases go on.
    """
    settings = shop.settings()
    with work(shop) as mine, mine.lease():
        before = seen(settings)
        elsewhere(tmp_path / "other", monkeypatch)
        for use in (
            lambda: work(shop).__enter__(),
            lambda: pool_scale(settings, "work", 3, dry_run=False),
            lambda: pool_down(settings, "work", dry_run=False),
            lambda: work(shop, as_it_stands=True).__enter__(),
        ):
            with pytest.raises(
                InputError,
                match=r"The pool 'work' is that of \S+@\S+, and its locks are not .*Use it where "
                r"it",
            ):
                use()
        assert [state.leased for state in pool_states(settings, "work")] == [None, None]
        assert seen(settings) == before
        with mine.lease():
            assert [statu.leased for statu in mine.status()] == [True, True]
        assert [step.state for step in pool_down(settings, "work", dry_run=False, anyway=True)] == [
            "removed",
            "removed",
        ]
    assert seen(settings) == []


def test_an_instance_of_another_place_is_never_leased(
    shop: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has made it anew after ours was removed: a lease on it is refused, and it
    stays.
    """
    with work(shop, 1) as mine:
        remove(shop, 0)
        elsewhere(tmp_path / "other", monkeypatch)
        with work(shop, 1) as theirs, theirs.lease():
            with (
                pytest.raises(
                    PoolUnhealthy, match=r"could be had within 0.5 s: The pool 'work' is that of"
                ),
                mine.lease(0.5),
            ):
                raise AssertionError("it was leased twice")
            assert [statu.state for statu in theirs.status()] == ["running"]


def test_an_instance_that_says_nothing_of_its_locks_is_refused(shop: Fleet) -> None:
    """One of an earlier version: nobody can tell who leases it; it can be removed."""
    shop.run("work-pool-0", labels={"capacity.pool": "work", "capacity.pool.slot": "0"}, **QUICK)
    settings = shop.settings()
    with (
        pytest.raises(
            InputError,
            match=r"does not say where its locks are.*`capacity pool down work --anyway` removes",
        ),
        work(shop),
    ):
        raise AssertionError("it was joined")
    with pytest.raises(InputError, match="does not say"):
        pool_down(settings, "work")
    pool_down(settings, "work", dry_run=False, anyway=True)
    assert seen(settings) == []


def test_the_locks_are_the_same_by_every_address_of_an_engine(shop: Fleet, tmp_path: Path) -> None:
    """A link to its socket is another address, and no other Engine."""
    link = tmp_path / "link.sock"
    link.symlink_to(shop.engine.url.removeprefix("unix://"))
    by_link = shop.settings().engine.model_copy(update={"hosts": {"linked": f"unix://{link}"}})
    with (
        work(shop, 1) as pool,
        work(shop, 1, settings=by_link) as other,
        pool.lease(),
        pytest.raises(PoolBusy),
        other.lease(0.2),
    ):
        raise AssertionError("it was leased twice")


def test_a_place_is_told_from_others(
    shop: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder and a copy of it on another machine are other places; a folder that others can
    write is not used.
    """
    with connect_all(shop.settings().engine) as (engines, _):
        engine = engines["here"]
        first = place_of("work", engine)
        assert place_of("work", engine) == first
        machine = tmp_path / "machine-id"
        machine.write_text("another\n")
        with monkeypatch.context() as other:
            other.setattr("capacity.operations._pools.locks._MACHINE", machine)
            assert place_of("work", engine).id != first.id
        open_to_all, spare = tmp_path / "open", tmp_path / "spare"
        for folder in (open_to_all, spare):
            folder.mkdir()
        taken = open_to_all / first.folder.parent.name
        taken.mkdir()
        taken.chmod(0o777)
        monkeypatch.setattr("capacity.operations._pools.locks.ROOTS", (open_to_all, spare))
        moved = place_of("work", engine)
        assert (moved.folder.parent.parent, moved.id == first.id) == (spare, False)
        (moved.folder.parent / "place").write_text("no seed")
        with pytest.raises(StorageError, match="is damaged"):
            place_of("work", engine)


def test_a_label_of_every_instance_names_its_locks(shop: Fleet) -> None:
    """So does one that was made by a lease."""
    with work(shop, 2) as mine:
        remove(shop, 0)
        with mine.lease(), mine.lease(), connect_all(shop.settings().engine) as (engines, _):
            found = snapshot(shop.settings().engine).containers
            place = place_of("work", engines["here"])
            assert [container.labels[LOCKS] for container in found] == [place.id] * 2


def test_a_pool_takes_no_other_engine_where_the_first_is_down(shop: Fleet, tmp_path: Path) -> None:
    """Commands and programs name it, and nothing is made on the second."""
    hosts = {"gone": f"unix://{tmp_path}/nobody.sock", "here": shop.engine.url}
    settings = shop.settings().model_copy(
        update={"engine": shop.settings().engine.model_copy(update={"hosts": hosts})}
    )
    wanted = work(shop, 1, settings=settings.engine, keep=True)
    for use in (
        wanted.__enter__,
        lambda: pool_up(settings, wanted),
        lambda: pool_up(settings, wanted, dry_run=False),
        lambda: pool_states(settings, "work"),
        lambda: pool_down(settings, "work", dry_run=False),
    ):
        with pytest.raises(
            EngineUnreachable,
            match=r"Engine gone does not answer.*A pool lives on the first Engine",
        ):
            use()
    assert seen(shop.settings()) == []
