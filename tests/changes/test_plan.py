"""plan.yaml: the same inputs give the same bytes, and what is read is what was written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.changes import MadeFrom, make_plan, read_plan, write_plan
from capacity.errors import InputError, StorageError
from capacity.model import Change, Reason, Resource

MADE = MadeFrom(history="h", settings="s", code="1")
NOW = datetime(2026, 11, 23, tzinfo=UTC)
CHANGES = st.lists(
    st.builds(
        Change,
        service=st.text(min_size=1, max_size=40).map(lambda name: f"p/{name}"),
        resource=st.sampled_from(Resource),
        before=st.none() | st.floats(1, 1e12),
        after=st.floats(0.01, 1e12),
        reason=st.sampled_from(Reason),
        evidence=st.dictionaries(st.sampled_from(["peak", "p99"]), st.floats(0, 1e12)),
    ),
    max_size=6,
    unique_by=lambda change: (change.service, change.resource),
)


@given(CHANGES)
def test_reads_back_what_it_wrote(tmp_path_factory: pytest.TempPathFactory, changes: list[Change]) -> None:
    """Any names and numbers survive the file, and the order of the changes does not matter."""
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    plan = make_plan(changes, hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE)
    write_plan(plan, path)
    assert read_plan(path) == plan
    assert make_plan(reversed(changes), hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE) == plan


def test_the_id_follows_the_content() -> None:
    """Another limit makes another plan."""
    one, two = (
        make_plan(
            [Change("a/b", Resource.CPU, None, after, Reason.UNLIMITED)],
            hosts={},
            as_of=NOW,
            valid_until=NOW,
            made_from=MADE,
        )
        for after in (1.0, 2.0)
    )
    assert one.plan_id != two.plan_id


@pytest.mark.parametrize(
    ("text", "cause"), [("a: [", "no YAML"), ("- 1", "no plan"), ("format: 1\nplan_id: x", "no plan"), ("\x00", "no YAML")]
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    """The message names the file and what is wrong with it."""
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=cause):
        read_plan(path)
    with pytest.raises(InputError, match="Cannot read"):
        read_plan(tmp_path / "missing.yaml")


def test_an_unwritable_place_is_said(tmp_path: Path) -> None:
    """A folder that does not exist is a storage error, not a traceback."""
    plan = make_plan([], hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE)
    with pytest.raises(StorageError, match=r"Cannot write .*plan\.yaml"):
        write_plan(plan, tmp_path / "missing" / "plan.yaml")
