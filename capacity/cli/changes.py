"""Commands that look at what runs, and carry plans out: inventory, plan, apply, rollback, journal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capacity.cli.options import Config, Json, Quiet, progress_of, settings_of
from capacity.cli.printing import print_rows
from capacity.errors import ChangeRefused, InputError, StorageError

if TYPE_CHECKING:
    from capacity.changes import Plan
    from capacity.changes.execute import Outcome
    from capacity.changes.steps import Refusal
    from capacity.inventory import Declared
    from capacity.settings import Settings

__all__ = ["register"]

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan.yaml.")]
Glob = Annotated[str, typer.Option("--service", help="Only services that fit this glob, such as 'shop/*'.")]
Compose = Annotated[
    list[Path] | None,
    typer.Option("--compose", help="Compose file or its folder, once a project; default what running containers name."),
]

plan_app = typer.Typer(help="Look at a plan, and make patches, scripts and commits of it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command()(inventory)
    plan_app.command()(show)
    plan_app.command()(diff)
    plan_app.command()(validate)
    plan_app.command()(emit)
    plan_app.command()(commit)
    plan_app.command()(units)
    app.add_typer(plan_app, name="plan")
    app.command()(apply)
    app.command()(rollback)
    app.command()(journal)


def inventory(
    config: Config = None,
    drift: Annotated[bool, typer.Option("--drift", help="Only what is in force otherwise than declared.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List what runs on the Docker Engines, with its limits, or where they differ from the compose files."""
    from capacity.changes.values import show_value
    from capacity.inventory import drift as find_drift
    from capacity.inventory import snapshot
    from capacity.units import format_cores, format_memory

    settings = settings_of(config, None)
    found = snapshot(settings.engine, progress_of(quiet=quiet or as_json))
    if drift:
        apart = find_drift(found, settings.apply.projects)
        rows = [
            {
                "service": one.service,
                "container": one.container,
                "what": str(one.what),
                "live": one.live if as_json else show_value(one.what, one.live),
                "declared": one.declared if as_json else show_value(one.what, one.declared),
                "where": one.where,
            }
            for one in apart
        ]
        print_rows(rows, as_json=as_json, title="Live limits against declared ones")
        return
    if as_json:
        typer.echo(json.dumps(_inventory_json(found), indent=1))
        return
    rows = [
        {
            "service": one.key,
            "host": one.host,
            "container": one.name,
            "state": f"{one.state} ({one.health})" if one.health else one.state,
            "memory": format_memory(one.memory) if one.memory else "unlimited",
            "cpus": format_cores(one.cpus) if one.cpus else "unlimited",
            "cpuset": one.cpuset or "-",
            "pids": one.pids or "unlimited",
            "restarts": one.restart_count,
            "policy": one.restart_policy,
            "killed": "for memory" if one.oom_killed else "-",
        }
        for one in found.containers
    ]
    print_rows(rows, as_json=False, title=f"{len(rows)} containers on {len(found.hosts)} hosts")
    for name, why in found.unreachable.items():
        typer.echo(f"capacity: {name} is not in this list: {why}", err=True)


def _inventory_json(found: Any) -> dict[str, Any]:
    from dataclasses import asdict

    containers = [{"key": one.key, **asdict(one)} for one in found.containers]
    return {"hosts": [asdict(host) for host in found.hosts], "containers": containers, "unreachable": found.unreachable}


def _rows(plan: Plan, *, raw: bool) -> list[dict[str, Any]]:
    from capacity.changes.values import show_value

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
        for change in sorted(plan.changes, key=lambda one: (one.order, one.service))
    ]


def show(plan: PlanFile, as_json: Json = False) -> None:
    """Show the changes of a plan, in the order in which they would be applied."""
    from capacity.changes import is_edited, read_plan

    read = read_plan(plan)
    edited = ", edited by hand" if is_edited(read) else ""
    title = f"Plan {read.plan_id} of {read.as_of:%Y-%m-%d %H:%M} UTC, valid until {read.valid_until:%Y-%m-%d %H:%M}{edited}"
    print_rows(_rows(read, raw=as_json), as_json=as_json, title=title)


def diff(
    old: PlanFile, new: Annotated[Path, typer.Argument(metavar="OTHER", help="Another plan.yaml.")], as_json: Json = False
) -> None:
    """Show what another plan adds, drops and changes; exit code 1 when they differ."""
    from capacity.changes import read_plan
    from capacity.changes.values import show_value

    before, after = ({(one.service, one.host, one.what): one for one in read_plan(path).changes} for path in (old, new))
    rows = []
    for key in sorted({*before, *after}):
        one, other = before.get(key), after.get(key)
        if one is not None and other is not None and (one.before, one.after) == (other.before, other.after):
            continue
        rows.append(
            {
                "service": key[0],
                "what": str(key[2]),
                "was": f"{show_value(key[2], one.before)} -> {show_value(key[2], one.after)}" if one else None,
                "is": f"{show_value(key[2], other.before)} -> {show_value(key[2], other.after)}" if other else None,
            }
        )
    print_rows(rows, as_json=as_json, title=f"{len(rows)} differences")
    if rows:
        raise typer.Exit(1)


