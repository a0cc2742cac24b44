"""What the two commands that roll a run back share: the dry run, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.printing import print_rows, say
from capacity._common.plain_data import Plain
from capacity.errors import ChangeRefused
from capacity.model import StepState

if TYPE_CHECKING:
    from capacity.changes._result import StepResult
    from capacity.changes._rollback.rollback import RollbackPreview

__all__ = ["Exact", "say_back", "say_preview"]

Exact = Annotated[
    bool,
    typer.Option("--exact", help="Make new containers where a limit has to be lifted altogether."),
]


def say_preview(found: Sequence[RollbackPreview], run: str, *, as_json: bool) -> None:
    """Each thing that would go back, from what it is to what it was; nothing has been done."""
    rows = [
        {
            "service": preview.service,
            "host": preview.host,
            "container": ", ".join(preview.containers) or "-",
            "what": preview.what,
            "change": f"{preview.now} -> {preview.former}",
            "state": "would-go-back",
        }
        for preview in found
    ]
    print_rows(rows, as_json=as_json, title=f"Dry run: run {run} rolled back")
    if not rows:
        _say_nothing_left(run)
        return
    say("Nothing was changed; --yes does it.", err=True)


def say_back(done: Sequence[StepResult], run: str, *, as_json: bool) -> None:
    """What became of each step.

    Raises:
        ChangeRefused: not everything could be brought back, or something critical is not well now.
    """
    rows: list[dict[str, Plain]] = [
        {
            "service": outcome.service,
            "host": outcome.host,
            "outcome": outcome.state,
            "why": outcome.reason,
        }
        for outcome in done
    ]
    print_rows(rows, as_json=as_json, title=f"Run {run} rolled back")
    if not rows:
        _say_nothing_left(run)
    if any(outcome.state == StepState.FAILED for outcome in done):
        raise ChangeRefused(
            "Not everything could be brought back",
            "The table says what and why; fix that and run it again",
        )


def _say_nothing_left(run: str) -> None:
    say(f"capacity: nothing of run {run} is in force any more that could go back", err=True)
