"""Commands that render reports, and the sample fleet."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from capacity._cli.options import (
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
from capacity._cli.printing import print_rows, say, show_text
from capacity._common.plain_data import Plain
from capacity._common.text.counting import counted
from capacity.errors import CapacityError, InputError

if TYPE_CHECKING:
    from capacity.settings import Settings

Out = Annotated[Path, typer.Option("--out", help="Folder of all reports.")]
Paths = Annotated[
    list[Path] | None, typer.Argument(help="Compose files or folders; default the sample's.")
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Ask the server again for days that are final.")
]

_INCOMPLETE = 3  # the page is there; a project was not judged, no PDF made, or delivery failed
Deliver = Annotated[
    bool, typer.Option("--deliver", help="Send the page on the ways of the settings too.")
]
Pdf = Annotated[
    bool, typer.Option("--pdf", help="Print the page to a PDF beside it, by a browser on the PATH.")
]


@dataclass(frozen=True)
class _Asked:
    """What every report is asked: its options, said once."""

    config: Config = None
    source: Source = None
    sample: Sample = False
    offline: Offline = False
    as_of: AsOf = None
    services: Services = None
    out: Out = Path("reports")
    refresh: Refresh = False
    deliver: Deliver = False
    pdf: Pdf = False
    quiet: Quiet = False
    as_json: Json = False


def _with_options(report: Callable[..., None]) -> Callable[..., None]:
    """A command that has the options of `_Asked` behind its own, and hands them over as one."""
    known, own = (get_type_hints(each, include_extras=True) for each in (_Asked, report))
    parts = [
        *(
            part.replace(annotation=own[name])
            for name, part in [*signature(report).parameters.items()][1:]
        ),
        *(
            Parameter(
                each.name,
                Parameter.POSITIONAL_OR_KEYWORD,
                default=each.default,
                annotation=known[each.name],
            )
            for each in fields(_Asked)
        ),
    ]

    def command(**given: Any) -> None:
        asked = _Asked(**{name: given.pop(name) for name in known})
        report(asked, **given)

    command.__doc__ = report.__doc__
    command.__signature__ = Signature(parts)  # type: ignore[attr-defined]  # what Typer reads
    command.__annotations__ = {part.name: part.annotation for part in parts}
    return command


@_with_options
def report_weekly(
    asked: _Asked,
    engine: Annotated[
        bool,
        typer.Option("--engine", help="Say where limits in force differ from the compose files."),
    ] = False,
) -> None:
    """Render the weekly resource report with proposed limit changes."""
    _run("WEEKLY", asked, {"engine": engine})


@_with_options
def report_monthly(asked: _Asked) -> None:
    """Render the monthly optimization review: promises kept, the month's plan, what-if
    scenarios.
    """
    _run("MONTHLY", asked)


@_with_options
def report_quarterly(asked: _Asked, paths: Paths = None) -> None:
    """Render the quarterly architecture review: trends, when hosts are full, what to split, merge,
    pool or retire, rules, promises and the risk register.
    """
    _run("QUARTERLY", asked, {"paths": _projects(paths)})


@_with_options
def report_compliance(
    asked: _Asked,
    paths: Paths = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Look at what runs on the Engines of the settings too.")
    ] = False,
) -> None:
    """Render the weekly compliance report: score and trend, checklist, broken rules with evidence,
    timeline; exit code 3 when a project could not be read, which the page says too.
    """
    files = asked.source is not None and "://" not in asked.source
    live = not (asked.sample or asked.offline or files)
    _run("COMPLIANCE", asked, {"paths": _projects(paths), "engine": engine, "live": live})


def _projects(paths: list[Path] | None) -> list[str]:
    """The paths, absolute, for the notebook.

    Raises:
        InputError: one without a compose file, before a notebook is run for it.
    """
    from capacity.compliance._facts.collect import find_projects

    places = [path.resolve() for path in paths or ()]
    find_projects(places)
    return [str(place) for place in places]


def _run(kind: str, asked: _Asked, more: dict[str, Plain] | None = None) -> None:
    from capacity.reporting._render import render as rendering

    settings = settings_of(asked.config, None)
    done = rendering.render(
        getattr(rendering, kind),
        settings,
        source=one_source(asked.source, sample=asked.sample, offline=asked.offline),
        as_of=asked.as_of,
        out=asked.out,
        services=asked.services or "",
        offline=asked.offline,
        refresh=asked.refresh,
        config=asked.config,
        progress=progress_of(quiet=asked.quiet or asked.as_json),
        more=more,
    )
    printed = _print_pdf(done.page) if asked.pdf else None
    files = {"page": done.page, **({"pdf": printed} if printed else {})}
    if asked.as_json:
        paths = {name: str(path.resolve()) for name, path in files.items()}
        show_text(json.dumps({**paths, "seconds": round(done.seconds, 1)}))
    elif not asked.quiet:
        for path in files.values():
            say(str(path.resolve()))
    for project in done.unread:
        say(f"Not evaluated: {project}", err=True)
    undelivered = asked.deliver and _deliver(done.page, settings)
    if done.unread or undelivered or (asked.pdf and not printed):
        raise typer.Exit(_INCOMPLETE)


def _print_pdf(page: Path) -> Path | None:
    """The page as PDF; None where that failed, which is told and stops nothing."""
    from capacity.reporting._render.pdf import print_pdf

    try:
        return print_pdf(page)
    except CapacityError as error:
        say(f"capacity: {error}", err=True)
        return None


def deliver(
    page: Annotated[Path, typer.Argument(help="A finished page, in the folder of its run.")],
    config: Config = None,
) -> None:
    """Send a finished report by mail, to chats, webhooks and folders of the settings; exit code 1
    when a way failed.
    """
    if not page.is_file():
        raise InputError(f"There is no page {page}", "`capacity report weekly` prints its path")
    if _deliver(page, settings_of(config, None)):
        raise typer.Exit(1)


def _deliver(page: Path, settings: Settings) -> bool:
    """Send a page; whether a way failed, which is told and stops nothing."""
    from capacity.reporting._delivery.channels import deliver, has_ways
    from capacity.reporting._delivery.message import message_of

    said = settings.delivery
    if not has_ways(said):
        raise InputError("No way of delivery is set", "Name one under [delivery] in capacity.toml")
    failures = deliver(message_of(page.resolve(), page.stem, said.base_url), said)
    for failure in failures:
        say(f"capacity: not delivered by {failure.channel}: {failure.why}", err=True)
    return bool(failures)


def sample_make(
    folder: Annotated[
        Path, typer.Argument(help="Where to write it; data/sample in the source tree.")
    ],
) -> None:
    """Make the sample fleet again, byte for byte: five weeks of history and its compose files."""
    from capacity.history._sample.generate import make_sample

    written = make_sample(folder)
    size = sum(path.stat().st_size for path in written)
    say(f"{counted(len(written), 'file')}, {size / 1e6:.1f} MB in {folder}")


def sample_services(as_json: Json = False) -> None:
    """List the services of the sample fleet."""
    from capacity.history._sample.fleet import FLEET

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
    print_rows(rows, as_json=as_json, title="Sample fleet", units={"cpu_limit": "cores"})


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    report = typer.Typer(help="Render a report.", no_args_is_help=True)
    report.command("weekly")(report_weekly)
    report.command("monthly")(report_monthly)
    report.command("quarterly")(report_quarterly)
    report.command("compliance")(report_compliance)
    app.add_typer(report, name="report")
    app.command()(deliver)
    sample = typer.Typer(help="The bundled sample fleet.", no_args_is_help=True)
    sample.command("make")(sample_make)
    sample.command("services")(sample_services)
    app.add_typer(sample, name="sample")
