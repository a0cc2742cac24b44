"""What earlier versions left on disk is read: archives, plans, journals, runs, scores."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from capacity.changes import applied_changes, read_plan
from capacity.changes._journal.journal import read_journal
from capacity.changes._journal.listing import journal_history
from capacity.changes._journal.models import IntentEntry, Kind, intents, run_start
from capacity.changes._journal.runs import journal_runs, still_stopped, way_out
from capacity.compliance._trend import read_records
from capacity.errors import InputError
from capacity.history._archive.archive import Archive
from capacity.model import Signal
from capacity.operations._timeline.file import read_timeline
from capacity.reporting._runs import list_reports, read_forecast
from tests.fixtures.paths import ROOT

VERSIONS = sorted(path for path in (ROOT / "tests/fixtures/versions").iterdir() if path.is_dir())
JOURNALS = sorted(
    path.parent for version in VERSIONS for path in version.glob("journal/*/journal.jsonl")
)
PLANS = sorted(path for version in VERSIONS for path in version.glob("plans/*.yaml"))
SCHEMAS = {"0.1": 1, "0.3": 2}
"""Of journals, by version; 0.3 chains their lines."""


def versions_with(folder: str) -> list[Path]:
    """Versions that changed a format of this folder, and so have an example of it."""
    return [version for version in VERSIONS if (version / folder).is_dir()]


def lines(run: Path) -> list[dict[str, object]]:
    """The lines of a journal as they stand in the file."""
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("run", JOURNALS, ids=lambda run: run.name)
def test_every_line_of_a_journal_means_what_it_says(run: Path) -> None:
    """Nothing of a line is lost, whatever its kind, and its schema is that of its version."""
    entries = read_journal(run)
    written = lines(run)
    assert [entry.kind for entry in entries] == [line["kind"] for line in written]
    for entry, line in zip(entries, written, strict=True):
        again = entry.model_dump(mode="json", by_alias=True)
        detail = line["detail"]
        assert isinstance(detail, dict)
        for name, value in detail.items():
            if name not in {"containers", "project", "changes"}:
                assert again["detail"][name] == value
        if isinstance(entry, IntentEntry):
            assert [change.what for change in entry.detail.changes] == [
                change["what"] for change in detail["changes"]
            ]
            assert [
                {str(what): value for what, value in each.before.items()}
                for each in entry.detail.containers
            ] == [each["before"] for each in detail["containers"]]
            assert [each.seen.model_dump() for each in entry.detail.containers] == [
                each["seen"] for each in detail["containers"]
            ]
    assert run_start(entries).schema_version == SCHEMAS[run.parents[1].name]


@pytest.mark.parametrize("version", versions_with("journal"), ids=lambda version: version.name)
def test_journals_cover_every_kind_of_line(version: Path) -> None:
    """No kind of line is without an example, so none can stop being read unnoticed."""
    runs = version.glob("journal/*/journal.jsonl")
    seen = {entry.kind for path in runs for entry in read_journal(path.parent)}
    assert seen == {*Kind}


@pytest.mark.parametrize("version", versions_with("journal"), ids=lambda version: version.name)
def test_runs_are_listed_and_the_interrupted_one_says_how_to_go_on(version: Path) -> None:
    """All runs are in the history; the way out of an interrupted plan is named."""
    folder = version / "journal"
    runs = dict(journal_runs(folder))
    assert len(runs) == len([*folder.glob("*/journal.jsonl")])
    listed = journal_history([folder])
    assert {entry.run for entry in listed} <= set(runs)
    assert {"verified", "rolled back", "created", "still down"} <= {
        entry.outcome for entry in listed
    } | {entry.outcome for entry in applied_changes(folder)}
    (interrupted,) = (
        name
        for name, entries in runs.items()
        if entries[-1].kind is not Kind.FINISHED and run_start(entries).plan
    )
    assert "capacity apply --resume --yes" in way_out(interrupted, runs[interrupted])
    assert intents(runs[interrupted])
    assert still_stopped(runs[interrupted]) == []


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_plans_are_read(path: Path) -> None:
    """Every kind of change, with the id that it was given; a name with characters that nobody sees
    is refused, as no service has one.
    """
    if path.name in {"plan-3.yaml", "plan-4.yaml"}:
        with pytest.raises(InputError, match=r"the service's name holds U\+[0-9A-F]{4}"):
            read_plan(path)
        return
    plan = read_plan(path)
    assert plan.plan_id
    assert plan.as_of.tzinfo is not None


@pytest.mark.parametrize("version", versions_with("archive"), ids=lambda version: version.name)
def test_archives_are_read(version: Path) -> None:
    """Sources are found by name and address, and their days hold the samples they held."""
    archive = Archive(version / "archive")
    for source in (version / "archive").iterdir():
        record = archive.find(source.name)
        assert record.name == source.name
        for day in source.glob("*/*.parquet"):
            signal = Signal(day.parent.name.split("-")[0])
            step = int(day.parent.name.split("-")[1].removesuffix("s"))
            found = archive.read(
                record.name, signal, record.queries[signal], step, date.fromisoformat(day.stem)
            )
            assert found is not None
            assert len(found.block.names) > 0


@pytest.mark.parametrize("version", versions_with("reports"), ids=lambda version: version.name)
def test_runs_of_reports_scores_and_timelines_are_read(version: Path) -> None:
    """The next report compares with them."""
    (run,) = list_reports(version / "reports", "weekly-resources")
    assert run.folder.name == "2026-W48"
    forecast = read_forecast(run)
    assert forecast is not None
    assert len(forecast) > 0
    assert [record.score for record in read_records(version / "monitor/scores.jsonl")][-1] == 1.0
    assert len(read_timeline(version / "monitor/timeline.yaml")) > 10
