"""plan.yaml: the same inputs give the same bytes, and what is read is what was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.changes import (
    MadeFrom,
    is_edited,
    make_plan,
    plan_id,
    plan_schema,
    plan_text,
    read_plan,
    write_plan,
)
from capacity.errors import InputError, StorageError
from capacity.model import Change, Reason, Resource, Setting, Value
from tests.fixtures.generated.hostile import NAMES
from tests.fixtures.paths import ROOT

MADE = MadeFrom(history="h", settings="s", code="1")
NOW = datetime(2026, 11, 23, tzinfo=UTC)
CHANGES = st.lists(
    st.builds(
        Change,
        service=NAMES.map(lambda name: f"p/{name}"),
        resource=st.sampled_from(Resource),
        before=st.none() | st.floats(1, 1e9),
        after=st.floats(6 * 2**20, 1e9),
        reason=st.sampled_from(Reason),
        evidence=st.dictionaries(st.sampled_from(["peak", "p99"]), st.floats(0, 1e12)),
    ),
    max_size=6,
    unique_by=lambda change: (change.service, change.resource),
)


@given(CHANGES)
def test_reads_back_what_it_wrote(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Change]
) -> None:
    """Any names and numbers survive the file, and the order of the changes does not matter."""
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    plan = make_plan(changes, hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE)
    write_plan(plan, path)
    assert read_plan(path) == plan
    assert (
        make_plan(reversed(changes), hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE) == plan
    )


def test_the_id_follows_the_content() -> None:
    """Another limit makes another plan."""
    plan, two = (
        make_plan(
            [Change("a/b", Resource.CPU, None, after, Reason.UNLIMITED)],
            hosts={},
            as_of=NOW,
            valid_until=NOW,
            made_from=MADE,
        )
        for after in (1.0, 2.0)
    )
    assert plan.plan_id != two.plan_id


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("a: [", "no YAML"),
        ("- 1", "no plan"),
        ("format: 1\nplan_id: x", "no plan"),
        ("\x00", "no YAML"),
    ],
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
    """A file where the folder should be is a storage error, not a traceback."""
    plan = make_plan([], hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"Cannot use .*plan\.yaml"):
        write_plan(plan, tmp_path / "file" / "plan.yaml")


ONE = make_plan(
    [Change("a/b", Resource.MEMORY, None, 64 * 2.0**20, Reason.UNLIMITED, {"peak": 1.0})],
    hosts={"a/b": "here"},
    as_of=NOW,
    valid_until=NOW,
    made_from=MADE,
)


def test_the_published_schema_is_that_of_the_model() -> None:
    """docs/reference/plan.schema.json is what `plan_schema` gives;
    `python -m tests.unit.changes.plan.test_plan` writes it.
    """
    assert json.loads(SCHEMA.read_text()) == plan_schema()


def test_a_warning_is_part_of_a_plan_and_none_leaves_no_trace(tmp_path: Path) -> None:
    """It stands on top for who reads the file and comes back with the plan; without one the bytes
    and the id are those of versions that knew none.
    """
    path = tmp_path / "plan.yaml"
    warned = MADE.model_copy(update={"warning": "Not good enough to act on: 1 day"})
    plan = make_plan([], hosts={}, as_of=NOW, valid_until=NOW, made_from=warned)
    write_plan(plan, path)
    assert "\n# Not good enough to act on: 1 day.\n" in path.read_text()
    assert read_plan(path) == plan
    assert not is_edited(plan)
    assert "warning" not in plan_text(ONE)
    bare = make_plan([], hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE)
    assert bare.plan_id != plan.plan_id


def test_a_person_may_edit_and_delete(tmp_path: Path) -> None:
    """The plan still reads, says that it was edited, and its id is no longer that of its
    content.
    """
    path = tmp_path / "plan.yaml"
    path.write_text(plan_text(ONE).replace("to: 67108864.0", "to: 134217728"))
    edited = read_plan(path)
    assert edited.changes[0].after == 128 * 2**20
    assert is_edited(edited)
    assert plan_id(edited) != ONE.plan_id
    path.write_text(plan_text(ONE).replace("67108864.0", "67108864"))
    assert not is_edited(read_plan(path))


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("to: 67108864.0", "to: -1", "above zero"),
        ("to: 67108864.0", "to: 1024", "6 MiB"),
        ("to: 67108864.0", "to: .nan", "must be a number"),
        ("to: 67108864.0", "to: true", "true and false"),
        ("to: 67108864.0", "to: 64m", "must be a number"),
        ("what: memory", "what: cpuset", "no cpuset"),
        ("what: memory", "what: speed", r"changes\.0\.what \(service a/b\)"),
        ("reason: unlimited", "reason: because", r"changes\.0\.reason"),
        ("  from:", "  before:", r"changes\.0\.(from|before)"),
    ],
)
def test_a_wrong_value_is_named_with_its_service(
    tmp_path: Path, old: str, new: str, cause: str
) -> None:
    """Where it stands, which service, and what is wrong with it."""
    path = tmp_path / "plan.yaml"
    text = plan_text(ONE)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=cause):
        read_plan(path)


def test_each_port_of_a_service_may_move(tmp_path: Path) -> None:
    """Several ports of one service stand in one plan, the lower first; one port cannot go to two
    places.
    """
    moves = [
        Change("shop/web", Setting.HOST_PORT, old, old + 1000, Reason.PORT_CONFLICT)
        for old in (9090, 9080)
    ]
    path = tmp_path / "plan.yaml"
    write_plan(make_plan(moves, hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE), path)
    assert [change.before for change in read_plan(path).changes] == [9080, 9090]
    with pytest.raises(ValueError, match="stands twice"):
        make_plan([*moves, moves[0]], hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE)


def test_a_change_twice_is_refused(tmp_path: Path) -> None:
    """Two values for one thing cannot both be meant."""
    path = tmp_path / "plan.yaml"
    head, _, change = plan_text(ONE).partition("changes:\n")
    path.write_text(f"{head}changes:\n{change}{change}")
    with pytest.raises(InputError, match=r"is no plan: \S+ memory stands twice"):
        read_plan(path)


def test_every_kind_of_value_survives_the_file(tmp_path: Path) -> None:
    """Numbers, texts and mappings come back as they were, with the same id."""
    values: dict[Setting, Value] = {
        Setting.CPUSET: "0-1",
        Setting.PIDS: 40,
        Setting.RESTART_POLICY: "on-failure:3",
        Setting.HOST_PORT: 10001,
        Setting.ENVIRONMENT: {"A": "1"},
        Setting.HEALTH_CHECK: {"test": ["CMD", "true"], "retries": 3},
        Setting.MEMORY_SWAP: -1,
        Setting.DEPENDS_ON: {"db": "service_healthy"},
    }
    changes = [Change("a/b", what, None, value, Reason.REQUESTED) for what, value in values.items()]
    plan = make_plan(changes, hosts={}, as_of=NOW, valid_until=NOW, made_from=MADE)
    path = tmp_path / "plan.yaml"
    write_plan(plan, path)
    assert read_plan(path) == plan
    assert not is_edited(read_plan(path))


SCHEMA = ROOT / "docs" / "reference" / "plan.schema.json"

if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(plan_schema(), indent=2) + "\n")
