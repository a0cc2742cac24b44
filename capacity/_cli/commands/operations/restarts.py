"""`capacity restarts`: who restarts again and again, why, and what would fix it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capacity._cli.commands.changes.live_plan import Out, write_live_plan
from capacity._cli.options import (
    AsOf,
    Config,
    Json,
    Offline,
    Sample,
    Source,
    history_of,
    one_source,
    settings_of,
)
from capacity._cli.printing import print_rows, say, show_text
from capacity._common.plain_data import Plain
from capacity._common.runbooks import runbook_url
from capacity._common.text.counting import counted
from capacity.errors import NoHistory, SourceError

if TYPE_CHECKING:
    from capacity.operations import RestartLoop
    from capacity.settings import Settings

__all__ = ["loops_of", "restarts"]


def restarts(
    window: Annotated[
        str | None,
        typer.Option("--window", help="Time looked back, such as 10m; default the settings'."),
    ] = None,
    more_than: Annotated[
        int | None,
        typer.Option("--more-than", min=0, help="Restarts within it that are no loop yet."),
    ] = None,
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Find containers that restart again and again or cannot start, why, and what would fix them;
    exit code 1 with any.
    """
    settings = settings_of(config, None)
    wants_history = offline or one_source(source, sample=sample, offline=offline) is not None
    history, missing = None, False
    if wants_history:
        try:
            history = history_of(settings, source, sample, offline, as_of, None, quiet=as_json)
        except (
            SourceError,
            NoHistory,
        ) as error:  # in an emergency the metrics may be down too, and the Engines know most of it
            missing = True
            say(f"capacity: only what the Engines tell is looked at: {error}", err=True)
    if sample:
        _show_measured(history, settings, as_json=as_json)
        return
    loops, silent = loops_of(settings, window, more_than, history)
    if out is not None:
        write_live_plan(
            settings,
            out,
            [change for loop in loops for change in loop.changes],
            {found.service: found.host for found in loops},
        )
    if as_json:
        show_text(
            json.dumps([_loop_json(loop, settings.report.runbooks) for loop in loops], indent=1)
        )
    elif not loops:
        where = " on the hosts that answer" if silent else ""
        say(f"No restart loops, and nothing that cannot start{where}.")
    else:
        down = sum(loop.cannot_start for loop in loops)
        title = f"{counted(len(loops) - down, 'restart loop')}, {down} cannot start"
        print_rows([_loop_row(loop) for loop in loops], as_json=False, title=title)
        _say_more(loops, settings.report.runbooks)
    if loops or silent or missing:
        raise typer.Exit(1)


def _show_measured(history: Any, settings: Settings, *, as_json: bool) -> None:
    """Restarts as the metrics tell them, where there is no Engine to ask; exit code 1 with any."""
    rows = [
        {
            "service": str(service),
            "state": "loops" if row["loop"] else "may loop",
            "last day": f"{row['total']:.0f}",
            "worst hour": f"{row['worst_hour']:.0f}",
        }
        for service, row in history.restarting(settings.operations.restart_limit).iterrows()
    ]
    title = f"{counted(len(rows), 'restart loop')}, by metrics alone"
    units = dict.fromkeys(("last day", "worst hour"), "restarts")
    print_rows(rows, as_json=as_json, title=title, units=units)
    if rows:
        raise typer.Exit(1)


def _say_more(loops: list[RestartLoop], runbooks: str | None) -> None:
    """What the logs say of each loop, and where its cause is explained."""
    for loop in loops:
        for line in loop.diagnosis.lines:
            say(f"{loop.container}: {line}")
    for cause in dict.fromkeys(loop.diagnosis.cause for loop in loops):
        page = runbook_url(cause, runbooks)
        if page:
            say(f"{cause}: {page}")


def loops_of(
    settings: Settings, window: str | None, more_than: int | None, history: Any = None
) -> tuple[list[RestartLoop], list[str]]:
    """The loops of the hosts that answer, and the names of those that do not, which are told on
    stderr.
    """
    from capacity import _api
    from capacity._docker.engine import connect_all
    from capacity.model import RestartLimit, Signal
    from capacity.operations import find_restart_loops
    from capacity.operations._restarts.causes import load_causes
    from capacity.operations._restarts.proposals import Known, port_moves

    rules = settings.operations
    seconds = _api.parse_length(window).total_seconds() if window else rules.window_minutes * 60
    sized: dict[str, float] = {}
    seen: dict[str, float] = {}
    days: dict[str, float] = {}
    if history is not None:
        with suppress(NoHistory):  # no memory samples: twice as much it is
            limits = _api.recommend(history, "memory", settings=settings).table["limit"].dropna()
            sized = {str(service): float(limit) for service, limit in limits.items()}
        days = {
            str(name): float(row["total"])
            for name, row in history.restarting(rules.restart_limit).iterrows()
            if row["total"] >= rules.loop_a_day
        }
        hours = max(1, -(-int(seconds) // 3600))
        limit = RestartLimit(minutes=seconds / 60)
        seen = {
            str(service): float(limit.at_least(count))
            for service, count in history[Signal.RESTARTS].tail(hours).sum().items()
        }
    moves = port_moves(settings)
    with connect_all(settings.engine) as (engines, unreachable):
        for host, why in unreachable.items():
            say(f"{host} does not answer, and its containers are not looked at: {why}", err=True)
        loops = find_restart_loops(
            engines,
            load_causes(rules.causes),
            more_than=rules.more_than if more_than is None else more_than,
            window=seconds,
            known=Known(sized, moves, seen, days),
        )
        return loops, sorted(unreachable)


def _loop_row(loop: RestartLoop) -> dict[str, Plain]:
    from capacity._common.setting_values import show_value
    from capacity.model import Setting

    changes = [
        f"{change.resource}: {show_value(Setting(change.resource), change.before)} -> "
        f"{show_value(Setting(change.resource), change.after)}"
        for change in loop.changes
    ]
    return {
        "service": loop.service,
        "host": loop.host,
        "state": "cannot start"
        if loop.cannot_start
        else "ended"
        if loop.ended
        else "waits"
        if loop.back_off
        else "loops",
        "restarts": loop.restarts,
        "total": loop.total,
        "cause": loop.diagnosis.cause,
        "advice": loop.advice,
        "change": "; ".join(changes) or "by hand",
    }


def _loop_json(loop: RestartLoop, runbooks: str | None) -> dict[str, Plain]:
    from dataclasses import asdict

    return {**asdict(loop), "runbook": runbook_url(loop.diagnosis.cause, runbooks)}
