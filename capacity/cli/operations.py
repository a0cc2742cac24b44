"""Commands of fleet operations: restart loops, core balance, the timeline; pools and emergencies have files of their own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capacity.cli import emergency, pools
from capacity.cli.options import (
    AsOf,
    Config,
    Json,
    Offline,
    Quiet,
    Sample,
    Source,
    history_of,
    one_source,
    progress_of,
    settings_of,
)
from capacity.cli.printing import print_rows
from capacity.errors import InputError, NoHistory

if TYPE_CHECKING:
    import pandas as pd

    from capacity.model import Change
    from capacity.operations import RestartLoop
    from capacity.operations.affinity import Applied
    from capacity.settings import Settings

__all__ = ["register"]

Out = Annotated[Path | None, typer.Option("--out", help="Write the proposed changes as a plan to this file.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(restarts)
    app.command()(affinity)
    app.command()(timeline)
    pools.register(app)
    emergency.register(app)


def restarts(
    window: Annotated[str | None, typer.Option("--window", help="Time looked back, such as 10m; default the settings'.")] = None,
    more_than: Annotated[int | None, typer.Option("--more-than", min=0, help="Restarts within it that are no loop yet.")] = None,
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Find containers that restart again and again or cannot start, why, and what would mend them; exit code 1 with any."""
    settings = settings_of(config, None)
    wants_history = offline or one_source(source, sample=sample, offline=offline) is not None
    history = history_of(settings, source, sample, offline, as_of, None, quiet=as_json) if wants_history else None
    loops, silent = _loops(settings, window, more_than, history)
    if out is not None:
        _write_plan(
            settings, out, [change for loop in loops for change in loop.changes], {one.service: one.host for one in loops}
        )
    if as_json:
        typer.echo(json.dumps([_loop_json(one) for one in loops], indent=1))
    elif not loops:
        where = " on the hosts that answer" if silent else ""
        typer.echo(f"No restart loops, and nothing that cannot start{where}.")
    else:
        down = sum(one.cannot_start for one in loops)
        title = f"{len(loops) - down} restart loops, {down} cannot start"
        print_rows([_loop_row(one) for one in loops], as_json=False, title=title)
        for loop in loops:
            typer.echo("".join(f"{loop.container}: {line}\n" for line in loop.diagnosis.lines), nl=False)
    if loops or silent:
        raise typer.Exit(1)


