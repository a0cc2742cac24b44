"""The remediation timeline on a page: what people have still to fix, by when and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capacity.errors import CapacityError
from capacity.operations._timeline.file import read_timeline
from capacity.operations._timeline.timeline import Deadline, ItemState, TimelineItem
from capacity.reporting._html.html import Html, badge, details, join, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capacity.settings import Settings

__all__ = ["remediation"]

_SHOWN = 5  # of each term, before the rest is folded
_LEVELS = {Deadline.DAY_1: "bad", Deadline.DAY_2_3: "warn", Deadline.WEEK_1: "quiet"}


def remediation(settings: Settings) -> Html | None:
    """What is open and in work, as `capacity timeline` keeps it; None where nothing is kept.

    A timeline that cannot be read is told on the page: a report does not fail because of it.
    """
    heading = Html("<h2>Remediation timeline</h2>")
    try:
        items = read_timeline(settings.operations.timeline)
    except CapacityError as error:
        return join([heading, join([str(error)], "p", "note")])
    if not items:
        return None
    done = sum(item.state is ItemState.DONE for item in items)
    file = settings.operations.timeline.name
    terms = [_term(when, [item for item in items if item.when is when], file) for when in Deadline]
    said = f"{done} of {len(items)} done, as {file} says; "
    note = join([said, join(["capacity timeline"], "code"), " brings it up to date."], "p", "note")
    return join([heading, note, join(terms, "div", "columns")])


def _term(when: Deadline, items: Sequence[TimelineItem], file: str) -> Html:
    """A term with what is left of it, the first few in sight."""
    left = [item for item in items if item.state is not ItemState.DONE]
    count = badge(f"{len(left)} open", _LEVELS[when] if left else "good")
    head = join([when, " ", count], "h3")
    shown = (
        join((_line(item) for item in left[:_SHOWN]), "ul")
        if left
        else join(["Nothing is left."], "p")
    )
    folded = join((_line(item) for item in left[_SHOWN:]), "ul")
    rest = details(f"{len(left) - _SHOWN} more", folded, paper=file) if left[_SHOWN:] else ""
    return join([head, shown, rest], "section", "column")


def _line(item: TimelineItem) -> Html:
    """Subject, what is to be done, its owner and state."""
    since = f", since {item.since}" if item.since else ""
    state = (
        f"{item.owner or 'nobody'}, {'in work' if item.state is ItemState.DOING else 'open'}{since}"
    )
    note = f" ({item.note})" if item.note else ""
    return join(
        [join([item.subject], "b"), text(f" {item.what} "), join([f"{state}{note}"], "small")], "li"
    )
