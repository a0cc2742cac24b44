"""Going on with runs that ended in odd places, and going back with a part of one."""

from __future__ import annotations

from typing import Any

import pytest

from capacity.changes import apply_plan, dry_run, resume, resume_preview, rollback
from capacity.changes._journal.journal import Journal
from capacity.changes._journal.models import Entry, Kind
from capacity.changes._journal.runs import journal_runs
from capacity.errors import ApplyFailed, ChangeRefused
from tests.fixtures.running.fleet import Fleet, memory, plan_of, project


class Stop(BaseException):
    """As kill -9 in a test: nothing in between sees it."""


@pytest.fixture
def ends_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run something that ends right after a line of a kind is in the journal for the so-maniest
    time.
    """

    def run(kind: Kind, number: int, work: Any) -> None:
        append, seen = Journal.append, []

        def appending(self: Journal, entry: Entry) -> Entry:
            append(self, entry)
            seen.extend([entry.kind] if entry.kind is kind else [])
            if entry.kind is kind and len(seen) == number:
                raise Stop
            return entry

        with monkeypatch.context() as patched:
            patched.setattr(Journal, "append", appending)
            with pytest.raises(Stop):
                work()

    return run


def test_the_rest_of_a_canary_of_replicas_is_gone_on_with(shop: Fleet, ends_after: Any) -> None:
    """One of three replicas had been changed: the others follow, and so does the file."""
    file = shop.up(project(web="mem_limit: 64m;scale: 3"))
    plan = plan_of(memory("shop/web", 64, 96))
    ends_after(Kind.VERIFIED, 1, lambda: apply_plan(plan, shop.settings(), canary=1))
    assert sorted(shop.memory(f"shop-web-{number}") for number in (1, 2, 3)) == [64, 64, 96]
    _, ahead = resume_preview(shop.settings())
    assert [(preview.service, preview.state) for preview in ahead] == [("shop/web", "would-apply")]
    assert resume(shop.settings()).state == "finished"
    assert [shop.memory(f"shop-web-{number}") for number in (1, 2, 3)] == [96, 96, 96]
    assert "96m" in file.read_text()


def test_a_part_of_a_run_that_goes_back_leaves_the_rest_open(shop: Fleet, ends_after: Any) -> None:
    """Its other step was interrupted: a new plan is refused until that is settled too."""
    shop.up(project(web="mem_limit: 64m", db="mem_limit: 64m"))
    plan = plan_of(memory("shop/web", 64, 96), memory("shop/db", 64, 96))
    ends_after(Kind.INTENT, 2, lambda: apply_plan(plan, shop.settings()))
    ((run, entries),) = journal_runs(shop.settings().apply.journal)
    first, second = (entry.service for entry in entries if entry.kind is Kind.INTENT)
    assert [result.state for result in rollback(run, shop.settings(), services=first)] == ["undone"]
    with pytest.raises(ChangeRefused, match="did not come to its end"):
        apply_plan(plan, shop.settings())
    assert [result.service for result in rollback(run, shop.settings())] == [second]
    assert apply_plan(plan, shop.settings()).state == "finished"


def test_a_host_that_went_away_is_named_by_the_resume(shop: Fleet, ends_after: Any) -> None:
    """Steps on it can neither go on nor back: the run stays open, and says how to go on."""
    shop.up(project(web="mem_limit: 64m"))
    ends_after(
        Kind.INTENT, 1, lambda: apply_plan(plan_of(memory("shop/web", 64, 96)), shop.settings())
    )
    settings = shop.settings()
    elsewhere = settings.model_copy(
        update={"engine": settings.engine.model_copy(update={"hosts": {"other": shop.engine.url}})}
    )
    with pytest.raises(ApplyFailed, match="here does not answer"):
        resume(elsewhere)
    assert resume(settings).state == "finished"
    assert dry_run(plan_of(memory("shop/web", 96, 64)), settings)[1] == []