def _loops(
    settings: Settings, window: str | None, more_than: int | None, history: Any = None
) -> tuple[list[RestartLoop], list[str]]:
    """The loops of the hosts that answer, and the names of those that do not, which are told on stderr."""
    from capacity import api
    from capacity.inventory.engine import connect_all
    from capacity.model import Signal
    from capacity.operations import find_restart_loops
    from capacity.operations.causes import load_causes
    from capacity.operations.restarts import Known, port_moves

    rules = settings.operations
    seconds = api.parse_length(window).total_seconds() if window else rules.window_minutes * 60
    sized: dict[str, float] = {}
    counted: dict[str, float] = {}
    if history is not None:
        limits = api.recommend(history, "memory", settings=settings).table["limit"].dropna()
        sized = {str(service): float(limit) for service, limit in limits.items()}
        hours = max(1, -(-int(seconds) // 3600))
        counted = {str(service): float(count) for service, count in history[Signal.RESTARTS].tail(hours).sum().items()}
    moves = port_moves(settings)
    with connect_all(settings.engine) as (engines, unreachable):
        for host, why in unreachable.items():
            typer.echo(f"{host} does not answer, and its containers are not looked at: {why}", err=True)
        loops = find_restart_loops(
            engines,
            load_causes(rules.causes),
            more_than=rules.more_than if more_than is None else more_than,
            window=seconds,
            known=Known(sized, moves, counted),
        )
        return loops, sorted(unreachable)


def _loop_row(one: RestartLoop) -> dict[str, Any]:
    from capacity.changes.values import show_value

    changes = [
        f"{change.resource}: {show_value(change.resource, change.before)} -> {show_value(change.resource, change.after)}"  # type: ignore[arg-type]  # loops change settings, not resources
        for change in one.changes
    ]
    return {
        "service": one.service,
        "host": one.host,
        "state": "cannot start" if one.cannot_start else "waits" if one.back_off else "loops",
        "restarts": one.restarts,
        "total": one.total,
        "cause": one.diagnosis.cause,
        "advice": one.advice,
        "change": "; ".join(changes) or "by hand",
    }


def _loop_json(one: RestartLoop) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _write_plan(settings: Settings, out: Path, changes: list[Change], hosts: dict[str, str]) -> None:
    """A plan of what an Engine showed; it is good for a day, since things change."""
    from datetime import UTC, datetime, timedelta

    from capacity import __version__
    from capacity.changes import MadeFrom, make_plan, write_plan

    now = datetime.now(UTC).replace(microsecond=0)
    once = {(one.service, one.resource): one for one in changes}  # replicas of a service propose the same
    made_from = MadeFrom(history="", settings=settings.fingerprint(), code=__version__)
    plan = make_plan(once.values(), hosts=hosts, as_of=now, valid_until=now + timedelta(days=1), made_from=made_from)
    write_plan(plan, out)
    typer.echo(f"capacity: {len(plan.changes)} changes in {out}; `capacity apply {out}` shows them at work", err=True)


def affinity(
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="How long to measure without a history.")] = 2.0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Propose cores for every service so that none is far busier than the others; with a history what the last run brought."""
    from capacity import api, house
    from capacity.changes.held import adjustments
    from capacity.inventory.engine import connect_all, survey
    from capacity.operations.affinity import balance, measure_load

    settings = settings_of(config, None)
    wants_history = offline or one_source(source, sample=sample, offline=offline) is not None
    busy: pd.DataFrame | None = None
    load: pd.Series[float] | None = None
    if wants_history:
        history = history_of(settings, source, sample, offline, as_of, None, quiet=as_json)
        made = api.forecast(history, "cpu", settings=settings)
        median: pd.DataFrame = made.bands.xs(0.5, axis=1, level="quantile")  # type: ignore[assignment]  # a frame, level by level
        load = median.mean()
        busy = history["core_busy"]
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        load = measure_load(engines, inventory, seconds) if load is None else load
    rules = house.service_rules(settings, sorted({one.key for one in inventory.containers}))
    pinned = frozenset(name for name, rule in rules.items() if rule.pinned)
    found = balance(
        inventory,
        load,
        house.service_types(settings),
        ranges=settings.placement.model_dump(),
        pinned=pinned,
        busy=busy,
        made=adjustments(settings.apply.journal),
    )
    if out is not None:
        hosts = {change.service: one.host for one in found for change in one.changes}
        _write_plan(settings, out, [change for one in found for change in one.changes], hosts)
    if as_json:
        typer.echo(json.dumps([_balance_json(one) for one in found], indent=1))
        return
    for one in found:
        placed = one.placement
        seen = "not measured" if one.measured_imbalance is None else f"{one.measured_imbalance:.2f} measured"
        title = (
            f"{one.host}: imbalance {seen}, {placed.imbalance:.2f} proposed, {placed.round_robin:.2f} one core after the other"
        )
        print_rows(_balance_rows(inventory, one), as_json=False, title=title)
        if one.applied is not None:
            print_rows(_core_rows(one.applied), as_json=False, title=_core_title(one.applied))


def _balance_rows(inventory: Any, one: Any) -> list[dict[str, Any]]:
    now = {found.key: found.cpuset or "all" for found in inventory.containers if found.host == one.host}
    return [
        {
            "service": str(name),
            "category": row["category"],
            "load": "-" if row["load"] != row["load"] else f"{row['load']:.2f}",
            "cores now": now.get(str(name), "-"),
            "cores proposed": row["cpuset"] + (" (pinned)" if row["pinned"] else ""),
        }
        for name, row in one.placement.table.iterrows()
    ]


def _core_title(one: Applied) -> str:
    imbalance = f"imbalance {one.imbalance_before:.2f} -> {one.imbalance_after:.2f}"
    return f"Run {one.run} of {one.at:%Y-%m-%d %H:%M} UTC, {one.hours} hours before and after it: {imbalance}"


def _core_rows(one: Applied) -> list[dict[str, Any]]:
    return [
        {"core": str(core), "busy before": f"{before:.0%}", "busy after": f"{after:.0%}"}
        for (core, before), after in zip(one.before.items(), one.after, strict=True)
    ]


def _applied_json(one: Applied) -> dict[str, Any]:
    return {
        "run": one.run,
        "at": one.at.isoformat(),
        "hours": one.hours,
        "before": {str(core): float(share) for core, share in one.before.items()},
        "after": {str(core): float(share) for core, share in one.after.items()},
        "imbalance_before": one.imbalance_before,
        "imbalance_after": one.imbalance_after,
    }


def _balance_json(one: Any) -> dict[str, Any]:
    return {
        "host": one.host,
        "measured": {str(core): float(share) for core, share in one.measured.items()},
        "measured_imbalance": one.measured_imbalance,
        "proposed_imbalance": one.placement.imbalance,
        "round_robin_imbalance": one.placement.round_robin,
        "cpusets": {str(name): str(cores) for name, cores in one.placement.table["cpuset"].items()},
        "changes": len(one.changes),
        "applied": _applied_json(one.applied) if one.applied is not None else None,
    }


def timeline(
    paths: Annotated[list[Path] | None, typer.Argument(help="Compose files or folders with them; default none.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="The file that keeps it; default the settings', none with --sample.")
    ] = None,
    engine: Annotated[bool, typer.Option("--engine", help="Look at what runs on the Engines of the settings too.")] = False,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    config: Config = None,
    quiet: Quiet = False,
) -> None:
    """Keep the list of what to mend on day 1, on days 2 and 3 and in the week; prints it as Markdown."""
    from capacity.operations import timeline as kept

    settings = settings_of(config, None)
    named = one_source(source, sample=sample, offline=offline)
    history = history_of(settings, source, sample, offline, as_of, None, quiet=quiet) if named is not None or offline else None
    if not paths and not engine and history is None:
        raise InputError("Nothing to look at is named", "Name compose files, --engine or --source")
    seen, looked = _seen(paths or [], settings, history, engine=engine, quiet=quiet)
    place = file or (None if named == "sample" else settings.operations.timeline)  # the sample is nobody's fleet
    items = kept.merge(kept.read_timeline(place) if place else [], seen, looked=looked)
    if place:
        kept.write_timeline(place, items)
    if not quiet:
        typer.echo(kept.to_markdown(items), nl=False)


def _seen(paths: Iterable[Path], settings: Settings, history: Any, *, engine: bool, quiet: bool) -> tuple[list[Any], set[str]]:
    """What is to be mended now, and which kinds of it were looked for."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from capacity import api
    from capacity.compliance import evaluate, gather, load_rules, load_waivers
    from capacity.compliance.facts import Facts
    from capacity.model import Resource
    from capacity.operations import timeline as kept

    facts = gather.from_files(list(paths)) if paths else Facts()
    if engine:
        facts = gather.from_engines(facts, settings.engine, progress_of(quiet=quiet))
    waivers = load_waivers(settings.compliance.waivers) if settings.compliance.waivers else ()
    book = load_rules(settings.compliance.rules)
    report = evaluate(book, replace(facts, history=history), waivers, today=datetime.now(UTC).date())
    seen, looked = kept.from_report(report), kept.judged(report)
    if engine:
        loops, silent = _loops(settings, None, None)
        seen += kept.from_loops(loops)
        looked.add("restart-loop")
        if silent:  # what is not seen there may be there all the same
            typer.echo("Nothing is marked as done while a host does not answer.", err=True)
            looked.clear()
    for resource in Resource if history is not None else ():
        try:
            seen += kept.from_recommendations(api.recommend(history, resource, settings=settings).table, resource)
        except NoHistory as error:
            typer.echo(f"capacity: {resource} is not in the list: {error}", err=True)
            continue
        looked.add(f"{resource}-risk")
    return seen, looked
