"""The command line: parse, call the library, print. Exit codes: 0 fine, 1 findings or failed work, 2 usage or input."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from capacity.errors import CapacityError, InputError

if TYPE_CHECKING:
    import pandas as pd

    from capacity.progress import Progress
    from capacity.settings import Settings

__all__ = ["app", "main"]

app = typer.Typer(
    help="What each Docker/Compose service will need next week, and what its limits should be.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
report_app = typer.Typer(help="Render a report.", no_args_is_help=True)
sample_app = typer.Typer(help="The bundled sample fleet.", no_args_is_help=True)
app.add_typer(report_app, name="report")
app.add_typer(sample_app, name="sample")

_INTERRUPTED = 130

Config = Annotated[Path | None, typer.Option("--config", help="Settings file; default capacity.toml if it is there.")]
Source = Annotated[str | None, typer.Option("--source", help="Address of a metrics server, or a source's name in the archive.")]
Sample = Annotated[bool, typer.Option("--sample", help="Use the bundled sample fleet.")]
Offline = Annotated[bool, typer.Option("--offline", help="Ask no server; use the archive alone.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="End of the window, UTC, such as 2026-11-23T06:00; default now.")]
Window = Annotated[str | None, typer.Option("--window", help="Length of the window, such as 28D.")]
Services = Annotated[str | None, typer.Option("--services", help="Only services that match this glob, such as 'shop/*'.")]
Horizon = Annotated[str, typer.Option("--horizon", help="How far ahead, such as 7D.")]
Resource_ = Annotated[str, typer.Option("--signal", help="cpu or memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]


def main() -> None:
    """Run the command line; every expected failure is one line on standard error."""
    _log_to_stderr()
    try:
        code = app(standalone_mode=False)
    except CapacityError as error:
        _say(f"capacity: {' '.join(str(error).split())}")
        code = error.exit_code
    except typer.Exit as error:
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except TyperException as error:  # a wrong option or argument
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        # a group called without a command answers with its help
        _say(message if "\n" in message else f"capacity: {message.rstrip('.')}. See capacity --help")
        code = 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _leave(0)
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this code
        _say("capacity: interrupted; what was finished is kept, run it again to go on")
        _leave(_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log what is done.")] = False,
) -> None:
    if verbose:
        logging.getLogger("capacity").setLevel(logging.INFO)
    if version:
        from capacity import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def doctor(config: Config = None, source: Source = None, as_json: Json = False) -> None:
    """Look at what can be reached, which metrics are there, and what to do about what is missing."""
    from capacity.history.doctor import examine

    settings = _settings(config, source)
    checks = examine(settings)
    rows = [{"check": check.what, "status": check.status, "seen": check.seen, "advice": check.advice} for check in checks]
    _print_rows(rows, as_json=as_json, title="capacity doctor")
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)


@app.command()
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

    settings = _settings(config, None)
    if file is not None:
        from capacity.history.archive import Archive
        from capacity.history.importing import import_frame

        done = import_frame(file, Archive(settings.archive.path), settings, signal=_signal(signal), name=name)
        facts: dict[str, Any] = {"source": name, "services": done.services, "days": done.days, "notes": list(done.notes)}
    else:
        progress = _progress(quiet=quiet or as_json)
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


@app.command()
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
    settings = _settings(config, None)
    if trained is not None:
        if train is not None or source is not None or sample or offline or as_of is not None:
            raise InputError("--from reads a trained model alone", "Leave out --train and everything that chooses history")
        peaks, skipped = api.predict_with(trained, signal, horizon, services)
    else:
        history = _history(settings, source, sample, offline, as_of, services, quiet=as_json)
        made = api.forecast(history, signal, horizon, settings=settings)
        peaks, skipped = made.peaks, made.skipped
        if train is not None:
            made.model.save(train / made.signal.value)
    table = peaks.rename(columns=lambda level: f"p{float(level) * 100:g}")
    _print_table(table, signal, as_json=as_json, title=f"Peak {signal} over {horizon}")
    if not as_json:
        for service, reason in skipped.items():
            typer.echo(f"{service}: {reason}")


@app.command()
def recommend(
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    services: Services = None,
    signal: Resource_ = "memory",
    horizon: Horizon = "7D",
    as_json: Json = False,
) -> None:
    """Print the proposed limit of each service, or the reason why there is none."""
    from capacity import api

    api.parse_length(horizon)
    settings = _settings(config, None)
    history = _history(settings, source, sample, offline, as_of, services, quiet=as_json)
    made = api.recommend(history, signal, horizon=horizon, settings=settings)
    shown = (
        made.table
        if as_json
        else made.table[["action", "reason", "current", "limit", "observed_peak", "peak_high", "breach_after"]]
    )
    _print_table(shown, made.signal.value, as_json=as_json, title=f"Limits for {signal}")


@report_app.command("weekly")
def report_weekly(
    config: Config = None,
    source: Source = None,
    sample: Sample = False,
    offline: Offline = False,
    as_of: AsOf = None,
    services: Services = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of all reports.")] = Path("reports"),
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the server again for days that are final.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Render the weekly resource report with proposed limit changes."""
    from capacity.reporting.report import weekly_resources

    settings = _settings(config, None)
    done = weekly_resources(
        settings,
        source=_one_source(source, sample=sample, offline=offline),
        as_of=as_of,
        out=out,
        services=services or "",
        offline=offline,
        refresh=refresh,
        config=config,
        progress=_progress(quiet=quiet or as_json),
    )
    if as_json:
        typer.echo(json.dumps({"page": str(done.page.resolve()), "seconds": round(done.seconds, 1)}))
    elif not quiet:
        typer.echo(str(done.page.resolve()))


