"""Commands that render reports, and the sample fleet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from capacity.cli.options import (
    AsOf,
    Config,
    Json,
    Offline,
    Quiet,
    Sample,
    Services,
    Source,
    one_source,
    progress_of,
    settings_of,
)
from capacity.cli.printing import print_rows


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

    settings = settings_of(config, None)
    done = weekly_resources(
        settings,
        source=one_source(source, sample=sample, offline=offline),
        as_of=as_of,
        out=out,
        services=services or "",
        offline=offline,
        refresh=refresh,
        config=config,
        progress=progress_of(quiet=quiet or as_json),
    )
    if as_json:
        typer.echo(json.dumps({"page": str(done.page.resolve()), "seconds": round(done.seconds, 1)}))
    elif not quiet:
        typer.echo(str(done.page.resolve()))


def sample_make(
    folder: Annotated[Path, typer.Argument(help="Where to write it; data/sample in the source tree.")],
) -> None:
    """Make the sample fleet again, byte for byte: five weeks of history and its compose files."""
    from capacity.history.sample import make_sample

    written = make_sample(folder)
    size = sum(path.stat().st_size for path in written)
    typer.echo(f"{len(written)} files, {size / 1e6:.1f} MB in {folder}")


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
    print_rows(rows, as_json=as_json, title="Sample fleet")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    report = typer.Typer(help="Render a report.", no_args_is_help=True)
    report.command("weekly")(report_weekly)
    app.add_typer(report, name="report")
    sample = typer.Typer(help="The bundled sample fleet.", no_args_is_help=True)
    sample.command("make")(sample_make)
    sample.command("services")(sample_services)
    app.add_typer(sample, name="sample")
