"""Plans of what the Engines show at this moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.printing import say
from capacity._common.text.counting import counted

if TYPE_CHECKING:
    from capacity.model import Change
    from capacity.settings import Settings

__all__ = ["Out", "write_live_plan"]

Out = Annotated[
    Path | None, typer.Option("--out", help="Write the proposed changes as a plan to this file.")
]


def write_live_plan(
    settings: Settings, out: Path, changes: list[Change], hosts: dict[str, str]
) -> None:
    """A plan of what an Engine showed; it is good for a day, since things change."""
    from datetime import UTC, datetime, timedelta

    from capacity._common.version import VERSION
    from capacity.changes import MadeFrom, make_plan, write_plan
    from capacity.changes._journal.adjustments import failure_cooldowns

    now = datetime.now(UTC).replace(microsecond=0)
    once = {
        (change.service, change.resource): change for change in changes
    }  # replicas of a service propose the same
    made_from = MadeFrom(history="", settings=settings.fingerprint(), code=VERSION)
    plan = make_plan(
        once.values(),
        hosts=hosts,
        as_of=now,
        valid_until=now + timedelta(days=1),
        made_from=made_from,
    )
    write_plan(plan, out)
    held = failure_cooldowns(settings.apply.journal, now, settings.apply.cooldown_hours)
    for service in sorted({change.service for change in plan.changes} & held.keys()):
        say(f"capacity: {service} is {held[service]}", err=True)
    say(
        f"capacity: {counted(len(plan.changes), 'change')} in {out}; `capacity apply {out}` shows "
        "them at work",
        err=True,
    )
