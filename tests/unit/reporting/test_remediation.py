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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("report", "name"), [("weekly", "weekly-resources"), ("compliance", "weekly-compliance")]
)
def test_the_page_has_it(tmp_path: Path, report: str, name: str) -> None:
    """In a section of its own."""
    (tmp_path / "capacity.toml").write_text('[operations]\ntimeline = "list.yaml"\n')
    kept(tmp_path / "list.yaml", item(Deadline.DAY_1, "shop/web", "R1", "give it a limit"))
    words = ("report", report, "--sample", "--as-of", "2026-11-23", "--quiet")
    done = capacity_here(*words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "reports" / "2026-W48" / f"{name}.html").read_text()
    assert "<h2>Remediation timeline</h2>" in page
    assert "<b>shop/web</b> give it a limit" in page


def test_a_page_without_one_has_no_such_section(every_report: Path) -> None:
    """No page fails for want of it."""
    for name in ("weekly-resources", "weekly-compliance"):
        page = (every_report / "2026-W48" / f"{name}.html").read_text()
        assert "Remediation timeline" not in page
