"""The rules around applying: windows, unattended runs, what the journal remembers, what was
promised and what came of it.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity._cli.commands.changes.live_plan import write_live_plan
from capacity._common.files import digest
from capacity._compose.edit.files import undo_text
from capacity.changes import (
    applied_changes,
    correct_units,
    edit_compose,
    failure_cooldowns,
    promised_outcomes,
    read_plan,
)
from capacity.changes._apply.unattended import by_itself, check_unattended
from capacity.changes._apply.windows import check_window
from capacity.changes._journal.journal import open_journal, read_journal
from capacity.changes._journal.models import Kind
from capacity.changes._journal.runs import find_run
from capacity.errors import ChangeRefused, EditRefused, InputError, SettingsError
from capacity.model import Reason, Resource, Setting
from capacity.settings import Settings, UnattendedSettings, override
from tests.fixtures.running.fleet import MIB, cpus, memory, other, plan_of, project

MONDAY = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RULES = UnattendedSettings(
    enabled=True, actions=["raise"], reasons=["breach-expected"], services=["shop/*"]
)


@pytest.mark.parametrize(
    ("window", "hours", "is_open"),
    [
        ("Mon-Fri 10:00-14:00", 0, True),
        ("Sat-Sun 10:00-14:00", 0, False),
        ("11:00-12:00", 0, False),
        ("22:00-04:00", 11, True),
        ("Mon 22:00-04:00", 15, True),
        ("Tue 22:00-04:00", 15, False),
        ("Fri-Mon 00:00-24:00", 0, True),
    ],
)
def test_windows(window: str, hours: int, is_open: bool) -> None:
    """A window over midnight belongs to the day on which it begins."""
    if is_open:
        check_window([window], MONDAY + timedelta(hours=hours))
    else:
        with pytest.raises(ChangeRefused, match="No maintenance window"):
            check_window([window], MONDAY + timedelta(hours=hours))


@pytest.mark.parametrize("window", ["always", "Mon-Xyz 10:00-11:00", "25:00-26:00", "10:61-11:00"])
def test_a_window_that_is_none_is_a_settings_error(window: str) -> None:
    """With how to write one."""
    with pytest.raises(SettingsError, match="22:00-04:00"):
        check_window([window], MONDAY)


def test_what_waits_for_a_person() -> None:
    """Each rule by itself; what is left goes through."""
    plan = plan_of(
        memory("shop/good", 64, 80, Reason.BREACH_EXPECTED, confidence=0.9),
        memory("shop/large", 64, 128, Reason.BREACH_EXPECTED, confidence=0.9),
        memory("shop/unsure", 64, 80, Reason.BREACH_EXPECTED, confidence=0.5),
        memory("shop/lower", 64, 48, Reason.BREACH_EXPECTED, confidence=0.9),
        memory("shop/new", None, 48, Reason.BREACH_EXPECTED, confidence=0.9),
        memory("shop/why", 64, 80, Reason.OVERSIZED, confidence=0.9),
        memory("other/one", 64, 80, Reason.BREACH_EXPECTED, confidence=0.9),
        other("shop/pin", Setting.CPUSET, None, "0"),
    )
    chosen, waiting = by_itself(plan, plan.changes, RULES)
    assert [change.service for change in chosen] == ["shop/good"]
    assert all(refusal.reason.startswith("waits for a person: ") for refusal in waiting)
    assert by_itself(plan.model_copy(update={"plan_id": "edited"}), plan.changes, RULES)[0] == []


def run_of(
    folder: Path,
    service: str,
    kinds: list[Kind],
    *,
    run: str = "r1",
    evidence: dict[str, float] | None = None,
) -> None:
    """A run as the journal has it: one change of a service, with those lines after its intent."""
    change = memory(service, 128, 64, Reason.OVERSIZED, **(evidence or {}))
    journal = open_journal(folder, run)
    with closing(journal.handle):
        journal.write(Kind.STARTED, who="someone", why="review")
        detail: dict[str, Any] = {
            "mode": "live",
            "files": [],
            "project": None,
            "changes": [plan_of(change).changes[0].model_dump(mode="json", by_alias=True)],
            "containers": [{"id": "1", "name": "n", "replica": 1, "before": {}, "seen": {}}],
        }
        journal.write(Kind.INTENT, step=1, service=service, host="here", **detail)
        for kind in kinds:
            more: dict[str, Any] = (
                {"left": []}
                if kind is Kind.UNDONE
                else {"reason": "it was killed"}
                if kind is Kind.BAD
                else {}
            )
            journal.write(kind, step=1, service=service, host="here", **more)
        journal.write(Kind.FINISHED, state="finished")


def test_a_failed_verification_ends_unattended_mode_for_a_week(tmp_path: Path) -> None:
    """It says until when and why; off is off, and a good week is on."""
    now = datetime.now(UTC)
    with pytest.raises(ChangeRefused, match="Unattended mode is off"):
        check_unattended(plan_of(), UnattendedSettings(), tmp_path, now)
    check_unattended(plan_of(), RULES, tmp_path, now)
    run_of(tmp_path, "shop/web", [Kind.DONE, Kind.BAD, Kind.UNDOING, Kind.UNDONE])
    with pytest.raises(ChangeRefused, match=r"off until .*shop/web.*it was killed"):
        check_unattended(plan_of(), RULES, tmp_path, now)
    check_unattended(plan_of(), RULES, tmp_path, now + timedelta(days=8))
    assert "it was killed" in failure_cooldowns(tmp_path, now, 72)["shop/web"]


def test_promised_and_realised(tmp_path: Path) -> None:
    """A promise holds when nothing was killed and use stayed below; what was saved counts every
    replica.
    """
    for run, name in (("r1", "good"), ("r2", "full"), ("r3", "dead")):
        run_of(
            tmp_path,
            f"shop/{name}",
            [Kind.DONE, Kind.VERIFIED],
            run=run,
            evidence={"breach_after": 0.01},
        )
    start = pd.Timestamp.now("UTC").floor("h")
    index = pd.date_range(start - pd.Timedelta("1h"), periods=6, freq="1h")
    usage = pd.DataFrame(
        {"shop/good": 40.0 * MIB, "shop/full": 64.0 * MIB, "shop/dead": 40.0 * MIB}, index=index
    )
    kills = pd.DataFrame({"shop/dead": 1.0}, index=index)
    frames = {Resource.MEMORY: usage, Resource.CPU: usage.iloc[:, :0]}
    span = {"since": start.to_pydatetime() - timedelta(days=1), "until": index[-1].to_pydatetime()}
    rows = {
        outcome.change.service: outcome
        for outcome in promised_outcomes(tmp_path, frames, kills, **span)
    }
    assert {name: row.held for name, row in rows.items()} == {
        "shop/good": True,
        "shop/full": False,
        "shop/dead": False,
    }
    assert (rows["shop/good"].saved, rows["shop/good"].promised, rows["shop/good"].peak) == (
        64 * MIB,
        0.01,
        40 * MIB,
    )


@given(st.binary(max_size=60))
def test_half_a_line_is_no_line(tmp_path_factory: pytest.TempPathFactory, torn: bytes) -> None:
    """Whatever a crash left behind the last whole line, the journal reads, and goes on after it."""
    folder = tmp_path_factory.mktemp("journal")
    journal = open_journal(folder, "run")
    with closing(journal.handle):
        journal.write(Kind.STARTED, who="x")
        journal.handle.write(torn.replace(b"\n", b" "))
    assert len(read_journal(folder / "run")) == 1
    journal = open_journal(folder, "run")
    with closing(journal.handle):
        journal.write(Kind.FINISHED)
    assert [entry.kind for entry in read_journal(folder / "run")] == [Kind.STARTED, Kind.FINISHED]


def test_damage_and_names_of_runs_are_said(tmp_path: Path) -> None:
    """A line that is none is named; a run is found by its beginning."""
    run_of(tmp_path, "shop/web", [Kind.DONE], run="20260101-a")
    run_of(tmp_path, "shop/web", [Kind.DONE], run="20260102-b")
    assert find_run(tmp_path, "20260101") == "20260101-a"
    for name, cause in (("2026", "2 runs"), ("x", "no run")):
        with pytest.raises(InputError, match=cause):
            find_run(tmp_path, name)
    assert [adjustment.run for adjustment in applied_changes(tmp_path)] == [
        "20260101-a",
        "20260102-b",
    ]
    lines = tmp_path / "20260101-a" / "journal.jsonl"
    lines.write_bytes(b"{}\n" + lines.read_bytes())
    with pytest.raises(InputError, match=r"journal\.jsonl:1"):
        applied_changes(tmp_path)
    assert digest(b"") != digest(b"x")


@given(st.lists(st.sampled_from(["# note", "x-more: 1"]), max_size=3, unique=True), st.booleans())
def test_an_edit_is_taken_back_out_of_a_newer_text(added: list[str], at_start: bool) -> None:
    """Lines that people added anywhere stay, the edit goes."""
    before = project(web="mem_limit: 64m", db="mem_limit: 64m")
    after = before.replace("64m", "96m", 1)
    more = "".join(f"{line}\n" for line in added)
    newer, wanted = (f"{more}{text}" if at_start else f"{text}{more}" for text in (after, before))
    assert undo_text(before, after, newer) == wanted
    assert undo_text(before, after, wanted) == wanted
    with pytest.raises(EditRefused):
        undo_text(before, after, newer.replace("96m", "80m"))


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("more", ["volumes: {}", "# x", "  other:\n    image: a", "    init: true"])
def test_an_edit_at_the_end_is_taken_back_from_above_what_is_added(
    more: str, finished: bool
) -> None:
    """Whatever stands behind it now, and although the last line had no break."""
    end = "\n" if finished else ""
    before = f"services:\n  web:\n    image: a{end}"
    after = edit_compose(before, {"web": {"memory": 2**28}})
    assert undo_text(before, after, f"{after.rstrip()}\n{more}") == f"{before.rstrip()}\n{more}"
    assert undo_text(before, after, f"{after.rstrip()}\n") == f"{before.rstrip()}\n"
    if finished:
        with pytest.raises(EditRefused, match="have changed since"):
            undo_text(before, after, f"{after}          pids: 5\n")


def test_units_behind_anchors_and_variables() -> None:
    """An anchored size is corrected where it stands, once; one in a variable is left to a
    person.
    """
    text = """\
