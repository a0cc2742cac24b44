"""Commands for emergencies: release, undo, restart, rollback. Each is a dry run unless `--yes` is
given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.commands.changes.rollback_output import Exact, say_back, say_preview
from capacity._cli.options import Config, Json, settings_of
from capacity._cli.printing import print_rows, say
from capacity._common.plain_data import Plain
from capacity.errors import InputError
from capacity.model import StepState

if TYPE_CHECKING:
    from capacity.changes._result import StepResult
    from capacity.settings import Settings

__all__ = ["register"]

Yes = Annotated[
    bool, typer.Option("--yes/--dry-run", help="Do it; without it only say what would be done.")
]

_RELEASED = "Released; `capacity emergency undo` starts again what was stopped"

emergency_app = typer.Typer(
    help="Free a host, start what matters, go back; all journalled.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for command in (release, undo, restart, rollback):
        emergency_app.command()(command)
    app.add_typer(emergency_app, name="emergency")


def release(
    memory: Annotated[
        str | None, typer.Option("--memory", help="Memory to free on each host, such as 4g.")
    ] = None,
    service: Annotated[
        str, typer.Option("--service", help="Only services that fit this glob, such as 'shop/*'.")
    ] = "*",
    flush: Annotated[
        str | None,
        typer.Option(
            "--flush", help="Throw away all data of the Redis in this container; cannot be undone."
        ),
    ] = None,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Stop containers labelled priority=low, those that use most first, until enough memory is
    free.
    """
    from capacity._common.text.units import parse_memory
    from capacity.operations._emergency import release
    from capacity.operations._emergency.flush_redis import flush as flush_cache

    if memory is None and flush is None:
        raise InputError("Nothing is to be released", "Name --memory 4g, or --flush CONTAINER")
    settings = settings_of(config, None)
    wanted = parse_memory(memory) if memory is not None else None
    # a wrong name is said before anything stops
    flushed = [flush_cache(settings, flush)] if flush is not None else []
    released: list[StepResult] = []
    told: list[StepResult] = []
    try:
        if wanted is not None:
            released = release.release(
                settings,
                memory=float(wanted),
                services=service,
                dry_run=not yes,
                progress=told.append,
            )
        if flush is not None and yes:
            flushed = [flush_cache(settings, flush, dry_run=False)]
    except BaseException:
        if told:  # whatever came then, these are down
            print_rows(_rows(told, as_json=as_json), as_json=as_json, title=_RELEASED)
        raise
    gone = all(result.state == StepState.FLUSHED for result in flushed)
    title = _RELEASED if wanted is not None else "Flushed" if gone else "Not flushed"
    _show([*released, *flushed], yes=yes, as_json=as_json, title=title)
    short = wanted is not None and _say_shortfall(released, wanted, yes=yes)
    if (short and yes) or any(result.state == StepState.FAILED for result in [*released, *flushed]):
        raise typer.Exit(1)


def _say_shortfall(done: Sequence[StepResult], wanted: int, *, yes: bool) -> bool:
    """What may be stopped is not always enough; whoever waits for the memory must know."""
    from capacity._common.text.units import format_memory

    freed: dict[str, int] = {}
    for result in (result for result in done if result.state != StepState.UNREACHABLE):
        freed[result.host] = freed.get(result.host, 0) + (
            result.memory if result.state in {StepState.STOPPED, StepState.WOULD_STOP} else 0
        )
    short = [
        f"{host} {format_memory(size) if size else 'nothing'}"
        for host, size in sorted(freed.items())
        if size < wanted
    ]
    if short:
        say(
            f"{'Freed' if yes else 'Would free'} less than {format_memory(wanted)}: "
            f"{', '.join(short)}",
            err=True,
        )
    return _say_silent(
        done, "nothing freed there" if yes else "nothing would be freed there"
    ) or bool(short)


