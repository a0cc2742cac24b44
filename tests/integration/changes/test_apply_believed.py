"""A rollback believes neither a journal nor a backup that has changed, and touches nothing then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capacity.changes import apply_plan, resume, resume_preview, rollback
from capacity.changes._journal.journal import LINES, Journal
from capacity.changes._journal.models import Entry, Kind
from capacity.errors import InputError, StorageError
from tests.fixtures.commands import capacity_here
from tests.fixtures.running.fleet import Fleet, fleet, in_folder, memory, plan_of, project


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """An Engine for this module."""
    with fleet(tmp_path_factory.mktemp("believed")) as made:
        yield made


@pytest.fixture
def shop(whole: Fleet, tmp_path: Path) -> Iterator[Fleet]:
    """A project with a changed limit."""
    made = in_folder(whole, tmp_path)
    made.up(project(web="mem_limit: 64m", db="mem_limit: 64m"))
    yield made
    made.clear()


def state(shop: Fleet) -> tuple[str, int, int]:
    """The compose file and both limits."""
    text = (shop.folder / "shop" / "compose.yaml").read_text()
    return text, shop.memory("shop-web-1"), shop.memory("shop-db-1")


def in_journal(place: Path) -> None:
    """Another former limit, which looks as good as the true one."""
    text = (place / LINES).read_bytes()
    assert b"67108864" in text
    (place / LINES).write_bytes(text.replace(b"67108864", b"67108865"))


def in_backup(place: Path) -> None:
    """Another limit in the kept compose file."""
    for file in (place / "files").iterdir():
        file.write_text(file.read_text().replace("64m", "65m"))


def without_backup(place: Path) -> None:
    """The kept compose files are gone."""
    for file in (place / "files").iterdir():
        file.unlink()


def emptied(place: Path) -> None:
    """The journal has no line any more."""
    (place / LINES).write_bytes(b"")


@pytest.mark.parametrize("spoil", [in_journal, in_backup, without_backup, emptied])
def test_what_has_changed_is_not_rolled_back_to(shop: Fleet, spoil: Callable[[Path], None]) -> None:
    """File and containers stay as they are, the command says why, and other plans still apply."""
    done = apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings())
    before = state(shop)
    place = shop.folder / "journal" / done.run
    spoil(place)
    with pytest.raises((InputError, StorageError)):
        rollback(done.run, shop.settings())
    assert state(shop) == before
    asked = capacity_here("rollback", done.run, "--yes", folder=shop.folder, **shop.environment())
    assert asked.returncode in {1, 2}
    assert "undone" not in asked.stdout
    assert "Traceback" not in asked.stderr
    assert state(shop) == before
    again = apply_plan(plan_of(memory("shop/db", 64, 96)), shop.settings())
    assert (again.state, shop.memory("shop-db-1")) == ("finished", 96)
    assert rollback(again.run, shop.settings())[0].state == "undone"
    assert shop.memory("shop-db-1") == 64


class Stop(Exception):
    """The power went."""


def test_a_run_goes_on_only_with_its_own_plan(shop: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that was changed behind an interrupted run is refused; the run can be rolled back."""
    append = Journal.append

    def appending(self: Journal, entry: Entry) -> Entry:
        append(self, entry)
        if entry.kind is Kind.INTENT:
            raise Stop
        return entry

    plan = plan_of(memory("shop/web", 64, 96), memory("shop/db", 64, 96))
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", appending)
        with pytest.raises(Stop):
            apply_plan(plan, shop.settings())
    before = state(shop)
    (kept,) = (shop.folder / "journal").glob("*/plan.yaml")
    kept.write_text(kept.read_text().replace("to: 100663296", "to: 100663297"))
    for go_on in (resume, resume_preview):
        with pytest.raises(InputError, match=r"has changed since the run .* began"):
            go_on(shop.settings())
    assert state(shop) == before
    assert rollback(kept.parent.name, shop.settings())[0].state == "undone"
