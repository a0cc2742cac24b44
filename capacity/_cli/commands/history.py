"""Commands that look: doctor, fetch, forecast; and recommend, which has a file of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.commands.recommend import recommend
from capacity._cli.options import (
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
    warn_of_horizon,
)
from capacity._cli.printing import print_rows, print_table, say, show_text
from capacity._common.plain_data import Plain
from capacity._common.text.suggest import no_such_service
from capacity.errors import CapacityError, InputError, NoHistory
from capacity.model import Resource

if TYPE_CHECKING:
    from capacity._api import ArchivedWindow
    from capacity.history._doctor import DoctorCheck
    from capacity.settings import Settings


def doctor(config: Config = None, source: Source = None, as_json: Json = False) -> None:
    """Look at what can be reached, which metrics are there, and what to do about what is
    missing.
    """
    from capacity.history._doctor import examine

    settings = settings_of(config, source)
    checks = [*examine(settings), *_engines(settings), *_readers(config)]
    rows = [
        {"check": check.what, "status": check.status, "seen": check.seen, "advice": check.advice}
        for check in checks
    ]
    print_rows(rows, as_json=as_json, title="capacity doctor")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


def _engines(settings: Settings) -> list[DoctorCheck]:
    """Which Engines answer; none is needed for reports from a metrics server."""
    from capacity._docker.engine import connect_all
    from capacity.history._doctor import DoctorCheck

    needed = "Needed by what looks at containers or changes them, not by reports. "
    try:
        with connect_all(settings.engine) as (engines, unreachable):
            checks = []
            for name, engine in engines.items():
                host = engine.host
                seen = (
                    f"{'Podman' if host.podman else 'Docker'} {host.version}, cgroup v{host.cgroup}"
                )
                kind = f", {host.kind}" if host.kind else ""
                checks.append(DoctorCheck(f"engine {name}", "ok", f"{seen}{kind}"))
            for name, why in unreachable.items():
                advice = f"{needed}Correct [engine] or this user's rights"
                checks.append(DoctorCheck(f"engine {name}", "warn", why, advice))
            return checks
    except CapacityError as error:
        return [DoctorCheck("engine", "warn", error.message, f"{needed}{error.hint or ''}")]


def _readers(config: Path | None) -> list[DoctorCheck]:
    """Secrets in a settings file that everybody can read."""
    from capacity.history._doctor import DoctorCheck
    from capacity.settings import exposed_secrets

    told = exposed_secrets(config)
    seen, _, advice = told.rpartition(": ")
    return [DoctorCheck("settings", "warn", seen, advice)] if told else []


def fetch(
    config: Config = None,
    source: Source = None,
    as_of: AsOf = None,
    window: Window = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask again for days that are final.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--import", help="Take a usage frame from this Parquet or CSV file instead."),
    ] = None,
    signal: Annotated[
        str, typer.Option("--signal", help="With --import: the signal the file holds.")
    ] = "memory",
    name: Annotated[
        str, typer.Option("--name", help="With --import: the source's name in the archive.")
    ] = "import",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fill the archive from a metrics server, or from a file."""
    from capacity import _api
    from capacity.history._archive.archive import Archive
    from capacity.history._prometheus.client import no_server
    from capacity.settings._load import COLLECTED

    settings = settings_of(config, None)
    if file is not None:
        from capacity.history._archive.importing import import_frame

        done = import_frame(
            file, Archive(settings.archive.path), settings, signal=signal_of(signal), name=name
        )
        facts: dict[str, Plain] = {
            "source": name,
            "services": done.services,
            "days": done.days,
            "notes": list(done.notes),
        }
    else:
        if source is None and not settings.servers():
            if Archive(settings.archive.path).source(COLLECTED) is None:
                raise no_server()
            say("capacity: no metrics server is named; the collector fills the archive", err=True)
            return
        progress = progress_of(quiet=quiet or as_json)
        ready = _api.prepare_window(
            settings, source=source, as_of=as_of, window=window, refresh=refresh, progress=progress
        )
        facts = {
            "source": ready.source,
            "start": ready.start.isoformat(),
            "end": ready.end.isoformat(),
            **_counted(ready, settings),
            "notes": list(ready.notes),
        }
    if as_json:
        show_text(json.dumps(facts))
    elif not quiet:
        for key, value in facts.items():
            say(f"{key}: {('; '.join(value) or 'none') if isinstance(value, list) else value}")


def _counted(ready: ArchivedWindow, settings: Settings) -> dict[str, int]:
    """Services, and samples of their CPU and memory, that the archive now holds of a window."""
    try:
        history = ready.load(settings, signals=[resource.usage for resource in Resource])
    except NoHistory:
        return {"services": 0, "samples": 0}
    samples = int(history.cpu.count().sum() + history.memory.count().sum())
    return {"services": len(history.services), "samples": samples}


_SHOWN = 0.99  # highest quantile printed: a history of weeks has seen no rarer ones


def forecast(
    service: Annotated[
        str | None, typer.Argument(help="Only this service, such as shop/web.")
    ] = None,
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    services: Services = None,
    signal: Resource_ = "memory",
    horizon: Horizon = "7D",
    train: Annotated[
        Path | None, typer.Option("--train", help="Keep the trained model in this folder.")
    ] = None,
    trained: Annotated[
        Path | None,
        typer.Option("--from", help="Train nothing: predict with the model kept in this folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the distribution of each service's peak over the horizon."""
    from capacity import _api

    _api.parse_length(horizon)
    settings = settings_of(config, None)
    if trained is not None:
        if train is not None or source is not None or sample or offline or as_of is not None:
            raise InputError(
                "--from reads a trained model alone",
                "Leave out --train and everything that chooses history",
            )
        peaks, skipped = _api.predict_with(trained, signal, horizon, services)
    else:
        history = history_of(settings, source, sample, offline, as_of, services, quiet=as_json)
        warn_of_horizon(history, horizon)
        made = _api.forecast(
            history, signal, horizon, settings=settings, progress=progress_of(quiet=as_json)
        )
        peaks, skipped = made.peaks, made.skipped
        if train is not None:
            made.model.save(train / made.signal.value)
    if service is not None:
        if service not in peaks.index and service not in skipped:
            raise no_such_service(service, [*map(str, peaks.index), *skipped])
        peaks = peaks.loc[peaks.index == service]
        skipped = {name: why for name, why in skipped.items() if name == service}
    if not as_json:  # what a person would take for known to three digits
        peaks = peaks[[level for level in peaks.columns if float(level) <= _SHOWN]]
    table = peaks.rename(columns=lambda level: f"p{float(level) * 100:g}")
    print_table(table, signal, as_json=as_json, title=f"Peak {signal} over {horizon}")
    if not as_json:
        for name, reason in skipped.items():
            say(f"{name}: {reason}")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (doctor, fetch, forecast, recommend):
        app.command()(command)
