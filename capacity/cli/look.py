"""Commands that look: doctor, fetch, forecast, recommend."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import typer

from capacity.cli.options import (
    AsOf,
    Config,
    Horizon,
    Json,
    Offline,
    Quiet,
    Resource_,
    Sample,
    Services,
    Source,
    Window,
    history_of,
    progress_of,
    settings_of,
    signal_of,
)
from capacity.cli.printing import print_rows, print_table
from capacity.errors import InputError
from capacity.names import no_such_service


def doctor(config: Config = None, source: Source = None, as_json: Json = False) -> None:
    """Look at what can be reached, which metrics are there, and what to do about what is missing."""
    from capacity.history.doctor import examine

    settings = settings_of(config, source)
    checks = examine(settings)
    rows = [{"check": check.what, "status": check.status, "seen": check.seen, "advice": check.advice} for check in checks]
    print_rows(rows, as_json=as_json, title="capacity doctor")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def fetch(
    config: Config = None,
    source: Source = None,
    as_of: AsOf = None,
    window: Window = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again for days that are final.")] = False,
    file: Annotated[
        Path | None, typer.Option("--import", help="Take a usage frame from this Parquet or CSV file instead.")
    ] = None,
    signal: Annotated[str, typer.Option("--signal", help="With --import: the signal the file holds.")] = "memory",
    name: Annotated[str, typer.Option("--name", help="With --import: the source's name in the archive.")] = "import",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fill the archive from a metrics server, or from a file."""
    from capacity import api

    settings = settings_of(config, None)
    if file is not None:
        from capacity.history.archive import Archive
        from capacity.history.importing import import_frame

        done = import_frame(file, Archive(settings.archive.path), settings, signal=signal_of(signal), name=name)
        facts: dict[str, Any] = {"source": name, "services": done.services, "days": done.days, "notes": list(done.notes)}
    else:
        progress = progress_of(quiet=quiet or as_json)
        ready = api.prepare(settings, source=source, as_of=as_of, window=window, refresh=refresh, progress=progress)
        facts = {
            "source": ready.source,
            "start": ready.start.isoformat(),
            "end": ready.end.isoformat(),
            "notes": list(ready.notes),
        }
    if as_json:
        typer.echo(json.dumps(facts))
    elif not quiet:
        for key, value in facts.items():
            typer.echo(f"{key}: {'; '.join(value) if isinstance(value, list) else value}")


def forecast(
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    services: Services = None,
    signal: Resource_ = "memory",
    horizon: Horizon = "7D",
    train: Annotated[Path | None, typer.Option("--train", help="Keep the trained model in this folder.")] = None,
    trained: Annotated[
        Path | None, typer.Option("--from", help="Train nothing: predict with the model kept in this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the distribution of each service's peak over the horizon."""
    from capacity import api

    api.parse_length(horizon)
    settings = settings_of(config, None)
    if trained is not None:
        if train is not None or source is not None or sample or offline or as_of is not None:
            raise InputError("--from reads a trained model alone", "Leave out --train and everything that chooses history")
        peaks, skipped = api.predict_with(trained, signal, horizon, services)
    else:
        history = history_of(settings, source, sample, offline, as_of, services, quiet=as_json)
        made = api.forecast(history, signal, horizon, settings=settings, progress=progress_of(quiet=as_json))
        peaks, skipped = made.peaks, made.skipped
        if train is not None:
            made.model.save(train / made.signal.value)
    table = peaks.rename(columns=lambda level: f"p{float(level) * 100:g}")
    print_table(table, signal, as_json=as_json, title=f"Peak {signal} over {horizon}")
    if not as_json:
        for service, reason in skipped.items():
            typer.echo(f"{service}: {reason}")


def recommend(
    service: Annotated[str | None, typer.Argument(help="Only this service, such as shop/web.")] = None,
    why: Annotated[bool, typer.Option("--why", help="Show the data behind the limits of SERVICE.")] = False,
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    services: Services = None,
    signal: Resource_ = "memory",
    horizon: Horizon = "7D",
    risk: Annotated[float | None, typer.Option("--risk", help="Accepted share of breaches; default from the settings.")] = None,
    policy: Annotated[str, typer.Option("--policy", help="Whose limits: capacity, krr, vpa, autopilot, seed ...")] = "capacity",
    budget: Annotated[
        str | None, typer.Option("--budget", help="What all limits may add up to, such as 64g, or cores for cpu.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="table, json, csv, markdown or prometheus; default table.")] = None,
    as_json: Json = False,
) -> None:
    """Print the proposed limit of each service, or the reason why there is none."""
    from capacity import api
    from capacity.cli.explain import print_why
    from capacity.reporting import exports

    api.parse_length(horizon)
    form = _form(form, as_json=as_json, why=why)
    writers = {"csv": exports.as_csv, "markdown": exports.as_markdown, "prometheus": exports.as_exposition}
    if form not in {"table", "json", *writers}:
        raise InputError(f"There is no format {form!r}", "Use table, json, csv, markdown or prometheus")
    if why and service is None:
        raise InputError("--why explains one service", "Name it: capacity recommend shop/web --why")
    amount = _budget(budget, signal, policy, why=why)
    if service is not None and services is not None and not fnmatchcase(service, services):
        raise InputError(f"--services {services!r} leaves {service!r} out", "Leave out one of the two")
    settings = settings_of(config, None)
    history = history_of(settings, source, sample, offline, as_of, services, quiet=form != "table")
    if why and service is not None:
        print_why(history, service, settings, horizon=horizon, risk=risk, policy=policy, as_json=form == "json")
        return
    made = api.recommend(history, signal, horizon=horizon, settings=settings, risk=risk, policy=policy, budget=amount)
    table = made.table
    if service is not None:
        if service not in table.index:
            raise no_such_service(service, table.index)
        table = table.loc[[service]]
    if form in writers:
        typer.echo(writers[form]({made.signal: table}), nl=False)
        return
    brief = ["action", "reason", "current", "limit", "observed_peak", "peak_high", "breach_after"]
    shown = table if form == "json" else table[brief]
    print_table(shown, made.signal.value, as_json=form == "json", title=f"Limits for {signal}")


def _budget(budget: str | None, signal: str, policy: str, *, why: bool) -> float | None:
    """The amount that a budget stands for; what goes with none is refused in the words it was asked in."""
    from capacity import api

    if budget is None:
        return None
    if why:
        raise InputError("--why knows no budget: all services share one", "Leave out --budget, or --why")
    amount = api.parse_amount(budget, signal)
    if policy != "capacity":
        raise InputError(f"A budget of {budget} needs the policy capacity, not {policy}", "Leave out --policy, or --budget")
    if amount is not None and not amount > 0:
        raise InputError(f"A budget of {budget} allows no limit", "Give a size above zero, such as 64g, or cores for cpu")
    return amount


def _form(form: str | None, *, as_json: bool, why: bool) -> str:
    """What the options want printed; two that say different things are refused."""
    if as_json and form not in {None, "json"}:
        raise InputError(f"--json and --format {form} want different things", "Leave out one of the two")
    if why and form not in {None, "table", "json"}:
        raise InputError(f"--why cannot be printed as {form}", "Leave out --format, or use --json")
    return "json" if as_json else form or "table"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (doctor, fetch, forecast, recommend):
        app.command()(command)
