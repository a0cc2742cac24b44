"""Commands that carry plans out and look back at that: apply, rollback, journal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from capacity._cli.commands.changes import plan
from capacity._cli.commands.changes.plan import say_warning
from capacity._cli.commands.changes.rollback_output import Exact, say_back, say_preview
from capacity._cli.commands.inventory import inventory
from capacity._cli.options import Config, Json, Quiet, progress_of, settings_of
from capacity._cli.printing import print_rows, say, show_text
from capacity._common.plain_data import PlainMapping
from capacity._common.text.counting import counted
from capacity._common.text.suggest import closest_names
from capacity.errors import InputError

if TYPE_CHECKING:
    from capacity._common.progress import Progress
    from capacity.changes._apply.preflight import Refusal
    from capacity.changes._journal.adjustments import AppliedChange
    from capacity.changes._result import StepResult
    from capacity.settings import Settings

__all__ = ["register"]

Glob = Annotated[
    str, typer.Option("--service", help="Only services that fit this glob, such as 'shop/*'.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(inventory)
    plan.register(app)
    app.command()(apply)
    app.command()(rollback)
    app.command()(journal)


def apply(
    plan: Annotated[Path | None, typer.Argument(metavar="PLAN", help="A plan.yaml.")] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes/--dry-run",
            help="Change containers and files; without it only show what would be sent.",
        ),
    ] = False,
    service: Glob = "*",
    canary: Annotated[
        int,
        typer.Option(
            "--canary", min=0, help="So many services or replicas first, the rest when they held."
        ),
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that did not come to its end.")
    ] = False,
    unattended: Annotated[
        bool,
        typer.Option("--unattended", help="Apply only what the settings allow without a person."),
    ] = False,
    why: Annotated[str, typer.Option("--why", help="The occasion, for the journal.")] = "",
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Apply a plan to containers and compose files at once; a dry run unless --yes is given."""
    from capacity import changes
    from capacity.changes._apply.recent_peaks import peaks_from

    settings = settings_of(config, None)
    progress = progress_of(quiet=quiet or as_json)
    if resume:
        if plan is not None:
            raise InputError("--resume takes the plan of its run", "Leave out PLAN")
        if service != "*" or canary or unattended or why:
            raise InputError(
                "--resume goes on as its run was begun",
                "Leave out --service, --canary, --unattended and --why",
            )
        _resume(settings, progress, yes=yes, as_json=as_json)
        return
    if plan is None:
        raise InputError("No plan is named", "Name a plan.yaml, or give --resume")
    read = changes.read_plan(plan)
    if not unattended:  # which it is refused for
        say_warning(read)
    peaks = peaks_from(settings)
    if not yes:
        preview = changes.dry_run(
            read, settings, services=service, unattended=unattended, peaks=peaks
        )
        _say_preview(*preview, as_json=as_json)
        return
    with _way_on_after_an_interrupt():
        done = changes.apply_plan(
            read,
            settings,
            services=service,
            canary=canary,
            unattended=unattended,
            peaks=peaks,
            progress=progress,
            why=why,
        )
    _say_result(done, as_json=as_json)


@contextmanager
def _way_on_after_an_interrupt() -> Iterator[None]:
    """Say what an interrupted run has left, and both ways out of it."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(
            "changes that were made are in force, the last ones not observed; `capacity apply "
            "--resume --yes` goes on, `capacity journal` names the run for `capacity rollback`"
        )
        raise


def _resume(settings: Settings, progress: Progress | None, *, yes: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from capacity import changes
    from capacity.changes._apply.recent_peaks import peaks_from

    if yes:
        with _way_on_after_an_interrupt():
            done = changes.resume(settings, peaks=peaks_from(settings), progress=progress)
        _say_result(done, as_json=as_json)
        return
    run, ahead = changes.resume_preview(settings)
    print_rows(
        [asdict(preview) for preview in ahead],
        as_json=as_json,
        title=f"Dry run: going on with {run}",
    )
    say("Nothing was changed; --yes does it.", err=True)


class _Shown(TypedDict):
    """A step of a dry run, as it is printed; `update` is what each container's Engine is sent."""

    service: str
    host: str
    how: str
    containers: int
    update: Mapping[str, PlainMapping]
    patch: str
    refused: str


def _say_preview(previews: list[Any], refused: list[Refusal], *, as_json: bool) -> None:
    from capacity.changes._plan.exports import patch_of

    shown: list[_Shown] = []
    for preview in previews:
        patches = [patch_of(Path(path), Path("/"), *both) for path, both in preview.files.items()]
        shown.append(
            {
                "service": preview.step.service,
                "host": preview.step.host.name,
                "how": preview.step.mode,
                "containers": len(preview.step.containers),
                "update": preview.bodies,
                "patch": "".join(patches),
                "refused": preview.refused,
            }
        )
    if as_json:
        left = [
            {
                "service": refusal.change.service,
                "what": str(refusal.change.what),
                "reason": refusal.reason,
            }
            for refusal in refused
        ]
        show_text(json.dumps({"steps": shown, "refused": left}, indent=1))
    else:
        _print_preview(shown, refused)
    if (shown or refused) and all(step["refused"] for step in shown):
        raise typer.Exit(1)


