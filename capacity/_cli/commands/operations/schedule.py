"""`capacity schedule`: reports that run themselves."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capacity._cli.options import Config, Json, Quiet, settings_of
from capacity._cli.printing import print_rows, say, show_text
from capacity._common.text.counting import counted
from capacity.errors import CapacityError, InputError

if TYPE_CHECKING:
    from capacity.operations._schedule.jobs import Job
    from capacity.operations._schedule.render import Program
    from capacity.operations._schedule.state import JobState
    from capacity.settings import Settings

__all__ = ["register"]

_KINDS = ("systemd", "cron", "compose")
_LOOK = 30  # seconds between two looks at what is due

Kind = Annotated[str, typer.Option("--as", help="systemd, cron or compose.")]
System = Annotated[
    bool, typer.Option("--system", help="Units of the system, not of this user (systemd).")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without it only what would be is shown.")]


def register(app: typer.Typer) -> None:
    """Add the group `schedule`."""
    group = typer.Typer(
        help="Run fetch and reports by themselves: show, install, look after.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (show, install, remove, status, run, serve, alerts):
        group.command()(command)
    app.add_typer(group, name="schedule")


def show(config: Config = None, kind: Kind = "systemd") -> None:
    """Print the units, the crontab or the Compose service, and when each job is due; nothing is
    written.
    """
    settings, jobs, program = _asked(config)
    show_text(_rendered(kind, jobs, program, settings))
    _say_next(jobs, settings)


def install(
    config: Config = None, kind: Kind = "systemd", system: System = False, yes: Yes = False
) -> None:
    """Put the schedule in place; shown first, done with --yes. Again is safe."""
    from capacity.operations._schedule import install as place

    settings, jobs, program = _asked(config)
    if kind == "compose":
        raise InputError(
            "A Compose service is not installed", "Write what `schedule show --as compose` prints"
        )
    if not yes:
        show_text(_rendered(kind, jobs, program, settings))
        say("capacity: nothing was written; --yes does it", err=True)
        return
    if kind == "cron":
        from capacity.operations._schedule.render import crontab_block

        place.install_crontab(crontab_block(program, settings.schedule.zone))
        say(
            f"The crontab of this user runs {counted(len(jobs), 'job')}; what never ran is due at "
            "once"
        )
    else:
        from capacity.operations._schedule.render import systemd_units

        units = systemd_units(jobs, program, settings.schedule.zone)
        for path in place.install_units(units, place.SystemdPlace.of(system=system)):
            say(str(path))
    _say_next(jobs, settings)


def remove(kind: Kind = "systemd", system: System = False, yes: Yes = False) -> None:
    """Take the schedule away; done with --yes. Reports and states stay."""
    from capacity.operations._schedule import install as place

    _known(kind)
    if not yes:
        say("capacity: nothing was removed; --yes does it", err=True)
        return
    if kind == "cron":
        say("Removed." if place.remove_crontab() else "There was no schedule in the crontab.")
        return
    found = place.remove_units(place.SystemdPlace.of(system=system))
    for path in found:
        say(f"removed {path}")
    if not found:
        say("There were no units.")


def status(config: Config = None, as_json: Json = False, quiet: Quiet = False) -> None:
    """What became of each job, and when it is due; exit code 1 when one failed, is incomplete (a
    project not judged, a delivery that failed) or late, or no schedule is installed and no job
    ever ran.
    """
    from capacity.operations._schedule.recurrence import parse_zone
    from capacity.operations._schedule.state import read_state

    settings, jobs, _ = _asked(config)
    zone, now = parse_zone(settings.schedule.zone), datetime.now(UTC)
    shown_zone = UTC if as_json else zone
    rows, bad = [], False
    for job in jobs:
        state = read_state(settings.schedule.state, job.name)
        age = now.timestamp() - state.succeeded
        late = bool(state.started) and age > job.late_after(zone, now).total_seconds()
        bad = bad or late or state.exit_code != 0
        told = _told(state)
        rows.append(
            {
                "job": job.name,
                "state": "late" if late and told == "ok" else told,
                "last success": _moment(state.succeeded, shown_zone, as_json=as_json),
                "took": f"{state.seconds:.0f} s" if state.started else "-",
                "next": _moment(job.when.after(now, zone).timestamp(), shown_zone, as_json=as_json),
                "log": state.log or "-",
            }
        )
    if not quiet:
        print_rows(rows, as_json=as_json, title=f"Schedule, times in {zone.key}")
    missing = _says_not_installed(settings, quiet=quiet)
    if bad or missing:
        raise typer.Exit(1)


def _says_not_installed(settings: Settings, *, quiet: bool) -> bool:
    """Whether nothing here would run a job, nor ever has; said, with how to change it."""
    from capacity.operations._schedule import install as place
    from capacity.operations._schedule.state import any_begun

    places = [place.SystemdPlace.of(system=system) for system in (False, True)]
    if any_begun(settings.schedule.state) or place.is_installed(places):
        return False
    if not quiet:
        say(
            "capacity: no schedule is installed: there are no timers, no line in this user's "
            "crontab, and no job ever ran. `capacity schedule install --yes` puts timers in place, "
            "with --as cron a crontab; `capacity schedule serve` stays and runs the jobs",
            err=True,
        )
    return True


def _told(state: JobState) -> str:
    """A job's last run in a word."""
    if not state.started:
        return "never ran"
    if state.failures:
        return "failed"
    return "incomplete" if state.exit_code else "ok"


