"""What was changed since the last weeks and what came of it; and what the next `up` would undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from capacity._common.setting_values import show_value
from capacity._compose import drift
from capacity._docker import snapshot
from capacity.changes import Outcome, failure_cooldowns, promised_outcomes
from capacity.errors import CapacityError, InputError
from capacity.model import Resource, Setting, Signal
from capacity.reporting._html.formatting import AMOUNT, NAMES, PRINT, long_table
from capacity.reporting._html.html import Column, Html, join, table, text

if TYPE_CHECKING:
    from capacity.history import History
    from capacity.reporting.weekly._review import WeeklyReview
    from capacity.settings import Settings

__all__ = ["applied_outcomes", "drifted", "realised"]

_LOOK_BACK = pd.Timedelta("28D")


def realised(week: WeeklyReview) -> Html:
    """Applied changes of the last four weeks: promised and realised, and who is held back."""
    return applied_outcomes(week.history, week.settings, _LOOK_BACK, "four weeks")


def applied_outcomes(history: History, settings: Settings, back: pd.Timedelta, words: str) -> Html:
    """The same of any span back from the end of a history; `words` is its name."""
    try:
        rows = _rows(history, settings, back)
        held = failure_cooldowns(
            settings.apply.journal, history.end.to_pydatetime(), settings.apply.cooldown_hours
        )
    except InputError as error:  # a damaged journal is told, and the rest of the page stands
        return Html(f"<p>The journal cannot be read: {text(' '.join(str(error).split()))}</p>")
    if not rows:
        return Html(f"<p>Nothing was applied in the last {text(words)}.</p>")
    good = sum(row.held for row in rows)
    cells = [
        (
            f"{row.change.time:%d %b %H:%M}",
            row.change.service,
            NAMES[row.resource],
            show_value(Setting(row.change.what), row.change.before),
            show_value(Setting(row.change.what), row.change.after),
            "-" if row.promised is None else f"{row.promised:.1%}",
            "-" if row.peak is None else PRINT[row.resource](row.peak),
            f"{row.kills:.0f}" if row.resource is Resource.MEMORY else "-",
            f"{row.change.outcome}{'' if row.held else ', not held'}",
        )
        for row in rows
    ]
    columns = [
        *(Column(name) for name in ("When", "Service", "Resource")),
        *(Column(name, number=True) for name in ("From", "To")),
        Column("Promised", number=True, help="Chance of a breach that the plan gave"),
        Column("Peak since", number=True, unit=AMOUNT),
        Column("OOM kills", number=True),
        Column("Outcome"),
    ]
    parts = [
        long_table(f"{good} of {len(rows)} applied changes held what they promised", columns, cells)
    ]
    if held:
        lines = [(service, why) for service, why in sorted(held.items())]
        parts.append(table("Held back after a failure", [Column("Service"), Column("Why")], lines))
    return join(parts)


def _rows(history: History, settings: Settings, back: pd.Timedelta) -> list[Outcome]:
    usage = {resource: history[resource.usage] for resource in Resource}
    since = (history.end - back).to_pydatetime()
    until = history.end.to_pydatetime()
    rows = promised_outcomes(
        settings.apply.journal, usage, history[Signal.OOM_KILLS], since=since, until=until
    )
    known = set(history.services)  # one journal may be that of several fleets
    return [row for row in rows if row.change.service in known]


def drifted(week: WeeklyReview, *, engine: bool) -> Html:
    """Live limits that differ from the compose files."""
    if not engine:
        return Html(
            "<p>The Engines were not asked: <code>--engine</code> compares what runs with what is "
            "declared.</p>"
        )
    try:
        found = drift(snapshot(week.settings.engine), week.settings.apply.projects)
    except CapacityError as error:  # the page stands without its Engines
        return Html(f"<p>The Engines cannot be asked: {text(' '.join(str(error).split()))}</p>")
    notes = "".join(f"<p>{text(row.note)}</p>" for row in found if row.note)
    found = [row for row in found if not row.note]
    if not found:
        return Html(f"<p>What runs is what the compose files declare.</p>{notes}")
    cells = [
        (
            difference.service,
            str(difference.what),
            show_value(difference.what, difference.live),
            show_value(difference.what, difference.declared),
            difference.where,
        )
        for difference in found
    ]
    columns = [Column(name) for name in ("Service", "What", "In force", "Declared", "Where")]
    shown = long_table("The next `up` would undo these", columns, cells)
    return Html(f"{shown}{notes}")