@sample_app.command("make")
def sample_make(
    folder: Annotated[Path, typer.Argument(help="Where to write it; data/sample in the source tree.")],
) -> None:
    """Make the sample fleet again, byte for byte: five weeks of history and its compose files."""
    from capacity.history.sample import make_sample

    written = make_sample(folder)
    size = sum(path.stat().st_size for path in written)
    typer.echo(f"{len(written)} files, {size / 1e6:.1f} MB in {folder}")


@sample_app.command("services")
def sample_services(as_json: Json = False) -> None:
    """List the services of the sample fleet."""
    from capacity.history.sample_fleet import FLEET

    rows = [
        {
            "service": service.key,
            "image": service.image,
            "cpu_limit": service.cpu_limit,
            "memory_limit_mib": service.memory_limit,
            "ports": ", ".join(service.ports),
        }
        for service in FLEET
    ]
    _print_rows(rows, as_json=as_json, title="Sample fleet")


def _settings(config: Path | None, source: str | None) -> Settings:
    from capacity.settings import load_settings

    return load_settings(config, prometheus__url=source)


def _one_source(source: str | None, *, sample: bool, offline: bool) -> str | None:
    if sample and (source is not None or offline):
        raise InputError("--sample goes alone", "Leave out --source and --offline")
    return "sample" if sample else source


def _history(
    settings: Settings,
    source: str | None,
    sample: bool,
    offline: bool,
    as_of: str | None,
    services: str | None,
    *,
    quiet: bool,
) -> Any:
    from capacity import api

    return api.open_history(
        _one_source(source, sample=sample, offline=offline),
        as_of=as_of,
        services=services,
        offline=offline,
        settings=settings,
        progress=_progress(quiet=quiet),
    )


def _signal(text: str) -> Any:
    from capacity.model import Signal

    try:
        return Signal(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no signal", f"Use one of {', '.join(Signal)}") from error


def _progress(*, quiet: bool) -> Progress | None:
    if quiet:
        return None
    if sys.stderr.isatty():
        return _Bar()
    from capacity.progress import LogProgress

    return LogProgress()


class _Bar:
    """A progress bar on a terminal."""

    def start(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(what, total=total)
        self._bar.start()

    def advance(self, note: str = "") -> None:
        del note
        self._bar.advance(self._task)

    def finish(self) -> None:
        self._bar.stop()


def _print_table(table: pd.DataFrame, resource: str, *, as_json: bool, title: str) -> None:
    """A frame by service: raw numbers as JSON, numbers for people otherwise."""
    from capacity.units import format_cores, format_memory

    rows: list[dict[str, Any]] = []
    shares = {"breach_now", "breach_after", "confidence"}
    show = format_cores if resource == "cpu" else format_memory
    for service, row in zip(table.index, table.to_dict("records"), strict=True):
        cells: dict[str, Any] = {"service": str(service)}
        for name, value in row.items():
            if not isinstance(value, float):
                cells[str(name)] = value
            elif as_json:
                cells[str(name)] = value if math.isfinite(value) else None
            else:
                cells[str(name)] = ("-" if math.isnan(value) else f"{value:.0%}") if name in shares else show(value)
        rows.append(cells)
    _print_rows(rows, as_json=as_json, title=title)


def _print_rows(rows: list[dict[str, Any]], *, as_json: bool, title: str) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=SIMPLE_HEAD)
    for position, name in enumerate(rows[0] if rows else ("nothing",)):
        table.add_column(name, no_wrap=position == 0, overflow="fold")
    for row in rows:
        # Text: a service's name is no markup
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row.values()))
    console = Console()
    wide = console if console.is_terminal else Console(width=200)
    wide.print(table)


def _log_to_stderr() -> None:
    """Only our own log lines: what libraries log of a failure is told once, by the error itself."""
    logging.getLogger().addHandler(logging.NullHandler())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("capacity: %(message)s"))
    logging.getLogger("capacity").addHandler(handler)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _leave(code: int) -> None:
    """End at once: a download that nobody waits for must not hold the exit up."""
    os._exit(code)
