"""`capacity recommend`: proposed limits as a table or for other programs, why one is so, and what
is new since an earlier run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.commands.changes.plan import say_warning
from capacity._cli.options import (
    AsOf,
    Config,
    Horizon,
    Json,
    Offline,
    Sample,
    Services,
    Source,
    one_source,
    progress_of,
    settings_of,
    warn_of_horizon,
    with_scheduler,
)
from capacity._cli.printing import print_rows, print_table, say, show_text
from capacity._common.text.counting import counted
from capacity._common.text.suggest import no_such_service
from capacity.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from capacity._api import Recommendations
    from capacity._api.window import ArchivedWindow
    from capacity._common.progress import Progress
    from capacity.history import History
    from capacity.model import Resource
    from capacity.settings import Settings

__all__ = ["recommend"]

_FORMS = ("table", "json", "csv", "markdown", "prometheus")
_BRIEF = ["action", "reason", "current", "limit", "observed_peak", "breach_after"]


def recommend(
    service: Annotated[
        str | None, typer.Argument(help="Only this service, such as shop/web.")
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Show the data behind the limits of SERVICE.")
    ] = False,
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    services: Services = None,
    signal: Annotated[
        str | None, typer.Option("--signal", help="cpu or memory; default memory, with --why both.")
    ] = None,
    horizon: Horizon = "7D",
    risk: Annotated[
        float | None,
        typer.Option("--risk", help="Accepted share of breaches; default from the settings."),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            "--policy", help="Whose limits: capacity, maximum, krr, vpa, autopilot, seed ..."
        ),
    ] = "capacity",
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", help="What all limits may add up to, such as 64g, or cores for cpu."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against", help="An earlier run's CSV or JSON: print only what differs from it."
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="table, json, csv, markdown or prometheus; default table."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write the proposed changes as a plan to this file."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            help="Address of a Dask scheduler that shares out a large fleet; default from the "
            "settings.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the proposed limit of each service, or the reason why there is none."""
    from capacity import _api
    from capacity.model import Resource
    from capacity.reporting import _exports

    _api.parse_length(horizon)
    form = _form(form, as_json=as_json, why=why, against=against)
    if out is not None and (why or against is not None):
        raise InputError("--out writes the plan of a table", "Leave out --why and --against")
    _check_service(service, services, why=why)
    wanted = signal or str(Resource.MEMORY)
    amount = _budget(budget, wanted, policy)
    settings = with_scheduler(settings_of(config, None), scheduler)
    before = (
        _exports.read_limits(against, _api.resource_of(wanted)) if against is not None else None
    )
    asked = _Asked(wanted, services, horizon, risk, policy, amount)
    if why or sample or not asked.plainly:
        _check_not_shared(scheduler)
    progress = progress_of(quiet=form != "table")
    window = _api.prepare_window(
        settings,
        source=one_source(source, sample=sample, offline=offline),
        as_of=as_of,
        offline=offline,
        progress=progress,
    )
    if why and service is not None:
        both = signal is None and amount is None
        chosen = [*Resource] if both else [_api.resource_of(wanted)]
        _explain(window, settings, asked, service, chosen, as_json=form == "json")
        return
    made = _propose(window, settings, asked, progress)
    _show(made, form, service=service, budget=amount, before=before, against=against, out=out)


def _show(
    made: Recommendations,
    form: str,
    *,
    service: str | None,
    budget: float | None,
    before: pd.DataFrame | None,
    against: Path | None,
    out: Path | None,
) -> None:
    """The recommendations of all services or of one, as they were asked for."""
    from capacity._cli.commands.budget_totals import say_too_small, totals_line, with_totals
    from capacity.reporting import _exports
    from capacity.sizing._decisions.budget import totals

    table, line = made.table, ""
    if budget is not None:
        replicas = made.history.replicas
        say_too_small(table, replicas, budget, made.signal)
        told = totals(table, replicas, budget)
        table, line = with_totals(table, replicas, told), totals_line(told, made.signal)
    if service is not None:
        if service not in table.index:
            raise no_such_service(service, table.index)
        table = table.loc[[service]]
    if out is not None:
        _write_plan(replace(made, table=table), out)
    if before is not None:
        known = before if service is None else before[before.index == service]
        rows = _exports.differences(known, table)
        _print_differences(rows, made.signal, as_json=form == "json", file=against)
    else:
        _print(table, made.signal, form)
    if line and (before is not None or form not in {"json", "csv"}):
        say(line, err=form != "table")


def _check_not_shared(scheduler: str | None) -> None:
    if scheduler is not None:
        raise InputError(
            "--scheduler shares out plain recommendations of an archive",
            "Leave it out with --why, --policy, --sample and a --budget of some --services",
        )


@dataclass(frozen=True)
class _Asked:
    """What limits are asked for."""

    signal: str
    services: str | None
    horizon: str
    risk: float | None
    policy: str
    budget: float | None

    @property
    def plainly(self) -> bool:
        """Whether blocks of a fleet can be decided on apart."""
        whole = self.budget is None or self.services is None
        return whole and self.policy == "capacity"