x-limits: &limits
  mem_limit: 512Mi
services:
  a: {image: x, <<: *limits}
  b:
    image: x
    mem_limit: ${SIZE:-2Gi}
  c: {image: x, mem_limit: 2g}
"""
    new, found = correct_units(text)
    assert new == text.replace("512Mi", "512m")
    assert [(correction.service, correction.new) for correction in found] == [
        ("a", "512m"),
        ("b", ""),
    ]
    assert "by hand" in found[1].text
    assert correct_units(new.replace("${SIZE:-2Gi}", "2g"))[1] == []


def test_a_raise_of_one_and_a_lowering_of_another_have_their_place() -> None:
    """Order and risk say what comes first and what can go wrong."""
    plan = plan_of(
        memory("a/a", 64, 96),
        memory("a/b", 96, 64),
        cpus("a/a", None, 1),
        other("a/a", Setting.ENVIRONMENT, None, {"A": "1"}),
        other("a/a", Setting.CPU_RESERVATION, None, 0.5),
    )
    placed = {(change.service, change.what): (change.order, change.risk) for change in plan.changes}
    assert placed["a/a", Setting.MEMORY] == (1, "low")
    assert placed["a/b", Setting.MEMORY] == (2, "high")
    assert placed["a/a", Setting.CPUS] == (2, "medium")
    assert placed["a/a", Setting.ENVIRONMENT] == (3, "high")
    assert placed["a/a", Setting.CPU_RESERVATION] == (2, "low")


def test_a_plan_of_what_runs_says_what_is_held_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A change that has just failed is proposed again as long as its cause is there, and would be
    refused.
    """
    run_of(tmp_path, "shop/web", [Kind.DONE, Kind.BAD, Kind.UNDOING, Kind.UNDONE])
    settings = override(Settings(), "apply__journal", tmp_path)
    changes = [memory(name, 64, 128) for name in ("shop/db", "shop/web")]
    write_live_plan(settings, tmp_path / "plan.yaml", changes, {})
    told = capsys.readouterr().err.splitlines()
    assert len(read_plan(tmp_path / "plan.yaml").changes) == 2
    assert [line for line in told if "held back until" in line] == told[:1]
    assert told[0].startswith("capacity: shop/web is held back until")
