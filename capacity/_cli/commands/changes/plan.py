"""Commands that look at a plan, and make patches, scripts and commits of it: `capacity plan`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.options import Config, Json, settings_of
from capacity._cli.printing import print_rows, say
from capacity._common.plain_data import Plain
from capacity._common.text.counting import counted
from capacity.errors import StorageError
from capacity.model import ServiceKey

if TYPE_CHECKING:
    from capacity._compose import DeclaredProject
    from capacity.changes import Plan
    from capacity.settings import Settings

__all__ = ["register", "say_warning"]

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan.yaml.")]
Compose = Annotated[
    list[Path] | None,
    typer.Option(
        "--compose",
        help="Compose file or its folder, once a project; default what running containers name.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    plan_app = typer.Typer(
        help="Look at a plan, and make patches, scripts and commits of it.", no_args_is_help=True
    )
    for command in (show, diff, validate, emit, commit, units):
        plan_app.command()(command)
    app.add_typer(plan_app, name="plan")


def say_warning(plan: Plan) -> None:
    """Say why nothing should be done yet, where the plan was made from too little data."""
    if warning := plan.made_from.warning:
        say(f"capacity: {warning}.", err=True)


def _rows(plan: Plan, *, raw: bool) -> list[dict[str, Plain]]:
    from capacity._common.setting_values import show_value

    if raw:
        return [change.model_dump(mode="json", by_alias=True) for change in plan.changes]
    return [
        {
            "service": change.service,
            "what": str(change.what),
            "from": show_value(change.what, change.before),
            "to": show_value(change.what, change.after),
            "reason": str(change.reason),
            "risk": change.risk,
            "order": change.order,
        }
        for change in sorted(plan.changes, key=lambda item: (item.order, item.service))
    ]


def show(plan: PlanFile, as_json: Json = False) -> None:
    """Show the changes of a plan, in the order in which they would be applied."""
    from capacity.changes import is_edited, read_plan

    read = read_plan(plan)
    edited = ", edited by hand" if is_edited(read) else ""
    title = (
        f"Plan {read.plan_id} of {read.as_of:%Y-%m-%d %H:%M} UTC, valid until "
        f"{read.valid_until:%Y-%m-%d %H:%M}{edited}"
    )
    print_rows(_rows(read, raw=as_json), as_json=as_json, title=title)
    say_warning(read)


def diff(
    old: PlanFile,
    new: Annotated[Path, typer.Argument(metavar="OTHER", help="Another plan.yaml.")],
    as_json: Json = False,
) -> None:
    """Show what another plan adds, drops and changes; exit code 1 when they differ."""
    from capacity._common.setting_values import show_value
    from capacity.changes import read_plan

    before, after = (
        {change.key: change for change in read_plan(path).changes} for path in (old, new)
    )
    rows = []
    for key in sorted({*before, *after}):
        change, other = before.get(key), after.get(key)
        if (
            change is not None
            and other is not None
            and (change.before, change.after) == (other.before, other.after)
        ):
            continue
        rows.append(
            {
                "service": key[0],
                "what": str(key[2]),
                "was": f"{show_value(key[2], change.before)} -> {show_value(key[2], change.after)}"
                if change
                else None,
                "is": f"{show_value(key[2], other.before)} -> {show_value(key[2], other.after)}"
                if other
                else None,
            }
        )
    print_rows(rows, as_json=as_json, title=counted(len(rows), "difference"))
    if rows:
        raise typer.Exit(1)


def validate(plan: PlanFile, config: Config = None, as_json: Json = False) -> None:
    """Check a plan against its schema, its time, what runs now and the compose files; exit code 1
    when a change is refused.
    """
    from capacity.changes import dry_run, is_edited, read_plan

    read = read_plan(plan)
    previews, refused = dry_run(read, settings_of(config, None))
    rows = [
        {
            "service": preview.step.service,
            "verdict": "refused" if preview.refused else "good",
            "why": preview.refused,
        }
        for preview in previews
    ]
    rows += [
        {"service": refusal.change.label, "verdict": "refused", "why": refusal.reason}
        for refusal in refused
    ]
    print_rows(
        rows,
        as_json=as_json,
        title="The plan was edited by hand" if is_edited(read) else "The plan is as it was made",
    )
    say_warning(read)
    if any(row["verdict"] == "refused" for row in rows):
        raise typer.Exit(1)


def _projects(compose: list[Path] | None, settings: Settings) -> dict[str, DeclaredProject]:
    """What the compose files on the command line declare, or those that running containers name."""
    from capacity._compose import declarations
    from capacity._compose.declared import load_named
    from capacity._docker import snapshot

    if not compose:
        return declarations(snapshot(settings.engine).containers, settings.apply.projects)
    return {declared.name: declared for declared in map(load_named, compose)}


def emit(
    plan: PlanFile,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path(),
    compose: Compose = None,
    config: Config = None,
) -> None:
    """Write limits.patch, compose.capacity.yaml, apply.sh, revert.sh and alert rules; nothing else
    is touched.
    """
    from capacity.changes import (
        alert_rules,
        emit_patch,
        emit_scripts,
        limit_forecasts,
        read_plan,
    )

    settings, read = settings_of(config, None), read_plan(plan)
    if read.valid_until < datetime.now(UTC):
        say(
            f"capacity: this plan was valid until {read.valid_until:%Y-%m-%d %H:%M} UTC; make a "
            "new one",
            err=True,
        )
    projects = _projects(compose, settings)
    patch, refused = emit_patch(read, projects, Path.cwd())
    of_known = _of_known(refused, projects)
    files = {"limits.patch": patch, **emit_scripts(read, of_known)}
    files |= _override_files(read, projects, refused)
    files["alerts.yml"] = alert_rules(limit_forecasts(read), settings, valid_until=read.valid_until)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_bytes(text.encode())
            if name.endswith(".sh"):
                (out / name).chmod(0o755)
            say(str(out / name))
    except OSError as error:
        raise StorageError(
            f"Cannot write {out}: {error.strerror}", "Name another folder with --out"
        ) from error
    _say_refused(refused, only_patch={*refused} - {*of_known})


def _override_files(
    plan: Plan, projects: dict[str, DeclaredProject], refused: Collection[str]
) -> dict[str, str]:
    """File name -> override file of each project; what only they leave out is said."""
    from capacity._common.files import file_parts
    from capacity.changes import emit_override

    made = {name: emit_override(plan, projects[name]) for name in sorted(projects)}
    for name, (_, left) in made.items():
        for service in [service for service in left if service not in refused]:
            say(f"capacity: left out of the override file of {name}: {left[service]}", err=True)
    named = {name: text for name, (text, _) in made.items() if text}
    parts = file_parts(named, "unnamed")
    return {
        ("compose.capacity.yaml" if len(named) == 1 else f"compose.capacity.{parts[name]}.yaml"): (
            text
        )
        for name, text in named.items()
    }


def _of_known(refused: dict[str, str], projects: dict[str, DeclaredProject]) -> dict[str, str]:
    """The refusals of services whose files were read; of others nothing is known against the
    change.
    """
    return {
        service: why
        for service, why in refused.items()
        if (known := projects.get(ServiceKey.parse(service).project)) and known.project is not None
    }


def _say_refused(refused: dict[str, str], only_patch: Collection[str] = ()) -> None:
    """Name what was left out; of `only_patch` the scripts have it all the same."""
    for service, why in refused.items():
        where = " of the patch, not of the scripts" if service in only_patch else ""
        say(f"capacity: left out{where} {service}: {why}", err=True)
    if refused:
        raise typer.Exit(1)


def commit(
    plan: PlanFile,
    repository: Annotated[
        Path, typer.Option("--repository", help="A folder of the git repository.")
    ] = Path(),
    branch: Annotated[
        str, typer.Option("--branch", help="Name of the new branch; default capacity/PLAN-ID.")
    ] = "",
    compose: Compose = None,
    config: Config = None,
) -> None:
    """Make a git branch with one commit a service; the working tree is not touched and nothing is
    pushed.
    """
    from capacity.changes import commit_plan, read_plan

    done = commit_plan(
        read_plan(plan), _projects(compose, settings_of(config, None)), repository, branch
    )
    for service, name in done.commits.items():
        say(f"{done.name} {name[:12]} {service}")
    _say_refused(done.refused)


def units(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A compose file.")],
    write: Annotated[bool, typer.Option("--write", help="Correct them in the file.")] = False,
) -> None:
    """Find sizes such as 4Gi, which Compose refuses, and correct them; exit code 1 when there are
    any left.
    """
    from capacity._common.files import write_atomically
    from capacity._compose.edit.files import read_exactly
    from capacity.changes import correct_units

    new, found = correct_units(read_exactly(file))
    for correction in found:
        say(f"{file}: {correction.text}")
    if write and any(correction.new for correction in found):
        write_atomically(file, new.encode(), keep_metadata=True)
    if any(not (write and correction.new) for correction in found):
        raise typer.Exit(1)