def _explain(
    window: ArchivedWindow,
    settings: Settings,
    asked: _Asked,
    service: str,
    chosen: Sequence[Resource],
    *,
    as_json: bool,
) -> None:
    from capacity._cli.commands.explain import print_why

    print_why(
        _history(window, settings, asked),
        service,
        settings,
        chosen,
        horizon=asked.horizon,
        risk=asked.risk,
        policy=asked.policy,
        budget=asked.budget,
        as_json=as_json,
    )


def _history(window: ArchivedWindow, settings: Settings, asked: _Asked) -> History:
    history = window.load(settings, services=asked.services)
    warn_of_horizon(history, asked.horizon)
    return history


def _propose(
    window: ArchivedWindow, settings: Settings, asked: _Asked, progress: Progress | None
) -> Recommendations:
    """The table of all services, in blocks where the fleet is large."""
    from capacity import _api

    if asked.plainly and _api.wants_blocks(window, settings):
        made = _api.recommend_in_blocks(
            window,
            asked.signal,
            settings=settings,
            horizon=asked.horizon,
            risk=asked.risk,
            budget=asked.budget,
            services=asked.services,
            progress=progress,
        )
        warn_of_horizon(made.history, asked.horizon)
        return made
    return _api.recommend(
        _history(window, settings, asked),
        asked.signal,
        horizon=asked.horizon,
        settings=settings,
        risk=asked.risk,
        policy=asked.policy,
        budget=asked.budget,
    )


def _write_plan(made: Recommendations, out: Path) -> None:
    plan = made.to_plan(out)
    say_warning(plan)
    say(
        f"capacity: {counted(len(plan.changes), 'change')} in {out}; `capacity apply {out}` shows "
        "what it would do",
        err=True,
    )


def _check_service(service: str | None, services: str | None, *, why: bool) -> None:
    if why and service is None:
        raise InputError("--why explains one service", "Name it: capacity recommend shop/web --why")
    if service is not None and services is not None and not fnmatchcase(service, services):
        raise InputError(
            f"--services {services!r} leaves {service!r} out", "Leave out one of the two"
        )


def _print(table: pd.DataFrame, resource: Resource, form: str) -> None:
    from capacity.reporting import _exports

    writers = {
        "csv": _exports.as_csv,
        "markdown": _exports.as_markdown,
        "prometheus": _exports.as_exposition,
    }
    if form in writers:
        show_text(writers[form]({resource: table}))
    elif form == "json":
        raw = table.copy()
        raw.insert(0, "resource", str(resource))
        print_table(raw, str(resource), as_json=True, title="")
    else:
        print_table(table[_BRIEF], str(resource), as_json=False, title=f"Limits for {resource}")


def _budget(budget: str | None, signal: str, policy: str) -> float | None:
    """The amount that a budget stands for; what goes with none is refused in the words it was asked
    in.
    """
    from capacity import _api
    from capacity._common.setting_values import LEAST_MEMORY
    from capacity.model import Resource

    if budget is None:
        return None
    amount = _api.parse_amount(budget, signal)
    if policy != "capacity":
        raise InputError(
            f"A budget of {budget} needs the policy capacity, not {policy}",
            "Leave out --policy, or --budget",
        )
    if amount is not None and not amount > 0:
        raise InputError(
            f"A budget of {budget} allows no limit",
            "Give a size above zero, such as 64g, or cores for cpu",
        )
    memory = _api.resource_of(signal) is Resource.MEMORY
    if amount is not None and memory and amount < LEAST_MEMORY:
        raise InputError(
            f"A budget of {budget} is {amount:,.0f} bytes, less than one container needs",
            f"Give it a unit, such as {budget}g" if budget.isdigit() else "Give more, such as 64g",
        )
    return amount


def _print_differences(
    rows: Sequence[Mapping[str, float | str]],
    resource: Resource,
    *,
    as_json: bool,
    file: Path | None,
) -> None:
    from capacity.reporting._html.formatting import COUNTED

    def cell(value: float | str) -> float | str | None:
        if isinstance(value, str):
            return value
        if not math.isfinite(value):
            return None
        return value if as_json else COUNTED[resource](value)

    shown = [{name: cell(value) for name, value in row.items()} for row in rows]
    print_rows(shown, as_json=as_json, title=f"Differences for {resource} from {file}")


def _form(form: str | None, *, as_json: bool, why: bool, against: Path | None) -> str:
    """What the options want printed; two that say different things are refused."""
    if as_json and form not in {None, "json"}:
        raise InputError(
            f"--json and --format {form} want different things", "Leave out one of the two"
        )
    if why and against is not None:
        raise InputError("--why and --against want different things", "Leave out one of the two")
    if form not in {None, *_FORMS}:
        raise InputError(
            f"There is no format {form!r}", "Use table, json, csv, markdown or prometheus"
        )
    if (why or against is not None) and form not in {None, "table", "json"}:
        raise InputError(
            f"{'--why' if why else '--against'} cannot be printed as {form}",
            "Leave out --format, or use --json",
        )
    return "json" if as_json else form or "table"
