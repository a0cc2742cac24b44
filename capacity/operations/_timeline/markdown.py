"""The timeline as a list for a page or a ticket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from capacity._common.runbooks import runbook_url
from capacity._common.text.escape import markdown

if TYPE_CHECKING:
    pass
from capacity.operations._timeline.timeline import Deadline, ItemState, TimelineItem

__all__ = ["to_markdown"]


def to_markdown(items: Sequence[TimelineItem], runbooks: str | None = None) -> str:
    """The list as people tick it off.

    Args:
        items: from `merge_items`.
        runbooks: address of the runbooks, see `capacity._common.runbooks.runbook_url`.
    """
    done = sum(item.state is ItemState.DONE for item in items)
    lines = ["# Remediation timeline", "", f"{done} of {len(items)} done."]
    for when in Deadline:
        mine = [item for item in items if item.when is when]
        lines += ["", f"## {when}", ""] + ([_line(item, runbooks) for item in mine] or ["Nothing."])
    return "\n".join(lines) + "\n"


def _line(item: TimelineItem, runbooks: str | None) -> str:
    box = "x" if item.state is ItemState.DONE else " "
    said = [
        f"- [{box}] **{markdown(item.subject)}** {markdown(item.what)}",
        f"owner: {markdown(item.owner) or 'nobody'}",
    ]
    said += ["in work"] if item.state is ItemState.DOING else []
    said += [f"done {item.until}"] if item.until else [f"since {item.since}"] if item.since else []
    page = runbook_url(item.code, runbooks) if item.code else None
    return " — ".join(
        [
            *said,
            *([markdown(item.note)] if item.note else []),
            *([f"[runbook]({quote(page, safe=':/#?&=%@,;+~')})"] if page else []),
        ]
    )