def validate(plan: PlanFile, config: Config = None, as_json: Json = False) -> None:
    """Check a plan against its schema, its time, what runs now and the compose files; exit code 1 when a change is refused."""
    from capacity.changes import dry_run, is_edited, read_plan

    read = read_plan(plan)
    previews, refused = dry_run(read, settings_of(config, None))
    rows = [
        {"service": one.step.service, "verdict": "refused" if one.refused else "good", "why": one.refused} for one in previews
    ]
    rows += [{"service": one.change.label, "verdict": "refused", "why": one.reason} for one in refused]
    print_rows(rows, as_json=as_json, title="The plan was edited by hand" if is_edited(read) else "The plan is as it was made")
    if any(row["verdict"] == "refused" for row in rows):
        raise typer.Exit(1)


def _projects(compose: list[Path] | None, settings: Settings) -> dict[str, Declared]:
    """What the compose files on the command line declare, or those that running containers name."""
    from capacity.inventory import Declared, declarations, load_project, snapshot

    if not compose:
        return declarations(snapshot(settings.engine).containers, settings.apply.projects)
    found = (load_project(path, profiles=("*",)) for path in compose)
    return {project.name: Declared(project.name, project.files, project.files[0].parent, project) for project in found}


def emit(
    plan: PlanFile,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.")] = Path(),
    compose: Compose = None,
    config: Config = None,
) -> None:
    """Write limits.patch, compose.capacity.yaml, apply.sh, revert.sh and alert rules; nothing else is touched."""
    from capacity.changes import alert_rules, emit_override, emit_patch, emit_scripts, outlooks_of, read_plan

    settings, read = settings_of(config, None), read_plan(plan)
    projects = _projects(compose, settings)
    patch, refused = emit_patch(read, projects, Path.cwd())
    files = {"limits.patch": patch, **emit_scripts(read)}
    overrides = {name: emit_override(read, declared)[0] for name, declared in sorted(projects.items())}
    named = {name: text for name, text in overrides.items() if text}
    files |= {
        ("compose.capacity.yaml" if len(named) == 1 else f"compose.capacity.{name}.yaml"): text for name, text in named.items()
    }
    files["alerts.yml"] = alert_rules(outlooks_of(read), settings, valid_until=read.valid_until)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (out / name).write_bytes(text.encode())
            if name.endswith(".sh"):
                (out / name).chmod(0o755)
            typer.echo(str(out / name))
    except OSError as error:
        raise StorageError(f"Cannot write {out}: {error.strerror}", "Name another folder with --out") from error
    _say_refused(refused)


def _say_refused(refused: dict[str, str]) -> None:
    for service, why in refused.items():
        typer.echo(f"capacity: left out {service}: {why}", err=True)
    if refused:
        raise typer.Exit(1)


def commit(
    plan: PlanFile,
    repository: Annotated[Path, typer.Option("--repository", help="A folder of the git repository.")] = Path(),
    branch: Annotated[str, typer.Option("--branch", help="Name of the new branch; default capacity/PLAN-ID.")] = "",
    compose: Compose = None,
    config: Config = None,
) -> None:
    """Make a git branch with one commit a service; the working tree is not touched and nothing is pushed."""
    from capacity.changes import commit_plan, read_plan

    done = commit_plan(read_plan(plan), _projects(compose, settings_of(config, None)), repository, branch)
    for service, name in done.commits.items():
        typer.echo(f"{done.name} {name[:12]} {service}")
    _say_refused(done.refused)


def units(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A compose file.")],
    write: Annotated[bool, typer.Option("--write", help="Correct them in the file.")] = False,
) -> None:
    """Find sizes such as 4Gi, which Compose refuses, and correct them; exit code 1 when there are any left."""
    from capacity.changes import correct_units
    from capacity.changes.files import read_bytes, replace_file

    new, found = correct_units(read_bytes(file).decode())
    for one in found:
        typer.echo(f"{file}: {one.text}")
    if write and any(one.new for one in found):
        replace_file(file, new.encode())
    if any(not (write and one.new) for one in found):
        raise typer.Exit(1)