def run(
    job: Annotated[str | None, typer.Argument(help="Such as weekly; see `status`.")] = None,
    due: Annotated[
        bool, typer.Option("--due", help="Only what was missed since it was last due.")
    ] = False,
    config: Config = None,
) -> None:
    """Run one job now, or all that are due, and remember what became of it; with both, that job if
    it is due.
    """
    from capacity.operations._schedule.jobs import find_job
    from capacity.operations._schedule.run import run_due, run_job

    settings, jobs, _ = _asked(config)
    if job is None and not due:
        raise InputError("Give a job or --due", "`capacity schedule status` lists the jobs")
    chosen = jobs if job is None else [find_job(job, jobs)]
    if due:
        done = run_due(chosen, jobs, settings)
    else:
        done = [(each, run_job(each, jobs, settings)) for each in chosen]
    failed = []
    for each, state in done:
        if not due:  # cron mails whatever is said
            say(f"{each.name}: {_told(state)} after {state.seconds:.0f} s")
        if state.exit_code:
            failed.append(each.name)
            told = f"{each.name} {_told(state)} with exit code {state.exit_code}"
            say(f"capacity: {told}; see {state.log}", err=True)
    if failed:
        raise typer.Exit(1)


def serve(
    config: Config = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
) -> None:
    """Stay and run each job when it is due: for a container, where no timer is."""
    from capacity.operations._schedule.run import due_jobs, run_job

    settings, jobs, _ = _asked(config)
    while True:
        for job in due_jobs(jobs, settings):
            try:
                state = run_job(job, jobs, settings)
                say(f"{job.name}: exit code {state.exit_code} after {state.seconds:.0f} s")
            except CapacityError as error:  # the next look tries again
                say(f"capacity: {job.name}: {error}", err=True)
        if once:
            return
        time.sleep(_LOOK)


def alerts(config: Config = None) -> None:
    """Print alert rules for jobs that are late, for Prometheus (`schedule.textfile` gives the
    metrics).
    """
    from capacity.operations._schedule.recurrence import parse_zone
    from capacity.operations._schedule.state import late_alert

    settings, jobs, _ = _asked(config)
    show_text(late_alert(jobs, parse_zone(settings.schedule.zone), datetime.now(UTC)))


def _asked(config: Path | None) -> tuple[Settings, list[Job], Program]:
    from capacity.operations._schedule.jobs import scheduled_jobs
    from capacity.operations._schedule.render import Program

    settings = settings_of(config, None)
    whole = config.resolve() if config is not None else None
    jobs = scheduled_jobs(settings, config=str(whole) if whole else None)
    if not jobs:
        raise InputError("No job is switched on", "Give times under [schedule] in capacity.toml")
    return settings, jobs, Program(Path.cwd(), config=whole)


def _known(kind: str) -> None:
    if kind not in _KINDS:
        raise InputError(f"There is no schedule as {kind!r}", f"Known are {', '.join(_KINDS)}")


def _rendered(kind: str, jobs: list[Job], program: Program, settings: Settings) -> str:
    from capacity.operations._schedule import render

    _known(kind)
    zone = settings.schedule.zone
    if kind == "cron":
        return render.crontab_block(program, zone)
    if kind == "compose":
        found = program.folder / "capacity.toml"
        if program.config is None and found.is_file():
            program = replace(program, config=found)
        return render.compose_service(program, zone, "capacity")
    units = render.systemd_units(jobs, program, zone)
    return "\n".join(f"# {name}\n{text}" for name, text in units.items())


def _say_next(jobs: list[Job], settings: Settings) -> None:
    from capacity.operations._schedule.recurrence import parse_zone

    zone, now = parse_zone(settings.schedule.zone), datetime.now(UTC)
    for job in jobs:
        due = job.when.after(now, zone).astimezone(zone)
        say(f"{job.name}: next {due:%a %Y-%m-%d %H:%M} {zone.key}", err=True)


def _moment(seconds: float, zone: tzinfo, *, as_json: bool) -> str | None:
    if not seconds:
        return None if as_json else "-"
    moment = datetime.fromtimestamp(seconds, zone)
    return moment.isoformat() if as_json else f"{moment:%Y-%m-%d %H:%M}"
