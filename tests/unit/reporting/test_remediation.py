"""The remediation timeline on the weekly pages: what is left to do, escaped, and never a reason for
a report to fail.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from capacity.operations._timeline.file import write_timeline
from capacity.operations._timeline.timeline import (
    Deadline,
    ItemState,
    TimelineItem,
    item,
    merge_items,
)
from capacity.reporting._remediation import remediation
from capacity.settings import Settings
from tests.fixtures.commands import capacity_here

TODAY = date(2026, 11, 23)


def kept(file: Path, *items: TimelineItem) -> Settings:
    """Settings with a timeline of these items."""
    write_timeline(file, merge_items([], items, TODAY))
    return Settings(operations={"timeline": file})


def test_what_is_left_is_shown_by_term_with_owner_and_state(tmp_path: Path) -> None:
    """Open and in work with their owners, done ones as a number, more than five of a term folded;
    text stays text.
    """
    done = TimelineItem(
        "d", "R1", Deadline.WEEK_1, "shop/old", "was fixed", state=ItemState.DONE, until=TODAY
    )
    doing = TimelineItem(
        "w",
        "R2",
        Deadline.DAY_2_3,
        "shop/<b>",
        "give & take",
        owner="Ada",
        state=ItemState.DOING,
        since=TODAY,
        note="soon",
    )
    many = [item(Deadline.DAY_1, f"shop/s{number}", "R3", "a limit") for number in range(7)]
    shown = str(remediation(kept(tmp_path / "timeline.yaml", done, doing, *many)))
    assert "1 of 9 done, as timeline.yaml says" in shown
    assert (
        "<b>shop/&lt;b&gt;</b> give &amp; take <small>Ada, in work, since 2026-11-23 (soon)</small>"
        in shown
    )
    assert "<b>shop/s0</b> a limit <small>nobody, open, since 2026-11-23</small>" in shown
    assert "<summary>2 more</summary>" in shown
    assert "Nothing is left." in shown
    assert "shop/old" not in shown


@pytest.mark.parametrize(
    "text",
    ["items: {", "items: 3", "items:\n- {id: a}", "[" * 5000],
    ids=["cut", "number", "half", "deep"],
)
def test_a_damaged_timeline_is_told(tmp_path: Path, text: str) -> None:
    """The page has a note with the cause and the next step."""
    file = tmp_path / "timeline.yaml"
    file.write_text(text)
    assert "is no timeline" in str(remediation(Settings(operations={"timeline": file})))


def test_without_a_timeline_there_is_no_section(tmp_path: Path) -> None:
    """Neither without a file nor with an empty one."""
    assert remediation(Settings(operations={"timeline": tmp_path / "none.yaml"})) is None
    assert remediation(kept(tmp_path / "timeline.yaml")) is None


def pages(folder: Path, report: str, name: str, *texts: str) -> list[str]:
    """The pages of a report, rendered once with each text as the timeline that the settings
    name.
    """
    (folder / "capacity.toml").write_text('[operations]\ntimeline = "list.yaml"\n')
    found = []
    for text in texts:
        (folder / "list.yaml").write_text(text)
        done = capacity_here(
            "report", report, "--sample", "--as-of", "2026-11-23", "--quiet", folder=folder
        )
        assert done.returncode == 0, done.stderr
        found.append((folder / "reports" / "2026-W48" / f"{name}.html").read_text())
    return found


@pytest.fixture
def text(tmp_path: Path) -> str:
    """A timeline with one thing to do."""
    kept(tmp_path / "some.yaml", item(Deadline.DAY_1, "shop/web", "R1", "give it a limit"))
    return (tmp_path / "some.yaml").read_text()


@pytest.mark.slow
def test_the_weekly_page_has_it(tmp_path: Path, text: str) -> None:
    """In a section of its own."""
    (first,) = pages(tmp_path, "weekly", "weekly-resources", text)
    assert "<h2>Remediation timeline</h2>" in first
    assert "<b>shop/web</b> give it a limit" in first


@pytest.mark.slow
def test_the_compliance_page_has_it_and_does_not_fail_without(tmp_path: Path, text: str) -> None:
    """With a damaged file there is a note, with none no section."""
    good, damaged, empty = pages(
        tmp_path, "compliance", "weekly-compliance", text, "items: {", "items: []"
    )
    assert "<b>shop/web</b> give it a limit" in good
    assert "list.yaml is no timeline" in damaged
    assert "Remediation timeline" not in empty