def apply(
    plan: Annotated[Path | None, typer.Argument(metavar="PLAN", help="A plan.yaml.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes/--dry-run", help="Change containers and files; without it only show what would be sent.")
    ] = False,
    service: Glob = "*",
    canary: Annotated[
        int, typer.Option("--canary", min=0, help="So many services or replicas first, the rest when they held.")
    ] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that did not come to its end.")] = False,
    unattended: Annotated[
        bool, typer.Option("--unattended", help="Apply only what the settings allow without a person.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="The occasion, for the journal.")] = "",
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Apply a plan to containers and compose files at once; a dry run unless --yes is given."""
    from capacity import changes
    from capacity.changes.peaks import peaks_from

    settings = settings_of(config, None)
    progress = progress_of(quiet=quiet or as_json)
    if resume:
        if plan is not None:
            raise InputError("--resume takes the plan of its run", "Leave out PLAN")
        _say_result(changes.resume(settings, peaks=peaks_from(settings), progress=progress), as_json=as_json)
        return
    if plan is None:
        raise InputError("No plan is named", "Name a plan.yaml, or give --resume")
    read = changes.read_plan(plan)
    if not (yes or unattended):
        _say_preview(*changes.dry_run(read, settings, services=service, peaks=peaks_from(settings)), as_json=as_json)
        return
    peaks = peaks_from(settings)
    done = changes.apply_plan(
        read, settings, services=service, canary=canary, unattended=unattended, peaks=peaks, progress=progress, why=why
    )
    _say_result(done, as_json=as_json)


def _say_preview(previews: list[Any], refused: list[Refusal], *, as_json: bool) -> None:
    from capacity.changes.emit import patch_of

    shown: list[dict[str, Any]] = []
    for one in previews:
        patches = [patch_of(Path(path), Path("/"), *both) for path, both in one.files.items()]
        shown.append(
            {
                "service": one.step.service,
                "host": one.step.host.name,
                "how": one.step.mode,
                "update": one.bodies,
                "patch": "".join(patches),
                "refused": one.refused,
            }
        )
    if as_json:
        left = [{"service": one.change.service, "what": str(one.change.what), "reason": one.reason} for one in refused]
        typer.echo(json.dumps({"steps": shown, "refused": left}, indent=1))
        return
    for number, step in enumerate(shown, start=1):
        typer.echo(
            f"{number}. {step['service']} on {step['host']}: {step['how']}"
            + (f"; refused: {step['refused']}" * bool(step["refused"]))
        )
        for name, body in step["update"].items():
            typer.echo(f"   POST /containers/{name}/update {json.dumps(body)}")
        if step["how"] == "recreate" and not step["refused"]:
            typer.echo("   docker compose up --detach --no-deps " + step["service"].partition("/")[2])
        typer.echo(step["patch"], nl=False)
    for refusal in refused:
        typer.echo(f"refused: {refusal.change.label}: {refusal.reason}")
    typer.echo("Nothing was changed; --yes does it.")


def _outcomes(outcomes: list[Outcome], refused: list[Refusal]) -> list[dict[str, Any]]:
    rows = [{"service": one.service, "host": one.host, "outcome": one.state, "why": one.reason} for one in outcomes]
    return rows + [
        {"service": one.change.service, "host": one.change.host, "outcome": "refused", "why": f"{one.change.what}: {one.reason}"}
        for one in refused
    ]


def _say_result(result: Any, *, as_json: bool) -> None:
    rows = _outcomes(result.outcomes, result.refused)
    if as_json:
        typer.echo(json.dumps({"run": result.run, "state": result.state, "steps": rows}, indent=1))
    else:
        print_rows(rows, as_json=False, title=f"Run {result.run}: {result.state}")
    if any(row["outcome"] in {"failed", "refused"} for row in rows):
        raise typer.Exit(1)


def rollback(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or the beginning of its name.")],
    service: Glob = "*",
    exact: Annotated[
        bool, typer.Option("--exact", help="Make new containers where a limit has to be lifted altogether.")
    ] = False,
    config: Config = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Bring containers and compose files back to what they were before a run."""
    from capacity import changes

    settings = settings_of(config, None)
    done = changes.rollback(run, settings, services=service, exact=exact, progress=progress_of(quiet=quiet or as_json))
    print_rows(_outcomes(done, []), as_json=as_json, title=f"Run {run} taken back")
    if any(one.state == "failed" for one in done):
        raise ChangeRefused("Not everything could be brought back", "The table says what and why; mend that and run it again")


def journal(
    service: Annotated[str, typer.Option("--service", help="Only this service, project/service.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List what was changed: who, when, what, why and what came of it."""
    from dataclasses import asdict

    from capacity.changes import adjustments
    from capacity.changes.values import show_value
    from capacity.model import What

    found = adjustments(settings_of(config, None).apply.journal, service)
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=1, default=str))
        return
    rows = [
        {
            "time": f"{one.time:%Y-%m-%d %H:%M:%S}",
            "run": one.run,
            "who": one.who,
            "service": one.service,
            "what": one.what,
            "change": f"{show_value(What(one.what), one.before)} -> {show_value(What(one.what), one.after)}",
            "why": one.why or one.reason,
            "outcome": f"{one.outcome}: {one.detail}" if one.detail else one.outcome,
        }
        for one in found
    ]
    print_rows(rows, as_json=False, title=f"{len(rows)} changes")
