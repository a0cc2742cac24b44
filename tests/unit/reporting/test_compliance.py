"""The weekly compliance report, and what the weekly report says of applied changes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capacity import _api
from capacity._common.bundled import bundled
from capacity.changes import read_plan
from capacity.changes._journal.journal import open_journal
from capacity.changes._journal.models import Kind
from capacity.model import Setting
from capacity.reporting import compliance, weekly
from capacity.reporting.compliance import _sections
from capacity.reporting.weekly._sections import applied
from capacity.settings import load_settings
from tests.fixtures.commands import capacity_here
from tests.fixtures.documents.pages import has_only_its_own_script

FILES = [str(bundled("data/sample/compose"))]


def test_the_eight_points_have_evidence() -> None:
    """Each point has a verdict; what the sample cannot tell is not evaluated, never passed."""
    week = compliance.review(_api.open_history("sample"), load_settings(), FILES)
    assert len(week.checklist) == 8
    verdicts = {item.point: item.verdict for item in week.checklist}
    assert verdicts["No port conflicts exist"] == "fail"
    assert verdicts["All containers have memory limits"] == "fail"
    assert verdicts["Alerts are configured and work"] == "not-evaluated"
    assert all(item.evidence for item in week.checklist)
    assert str(week.moves[0].new) in str(_sections.ports(week))


def test_two_weeks_are_compared(tmp_path: Path) -> None:
    """New, fixed and worse come from the run before; the trend has both."""
    settings = load_settings()
    history = _api.open_history("sample", as_of="2026-11-16")
    earlier = compliance.review(history, settings, FILES[:1], reports=tmp_path)
    assert earlier.new is None
    compliance.save(earlier, tmp_path / "2026-W47")
    run = tmp_path / "2026-W47" / "run.json"
    said = json.loads(run.read_text())
    failing = said["reports"]["weekly-compliance"]["failing"]
    said["reports"]["weekly-compliance"]["failing"] = [*failing[3:], ["CAP999", "shop/gone"]]
    run.write_text(json.dumps(said))
    week = compliance.review(_api.open_history("sample"), settings, FILES, reports=tmp_path)
    assert {tuple(pair) for pair in failing[:3]} <= set(week.new or ())
    assert ("CAP999", "shop/gone") in week.fixed
    assert [name for name, _, _ in week.trend] == ["2026-W47", "2026-W48"]
    assert "CAP999" in str(_sections.changed(week))


@pytest.mark.slow
def test_the_command_leaves_page_json_and_sarif(every_report: Path) -> None:
    """`capacity report compliance --sample` needs nothing else, and its page loads nothing."""
    page = every_report / "2026-W48" / "weekly-compliance.html"
    text = page.read_text(encoding="utf-8")
    assert has_only_its_own_script(text)
    assert "Within 24 hours" in text
    assert json.loads((page.parent / "compliance.sarif").read_text())["version"] == "2.1.0"
    assert json.loads((page.parent / "compliance.json").read_text())["score"] < 1
    plan = read_plan(page.parent / "compliance-plan.yaml")
    assert plan.changes
    assert {change.what for change in plan.changes} == {Setting.HOST_PORT}


@pytest.fixture
def week(tmp_path: Path, shop_review: weekly.WeeklyReview) -> weekly.WeeklyReview:
    """A review whose journal holds one applied raise."""
    settings = load_settings()
    settings = settings.model_copy(
        update={"apply": settings.apply.model_copy(update={"journal": tmp_path})}
    )
    journal = open_journal(tmp_path, "20261120T060000-x")
    detail = {
        "service": "shop/thumbnailer",
        "from": 128.0 * 2**20,
        "to": 256.0 * 2**20,
        "reason": "oom-killed",
        "what": "memory",
        "evidence": {"breach_after": 0.02},
    }
    journal.write(Kind.STARTED, who="ann", why="weekly")
    journal.write(
        Kind.INTENT,
        step=1,
        service="shop/thumbnailer",
        changes=[detail],
        containers=[{"id": "1"}],
        files=[],
    )
    journal.write(Kind.VERIFIED, step=1, service="shop/thumbnailer")
    journal.write(Kind.FINISHED, state="finished")
    journal.handle.close()
    lines = (tmp_path / "20261120T060000-x" / "journal.jsonl").read_text().splitlines()
    then = {"time": datetime(2026, 11, 20, 6, tzinfo=UTC).isoformat()}
    moved = [
        json.dumps(
            {name: part for name, part in (json.loads(line) | then).items() if name != "sum"}
        )
        for line in lines
    ]
    (tmp_path / "20261120T060000-x" / "journal.jsonl").write_text("\n".join(moved) + "\n")
    return replace(shop_review, settings=settings)


def test_applied_changes_show_what_came_of_them(week: weekly.WeeklyReview) -> None:
    """From and to, what was promised, and that a kill since then breaks the promise."""
    page = str(applied.realised(week))
    assert "shop/thumbnailer" in page
    assert "2.0%" in page
    assert "128 MiB" in page
    assert "applied changes held" in page


def test_a_damaged_journal_is_told(week: weekly.WeeklyReview) -> None:
    """The page stands, and says which line."""
    (week.settings.apply.journal / "20261120T060000-x" / "journal.jsonl").write_text("{\n")
    assert "cannot be read" in str(applied.realised(week))


def test_engines_that_do_not_answer_do_not_end_the_report(
    week: weekly.WeeklyReview, tmp_path: Path
) -> None:
    """Drift is asked for, the socket is not there: one sentence."""
    settings = week.settings.model_copy(
        update={
            "engine": week.settings.engine.model_copy(
                update={"hosts": {"gone": f"unix://{tmp_path}/none.sock"}}
            )
        }
    )
    assert "cannot be asked" in str(applied.drifted(replace(week, settings=settings), engine=True))
    assert "not asked" in str(applied.drifted(week, engine=False))


def test_a_project_that_cannot_be_read_is_said_where_the_exit_code_is_seen(tmp_path: Path) -> None:
    """The page judges the others; the command names file and reason, and ends with 3."""
    shutil.copytree(FILES[0], tmp_path / "stacks")
    (tmp_path / "stacks" / "broken").mkdir()
    (tmp_path / "stacks" / "broken" / "compose.yaml").write_text("services: [")
    done = capacity_here("report", "compliance", "stacks", "--sample", "--json", folder=tmp_path)
    assert done.returncode == 3
    assert "Not evaluated: " in done.stderr
    assert "broken/compose.yaml" in done.stderr
    page = Path(json.loads(done.stdout)["page"]).read_text()
    assert "1 projects not evaluated" in page or "1 project not evaluated" in page
    assert "shop/" in page
