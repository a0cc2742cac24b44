"""The remediation timeline: stable between runs, edited by people, true to what is seen."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from capacity._common.bundled import bundled
from capacity.compliance import Facts, evaluate, load_rules
from capacity.compliance._facts.collect import from_files
from capacity.errors import InputError, StorageError
from capacity.model import Resource
from capacity.operations._restarts.causes import Diagnosis
from capacity.operations._restarts.loops import RestartLoop
from capacity.operations._timeline.file import read_timeline, write_timeline
from capacity.operations._timeline.markdown import to_markdown
from capacity.operations._timeline.observations import observe
from capacity.operations._timeline.timeline import (
    Deadline,
    ItemState,
    TimelineItem,
    evaluated_rules,
    from_loops,
    from_recommendations,
    from_report,
    item,
    merge_items,
)
from capacity.settings import Settings
from tests.integration.changes.test_apply_faults import fill, mounted

PLAIN = "id: a, kind: b, when: Day 1, subject: s, what: w"
MONDAY, TUESDAY, FRIDAY = date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 27)


def things() -> list[TimelineItem]:
    """One thing of each day."""
    return [
        item(Deadline.WEEK_1, "shop/web", "CAP005", "CAP005 a health check"),
        item(Deadline.DAY_1, "shop/db", "restart-loop", "Restart loop"),
        item(Deadline.DAY_2_3, "shop/api", "CAP002", "CAP002 a limit"),
    ]


def test_the_new_is_open_the_gone_is_done_and_what_returns_reopens() -> None:
    """Ids stay the same over the runs, whatever the text says."""
    first = merge_items([], things(), MONDAY)
    assert [item.when for item in first] == [Deadline.DAY_1, Deadline.DAY_2_3, Deadline.WEEK_1]
    assert {item.since for item in first} == {MONDAY}
    second = merge_items(first, things()[:1], TUESDAY)
    assert [(item.state, item.until) for item in second] == [
        (ItemState.DONE, TUESDAY),
        (ItemState.DONE, TUESDAY),
        (ItemState.OPEN, None),
    ]
    third = merge_items(second, things()[:2], FRIDAY)
    back = next(item for item in third if item.kind == "restart-loop")
    assert (back.state, back.since, back.until) == (ItemState.OPEN, FRIDAY, None)
    assert next(item for item in third if item.kind == "CAP002").until == TUESDAY
    assert {item.id for item in third} == {item.id for item in first}


def test_what_was_not_looked_for_stays_as_it_is() -> None:
    """A run without an Engine does not tick restart loops off."""
    first = merge_items([], things(), MONDAY)
    second = merge_items(first, [], TUESDAY, looked={"CAP002"})
    assert {item.kind: item.state for item in second} == {
        "restart-loop": ItemState.OPEN,
        "CAP002": ItemState.DONE,
        "CAP005": ItemState.OPEN,
    }


def test_what_people_write_stays(tmp_path: Path) -> None:
    """Owner, state, note and keys of their own survive the next run; done too early is open
    again.
    """
    file = tmp_path / "timeline.yaml"
    write_timeline(file, merge_items([], things(), MONDAY))
    text = (
        file.read_text()
        .replace("owner: ''", "owner: Ada", 1)
        .replace("state: open", "state: doing", 1)
    )
    text = text.replace("note: ''", "note: 'ticket #7'\n  ticket: 7", 1)
    file.write_text(text)
    merged = merge_items(read_timeline(file), things(), TUESDAY)
    write_timeline(file, merged)
    assert read_timeline(file) == merged
    ada = merged[0]
    assert (ada.owner, ada.state, ada.note, ada.extra, ada.since) == (
        "Ada",
        ItemState.DOING,
        "ticket #7",
        {"ticket": 7},
        MONDAY,
    )
    early = replace(ada, state=ItemState.DONE)
    assert merge_items([early], things(), TUESDAY)[0].state is ItemState.OPEN


def test_writing_what_was_read_changes_nothing(tmp_path: Path) -> None:
    """Byte for byte, so that its history in git shows what happened."""
    file = tmp_path / "timeline.yaml"
    write_timeline(file, merge_items([], things(), MONDAY))
    before = file.read_bytes()
    assert b"&id" not in before  # every item has the same day
    write_timeline(file, merge_items(read_timeline(file), things(), TUESDAY))
    assert file.read_bytes() == before


def test_a_full_disk_leaves_the_former_file_and_nothing_beside_it(tmp_path: Path) -> None:
    """The error names the file; no half of a new one stays."""
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=64k", "tmpfs"):
        file = tmp_path / "timeline.yaml"
        write_timeline(file, merge_items([], things(), MONDAY))
        before = file.read_bytes()
        ballast = fill(tmp_path)
        with pytest.raises(StorageError, match=r"timeline\.yaml: No space"):
            write_timeline(file, merge_items([], things(), MONDAY))
        assert file.read_bytes() == before
        assert {*tmp_path.iterdir()} == {file, ballast}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("items: [{}]", "item 1 has no `id`"),
        ("items: [1]", "item 1 is 1, not a list of names with values"),
        ("- x", "it has no list `items:` at its top"),
        ("items: 7", "it has no list `items:` at its top"),
        ("{}", "it has no list `items:` at its top"),
        (
            "items: [{id: a, kind: b, when: Day 9, subject: s, what: w}]",
            "item 1 (s) has `when: Day 9`; write Day 1, Day 2-3, Week 1",
        ),
        ("items: [{id: a, kind: b, when: [1], subject: s, what: w}]", "item 1 (s) has `when: [1]`"),
        (
            f"items: [{{{PLAIN}, state: ready}}]",
            "item 1 (s) has `state: ready`; write open, doing, done",
        ),
        (
            f"items: [{{{PLAIN}, since: soon}}]",
            "item 1 (s) has `since: soon`; write a day, such as 2026-11-23",
        ),
        (f"items: [{{{PLAIN}, from: 5}}]", "item 1 (s) has `from: 5`; write a list"),
        ("items:\n  - {", "line 3: no YAML: "),
        ("items: \udcff", "it is not written in UTF-8"),
    ],
)
def test_a_file_that_is_no_timeline_says_so(tmp_path: Path, text: str, said: str) -> None:
    """It is not overwritten, and the message names the item and what it should be."""
    file = tmp_path / "timeline.yaml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=f"is no timeline: .*{re.escape(said)}"):
        read_timeline(file)


def test_markdown_is_a_list_to_tick_off() -> None:
    """Days in order, done things ticked, names that are no markup."""
    items = merge_items(
        [replace(things()[1], owner="Ada", subject="a_b/*c*")], things()[:1], TUESDAY
    )
    text = to_markdown(items)
    assert text.startswith(
        "# Remediation timeline\n\n1 of 2 done.\n\n## Day 1\n\n- [x] **a\\_b/\\*c\\*** Restart loop"
    )
    assert "owner: Ada — done 2026-11-24" in text
    assert "## Day 2-3\n\nNothing.\n" in text
    assert "- [ ] **shop/web** CAP005 a health check — owner: nobody" in text


def test_findings_loops_and_risks_become_items() -> None:
    """Severities say the day; a rule and a subject are one item; what cannot be judged is not among
    the judged.
    """
    report = evaluate(load_rules(), from_files([bundled("data/sample/compose")]), today=MONDAY)
    found = from_report(report)
    assert {item.when for item in found} == set(Deadline)
    assert (
        len({finding.id for finding in found})
        == len(found)
        == len({(finding.rule.id, finding.subject) for finding in report.failing()})
    )
    assert "CAP002" in evaluated_rules(report)
    assert "CAP003" not in evaluated_rules(report)
    loop = RestartLoop(
        "shop/db", "here", "db", 7, 9, back_off=True, diagnosis=Diagnosis("crash", "manual")
    )
    assert [(item.when, item.subject) for item in from_loops([loop, loop])] == [
        (Deadline.DAY_1, "shop/db")
    ]
    table = pd.DataFrame(
        {"reason": ["oom-killed", "within-tolerance", "leak"]}, index=["a/a", "b/b", "c/c"]
    )
    risks = from_recommendations(table, Resource.MEMORY)
    assert [(risk.subject, risk.when, risk.kind) for risk in risks] == [
        ("a/a", Deadline.DAY_1, "memory-risk"),
        ("c/c", Deadline.DAY_2_3, "memory-risk"),
    ]
    assert evaluated_rules(evaluate(load_rules(), Facts(), today=MONDAY)) == set()


def test_only_who_looks_where_it_was_seen_ticks_it_off() -> None:
    """Two sources show a thing: it is open until both were looked at without it, whatever else was
    looked at.
    """
    here, there = ("compose one",), ("compose one", "engine box")
    first = merge_items(
        [], [replace(each, sources=there) for each in things()[:1]], MONDAY, sources=there
    )
    other = merge_items(first, [], TUESDAY, sources=("compose two", "metrics here"))
    assert [(item.state, item.sources) for item in other] == [(ItemState.OPEN, there)]
    half = merge_items(other, [], TUESDAY, sources=here)
    assert [(item.state, item.sources) for item in half] == [(ItemState.OPEN, ("engine box",))]
    whole = merge_items(half, [], FRIDAY, sources=("engine box", "engine other"))
    assert [(item.state, item.until) for item in whole] == [(ItemState.DONE, FRIDAY)]
    again = merge_items(whole, [replace(things()[0], sources=here)], FRIDAY, sources=here)
    assert [(item.state, item.sources) for item in again] == [(ItemState.OPEN, here)]


def test_one_project_does_not_tick_off_the_things_of_another(tmp_path: Path) -> None:
    """Files looked at one after the other keep each other's list; a port that both want is gone
    once both were looked at.
    """
    files = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files[name] = tmp_path / name / "compose.yaml"
        files[name].write_text('services: {web: {image: "app:1", ports: ["8080:80"]}}\n')
    settings = Settings()
    both = observe(from_files(files.values()), load_rules(), settings)
    assert both.sources == {"compose one", "compose two"}
    items = merge_items([], both.items, MONDAY, looked=both.kinds, sources=both.sources)
    clash = {item.id for item in items if item.sources == ("compose one", "compose two")}
    assert clash
    alone = observe(from_files([files["one"]]), load_rules(), settings)
    kept = merge_items(items, alone.items, TUESDAY, looked=alone.kinds, sources=alone.sources)
    assert {item.state for item in kept} == {ItemState.OPEN}
    files["two"].write_text("services: {}\n")
    fixed = observe(from_files(files.values()), load_rules(), settings)
    after = merge_items(kept, fixed.items, FRIDAY, looked=fixed.kinds, sources=fixed.sources)
    assert {
        item.state for item in after if item.subject.startswith("two/") or item.id in clash
    } == {ItemState.DONE}
    assert {item.state for item in after if item.subject == "one/web" and item.id not in clash} == {
        ItemState.OPEN
    }


def test_items_lead_to_their_runbooks(tmp_path: Path) -> None:
    """A rule, a cause and a reason each have a page, here or in your own file wiki; what has none
    has no link.
    """
    loop = RestartLoop(
        "shop/cart", "box", "shop-cart-1", 9, 9, True, Diagnosis("missing-variable", "manual")
    )
    shown = to_markdown(
        merge_items([], [*from_loops([loop]), *things()], MONDAY), "https://wiki/{code}"
    )
    assert "[runbook](https://wiki/missing-variable)" in shown
    assert shown.count("[runbook]") == 1
    file = tmp_path / "timeline.yaml"
    write_timeline(file, from_loops([loop]))
    assert [(item.code, item.sources) for item in read_timeline(file)] == [
        ("missing-variable", ("engine box",))
    ]