def undo(yes: Yes = False, config: Config = None, as_json: Json = False) -> None:
    """Start again what the last emergency or migration stopped, or take a project back that went to
    a revision since.
    """
    from capacity.operations._emergency.undo_release import undo_release

    done = undo_release(settings_of(config, None), dry_run=not yes)
    _say(done, yes=yes, as_json=as_json, title="Started again")


def restart(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE...", help="project/service; default operations.critical."),
    ] = None,
    yes: Yes = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Start the services that matter where they are down, what they depend on first, each healthy
    before the next.
    """
    from capacity.operations._emergency.restart_critical import restart_critical

    settings = settings_of(config, None)
    wanted = services or settings.operations.critical
    if not wanted:
        raise InputError("No service is named", "Name them, or set operations.critical")
    done = restart_critical(settings, wanted, dry_run=not yes)
    if not done:
        say(
            f"capacity: {' and '.join(wanted)} run{'s' * (len(wanted) == 1)}; only what is down is "
            "started, `docker compose restart` is for what runs",
            err=True,
        )
    _say(done, yes=yes, as_json=as_json, title="Services that were down")


def rollback(
    run: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run, or its beginning; default the last one."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="A git revision of the compose files instead.")
    ] = None,
    compose: Annotated[
        Path | None,
        typer.Option("--compose", help="With --revision: a compose file of the project."),
    ] = None,
    yes: Yes = False,
    exact: Exact = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Go back to what was before a run, or to a git revision of the compose files; newer services
    are stopped, and kept.
    """
    from capacity.operations._emergency import revision as revisions

    settings = settings_of(config, None)
    if (revision is None) != (compose is None) or (
        revision is not None and (run is not None or exact)
    ):
        raise InputError(
            "A run, or --revision together with --compose and without --exact", "Name one of both"
        )
    if revision is not None and compose is not None:
        done = revisions.to_revision(settings, compose, revision, dry_run=not yes)
        title = f"{compose} as of {revision}"
        if any(result.state == StepState.FAILED for result in done):
            whole = not any(result.state == StepState.NOT_BACK for result in done)
            title += (
                ": it failed, and "
                f"{'everything is as it was before' if whole else 'not all is as it was before'}"
            )
        _say(done, yes=yes, as_json=as_json, title=title)
        return
    _back(settings, run, yes=yes, exact=exact, as_json=as_json)


def _back(settings: Settings, run: str | None, *, yes: bool, exact: bool, as_json: bool) -> None:
    from capacity.operations._emergency.last_run import last_run_back, last_run_preview

    if not yes:
        name, found = last_run_preview(settings, run)
        say_preview(found, name, as_json=as_json)
        return
    taken = last_run_back(settings, run, exact=exact)
    say_back(taken.outcomes, taken.run, as_json=as_json)


def _say(done: Sequence[StepResult], *, yes: bool, as_json: bool, title: str) -> None:
    _show(done, yes=yes, as_json=as_json, title=title)
    _say_silent(done, "nothing was looked at there")
    if any(
        result.state in {StepState.FAILED, StepState.SKIPPED, StepState.UNREACHABLE}
        for result in done
    ):
        raise typer.Exit(1)


def _say_silent(done: Sequence[StepResult], so: str) -> bool:
    silent = [result for result in done if result.state == StepState.UNREACHABLE]
    for result in silent:
        say(f"{result.host} does not answer: {so}", err=True)
    return bool(silent)


def _show(done: Sequence[StepResult], *, yes: bool, as_json: bool, title: str) -> None:
    print_rows(_rows(done, as_json=as_json), as_json=as_json, title=title if yes else "Dry run")
    if not yes:
        say("Nothing was changed; --yes does it.", err=True)


def _rows(done: Sequence[StepResult], *, as_json: bool) -> list[dict[str, Plain]]:
    from capacity._common.text.units import format_memory

    return [
        {
            "service": result.service,
            "host": result.host,
            "container": result.container,
            "state": result.state,
            "memory": result.memory
            if as_json
            else format_memory(result.memory)
            if result.memory
            else "-",
            "note": result.reason,
        }
        for result in done
    ]
