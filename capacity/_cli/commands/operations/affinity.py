"""`capacity affinity`: cores for every service, what they would even out, and what the last run
brought.
"""

from __future__ import annotations

import json
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
    finite,
    history_of,
    one_source,
    settings_of,
)
from capacity._cli.printing import print_rows, say, show_text
from capacity._common.plain_data import Plain
from capacity.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from capacity._docker.containers import Inventory
    from capacity.history import History
    from capacity.operations._affinity import Applied, Balance
    from capacity.settings import Settings

__all__ = ["affinity"]


def affinity(
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            min=0.1,
            max=600,
            callback=finite,
            help="How long to measure without a history.",
        ),
    ] = 2.0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Propose cores for every service so that none is far busier than the others; with a history
    what the last run brought.
    """
    from capacity._api import sizing_inputs
    from capacity.changes._journal.adjustments import applied_changes
    from capacity.operations._affinity import balance

    if sample and out is not None:
        raise InputError(
            "The sample fleet has no Engines whose containers a plan could change",
            "Leave out --out",
        )
    settings = settings_of(config, None)
    history: History | None = None
    if offline or one_source(source, sample=sample, offline=offline) is not None:
        history = history_of(settings, source, sample, offline, as_of, None, quiet=as_json)
    load = None if history is None else _forecast_load(history, settings)
    inventory, load = _running(settings, history if sample else None, load, seconds)
    rules = sizing_inputs.service_rules(
        settings, sorted({container.key for container in inventory.containers})
    )
    pinned = frozenset(name for name, rule in rules.items() if rule.pinned)
    found = balance(
        inventory,
        load,
        sizing_inputs.service_types(settings),
        ranges=settings.placement.model_dump(),
        pinned=pinned,
        busy=None if history is None else history["core_busy"],
        made=() if sample else applied_changes(settings.apply.journal),
    )
    if out is not None:
        proposed = [(change, each.host) for each in found for change in each.changes]
        hosts = {change.service: host for change, host in proposed}
        write_live_plan(settings, out, [change for change, _ in proposed], hosts)
    if as_json:
        show_text(json.dumps([_balance_json(host_balance) for host_balance in found], indent=1))
        return
    for host_balance in found:
        _show_balance(inventory, host_balance)


def _show_balance(inventory: Inventory, balance: Balance) -> None:
    """A host's cores for people: as they are, as proposed, and what the last change brought."""
    placed, measured = balance.placement, balance.measured_imbalance
    seen = "not measured" if measured is None else f"{measured:.2f} measured"
    title = (
        f"{balance.host}: imbalance {seen}, {placed.imbalance:.2f} proposed, "
        f"{placed.round_robin:.2f} one core after the other"
    )
    rows = _balance_rows(inventory, balance)
    print_rows(rows, as_json=False, title=title, units={"load": "cores"})
    if not placed.even:
        say(f"{balance.host}: {placed.advice}")
    elif not balance.worthwhile:
        say(f"{balance.host}: the cores would be used no more evenly, so nothing is changed")
    if balance.applied is not None:
        title = _core_title(balance.applied)
        print_rows(_core_rows(balance.applied), as_json=False, title=title)


def _forecast_load(history: History, settings: Settings) -> pd.Series[float]:
    """Busy cores of each service, as forecast."""
    from capacity import _api
    from capacity.sizing import forecast_load

    made = _api.forecast(history, "cpu", settings=settings)
    return forecast_load(made.bands, history.replicas)


def _running(
    settings: Settings, history: History | None, load: pd.Series[float] | None, seconds: float
) -> tuple[Inventory, pd.Series[float]]:
    """What runs, by the Engines or by a history alone, and its load, measured where none is
    known.
    """
    from capacity._docker.engine import connect_all, survey
    from capacity.operations._affinity import measure_load
    from capacity.operations._measured_inventory import measured_inventory

    if history is not None and load is not None:
        return measured_inventory(history), load
    with connect_all(settings.engine) as (engines, unreachable):
        inventory = survey(engines, unreachable)
        found = measure_load(engines, inventory, seconds) if load is None else load
    return inventory, found


def _balance_rows(inventory: Any, balance: Any) -> list[dict[str, Plain]]:
    now = {
        found.key: found.cpuset or "all"
        for found in inventory.containers
        if found.host == balance.host
    }
    return [
        {
            "service": str(name),
            "category": row["category"],
            "load": "-" if row["load"] != row["load"] else f"{row['load']:.2f}",
            "cores now": now.get(str(name), "-"),
            "cores proposed": row["cpuset"] + (" (pinned)" if row["pinned"] else ""),
        }
        for name, row in balance.placement.table.iterrows()
    ]


def _core_title(applied: Applied) -> str:
    imbalance = f"imbalance {applied.imbalance_before:.2f} -> {applied.imbalance_after:.2f}"
    return (
        f"Run {applied.run} of {applied.at:%Y-%m-%d %H:%M} UTC, {applied.hours} hours before and "
        f"after it: {imbalance}"
    )


def _core_rows(applied: Applied) -> list[dict[str, Plain]]:
    return [
        {"core": str(core), "busy before": f"{before:.0%}", "busy after": f"{after:.0%}"}
        for (core, before), after in zip(applied.before.items(), applied.after, strict=True)
    ]


def _applied_json(applied: Applied) -> dict[str, Plain]:
    return {
        "run": applied.run,
        "at": applied.at.isoformat(),
        "hours": applied.hours,
        "before": {str(core): float(share) for core, share in applied.before.items()},
        "after": {str(core): float(share) for core, share in applied.after.items()},
        "imbalance_before": applied.imbalance_before,
        "imbalance_after": applied.imbalance_after,
    }


def _balance_json(balance: Any) -> dict[str, Plain]:
    return {
        "host": balance.host,
        "measured": {str(core): float(share) for core, share in balance.measured.items()},
        "measured_imbalance": balance.measured_imbalance,
        "proposed_imbalance": balance.placement.imbalance,
        "round_robin_imbalance": balance.placement.round_robin,
        "cpusets": {
            str(name): str(cores) for name, cores in balance.placement.table["cpuset"].items()
        },
        "changes": len(balance.changes),
        "applied": _applied_json(balance.applied) if balance.applied is not None else None,
    }
