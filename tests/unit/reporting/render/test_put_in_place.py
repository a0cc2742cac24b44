"""What becomes of a plan that is already where a report writes its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capacity.changes import plan_text
from capacity.reporting._render.render import COMPLIANCE, WEEKLY, ReportKind, _put_in_place
from tests.fixtures.running.fleet import cpus, plan_of


def made(folder: Path, kind: ReportKind, name: str, text: str) -> Path:
    """A finished run of one file and its facts, not yet in its place."""
    folder.mkdir()
    (folder / name).write_text(text)
    facts = {"as_of": "2026-11-23T00:00:00+00:00", "source": "lab"}
    (folder / "run.json").write_text(json.dumps({"reports": {kind.report: facts}}))
    return folder


@pytest.mark.parametrize(
    ("kind", "name"), [(WEEKLY, "plan.yaml"), (COMPLIANCE, "compliance-plan.yaml")]
)
@pytest.mark.parametrize("known", [True, False])
def test_only_what_a_person_has_edited_moves_aside(
    tmp_path: Path, kind: ReportKind, name: str, known: bool
) -> None:
    """The next run replaces a plan as it was written, whether or not the last run left its digest,
    and keeps an edited one.
    """
    text = plan_text(plan_of(cpus("shop/web", 1.0, 2.0)))
    place = tmp_path / "place"
    _put_in_place(kind, made(tmp_path / "first", kind, name, text), place)
    if not known:
        facts = json.loads((place / "run.json").read_text())
        del facts["reports"][kind.report]["plans"]
        (place / "run.json").write_text(json.dumps(facts))
    aside = place / f"{name.removesuffix('.yaml')}.edited.yaml"
    _put_in_place(kind, made(tmp_path / "second", kind, name, text), place)
    assert not aside.exists()
    edited = text.replace("plan_id: ", "plan_id: 0")
    assert edited != text
    (place / name).write_text(edited)
    _put_in_place(kind, made(tmp_path / "third", kind, name, text), place)
    assert aside.read_text() == edited
    assert (place / name).read_text() == text


def test_a_plan_as_it_was_written_is_not_read(tmp_path: Path) -> None:
    """Thousands of changes would take seconds: a digest is enough, whatever the file holds."""
    place = tmp_path / "place"
    for run in ("first", "second"):
        _put_in_place(WEEKLY, made(tmp_path / run, WEEKLY, "plan.yaml", "no plan"), place)
    assert {path.name for path in place.iterdir()} == {"plan.yaml", "run.json"}