def _print_preview(shown: list[_Shown], refused: list[Refusal]) -> None:
    from capacity._common.text.escape import operand
    from capacity.model import ServiceKey

    for number, step in enumerate(shown, start=1):
        say(
            f"{number}. {step['service']} on {step['host']}: {step['how']}"
            + (f"; refused: {step['refused']}" * bool(step["refused"]))
        )
        for name, body in step["update"].items():
            say(f"   POST /containers/{name}/update {json.dumps(body)}")
        if step["how"] == "recreate" and not step["refused"]:
            own = ServiceKey.parse(step["service"]).service
            say(
                f"   docker compose up --detach --no-deps --scale {quote(own)}="
                f"{step['containers']} {operand(own)}"
            )
        for line in step["patch"].splitlines():
            say(line)
    for refusal in refused:
        say(f"refused: {refusal.change.label}: {refusal.reason}")
    say("Nothing was changed; --yes does it.")


def _outcomes(outcomes: list[StepResult], refused: list[Refusal]) -> list[dict[str, str]]:
    rows = [
        {
            "service": outcome.service,
            "host": outcome.host,
            "outcome": outcome.state,
            "why": outcome.reason,
        }
        for outcome in outcomes
    ]
    return rows + [
        {
            "service": refusal.change.service,
            "host": refusal.change.host,
            "outcome": "refused",
            "why": f"{refusal.change.what}: {refusal.reason}",
        }
        for refusal in refused
    ]


def _say_result(result: Any, *, as_json: bool) -> None:
    rows = _outcomes(result.outcomes, result.refused)
    if as_json:
        show_text(json.dumps({"run": result.run, "state": result.state, "steps": rows}, indent=1))
    else:
        print_rows(rows, as_json=False, title=f"Run {result.run}: {result.state}")
    if any(row["outcome"] in {"failed", "refused"} for row in rows):
        raise typer.Exit(1)


def rollback(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, or the beginning of its name.")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes/--dry-run", help="Do it; without it only say what would go back.")
    ] = False,
    service: Glob = "*",
    exact: Exact = False,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Bring containers and compose files back to what they were before a run; a dry run unless
    --yes is given.
    """
    from capacity import changes
    from capacity.operations._emergency.journal import folder_of

    if not run:
        raise InputError("No run is named", "Name one of those that `capacity journal` lists")
    settings = settings_of(config, None)
    folder = folder_of(settings, run)
    if not yes:
        say_preview(
            changes.rollback_preview(run, settings, services=service, folder=folder),
            run,
            as_json=as_json,
        )
        return
    progress = progress_of(quiet=quiet or as_json)
    done = changes.rollback(
        run, settings, services=service, exact=exact, progress=progress, folder=folder
    )
    say_back(done, run, as_json=as_json)


def journal(
    service: Annotated[
        str, typer.Option("--service", help="Only this service, project/service.")
    ] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List what was done: who, when, what to which container, why and what came of it."""
    from dataclasses import asdict

    from capacity.changes._journal.listing import journal_history
    from capacity.operations._emergency.journal import journal_folders

    folders = journal_folders(settings_of(config, None))
    found = journal_history(folders, service)
    if service and not found:
        known = closest_names(service, {entry.service for entry in journal_history(folders)} - {""})
        near = f"; did you mean {' or '.join(known)}?" if known else ""
        say(f"capacity: nothing was done to {service}, as far as the journal says{near}", err=True)
    if as_json:
        show_text(json.dumps([asdict(adjustment) for adjustment in found], indent=1, default=str))
        return
    rows = [
        {
            "time": f"{adjustment.time:%Y-%m-%d %H:%M:%S}",
            "run": adjustment.run,
            "who": adjustment.who,
            "service": adjustment.service,
            "container": ", ".join(each.name for each in adjustment.containers) or "-",
            "what": adjustment.what,
            "change": _change(adjustment),
            "why": adjustment.why or adjustment.reason,
            "outcome": f"{adjustment.outcome}: {adjustment.detail}"
            if adjustment.detail
            else adjustment.outcome,
        }
        for adjustment in found
    ]
    print_rows(rows, as_json=False, title=counted(len(rows), "entry"))


def _change(adjustment: AppliedChange) -> str:
    from capacity._common.setting_values import show_value
    from capacity.model import Setting

    if adjustment.what not in {*Setting}:
        return "-"
    return (
        f"{show_value(Setting(adjustment.what), adjustment.before)} -> "
        f"{show_value(Setting(adjustment.what), adjustment.after)}"
    )
